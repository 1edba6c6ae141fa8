/*
 * The local side's successor in another process: what its predecessor was killed over is done once, each call by its own record.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support.h"

#include "cmd/local_side.h"

#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ORIGIN 41u

struct world {
	char path[40], state[48];
	int dir;
	struct inlay_local_past *past; /* shared by both lives */
	struct inlay_node_id *made;    /* the same: by step */
};

struct life {
	struct inlay_crew *crew;
	struct inlay_redirect redirect;
	struct inlay_local_side *side;
};

/* A directory to be made, for ORIGIN. */
struct making {
	struct inlay_task task;
	struct inlay_call call;
	struct life *life;
	struct inlay_lookup_rep rep;
	int status;
	struct making *next; /* begun by the answer of this one */
	sem_t *told;         /* of the last */
	uint8_t room[INLAY_FRAME_HEADER + 512];
};

static bool is_asked(void *arg, uint64_t origin)
{
	(void)arg;
	return origin == ORIGIN;
}

static void submit(struct making *m)
{
	struct inlay_side_port *port = inlay_local_side_port(m->life->side);

	port->submit(port, 0, &m->call);
}

static void made(struct inlay_call *c, const struct inlay_reply *r)
{
	struct making *m = inlay_container(c, struct making, call);
	struct inlay_reader in = inlay_reader(r->body, r->body_len);

	m->status = r->status < 0 ? r->status : inlay_get_lookup_rep(&in, &m->rep);
	if (m->next)
		submit(m->next);
	else
		sem_post(m->told);
}

static void making_new(struct making *m, struct life *l, const char *name, uint32_t step)
{
	struct inlay_mkdir_req req = {.mode = 0755, .name = inlay_str(name)};
	struct inlay_writer w;

	*m = (struct making){.life = l};
	inlay_list_init(&m->call.link);
	m->call.done = made;
	m->call.origin = ORIGIN;
	m->call.step = step;
	req.dir = *inlay_local_side_root(l->side);
	req.cred.uid = (uint32_t)getuid();
	req.cred.gid = (uint32_t)getgid();
	w = inlay_call_begin(&m->call, INLAY_MKDIR, m->room, sizeof m->room);
	inlay_put_mkdir_req(&w, &req);
	if (inlay_call_end(&m->call, &w) < 0)
		abort();
}

static void begin(struct inlay_task *t)
{
	submit(inlay_container(t, struct making, task));
}

/* One after the other, the second by the answer of the first. */
static void make_all(struct making *m, unsigned count)
{
	sem_t told;

	sem_init(&told, 0, 0);
	for (unsigned i = 0; i < count; i++) {
		m[i].next = i + 1 < count ? &m[i + 1] : NULL;
		m[i].told = &told;
	}
	m->task = (struct inlay_task){.done = begin};
	inlay_loop_post(inlay_crew_loop(m->life->crew, 0), &m->task);
	while (sem_wait(&told) < 0)
		;
	sem_destroy(&told);
}

static bool life_begin(struct life *l, const struct world *w, bool inherited)
{
	struct inlay_crew_config crew = {.loops = 1, .spares_max = 2};
	struct inlay_local_config local = {.dir_fd = w->dir, .redirect = &l->redirect, .past = w->past, .inherited = inherited,
		.is_asked = is_asked};

	memset(l, 0, sizeof *l);
	if (inlay_crew_new(&crew, &l->crew) < 0)
		return false;
	local.crew = l->crew;
	return inlay_local_side_open(&local, &l->side) == 0 && inlay_crew_start(l->crew) == 0;
}

static void life_end(struct life *l)
{
	inlay_crew_stop(l->crew);
	inlay_local_side_free(l->side);
	inlay_crew_free(l->crew);
}

static void world_open(struct world *w)
{
	*w = (struct world){.path = "/tmp/inlay-local-XXXXXX"};
	assert_non_null(mkdtemp(w->path));
	snprintf(w->state, sizeof w->state, "%s-state", w->path);
	assert_int_equal(mkdir(w->state, 0700), 0);
	w->dir = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->dir >= 0);
	w->past = mmap(NULL, sizeof *w->past + 4 * sizeof *w->made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(w->past, MAP_FAILED);
	w->made = (void *)(w->past + 1);
	snprintf(w->past->state_dir, sizeof w->past->state_dir, "%s", w->state);
}

static void world_close(struct world *w)
{
	char command[128];

	munmap(w->past, sizeof *w->past + 4 * sizeof *w->made);
	close(w->dir);
	snprintf(command, sizeof command, "rm -rf '%s' '%s'", w->path, w->state);
	assert_int_equal(system(command), 0);
}

/* Makes "a" as step 1 and "b" as step 0, as a program's mkdir() with a directory missing does; and is killed before the kernel is told. */
static void die_over_two_directories(const struct world *w)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		struct making m[2];
		struct life l;

		if (!life_begin(&l, w, false))
			_exit(1);
		making_new(&m[0], &l, "a", 1);
		making_new(&m[1], &l, "b", 0);
		make_all(m, 2);
		for (unsigned i = 0; i < 2; i++)
			w->made[i] = m[i].rep.node;
		_exit(m[0].status || m[1].status ? 2 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void each_step_has_its_own_record(void **state)
{
	struct making m[2];
	struct world w;
	struct life l;

	(void)state;
	for (unsigned first = 0; first < 2; first++) {
		world_open(&w);
		die_over_two_directories(&w);
		assert_true(life_begin(&l, &w, true));
		/* The first one's result may be known already: then its call doesn't come again. */
		making_new(&m[0], &l, "a", 1);
		making_new(&m[1], &l, "b", 0);
		make_all(m + first, 2 - first);
		for (unsigned i = first; i < 2; i++) {
			assert_int_equal(m[i].status, 0);
			assert_memory_equal(&m[i].rep.node, &w.made[i], sizeof w.made[i]);
		}
		life_end(&l);
		world_close(&w);
	}
}

RUN_TESTS(cmocka_unit_test(each_step_has_its_own_record))
