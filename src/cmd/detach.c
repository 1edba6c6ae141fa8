/*
 * `inlay detach`: in good order by asking the process that serves the directory; by force without anybody's help.
 * Every step has a limit in time: a process may be stopped, a server gone, a mount dead.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/answer_text.h"
#include "cmd/asking.h"
#include "cmd/clock.h"
#include "cmd/commands.h"
#include "cmd/holders.h"
#include "cmd/mounts.h"
#include "cmd/peer.h"
#include "cmd/say.h"
#include "cmd/statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RETRY_MS 250u
#define FORCE_ASK_MS 2000u  /* for a process that may be stopped */
#define FORCE_STEP_MS 5000u /* for a system call or helper that should not wait at all */

const struct inlay_command inlay_detach_command = {
	.name = "inlay detach",
	.operands = "DIR",
	.summary = "Takes a server's export out of a directory; the directory is then as it was before",
	.details = "Without --force, programs that hold files are named and waited for.\n",
	.operands_min = 1,
	.operands_max = 1,
	.options = inlay_detach_options,
};

/* What is being detached. */
struct target {
	struct inlay_mounts mounts;
	struct inlay_mount mount; /* a copy; its texts lie in mounts */
	char shown[128];          /* the holders told last, to tell again only what is new */
	bool progress;            /* stderr is a terminal */
};

/* ---- bounded steps ---- */

/* Runs step in a process of its own, for FORCE_STEP_MS at most: some calls can't be interrupted. True: it returned true. */
static bool bounded(bool (*step)(const struct target *t), const struct target *t)
{
	uint64_t deadline = inlay_clock_ms() + FORCE_STEP_MS;
	pid_t child = fork();
	int status = 0;

	if (child < 0)
		return false;
	if (child == 0)
		_exit(step(t) ? 0 : 1);
	for (;;) {
		pid_t ended = waitpid(child, &status, WNOHANG);

		if (ended == child)
			return WIFEXITED(status) && WEXITSTATUS(status) == 0;
		if (ended < 0 || inlay_clock_ms() >= deadline)
			break;
		inlay_sleep_ms(5);
	}
	kill(child, SIGKILL);
	return false;
}

/* Ends every request in the kernel at once, whoever was to answer it. */
static bool abort_requests(const struct target *t)
{
	char path[64];
	int fd;
	bool done;

	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", t->mount.minor);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	done = write(fd, "1", 1) == 1;
	close(fd);
	return done;
}

/* MNT_FORCE aborts too; not following a link, because DIR is the mount point itself. */
static bool unmount_self(const struct target *t)
{
	return umount2(t->mount.dir, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
}

/* Without a word to the kernel's requests: if somebody answers them after all, nothing is lost. */
static bool unmount_lazily(const struct target *t)
{
	return umount2(t->mount.dir, MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
}

static bool unmount_by_helper(const struct target *t)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0)
		dup2(null, STDERR_FILENO);
	execlp("fusermount3", "fusermount3", "-u", "-z", "-q", "--", t->mount.dir, (char *)NULL);
	return false;
}

/* ---- state ---- */

/* True while the same file system is still mounted there. */
static bool still_mounted(const struct target *t)
{
	struct inlay_mounts now;
	bool found = false;

	if (inlay_mounts_read("self", &now) < 0)
		return true;
	for (size_t i = 0; i < now.count && !found; i++)
		found = now.mount[i].id == t->mount.id && now.mount[i].minor == t->mount.minor;
	inlay_mounts_free(&now);
	return found;
}

static bool find_target(struct target *t, const char *dir)
{
	const struct inlay_mount *mount;
	char rest[2 * PATH_MAX];
	int status = inlay_mounts_read("self", &t->mounts);

	if (status < 0) {
		inlay_say("can't read the list of mounts: /proc/self/mountinfo: %s", inlay_status_text(status));
		return false;
	}
	mount = inlay_mounts_resolve(&t->mounts, dir, rest, sizeof(rest));
	if (!mount || *rest) {
		inlay_say("not attached: %s: \"inlay status\" shows what is", dir);
		return false;
	}
	t->mount = *mount;
	t->progress = isatty(STDERR_FILENO);
	return true;
}

/* ---- by force ---- */

