/*
 * The control socket's serving side.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/control.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/status.h"
#include "cmd/clock.h"
#include "cmd/mounts.h"
#include "cmd/rundir.h"
#include "cmd/whole.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 16384u /* bytes of a line: the longest path, escaped, and the word before it */

struct inlay_control {
	struct inlay_attachment *attachment;
	int listening, wake;
	char path[INLAY_SOCKET_PATH]; /* "" while nothing of ours lies there */
	pthread_t thread;
	pthread_mutex_t lock; /* guards active */
	pthread_cond_t idle;  /* active fell */
	unsigned active;      /* request threads */
};

/* What a request thread gets; it frees it. */
struct visitor {
	struct inlay_control *control;
	int fd;
};

/* ---- serving ---- */

static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

/* One line, without its newline; false when it doesn't come in time or is too long, or all is over (wake). */
static bool read_line(int fd, int wake, char *line, size_t size)
{
	uint64_t end_ms = inlay_clock_ms() + INLAY_CONTROL_TIMEOUT_MS;
	size_t used = 0;

	while (used < size - 1) {
		struct pollfd p[2] = {{fd, POLLIN, 0}, {wake, POLLIN, 0}};
		uint64_t now_ms = inlay_clock_ms();
		ssize_t n;
		char *end;

		if (now_ms >= end_ms || poll(p, 2, (int)(end_ms - now_ms)) <= 0 || !p[0].revents)
			return false;
		n = recv(fd, line + used, size - 1 - used, 0);
		if (n <= 0)
			return false;
		end = memchr(line + used, '\n', (size_t)n);
		if (end) {
			*end = '\0';
			return true;
		}
		used += (size_t)n;
	}
	return false;
}

static void converse(struct inlay_control *c, int fd)
{
	struct timeval patience = {2, 0};
	struct inlay_json j = {0};
	char line[REQUEST_MAX];

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!may_ask(fd))
		inlay_control_error(&j, -INLAY_EPERM, "only root and the attachment's own user may ask");
	else if (read_line(fd, c->wake, line, sizeof(line)))
		inlay_control_answer(c->attachment, line, &j);
	if (!j.failed && j.text && inlay_whole_write(fd, j.text, j.len) == 0)
		(void)inlay_whole_write(fd, "\n", 1);
	free(j.text);
}

