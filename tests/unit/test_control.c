/*
 * An attachment's control socket: whoever looks for it while it is being made finds a whole one or none, and removes nothing.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support.h"

#include "cmd/control.h"
#include "cmd/peer.h"

#include <dirent.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool somebody_looks;

/* In place of the C library's: between bind and listen somebody looks for attachments. */
int listen(int fd, int backlog)
{
	struct inlay_peers peers;

	if (somebody_looks && inlay_peers_find(&peers) == 0)
		inlay_peers_done(&peers);
	return (int)syscall(SYS_listen, fd, backlog);
}

static unsigned entries(const char *path)
{
	unsigned count = 0;
	DIR *d = opendir(path);

	for (struct dirent *e; d && (e = readdir(d));)
		count += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return count;
}

/* In a process and mount namespace of its own: with a /run of its own, so. Returns the number of the step that failed. */
static int child(void)
{
	struct inlay_control *c;
	struct inlay_peers peers;
	char where[256];

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/run", "tmpfs", 0, "size=1m") < 0)
		return 1;
	somebody_looks = true;
	if (inlay_control_start(NULL, "/", where, sizeof(where), &c) < 0)
		return 2;
	if (inlay_peers_find(&peers) < 0 || peers.count != 1 || peers.peer[0].name.pid != getpid() || entries("/run/inlay") != 1)
		return 3;
	inlay_peers_done(&peers);
	return inlay_control_stop(c) && entries("/run/inlay") == 0 ? 0 : 4;
}

static void a_socket_that_is_being_made_is_not_removed(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

RUN_TESTS(cmocka_unit_test(a_socket_that_is_being_made_is_not_removed))
