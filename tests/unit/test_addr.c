/*
 * Addresses: every way to write one, right and wrong; connecting and listening with time-outs and refusals.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/addr.h"

#include "base/status.h"

#include "support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- text ---- */

static void parses(void **state)
{
	static const struct { const char *text, *host; unsigned port; bool is_unix; const char *back; } cases[] = {
		{"host", "host", INLAY_PORT_DEFAULT, false, "host:4652"},
		{"host:1", "host", 1, false, "host:1"},
		{"127.0.0.1:65535", "127.0.0.1", 65535, false, "127.0.0.1:65535"},
		{"[::1]", "::1", INLAY_PORT_DEFAULT, false, "[::1]:4652"},
		{"[fe80::1%eth0]:7", "fe80::1%eth0", 7, false, "[fe80::1%eth0]:7"},
		{":0", "", 0, false, "*:0"},
		{"", "", INLAY_PORT_DEFAULT, false, "*:4652"},
		{"unix:/run/inlay.sock", "/run/inlay.sock", 0, true, "unix:/run/inlay.sock"},
		{"unix:relative", "relative", 0, true, "unix:relative"},
	};
	char buf[INLAY_ADDR_TEXT];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct inlay_addr a;
		const char *why = NULL;

		assert_int_equal(inlay_addr_parse(cases[i].text, &a, &why), 0);
		assert_string_equal(a.host, cases[i].host);
		assert_int_equal(a.is_unix, cases[i].is_unix);
		assert_int_equal(a.port, cases[i].port);
		assert_string_equal(inlay_addr_text(&a, buf), cases[i].back);
	}
}

static void refuses(void **state)
{
	static const char *const wrong[] = {
		"host:", "host:65536", "host:-1", "host:1x", "host: 1", "host:000001", "::1", "::1:4652", "[::1", "[::1]x", "[::1]:",
		"[]", "[]:1", "[[1]", "a]b:1", "4652", "host/path", "/run/inlay.sock", "unix:", "a:b:c",
	};
	char longest[400];
	struct inlay_addr a = {.port = 77};
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		why = NULL;
		assert_int_equal(inlay_addr_parse(wrong[i], &a, &why), -INLAY_EINVAL);
		assert_non_null(why);
	}
	memset(longest, 'a', sizeof(longest));
	longest[255] = '\0';
	assert_int_equal(inlay_addr_parse(longest, &a, &why), 0);
	longest[255] = 'a';
	longest[256] = '\0';
	assert_int_equal(inlay_addr_parse(longest, &a, &why), -INLAY_EINVAL);
	memcpy(longest, "unix:", 5);
	longest[5 + 107] = '\0';
	assert_int_equal(inlay_addr_parse(longest, &a, &why), 0);
	longest[5 + 107] = 'a';
	longest[5 + 108] = '\0';
	assert_int_equal(inlay_addr_parse(longest, &a, &why), -INLAY_EINVAL);
}

static void remote_names(void **state)
{
	static const struct { const char *text, *host; unsigned port; const char *export_name, *path; } cases[] = {
		{"host/images", "host", INLAY_PORT_DEFAULT, "images", ""},
		{"host/images/", "host", INLAY_PORT_DEFAULT, "images", ""},
		{"host:7/images/a/b c//", "host", 7, "images", "a/b c"},
		{"[::1]:7/i//a:b", "::1", 7, "i", "a:b"},
	};
	static const char *const wrong[] = {
		"host", "host/", "host//", "/images", "", ":4652/images", "host:0/images", "host:/images", "::1/images", "unix:",
		"unix:/nonexistent/socket/images", "unix:images",
	};
	struct inlay_remote_name name;
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(inlay_remote_name_parse(cases[i].text, &name, &why), 0);
		assert_string_equal(name.addr.host, cases[i].host);
		assert_int_equal(name.addr.port, cases[i].port);
		assert_string_equal(name.export_name, cases[i].export_name);
		assert_string_equal(name.path, cases[i].path);
	}
	for (size_t i = 0; i < COUNT(wrong); i++) {
		why = NULL;
		assert_int_equal(inlay_remote_name_parse(wrong[i], &name, &why), -INLAY_EINVAL);
		assert_non_null(why);
	}
}

