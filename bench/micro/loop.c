/*
 * What the net room costs by itself: two loops talk over a socket, one asks, one answers. Not part of the check.
 * Usage: loop [SECONDS]. Prints a line per case: round trips a second, us each, CPU us each (both ends together).
 * SPDX-License-Identifier: Apache-2.0
 */
#include "net/addr.h"
#include "net/conn.h"
#include "wire/frame.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TYPE_READ 31
#define TYPE_WRITE 32

struct end {
	struct inlay_loop *loop;
	struct inlay_conn *conn;
	uint32_t request, reply; /* payload bytes */
	uint64_t count;
	struct inlay_task start;
	unsigned depth;
	unsigned period_us; /* 0: the next at once */
	struct inlay_timer timer;
};

static uint64_t clock_read(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void send_frame(struct inlay_conn *c, unsigned type, unsigned kind, uint64_t seq, uint32_t len)
{
	struct inlay_frame f = {
		.size = INLAY_FRAME_HEADER + len, .type = (uint16_t)type, .kind = (uint8_t)kind, .seq = seq};
	uint8_t *p = inlay_conn_reserve(c, f.size);

	if (!p)
		return;
	inlay_frame_put(p, &f);
	inlay_conn_commit(c, f.size);
}

static void ask(struct end *e)
{
	inlay_loop_busy(e->loop, 1);
	send_frame(e->conn, e->request ? TYPE_WRITE : TYPE_READ, INLAY_FRAME_REQUEST, e->count, e->request);
}

struct call {
	struct inlay_task task;
	struct end *end;
	uint64_t seq;
	unsigned type;
};

static void call_work(struct inlay_task *t)
{
	(void)t;
}

static void call_done(struct inlay_task *t)
{
	struct call *call = inlay_container(t, struct call, task);

	send_frame(call->end->conn, call->type, INLAY_FRAME_REPLY, call->seq, call->end->reply);
	inlay_loop_busy(call->end->loop, -1);
	free(call);
}

static bool serve(struct inlay_conn *c, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data,
                  struct inlay_chunk *chunk)
{
	struct end *e = c->owner;
	struct call *call = malloc(sizeof(*call));

	(void)body, (void)data, (void)chunk;
	inlay_loop_busy(e->loop, 1);
	*call = (struct call){{.work = call_work, .done = call_done}, e, f->seq, f->type};
	return inlay_loop_run(e->loop, &call->task);
}

static bool answered(struct inlay_conn *c, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data,
                     struct inlay_chunk *chunk)
{
	struct end *e = c->owner;

	(void)f, (void)body, (void)data, (void)chunk;
	inlay_loop_busy(e->loop, -1);
	__atomic_store_n(&e->count, e->count + 1, __ATOMIC_RELAXED);
	if (e->period_us)
		inlay_timer_start(e->loop, &e->timer, inlay_loop_now(e->loop) + e->period_us * 1000ull);
	else
		ask(e);
	return true;
}

static void later(struct inlay_timer *t)
{
	ask(inlay_container(t, struct end, timer));
}

static void gone(struct inlay_conn *c, int status)
{
	(void)status;
	inlay_conn_unref(c);
}

static const struct inlay_conn_ops serve_ops = {serve, gone, NULL}, ask_ops = {answered, gone, NULL};

static void begin(struct inlay_task *t)
{
	struct end *e = inlay_container(t, struct end, start);

	for (unsigned i = 0; i < e->depth; i++)
		ask(e);
}

static int pair(bool tcp, int fds[2])
{
	struct inlay_addr a = {.host = "127.0.0.1"};
	struct sockaddr_storage s;
	socklen_t len = sizeof(s);
	int listener;

	if (!tcp)
		return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds);
	if (inlay_addr_listen(&a, false, &listener, 1) != 1)
		return -1;
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (getsockname(listener, (struct sockaddr *)&s, &len) < 0 || connect(fds[0], (struct sockaddr *)&s, len) < 0)
		return -1;
	fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	close(listener);
	return fds[1] < 0 ? -1 : 0;
}

struct setting {
	const char *name;
	bool tcp;
	unsigned depth, spin_us, period_us;
	uint32_t request, reply;
};

static void nap(double seconds)
{
	struct timespec t = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

	nanosleep(&t, NULL);
}

