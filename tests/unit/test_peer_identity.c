/*
 * Whose connection it is: Unix and loopback TCP, one's own and another user's, and all that must not pass for root.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support.h"

#include "base/status.h"
#include "net/addr.h"
#include "os/identity.h"
#include "os/peer_identity.h"

#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER 12345u /* no account's */
#define GROUP 12346u

static const gid_t user_groups[2] = {23451, 23452};

#define NEEDS_ROOT() \
	do { \
		if (geteuid() != 0 || !inlay_identity_can_switch()) { \
			print_message("# skipped: another user's connection needs root\n"); \
			skip(); \
		} \
	} while (0)

/* ---- places to connect to ---- */

struct place {
	struct sockaddr_storage addr;
	socklen_t len;
	int listener;
};

static void place_listen(struct place *p)
{
	p->listener = socket(p->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(p->listener >= 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&p->addr, p->len), 0);
	assert_int_equal(listen(p->listener, 8), 0);
	assert_int_equal(getsockname(p->listener, (struct sockaddr *)&p->addr, &p->len), 0);
}

static struct place place_v4(void)
{
	struct place p = {.len = sizeof(struct sockaddr_in)};
	struct sockaddr_in *a = (struct sockaddr_in *)&p.addr;

	a->sin_family = AF_INET;
	a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	place_listen(&p);
	return p;
}

static struct place place_v6(void)
{
	struct place p = {.len = sizeof(struct sockaddr_in6)};
	struct sockaddr_in6 *a = (struct sockaddr_in6 *)&p.addr;

	a->sin6_family = AF_INET6;
	a->sin6_addr = in6addr_loopback;
	place_listen(&p);
	return p;
}

/* A server's socket for both families, called by an IPv4 socket, or by an IPv6 one with an IPv4 address. */
static struct place place_mapped(int caller_family)
{
	struct place p = {.len = sizeof(struct sockaddr_in6)};
	struct sockaddr_in6 *a = (struct sockaddr_in6 *)&p.addr;
	in_port_t port;

	a->sin6_family = AF_INET6;
	a->sin6_addr = in6addr_any;
	place_listen(&p);
	port = a->sin6_port;
	memset(&p.addr, 0, sizeof(p.addr));
	if (caller_family == AF_INET6) {
		*a = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
		a->sin6_addr.s6_addr[10] = a->sin6_addr.s6_addr[11] = 0xff;
		a->sin6_addr.s6_addr[12] = 127;
		a->sin6_addr.s6_addr[15] = 1;
	} else {
		*(struct sockaddr_in *)&p.addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		p.len = sizeof(struct sockaddr_in);
	}
	return p;
}

static struct place place_unix(char dir[32])
{
	struct place p = {.len = sizeof(struct sockaddr_un)};
	struct sockaddr_un *a = (struct sockaddr_un *)&p.addr;

	strcpy(dir, "/tmp/inlay-unit-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	a->sun_family = AF_UNIX;
	snprintf(a->sun_path, sizeof(a->sun_path), "%s/s", dir);
	place_listen(&p);
	assert_int_equal(chmod(a->sun_path, 0666), 0);
	return p;
}

static int call(const struct place *p)
{
	int fd = socket(p->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)&p->addr, p->len) == 0 ? fd : -1;
}

/* ---- others who connect ---- */

static void become_user(void)
{
	if (setgroups(2, user_groups) || setresgid(GROUP, GROUP, GROUP) || setresuid(USER, USER, USER))
		_exit(1);
}

static void become_set_group_id(void)
{
	if (setgroups(0, NULL) || setresgid(GROUP, 0, 0) || setresuid(USER, USER, USER))
		_exit(1);
}

/* The socket is his, the process isn't. */
static void become_host_of_user(void)
{
	setfsuid(USER);
}

struct caller {
	pid_t pid;
	int word; /* closing it ends the caller */
};

/* Calls in a process of its own, which keeps the connection, or closes it. Returns this end of it. */
static int call_as(struct caller *c, const struct place *p, void (*become)(void), bool keep)
{
	int pipes[2][2], fd;
	char byte;

	assert_int_equal(pipe(pipes[0]) | pipe(pipes[1]), 0);
	c->pid = fork();
	if (c->pid == 0) {
		close(pipes[1][1]);
		become();
		fd = call(p);
		if (!keep)
			close(fd);
		byte = fd >= 0;
		if (write(pipes[0][1], &byte, 1) != 1 || read(pipes[1][0], &byte, 1) != 0)
			_exit(1);
		_exit(0);
	}
	close(pipes[0][1]);
	close(pipes[1][0]);
	assert_int_equal(read(pipes[0][0], &byte, 1), 1);
	assert_int_equal(byte, 1);
	close(pipes[0][0]);
	c->word = pipes[1][1];
	fd = accept(p->listener, NULL, NULL);
	assert_true(fd >= 0);
	return fd;
}

static void caller_end(struct caller *c)
{
	int status;

	close(c->word);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	assert_int_equal(status, 0);
}

/* ---- the tests ---- */

static void is_own(const struct place *p)
{
	struct inlay_cred cred;
	int a = call(p), b = accept(p->listener, NULL, NULL);

	assert_true(a >= 0 && b >= 0);
	assert_int_equal(inlay_peer_identity(b, &cred), 1);
	assert_int_equal(cred.uid, geteuid());
	assert_int_equal(inlay_peer_identity(a, &cred), 1);
	assert_int_equal(cred.uid, geteuid());
	if (cred.uid)
		assert_int_equal(cred.gid, getegid());
	close(a);
	close(b);
}