/* The process that served: it ends by itself when its file system is gone; one that is stopped can't. */
static void end_process(const struct inlay_peer *peer)
{
	struct inlay_peer left;

	if (peer->pidfd >= 0 && !inlay_peer_wait_end(peer, FORCE_ASK_MS)) {
		(void)syscall(SYS_pidfd_send_signal, peer->pidfd, SIGKILL, NULL, 0);
		(void)inlay_peer_wait_end(peer, FORCE_ASK_MS);
	}
	/* Killed, by us or by somebody just before, it leaves its socket; the search removes what nobody listens to. */
	if (inlay_peer_find(peer->name.major, peer->name.minor, &left) == 0)
		inlay_peer_done(&left);
}

static int check_unmounted(const struct target *t)
{
	if (!still_mounted(t))
		return INLAY_EXIT_OK;
	inlay_say("can't unmount: %s: %s", t->mount.dir,
		geteuid() == 0 ? "see the kernel's log" : "not yours, or fusermount3 is missing: try as root");
	return INLAY_EXIT_FAILED;
}

/* A mount that nobody serves: "Transport endpoint is not connected". */
static int detach_leftover(const struct target *t)
{
	inlay_say("its process is gone: %s: unmounting what it left", t->mount.dir);
	if (geteuid() != 0 || !bounded(unmount_lazily, t))
		(void)bounded(unmount_by_helper, t);
	return check_unmounted(t);
}

static int detach_by_force(struct target *t, struct inlay_peer *peer)
{
	/* What it answers doesn't matter: the list of mounts tells. */
	if (peer)
		(void)inlay_peer_ask(peer, "detach force", FORCE_ASK_MS);
	if (still_mounted(t)) {
		(void)bounded(abort_requests, t);
		if (geteuid() != 0 || !bounded(unmount_self, t))
			(void)bounded(unmount_by_helper, t);
	}
	if (peer)
		end_process(peer);
	return check_unmounted(t);
}

/* ---- in good order ---- */

static void tell_holder(const struct inlay_holder *h)
{
	if (h->pid)
		inlay_say("held: pid %d (%s), %s: %s", (int)h->pid, h->program, h->how, h->path);
	else
		inlay_say("held: %s (%s): %s", h->how, h->program, h->path);
}

/* Each holder on a line; only when the list is another one than last time, unless always. */
static void tell_holders(struct target *t, pid_t server, bool always)
{
	struct inlay_holders h;
	char key[sizeof(t->shown)];
	unsigned long sum = 0;

	if (inlay_holders_find(&t->mounts, &t->mount, server, &h) < 0)
		return;
	for (size_t i = 0; i < h.count; i++) {
		sum = sum * 31 + (unsigned long)h.holder[i].pid;
		for (const char *p = h.holder[i].path; *p; p++)
			sum = sum * 31 + (unsigned char)*p;
	}
	snprintf(key, sizeof(key), "%zu %lx", h.count, sum);
	if (always || strcmp(key, t->shown) != 0) {
		for (size_t i = 0; i < h.count; i++)
			tell_holder(&h.holder[i]);
		if (h.more)
			inlay_say("held: by more than can be shown here: %s", t->mount.dir);
		if (h.hidden && !h.count)
			inlay_say("held: by a process of another user: %s: root can see which", t->mount.dir);
	}
	strcpy(t->shown, key);
	inlay_holders_done(&h);
}

static void show_progress(const struct target *t, uint64_t deadline, const char *what)
{
	if (t->progress)
		inlay_waiting_show(deadline, what);
}

static void hide_progress(const struct target *t)
{
	if (t->progress)
		inlay_waiting_hide();
}

/* How many requests are still under way, for the progress line. */
static void describe_drain(const struct target *t, char *buf, size_t size)
{
	struct inlay_peer peer;

	snprintf(buf, size, "writing out what is unwritten");
	if (inlay_peer_find(t->mount.major, t->mount.minor, &peer) < 0)
		return;
	if (inlay_peer_ask(&peer, "status", 200) == 0)
		snprintf(buf, size, "%llu requests at the server, %llu waiting",
			(unsigned long long)inlay_json_uint(inlay_json_find(peer.text, "outstanding")),
			(unsigned long long)inlay_json_uint(inlay_json_find(peer.text, "waiting")));
	inlay_peer_done(&peer);
}

