/*
 * Acting as another user, one thread at a time. setfsuid(2) alone leaves CAP_SYS_ADMIN, CAP_SYS_RESOURCE and others in
 * force, which would let anyone set trusted.* attributes and pass quotas: for a user other than root the thread's
 * effective capabilities are emptied as well, so that every decision is the kernel's.
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
	uid_t uid;
	gid_t gid;
	int ngroups;
	gid_t *groups;
} process = {.once = PTHREAD_ONCE_INIT};

/* What this thread is; itself while !switched. */
static __thread struct {
	bool switched;
	struct inlay_cred cred;
} current;

static int caps_set(const struct __user_cap_data_struct *caps)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

	/* The raw call: a library may set the capabilities of all threads. */
	return (int)syscall(SYS_capset, &head, caps);
}

static int groups_set(size_t count, const gid_t *groups)
{
	/* glibc's setgroups() changes every thread of the process. */
	return (int)syscall(SYS_setgroups, count, groups);
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
	count = getgroups(0, NULL);
	if (count < 0)
		return;
	process.groups = calloc((size_t)count + 1, sizeof(*process.groups));
	if (!process.groups)
		return;
	process.ngroups = getgroups(count, process.groups);
	process.can_switch = process.ngroups == count && cap_has(CAP_SETUID) && cap_has(CAP_SETGID);
}

bool inlay_identity_can_switch(void)
{
	pthread_once(&process.once, process_init);
	return process.can_switch;
}

/* The two calls report no failure: an id that can't be one answers with what is in force. */
static bool ids_set(uid_t uid, gid_t gid)
{
	setfsgid(gid);
	setfsuid(uid);
	return (gid_t)setfsgid((gid_t)-1) == gid && (uid_t)setfsuid((uid_t)-1) == uid;
}

static int become_process(void)
{
	/* Capabilities first: the other calls need them. All of these were the thread's own, so the host grants them. */
	if (caps_set(process.caps) || groups_set((size_t)process.ngroups, process.groups) ||
	    !ids_set(process.uid, process.gid))
		return -INLAY_EPERM;
	/* setfsuid() from a user to root, and the other way, changes the effective set too. */
	if (caps_set(process.caps))
		return -INLAY_EPERM;
	current.switched = false;
	return 0;
}

static int become_user(const struct inlay_cred *cred)
{
	struct __user_cap_data_struct none[CAP_WORDS];

	memcpy(none, process.caps, sizeof(none));
	for (unsigned i = 0; i < CAP_WORDS; i++)
		none[i].effective = 0;
	if (groups_set(cred->ngroups, cred->groups) || !ids_set(cred->uid, cred->gid))
		return -INLAY_EPERM;
	return caps_set(cred->uid ? none : process.caps) ? -INLAY_EPERM : 0;
}

static bool is_current(const struct inlay_cred *cred)
{
	return current.switched && current.cred.uid == cred->uid && current.cred.gid == cred->gid &&
	       current.cred.ngroups == cred->ngroups &&
	       memcmp(current.cred.groups, cred->groups, cred->ngroups * sizeof(cred->groups[0])) == 0;
}

int inlay_identity_enter(const struct inlay_cred *cred)
{
	int rc;

	if (!inlay_identity_can_switch())
		return 0;
	if (cred ? is_current(cred) : !current.switched)
		return 0;
	if (current.switched) {
		rc = become_process();
		if (rc < 0 || !cred)
			return rc;
	}
	if (cred->ngroups > INLAY_GROUPS_MAX)
		return -INLAY_EPERM;
	current.switched = true;
	rc = become_user(cred);
	if (rc < 0) {
		(void)become_process();
		return rc;
	}
	current.cred.uid = cred->uid;
	current.cred.gid = cred->gid;
	current.cred.ngroups = cred->ngroups;
	memcpy(current.cred.groups, cred->groups, cred->ngroups * sizeof(cred->groups[0]));
	return 0;
}