static void is_the_users(const struct place *p)
{
	struct inlay_cred cred;
	struct caller c;
	int fd = call_as(&c, p, become_user, true);

	assert_int_equal(inlay_peer_identity(fd, &cred), 1);
	assert_int_equal(cred.uid, USER);
	assert_int_equal(cred.gid, GROUP);
	assert_int_equal(cred.ngroups, 2);
	assert_memory_equal(cred.groups, user_groups, sizeof(user_groups));
	close(fd);
	caller_end(&c);
}

static void a_socket_pair_is_ours(void **state)
{
	struct inlay_cred cred;
	gid_t groups[INLAY_GROUPS_MAX];
	int fds[2], count = getgroups((int)INLAY_GROUPS_MAX, groups);

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(inlay_peer_identity(fds[0], &cred), 1);
	assert_int_equal(cred.uid, geteuid());
	assert_int_equal(cred.gid, getegid());
	assert_int_equal(cred.ngroups, count);
	assert_memory_equal(cred.groups, groups, (size_t)count * sizeof(groups[0]));
	close(fds[0]);
	close(fds[1]);
}

/* v4, v6, mapped both ways: each by the given check. */
static void on_each_place(void (*check)(const struct place *p))
{
	struct place places[4] = {place_v4(), place_v6(), place_mapped(AF_INET), place_mapped(AF_INET6)};

	for (int i = 0; i < 4; i++) {
		check(&places[i]);
		close(places[i].listener);
	}
}

static void tcp_of_ones_own(void **state)
{
	(void)state;
	on_each_place(is_own);
}

static void tcp_of_another_user(void **state)
{
	(void)state;
	NEEDS_ROOT();
	on_each_place(is_the_users);
}

static void unix_of_another_user(void **state)
{
	struct place p;
	char dir[32];

	(void)state;
	NEEDS_ROOT();
	p = place_unix(dir);
	is_the_users(&p);
	close(p.listener);
	unlink(((struct sockaddr_un *)&p.addr)->sun_path);
	assert_int_equal(rmdir(dir), 0);
}

/* The kernel calls a socket without a process root's. */
static void who_has_closed_is_not_root(const struct place *p)
{
	struct inlay_cred cred = {.uid = 7};
	struct caller c;
	int fd = call_as(&c, p, become_user, false);

	assert_int_equal(inlay_peer_identity(fd, &cred), -INLAY_ENOTCONN);
	assert_int_equal(cred.uid, 7); /* untouched */
	close(fd);
	caller_end(&c);
}

static void who_waits_to_be_accepted_is_not_root(const struct place *p)
{
	struct inlay_cred cred;
	int fd = call(p), accepted;

	assert_int_equal(inlay_peer_identity(fd, &cred), -INLAY_ENOTCONN);
	accepted = accept(p->listener, NULL, NULL);
	assert_int_equal(inlay_peer_identity(fd, &cred), 1); /* the twin */
	close(accepted);
	close(fd);
}

static void closed_ones(void **state)
{
	(void)state;
	NEEDS_ROOT();
	on_each_place(who_has_closed_is_not_root);
}

static void unaccepted_ones(void **state)
{
	(void)state;
	on_each_place(who_waits_to_be_accepted_is_not_root);
}

static void groups_of_others_do_not_count(void **state)
{
	void (*const become[2])(void) = {become_set_group_id, become_host_of_user};
	struct place p = place_v4();
	struct inlay_cred cred;
	struct caller c;

	(void)state;
	NEEDS_ROOT();
	for (int i = 0; i < 2; i++) {
		int fd = call_as(&c, &p, become[i], true);

		assert_int_equal(inlay_peer_identity(fd, &cred), 1);
		assert_int_equal(cred.uid, USER);
		assert_int_equal(cred.gid, INLAY_NOBODY);
		assert_int_equal(cred.ngroups, 0);
		close(fd);
		caller_end(&c);
	}
	close(p.listener);
}

/* A thread that just acted for a user connects, and looks, as the process itself. */
static void acting_for_others_does_not_matter(void **state)
{
	const struct inlay_cred user = {.uid = USER, .gid = GROUP};
	struct place p = place_v4();
	struct inlay_addr a = {.host = "127.0.0.1", .port = ntohs(((struct sockaddr_in *)&p.addr)->sin_port)};
	struct inlay_cred cred;
	bool loopback;
	int fd, accepted;

	(void)state;
	NEEDS_ROOT();
	assert_int_equal(inlay_identity_enter(&user), 0);
	fd = inlay_addr_connect(&a, 5000, false, &loopback);
	assert_true(fd >= 0);
	accepted = accept(p.listener, NULL, NULL);
	assert_int_equal(inlay_identity_enter(&user), 0);
	assert_int_equal(inlay_peer_identity(accepted, &cred), 1);
	assert_int_equal(cred.uid, 0);
	close(accepted);
	close(fd);
	close(p.listener);
}

static void what_is_not_connected(void **state)
{
	struct place p = place_v4();
	struct inlay_cred cred;

	(void)state;
	assert_int_equal(inlay_peer_identity(p.listener, &cred), -INLAY_ENOTCONN);
	assert_int_equal(inlay_peer_identity(-1, &cred), -INLAY_EBADF);
	close(p.listener);
}

RUN_TESTS(cmocka_unit_test(a_socket_pair_is_ours), cmocka_unit_test(tcp_of_ones_own),
	cmocka_unit_test(tcp_of_another_user), cmocka_unit_test(unix_of_another_user), cmocka_unit_test(closed_ones),
	cmocka_unit_test(unaccepted_ones), cmocka_unit_test(groups_of_others_do_not_count),
	cmocka_unit_test(acting_for_others_does_not_matter), cmocka_unit_test(what_is_not_connected))
