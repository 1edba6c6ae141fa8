/*
 * What programs hold, as far as they know: no two may hold what excludes each other.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A program's claim begins when it is told of the lock and ends when it begins to let go, so that claims are shorter than what
 * the server keeps: whatever two claims overlap was given twice. It ends with the session, too; but when the session ended
 * with the server, the client may reclaim it: until the grace period is over nobody else may get it, and from the moment on when
 * the file was found good in another session it is as before.
 */
#include "ledger.h"

#include "server.h"

#include <string.h>

struct claim {
	const struct sim_prog *prog; /* NULL: free */
	uint64_t ino, start, end;
	uint32_t kind, type;
	struct inlay_uuid session;
	bool pending; /* the session ended with the server: to be reclaimed */
};

static struct claim claims[CLIENTS_MAX * PROGS_MAX];
#define CLAIMS (sizeof claims / sizeof claims[0])

static bool exclude(const struct claim *a, const struct claim *b)
{
	return a->prog && b->prog && a->prog != b->prog && a->ino == b->ino && a->kind == b->kind && a->start <= b->end &&
	       b->start <= a->end && (a->type == INLAY_LOCK_WRITE || b->type == INLAY_LOCK_WRITE);
}

void locks_granted(const struct sim_prog *g, const struct inlay_uuid *session)
{
	struct claim mine = {.prog = g, .ino = g->lock.ino, .start = g->lock.start, .end = g->lock.end, .kind = g->lock.kind,
	                     .type = g->lock.type, .session = *session};
	struct claim *room = NULL;

	if (!sim_session_alive(session)) /* the answer outlived it: the program will learn of it */
		return;
	for (unsigned i = 0; i < CLAIMS; i++) {
		/* Without memory to take it back a lock is lost, its file is stale, and the grace period may be over early. */
		if (claims[i].pending && sim_memory_failed())
			continue;
		if (exclude(&claims[i], &mine))
			sim_fail("a lock on inode %llu is held by program %u of %s and by program %u of %s", (unsigned long long)mine.ino,
			         claims[i].prog->number, claims[i].prog->client->proc.name, g->number, g->client->proc.name);
		if (!claims[i].prog)
			room = &claims[i];
	}
	SIM_REQUIRE(room);
	*room = mine;
}

void locks_let_go(const struct sim_prog *g)
{
	for (unsigned i = 0; i < CLAIMS; i++)
		if (claims[i].prog == g)
			claims[i].prog = NULL;
}

void locks_session_over(const struct inlay_uuid *session, bool killed)
{
	for (unsigned i = 0; i < CLAIMS; i++) {
		if (memcmp(&claims[i].session, session, sizeof *session) != 0)
			continue;
		claims[i].pending = killed;
		if (!killed)
			claims[i].prog = NULL;
	}
}

void locks_grace_over(void)
{
	for (unsigned i = 0; i < CLAIMS; i++)
		if (claims[i].pending)
			claims[i].prog = NULL; /* its client stayed away for too long; it will be told */
}

void locks_still_held(const struct sim_prog *g, const struct sim_file *f, const struct inlay_uuid *session)
{
	for (unsigned i = 0; i < CLAIMS; i++) {
		if (claims[i].prog != g || g->lock.on != f)
			continue;
		claims[i].session = *session;
		claims[i].pending = false;
	}
}

void locks_end(void)
{
	memset(claims, 0, sizeof claims);
}
