/*
 * The server in this process.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server.h"

#include "net/addr.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void must(bool fine, const char *what)
{
	if (!fine) {
		fprintf(stderr, "the server: %s\n", what);
		abort();
	}
}

static void *accept_all(void *arg)
{
	struct server *s = arg;
	struct pollfd p[2] = { { s->listener, POLLIN, 0 }, { s->stop[0], POLLIN, 0 } };

	for (;;) {
		int fd;

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents)
			return NULL;
		fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			inlay_server_accept(s->server, fd, "tests");
	}
}

static void make_folders(struct server *s)
{
	snprintf(s->home, sizeof(s->home), "/tmp/inlay-whole-XXXXXX");
	must(mkdtemp(s->home) != NULL, "a folder");
	snprintf(s->files, sizeof(s->files), "%s/files", s->home);
	snprintf(s->address, sizeof(s->address), "unix:%s/socket", s->home);
	must(mkdir(s->files, 0755) == 0, "a folder");
}

static void serve(struct server *s)
{
	struct inlay_crew_config crew = { .loops = 1, .spares_max = 8, .spin_us = 20 };
	struct inlay_server_config config = { .boot = { { 1 } }, .secret = { { 11, 22 } }, .banner = "tests" };
	struct inlay_export_config export = { .name = SERVER_EXPORT, .rules = "" };
	int fd = open(s->files, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	must(fd >= 0 && inlay_posix_open(fd, 0, &export.store) == 0, "its store");
	close(fd);
	must(inlay_crew_new(&crew, &s->crew) == 0, "its threads");
	must(inlay_server_new(&config, s->crew, &s->server) == 0, "itself");
	must(inlay_server_export_add(s->server, &export) == 0, "its export");
}

void server_start(struct server *s)
{
	struct inlay_addr addr;
	const char *why;

	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	make_folders(s);
	serve(s);
	must(inlay_addr_parse(s->address, &addr, &why) == 0 && inlay_addr_listen(&addr, false, &s->listener, 1) == 1, "its socket");
	must(inlay_crew_start(s->crew) == 0 && pipe2(s->stop, O_CLOEXEC) == 0, "its start");
	must(pthread_create(&s->accepting, NULL, accept_all, s) == 0, "its thread");
}

/* On its loop, which it keeps: nothing else runs there meanwhile. */
static void stand_still(struct inlay_task *t)
{
	struct server *s = inlay_container(t, struct server, hold);

	pthread_mutex_lock(&s->lock);
	s->holding = true;
	pthread_cond_broadcast(&s->changed);
	while (s->held)
		pthread_cond_wait(&s->changed, &s->lock);
	s->holding = false;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void ask(struct server *s, bool held)
{
	pthread_mutex_lock(&s->lock);
	s->held = held;
	pthread_cond_broadcast(&s->changed);
	while (s->holding != held)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

void server_hold(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	s->held = true;
	pthread_mutex_unlock(&s->lock);
	s->hold = (struct inlay_task){ .done = stand_still };
	inlay_loop_post(inlay_crew_loop(s->crew, 0), &s->hold);
	ask(s, true);
}

void server_release(struct server *s)
{
	ask(s, false);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

void server_remove_files(struct server *s)
{
	(void)nftw(s->home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void server_stop(struct server *s)
{
	close(s->stop[1]);
	pthread_join(s->accepting, NULL);
	close(s->stop[0]);
	close(s->listener);
	inlay_crew_stop(s->crew);
	inlay_server_free(s->server);
	inlay_crew_free(s->crew);
	server_remove_files(s);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
}

/* ---- its files ---- */

static int open_file(const struct server *s, const char *name, int flags)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", s->files, name);
	return open(path, flags | O_CLOEXEC, 0644);
}

bool server_write(const struct server *s, const char *name, const void *from, size_t len)
{
	int fd = open_file(s, name, O_WRONLY | O_CREAT | O_TRUNC);
	bool fine = fd >= 0 && write(fd, from, len) == (ssize_t)len;

	if (fd >= 0)
		close(fd);
	return fine;
}

bool server_read(const struct server *s, const char *name, void *to, size_t len)
{
	int fd = open_file(s, name, O_RDONLY);
	bool fine = fd >= 0 && read(fd, to, len) == (ssize_t)len;

	if (fd >= 0)
		close(fd);
	return fine;
}

int64_t server_size(const struct server *s, const char *name)
{
	struct stat st;
	int fd = open_file(s, name, O_RDONLY);
	bool fine = fd >= 0 && fstat(fd, &st) == 0;

	if (fd >= 0)
		close(fd);
	return fine ? (int64_t)st.st_size : -1;
}
