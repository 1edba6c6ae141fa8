/*
 * The server as a whole: making, draining, counting, freeing.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/server.h"

#include "server/before.h"

#include "base/log.h"
#include "server/internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void loop_start(struct inlay_task *t)
{
	peer_start_loop(inlay_container(t, struct server_loop, start));
}

static void loop_drain(struct inlay_task *t)
{
	peer_drain_loop(inlay_container(t, struct server_loop, drain));
}

static int loops_new(struct inlay_server *s, struct inlay_crew *crew)
{
	s->nloops = inlay_crew_loops(crew);
	s->loops = calloc(s->nloops, sizeof(s->loops[0]));
	if (!s->loops)
		return -INLAY_ENOMEM;
	for (unsigned i = 0; i < s->nloops; i++) {
		struct server_loop *sl = &s->loops[i];

		sl->server = s;
		sl->loop = inlay_crew_loop(crew, i);
		inlay_list_init(&sl->peers);
		sl->start.done = loop_start;
		sl->drain.done = loop_drain;
		inlay_loop_post(sl->loop, &sl->start);
	}
	return 0;
}

static struct inlay_time host_clock(void *arg)
{
	struct timespec t;

	(void)arg;
	clock_gettime(CLOCK_REALTIME_COARSE, &t); /* no system call */
	return (struct inlay_time){.sec = t.tv_sec, .nsec = (uint32_t)t.tv_nsec};
}

/* The kernel gives a file the tick's time, or the very moment when somebody has just looked at its times. */
static struct inlay_time host_late_clock(void *arg)
{
	struct timespec t;

	(void)arg;
	clock_gettime(CLOCK_REALTIME, &t); /* no system call either */
	return (struct inlay_time){.sec = t.tv_sec, .nsec = (uint32_t)t.tv_nsec};
}

static void keep_state(struct inlay_server *s, const char *dir, const struct inlay_uuid *host_boot)
{
	int r = dir ? roster_open(dir, &s->secret, &s->roster) : 0;

	/* Whoever has the roster has the directory. */
	if (s->roster)
		r = records_open(dir, &s->secret, host_boot, &s->records);
	if (s->records)
		s->before = before_new(s->grace_end_ns + s->lease_ms * UINT64_C(1000000));
	if (r < 0)
		inlay_warning("%s: %s: locks and changes under way will be lost when this server restarts", dir,
			r == -INLAY_EBUSY ? "another server uses this state directory" : inlay_status_text(r));
}

int inlay_server_new(const struct inlay_server_config *config, struct inlay_crew *crew, struct inlay_server **ret)
{
	struct inlay_server *s = calloc(1, sizeof(*s));
	int r = -INLAY_ENOMEM;

	if (!s)
		return r;
	s->boot = config->boot;
	s->secret = config->secret;
	s->lease_ms = config->lease_ms ? config->lease_ms : INLAY_LEASE_MS;
	s->sessions_max = config->sessions_max ? config->sessions_max : INLAY_SESSIONS_MAX;
	s->conns_max = config->conns_max ? config->conns_max : INLAY_CONNS_MAX;
	s->peer_sessions_max = config->peer_sessions_max ? config->peer_sessions_max : INLAY_PEER_SESSIONS_MAX;
	s->peer_conns_max = config->peer_conns_max ? config->peer_conns_max : INLAY_PEER_CONNS_MAX;
	s->descriptors_max = config->descriptors - config->descriptors / INLAY_DESCRIPTORS_IDLE - config->descriptors / INLAY_DESCRIPTORS_KEPT;
	s->calls_max = config->calls_max;
	s->identify = config->identify;
	s->file_clock = config->file_clock ? config->file_clock : host_clock;
	s->late_clock = config->file_clock ? config->file_clock : host_late_clock;
	s->file_clock_arg = config->file_clock_arg;
	s->grace_end_ns = clock_ns() + s->lease_ms * UINT64_C(1000000);
	s->banner = strdup(config->banner ? config->banner : "inlayd");
	inlay_list_init(&s->exports);
	inlay_list_init(&s->sessions);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->origins_lock, NULL);
	pthread_mutex_init(&s->calls_lock, NULL);
	inlay_list_init(&s->callers);
	if (s->banner && inlay_map_init(&s->by_id) == 0 && inlay_map_init(&s->origins) == 0)
		r = crew ? loops_new(s, crew) : 0;
	if (r < 0) {
		inlay_map_done(&s->origins);
		inlay_map_done(&s->by_id);
		free(s->banner);
		free(s);
		return r;
	}
	keep_state(s, config->state_dir, &config->boot);
	*ret = s;
	return 0;
}

void inlay_server_free(struct inlay_server *s)
{
	struct inlay_list *it;

	if (!s)
		return;
	s->stopping = true;
	for (unsigned i = 0; i < s->nloops; i++)
		peers_free(&s->loops[i]);
	sessions_end(s, NULL, NULL);
	while ((it = inlay_list_pop(&s->exports)))
		export_unref(inlay_container(it, struct inlay_export, link));
	before_free(s->before);
	records_close(s->records);
	roster_close(s->roster);
	inlay_map_done(&s->origins);
	inlay_map_done(&s->by_id);
	pthread_mutex_destroy(&s->origins_lock);
	pthread_mutex_destroy(&s->calls_lock);
	pthread_mutex_destroy(&s->lock);
	free(s->loops);
	free(s->banner);
	free(s);
}

void inlay_server_accept(struct inlay_server *s, int fd, const char *peer)
{
	if (__atomic_load_n(&s->draining, __ATOMIC_ACQUIRE) || !s->nloops)
		close(fd);
	else
		peer_adopt(s, fd, peer);
}

void inlay_server_drain(struct inlay_server *s)
{
	if (__atomic_exchange_n(&s->draining, true, __ATOMIC_ACQ_REL))
		return;
	for (unsigned i = 0; i < s->nloops; i++)
		inlay_loop_post(s->loops[i].loop, &s->loops[i].drain);
}

void inlay_server_counts(struct inlay_server *s, struct inlay_server_counts *ret)
{
	*ret = (struct inlay_server_counts){
		.conns = __atomic_load_n(&s->conns, __ATOMIC_RELAXED),
		.locks = __atomic_load_n(&s->locks, __ATOMIC_RELAXED),
		.requests = __atomic_load_n(&s->under_way, __ATOMIC_RELAXED),
	};
	for (unsigned i = 0; i < s->nloops; i++) {
		ret->requests_total += __atomic_load_n(&s->loops[i].requests, __ATOMIC_RELAXED);
		ret->bytes_in += __atomic_load_n(&s->loops[i].bytes_in, __ATOMIC_RELAXED);
		ret->bytes_out += __atomic_load_n(&s->loops[i].bytes_out, __ATOMIC_RELAXED);
	}
	pthread_mutex_lock(&s->lock);
	ret->sessions = s->nsessions;
	inlay_list_each(it, &s->sessions)
		ret->handles += inlay_table_count(inlay_container(it, struct inlay_session, link)->handles);
	pthread_mutex_unlock(&s->lock);
}