static void remote_name_limits(void **state)
{
	struct inlay_remote_name name;
	char text[5000] = "h/";
	const char *why;

	(void)state;
	memset(text + 2, 'e', 255);
	assert_int_equal(inlay_remote_name_parse(text, &name, &why), 0);
	text[2 + 255] = 'e';
	assert_int_equal(inlay_remote_name_parse(text, &name, &why), -INLAY_EINVAL);
	memcpy(text, "h/e/", 4);
	memset(text + 4, 'p', 4095);
	text[4 + 4095] = '\0';
	assert_int_equal(inlay_remote_name_parse(text, &name, &why), 0);
	assert_int_equal(strlen(name.path), 4095);
	text[4 + 4095] = 'p';
	text[4 + 4096] = '\0';
	assert_int_equal(inlay_remote_name_parse(text, &name, &why), -INLAY_EINVAL);
}

/* ---- sockets ---- */

struct place {
	char dir[64], path[96];
	struct inlay_addr addr;
};

static void place_make(struct place *p)
{
	strcpy(p->dir, "/tmp/inlay-addr-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/sock", p->dir);
	p->addr = (struct inlay_addr){.is_unix = true};
	strcpy(p->addr.host, p->path);
}

static void place_drop(struct place *p)
{
	unlink(p->path);
	assert_int_equal(rmdir(p->dir), 0);
}