static int measure(const struct setting *s, double seconds)
{
	/* Two crews, as two processes would have. */
	struct inlay_crew_config config = {.loops = 1, .spares_max = 2, .spin_us = s->spin_us};
	struct inlay_crew *asker, *server;
	struct end a = {.request = s->request, .depth = s->depth, .period_us = s->period_us}, b = {.reply = s->reply};
	uint64_t wall, cpu, count;
	int fds[2];

	if (inlay_crew_new(&config, &asker) < 0 || inlay_crew_new(&config, &server) < 0 || pair(s->tcp, fds) < 0)
		return 1;
	a.loop = inlay_crew_loop(asker, 0);
	b.loop = inlay_crew_loop(server, 0);
	inlay_timer_init(&a.timer, later);
	if (inlay_conn_new(a.loop, fds[0], &ask_ops, &a, 1u << INLAY_FRAME_REPLY, &a.conn) < 0 ||
	    inlay_conn_new(b.loop, fds[1], &serve_ops, &b, 1u << INLAY_FRAME_REQUEST, &b.conn) < 0 ||
	    inlay_crew_start(asker) < 0 || inlay_crew_start(server) < 0)
		return 1;
	a.start.done = begin;
	inlay_loop_post(a.loop, &a.start);
	nap(0.2);
	wall = clock_read(CLOCK_MONOTONIC);
	cpu = clock_read(CLOCK_PROCESS_CPUTIME_ID);
	count = __atomic_load_n(&a.count, __ATOMIC_RELAXED);
	nap(seconds);
	count = __atomic_load_n(&a.count, __ATOMIC_RELAXED) - count;
	cpu = clock_read(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = clock_read(CLOCK_MONOTONIC) - wall;
	inlay_crew_stop(asker);
	inlay_crew_stop(server);
	inlay_conn_close(a.conn, 0);
	inlay_conn_close(b.conn, 0);
	inlay_crew_free(asker);
	inlay_crew_free(server);
	printf("%-36s spin %2u us: %9.0f/s %8.2f us each, CPU %6.2f us each, %5.1f%% of one core\n", s->name, s->spin_us,
	       (double)count * 1e9 / (double)wall, count ? (double)wall / 1e3 / (double)count : 0,
	       count ? (double)cpu / 1e3 / (double)count : 0, 100.0 * (double)cpu / (double)wall);
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct setting settings[] = {
		{"unix, depth 1, empty", false, 1, 0, 0, 0, 0},
		{"unix, depth 1, empty", false, 1, 20, 0, 0, 0},
		{"unix, depth 1, empty", false, 1, 50, 0, 0, 0},
		{"tcp, depth 1, empty", true, 1, 0, 0, 0, 0},
		{"tcp, depth 1, empty", true, 1, 20, 0, 0, 0},
		{"tcp, depth 1, empty", true, 1, 50, 0, 0, 0},
		{"tcp, depth 1, 4 KiB replies", true, 1, 0, 0, 0, 4096},
		{"tcp, depth 1, 4 KiB replies", true, 1, 20, 0, 0, 4096},
		{"tcp, depth 32, 4 KiB replies", true, 32, 0, 0, 0, 4096},
		{"tcp, depth 32, 4 KiB replies", true, 32, 20, 0, 0, 4096},
		{"unix, depth 32, 4 KiB replies", false, 32, 20, 0, 0, 4096},
		{"tcp, depth 32, 4 KiB requests", true, 32, 20, 0, 4096, 0},
		{"tcp, depth 8, 1 MiB replies", true, 8, 20, 0, 0, 1048576},
		{"tcp, depth 8, 1 MiB requests", true, 8, 20, 0, 1048576, 0},
		{"tcp, trickle of 100 a second", true, 1, 0, 10000, 0, 0},
		{"tcp, trickle of 100 a second", true, 1, 20, 10000, 0, 0},
		{"tcp, trickle of 100 a second", true, 1, 50, 10000, 0, 0},
		{"tcp, idle", true, 0, 50, 0, 0, 0},
	};
	double seconds = argc > 1 ? atof(argv[1]) : 1.0;
	int failed = 0;

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		failed += measure(&settings[i], seconds);
	return failed ? 1 : 0;
}