/* One attempt. 0: detached, process ended. -INLAY_EBUSY: held. -INLAY_ETIMEDOUT: no answer until the deadline. */
static int attempt(struct target *t, uint64_t deadline, char *why, size_t why_len)
{
	struct inlay_peer peer;
	char what[128];
	int status = inlay_peer_find(t->mount.major, t->mount.minor, &peer);

	if (status < 0) {
		snprintf(why, why_len, "%s", inlay_status_text(status));
		/* Just ended, of an earlier attempt's doing? */
		return still_mounted(t) ? status : 0;
	}
	status = inlay_peer_send(&peer, "detach");
	while (status == 0) {
		uint64_t step = inlay_clock_ms() + 500;

		status = inlay_peer_receive(&peer, step < deadline ? step : deadline);
		if (status != -INLAY_ETIMEDOUT || inlay_clock_ms() >= deadline)
			break;
		if (t->progress) {
			describe_drain(t, what, sizeof(what));
			show_progress(t, deadline, what);
		}
		status = 0;
	}
	if (status == 0) {
		status = inlay_answer_status(peer.text, why, why_len);
		if (status == 0 && !inlay_peer_wait_end(&peer, FORCE_STEP_MS))
			inlay_say("detached, but its process %d is slow to end: %s", (int)peer.pid, t->mount.dir);
	} else {
		snprintf(why, why_len, "%s", inlay_status_text(status));
	}
	inlay_peer_done(&peer);
	hide_progress(t);
	return status;
}

/* No answer to "detach": is it the process that is stuck, or does it wait for the server? */
static void tell_silence(const struct target *t, pid_t server)
{
	struct inlay_peer peer;
	char health[32] = "";

	if (inlay_peer_find(t->mount.major, t->mount.minor, &peer) == 0) {
		if (inlay_peer_ask(&peer, "status", 500) == 0)
			inlay_json_text(inlay_json_find(peer.text, "health"), health, sizeof(health));
		inlay_peer_done(&peer);
	}
	if (*health)
		inlay_say("unmounting still waits for the server (%s): %s: bring it back, or detach with --force", health,
			t->mount.dir);
	else
		inlay_say("its process %d doesn't answer: %s: detach with --force", (int)server, t->mount.dir);
}

static int detach_in_order(struct target *t, pid_t server, unsigned timeout_ms)
{
	uint64_t deadline = inlay_clock_ms() + timeout_ms;
	char why[256];
	int status;

	for (;;) {
		status = attempt(t, deadline, why, sizeof(why));
		if (status == 0)
			return INLAY_EXIT_OK;
		if (status != -INLAY_EBUSY || inlay_clock_ms() >= deadline)
			break;
		tell_holders(t, server, false);
		show_progress(t, deadline, "programs hold it");
		inlay_sleep_ms(RETRY_MS);
		hide_progress(t);
	}
	if (status == -INLAY_EBUSY) {
		tell_holders(t, server, true);
		inlay_say("still in use: %s: end these programs, or detach with --force", t->mount.dir);
	} else if (status == -INLAY_ETIMEDOUT) {
		tell_holders(t, server, true);
		tell_silence(t, server);
	} else {
		inlay_say("can't detach: %s: %s", t->mount.dir, why);
	}
	return INLAY_EXIT_FAILED;
}

static int detach(struct target *t, const struct inlay_detach_options *o)
{
	struct inlay_peer peer;
	int code, status;

	if (geteuid() != 0 && t->mount.owner != geteuid()) {
		inlay_say("attached by user %u: %s: only that user or root can detach it", t->mount.owner, t->mount.dir);
		return INLAY_EXIT_FAILED;
	}
	status = inlay_peer_find(t->mount.major, t->mount.minor, &peer);
	if (status < 0) {
		code = o->force ? detach_by_force(t, NULL) : detach_leftover(t);
		inlay_statedir_sweep();
		return code;
	}
	if (o->force) {
		code = detach_by_force(t, &peer);
		inlay_peer_done(&peer);
	} else {
		pid_t server = peer.name.pid;

		inlay_peer_done(&peer); /* each attempt has a connection of its own */
		code = detach_in_order(t, server, o->timeout_ms);
	}
	return code;
}

int inlay_detach_main(int argc, char **argv)
{
	struct inlay_detach_options o = {.timeout_ms = 10000};
	struct target t = {0};
	int first = inlay_options_parse(&inlay_detach_command, argc, argv, &o), code = INLAY_EXIT_FAILED;

	if (first < 0)
		return first == INLAY_OPTIONS_DONE ? INLAY_EXIT_OK : INLAY_EXIT_USAGE;
	if (find_target(&t, argv[first]))
		code = detach(&t, &o);
	inlay_mounts_free(&t.mounts);
	return code;
}
