/*
 * Acting as another user, one thread at a time. setfsuid(2) alone leaves CAP_SYS_ADMIN, CAP_SYS_RESOURCE and others in
 * force, which would let anyone set trusted.* attributes and pass quotas: for a user other than root the thread's
 * effective capabilities are taken away as well, so that every decision is the kernel's. A thread started by one
 * that acts as another user begins as that user: so each asks the host at its first call who it is.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/identity.h"

#include "base/status.h"

#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_WORDS _LINUX_CAPABILITY_U32S_3

/* What the process was at the first call; read-only afterwards. */
static struct {
	pthread_once_t once;
	bool can_switch;
	struct __user_cap_data_struct caps[CAP_WORDS];
	uint32_t uid, gid, ngroups;
	uint32_t groups[INLAY_GROUPS_MAX];
} process = {.once = PTHREAD_ONCE_INIT};

/* What this thread is, as the host knows it. */
static __thread struct {
	bool known;    /* false: the thread made no call yet, and is what the one was that started it */
	bool switched; /* not the process itself, even if the numbers are the same */
	bool limited;  /* effective capabilities: only those to switch back */
	uint32_t uid, gid, ngroups;
	uint32_t groups[INLAY_GROUPS_MAX];
} current;

static int caps_set(const struct __user_cap_data_struct *caps)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

	/* The raw call: a library may set the capabilities of all threads. */
	return (int)syscall(SYS_capset, &head, caps);
}

static bool cap_has(unsigned cap)
{
	return process.caps[cap / 32].effective & 1u << cap % 32;
}

static void process_init(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	int count;

	process.uid = geteuid();
	process.gid = getegid();
	if (syscall(SYS_capget, &head, process.caps))
		return;
	/* A process in more groups than a caller can have does not switch: it could not be restored. */
	count = getgroups(INLAY_GROUPS_MAX, process.groups);
	if (count < 0)
		return;
	process.ngroups = (uint32_t)count;
	process.can_switch = cap_has(CAP_SETUID) && cap_has(CAP_SETGID);
}

bool inlay_identity_can_switch(void)
{
	pthread_once(&process.once, process_init);
	return process.can_switch;
}

static bool groups_are(uint32_t count, const uint32_t *groups)
{
	return current.ngroups == count && memcmp(current.groups, groups, count * sizeof(*groups)) == 0;
}

/* glibc's setgroups() changes every thread of the process. */
static bool groups_set(uint32_t count, const uint32_t *groups)
{
	if (syscall(SYS_setgroups, (size_t)count, groups))
		return false;
	current.ngroups = count;
	memcpy(current.groups, groups, count * sizeof(*groups));
	return true;
}

/* These two calls report no failure; asked for an id that can't be one, they answer with what is in force. */
static bool gid_set(uint32_t gid)
{
	setfsgid(gid);
	current.gid = (uint32_t)setfsgid((gid_t)-1);
	return current.gid == gid;
}

static bool uid_set(uint32_t uid)
{
	setfsuid(uid);
	current.uid = (uint32_t)setfsuid((uid_t)-1);
	return current.uid == uid;
}

static bool caps_limit(bool limit)
{
	struct __user_cap_data_struct caps[CAP_WORDS];

	memcpy(caps, process.caps, sizeof(caps));
	if (limit) {
		/* Those two decide nothing about files, and spare the way over the process when users alternate. */
		for (unsigned i = 0; i < CAP_WORDS; i++)
			caps[i].effective = 0;
		caps[CAP_SETUID / 32].effective |= 1u << CAP_SETUID % 32;
		caps[CAP_SETGID / 32].effective |= 1u << CAP_SETGID % 32;
	}
	if (caps_set(caps))
		return false;
	current.limited = limit;
	return true;
}

/* Each step costs the host microseconds: only what differs is set. */
static bool become(uint32_t uid, uint32_t gid, uint32_t ngroups, const uint32_t *groups, bool limit)
{
	bool moved = current.uid != uid;

	if (!groups_are(ngroups, groups) && !groups_set(ngroups, groups))
		return false;
	if (current.gid != gid && !gid_set(gid))
		return false;
	if (moved && !uid_set(uid))
		return false;
	/* A change of the user to or from root moves capabilities by itself. */
	return (current.limited == limit && !(moved && !limit)) || caps_limit(limit);
}

static void become_process(void)
{
	/* All of this was the thread's own. To go on as somebody else would be worse than to end. */
	if (!become(process.uid, process.gid, process.ngroups, process.groups, false))
		abort();
	current.switched = false;
}

/* Asked of the host: whoever started this thread may have acted as a user then. */
static void current_init(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[CAP_WORDS] = {{0}};
	long count = syscall(SYS_getgroups, (size_t)INLAY_GROUPS_MAX, current.groups);

	/* What can't be told would be taken for the process's. */
	if (count < 0 || syscall(SYS_capget, &head, caps))
		abort();
	current.uid = (uint32_t)setfsuid((uid_t)-1);
	current.gid = (uint32_t)setfsgid((gid_t)-1);
	current.ngroups = (uint32_t)count;
	for (unsigned i = 0; i < CAP_WORDS; i++)
		current.limited |= caps[i].effective != process.caps[i].effective;
	current.switched = current.limited || current.uid != process.uid || current.gid != process.gid ||
		!groups_are(process.ngroups, process.groups);
	current.known = true;
}

int inlay_identity_enter(const struct inlay_cred *cred)
{
	if (!inlay_identity_can_switch())
		return 0;
	if (!current.known)
		current_init();
	if (!cred) {
		if (current.switched)
			become_process();
		return 0;
	}
	if (cred->ngroups > INLAY_GROUPS_MAX)
		return -INLAY_EPERM;
	if (current.switched && current.uid == cred->uid && current.gid == cred->gid &&
		groups_are(cred->ngroups, cred->groups))
		return 0;
	current.switched = true;
	if (become(cred->uid, cred->gid, cred->ngroups, cred->groups, cred->uid != 0))
		return 0;
	become_process();
	return -INLAY_EPERM;
}