static void *serve_visitor(void *arg)
{
	struct visitor *v = arg;
	struct inlay_control *c = v->control;

	converse(c, v->fd);
	close(v->fd);
	free(v);
	pthread_mutex_lock(&c->lock);
	c->active--;
	pthread_cond_broadcast(&c->idle);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static bool start_visitor(struct inlay_control *c, int fd)
{
	struct visitor *v = malloc(sizeof(*v));
	pthread_attr_t attr;
	pthread_t thread;
	bool started;

	if (!v)
		return false;
	*v = (struct visitor){c, fd};
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	started = pthread_create(&thread, &attr, serve_visitor, v) == 0;
	pthread_attr_destroy(&attr);
	if (!started)
		free(v);
	return started;
}

static void receive_visitor(struct inlay_control *c)
{
	int fd = accept4(c->listening, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	pthread_mutex_lock(&c->lock);
	while (c->active >= INLAY_CONTROL_REQUESTS_MAX)
		pthread_cond_wait(&c->idle, &c->lock);
	c->active++;
	pthread_mutex_unlock(&c->lock);
	if (start_visitor(c, fd))
		return;
	close(fd);
	pthread_mutex_lock(&c->lock);
	c->active--;
	pthread_mutex_unlock(&c->lock);
}

static void *serve(void *arg)
{
	struct inlay_control *c = arg;

	for (;;) {
		struct pollfd p[2] = {{c->listening, POLLIN, 0}, {c->wake, POLLIN, 0}};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (p[1].revents)
			return NULL;
		if (p[0].revents)
			receive_visitor(c);
	}
}

/*
 * Made aside and renamed once it listens: a socket that doesn't is taken for a dead process's, and removed by whoever asks. The name
 * aside is the device's, so that the next who serves it removes what one that was killed in between has left.
 */
static int listen_at(struct inlay_control *c, const char *folder, const struct inlay_socket_name *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char path[INLAY_SOCKET_PATH];

	/* inlay_rundir_make() left room for both. */
	snprintf(path, sizeof(path), "%.67s/%u:%u-%d.sock", folder, name->major, name->minor, name->pid);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%.67s/%u:%u.new", folder, name->major, name->minor);
	c->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	c->wake = eventfd(0, EFD_CLOEXEC);
	if (c->listening < 0 || c->wake < 0)
		return inlay_status_from_errno(errno);
	/* The device is ours now: what lies there under these names was left by a dead process. */
	unlink(sun.sun_path);
	/* The folder is private; the process's umask is shared with threads that make files: it stays. */
	if (bind(c->listening, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return inlay_status_from_errno(errno);
	if (listen(c->listening, 64) < 0 || rename(sun.sun_path, path) < 0) {
		int status = inlay_status_from_errno(errno);

		unlink(sun.sun_path);
		return status;
	}
	memcpy(c->path, path, sizeof(path));
	return 0;
}

static void control_free(struct inlay_control *c)
{
	if (c->listening >= 0)
		close(c->listening);
	if (c->wake >= 0)
		close(c->wake);
	if (c->path[0])
		unlink(c->path);
	pthread_cond_destroy(&c->idle);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void find_device(const char *dir, struct inlay_socket_name *name)
{
	const struct inlay_mount *mount;
	struct inlay_mounts mounts;

	if (inlay_mounts_read("self", &mounts) < 0)
		return;
	mount = inlay_mounts_at(&mounts, dir);
	if (mount) {
		name->major = mount->major;
		name->minor = mount->minor;
	}
	inlay_mounts_free(&mounts);
}

int inlay_control_start(struct inlay_attachment *a, const char *dir, char *where, size_t where_len,
	struct inlay_control **ret)
{
	struct inlay_control *c = calloc(1, sizeof(*c));
	struct inlay_socket_name name = {0, 0, getpid()};
	char folder[INLAY_SOCKET_PATH];
	int status;

	snprintf(where, where_len, "control socket");
	if (!c)
		return -INLAY_ENOMEM;
	c->attachment = a;
	c->listening = c->wake = -1;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->idle, NULL);
	folder[0] = '\0';
	status = inlay_rundir_make(folder, sizeof(folder));
	snprintf(where, where_len, "%s", folder);
	if (status == 0) {
		find_device(dir, &name);
		status = listen_at(c, folder, &name);
	}
	if (status == 0 && pthread_create(&c->thread, NULL, serve, c) != 0)
		status = -INLAY_EAGAIN;
	if (status < 0) {
		control_free(c);
		return status;
	}
	*ret = c;
	return 0;
}

bool inlay_control_stop(struct inlay_control *c)
{
	struct timespec until;
	bool idle;

	unlink(c->path);
	c->path[0] = '\0';
	if (eventfd_write(c->wake, 1) < 0)
		return false;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 2;
	/* The serving thread ends only when no more than INLAY_CONTROL_REQUESTS_MAX are active, so wait for those first. */
	pthread_mutex_lock(&c->lock);
	while (c->active && pthread_cond_timedwait(&c->idle, &c->lock, &until) == 0)
		;
	idle = c->active == 0;
	pthread_mutex_unlock(&c->lock);
	if (!idle) {
		inlay_warning("control socket: a request is still waiting for the server");
		return false;
	}
	pthread_join(c->thread, NULL);
	/* A request that came in the last moment. */
	pthread_mutex_lock(&c->lock);
	while (c->active && pthread_cond_timedwait(&c->idle, &c->lock, &until) == 0)
		;
	idle = c->active == 0;
	pthread_mutex_unlock(&c->lock);
	if (idle)
		control_free(c);
	return idle;
}