static void check_flags(int fd)
{
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void unix_sockets(void **state)
{
	struct place p;
	struct stat st;
	char text[256], buf[INLAY_ADDR_TEXT];
	struct inlay_remote_name name;
	const char *why;
	bool loopback = false;
	int listener, other, fd, peer;
	mode_t mask = umask(0027);

	(void)state;
	place_make(&p);
	assert_int_equal(inlay_addr_connect(&p.addr, 100, false, &loopback), -INLAY_ENOENT);
	assert_int_equal(inlay_addr_listen(&p.addr, false, &listener, 1), 1);
	umask(mask);
	check_flags(listener);
	assert_int_equal(stat(p.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_true(inlay_addr_is_local(listener));
	snprintf(text, sizeof(text), "unix:%s", p.path);
	assert_string_equal(inlay_addr_own(listener, buf), text);

	fd = inlay_addr_connect(&p.addr, 1000, false, &loopback);
	assert_true(fd >= 0);
	assert_true(loopback);
	check_flags(fd);
	peer = accept(listener, NULL, NULL);
	assert_string_equal(inlay_addr_peer(fd, buf), text);
	snprintf(text, sizeof(text), "unix:pid=%d,uid=%u", (int)getpid(), (unsigned)getuid());
	assert_string_equal(inlay_addr_peer(peer, buf), text);

	snprintf(text, sizeof(text), "unix:%s/images/a/", p.path);
	assert_int_equal(inlay_remote_name_parse(text, &name, &why), 0);
	assert_string_equal(name.addr.host, p.path);
	assert_string_equal(name.export_name, "images");
	assert_string_equal(name.path, "a");

	/* A live socket stays; one that nobody listens on is replaced; what is no socket is left alone. */
	assert_int_equal(inlay_addr_listen(&p.addr, false, &other, 1), -INLAY_EBUSY);
	close(listener);
	assert_int_equal(inlay_addr_connect(&p.addr, 100, false, &loopback), -INLAY_ECONNREFUSED);
	assert_int_equal(inlay_addr_listen(&p.addr, false, &listener, 1), 1);
	close(listener);
	unlink(p.path);
	close(open(p.path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(inlay_addr_listen(&p.addr, false, &listener, 1), -INLAY_EEXIST);
	close(fd);
	close(peer);
	place_drop(&p);
}

/* A listener with a full queue is there, but doesn't answer in time. */
static void silent_listener(void **state)
{
	struct place p;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), first, other;
	bool loopback;
	struct timespec before, after;

	(void)state;
	place_make(&p);
	strcpy(un.sun_path, p.path);
	assert_int_equal(bind(listener, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(listener, 0), 0);
	first = inlay_addr_connect(&p.addr, 1000, false, &loopback);
	assert_true(first >= 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(inlay_addr_connect(&p.addr, 100, false, &loopback), -INLAY_ETIMEDOUT);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_in_range((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000, 99, 5000);
	assert_int_equal(inlay_addr_listen(&p.addr, false, &other, 1), -INLAY_EBUSY);
	close(first);
	close(listener);
	place_drop(&p);
}

static unsigned port_of(int fd)
{
	struct sockaddr_storage s;
	socklen_t len = sizeof(s);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&s, &len), 0);
	return ntohs(s.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&s)->sin6_port : ((struct sockaddr_in *)&s)->sin_port);
}

static void tcp_sockets(void **state)
{
	struct inlay_addr a = {.host = "127.0.0.1"};
	char text[64], buf[INLAY_ADDR_TEXT];
	bool loopback = false;
	int listener, other, fd, peer;

	(void)state;
	assert_int_equal(inlay_addr_listen(&a, false, &listener, 1), 1);
	check_flags(listener);
	assert_true(inlay_addr_is_local(listener));
	a.port = (unsigned short)port_of(listener);
	assert_int_not_equal(a.port, 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", (unsigned)a.port);
	assert_string_equal(inlay_addr_own(listener, buf), text);
	assert_int_equal(inlay_addr_listen(&a, false, &other, 1), -INLAY_EBUSY);
	fd = inlay_addr_connect(&a, 1000, false, &loopback);
	assert_true(fd >= 0);
	assert_true(loopback);
	check_flags(fd);
	assert_string_equal(inlay_addr_peer(fd, buf), text);
	peer = accept(listener, NULL, NULL);
	assert_true(peer >= 0);
	close(peer);
	close(fd);
	close(listener);
	assert_int_equal(inlay_addr_connect(&a, 1000, false, &loopback), -INLAY_ECONNREFUSED);
}

static void not_loopback(void **state)
{
	struct inlay_addr every = {.host = ""}, far = {.host = "192.0.2.1", .port = 9};
	bool loopback;
	int fds[4], count;

	(void)state;
	assert_int_equal(inlay_addr_connect(&far, 1000, false, &loopback), -INLAY_EPERM);
	assert_int_equal(inlay_addr_listen(&every, false, fds, 4), -INLAY_EPERM);
	count = inlay_addr_listen(&every, true, fds, 4);
	assert_in_range(count, 1, 2); /* without IPv6 there is one */
	for (int i = 0; i < count; i++) {
		assert_false(inlay_addr_is_local(fds[i]));
		assert_int_equal(port_of(fds[i]), port_of(fds[0]));
	}
	for (int i = 0; i < count; i++)
		close(fds[i]);
	assert_int_equal(inlay_addr_listen(&every, true, fds, 0), -INLAY_EINVAL);
	assert_int_equal(inlay_addr_listen(&far, true, fds, 4), -INLAY_ENXIO);
	assert_false(inlay_addr_is_local(-1));
}

static void loopback_addresses(void **state)
{
	static const struct { const char *host; bool local; } cases[] = {
		{"127.0.0.1", true}, {"127.255.255.254", true}, {"::1", true}, {"::ffff:127.0.0.2", true},
		{"0.0.0.0", false}, {"::", false}, {"128.0.0.1", false}, {"::ffff:126.0.0.1", false}, {"::2", false},
	};
	int fd;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct inlay_addr a = {.port = 0};
		int r;

		strcpy(a.host, cases[i].host);
		r = inlay_addr_listen(&a, false, &fd, 1);
		if (cases[i].local)
			assert_int_not_equal(r, -INLAY_EPERM); /* IPv6 may be missing, and mapped addresses can't be bound alone */
		else
			assert_int_equal(r, -INLAY_EPERM);
		if (r > 0)
			close(fd);
	}
}

RUN_TESTS(
	cmocka_unit_test(parses),
	cmocka_unit_test(refuses),
	cmocka_unit_test(remote_names),
	cmocka_unit_test(remote_name_limits),
	cmocka_unit_test(unix_sockets),
	cmocka_unit_test(silent_listener),
	cmocka_unit_test(tcp_sockets),
	cmocka_unit_test(not_loopback),
	cmocka_unit_test(loopback_addresses))
