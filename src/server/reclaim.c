/*
 * After a restart: tokens for opening again, and the grace period in which only those take locks who held them before.
 *
 *   start --roster not empty--> GRACE --every one of them is done, or a lease time has passed--> over
 *
 * In GRACE a LOCK or TESTLOCK is answered QUEUED, whoever asks; at its end each session that was told so is woken once.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/bytes.h"
#include "base/log.h"
#include "server/internal.h"

#include <stdlib.h>
#include <string.h>

struct grace {
	struct inlay_list link; /* export.grace, under server.lock */
	struct inlay_uuid client;
	uint32_t place;
};

uint64_t reopen_token(const struct inlay_session *ss, const struct inlay_node_id *node, uint32_t flags, uint32_t kind)
{
	uint8_t text[16 + 40 + 16];
	struct inlay_writer w = inlay_writer(text, sizeof(text));

	/* Only the client that was given it can use it, and only for the user that it acts for. */
	memcpy(inlay_write_bytes(&w, 16), ss->client.bytes, 16);
	memcpy(inlay_write_bytes(&w, 40), node->bytes, 40);
	inlay_write32(&w, flags & (uint32_t)INLAY_O_AGAIN);
	inlay_write32(&w, kind);
	inlay_write32(&w, ss->as != NULL);
	inlay_write32(&w, ss->as ? ss->as->uid : 0);
	return inlay_siphash(&ss->ex->key, text, sizeof(text));
}

static uint64_t export_number(const struct inlay_export *ex)
{
	return inlay_siphash(&ex->key, "roster", 6);
}

void grace_begin(struct inlay_export *ex)
{
	struct inlay_server *s = ex->server;
	struct inlay_uuid client;
	uint32_t place, at = 0;

	if (!s->roster || clock_ns() >= s->grace_end_ns)
		return;
	while (roster_take(s->roster, export_number(ex), &at, &client, &place)) {
		struct grace *g = calloc(1, sizeof(*g));

		if (!g)
			return;
		g->client = client;
		g->place = place;
		inlay_list_append(&ex->grace, &g->link);
		ex->grace_left++;
	}
	if (ex->grace_left)
		inlay_info("export '%s': %u clients held locks before the restart; others wait for them, %u s at most", ex->name,
			ex->grace_left, s->lease_ms / 1000);
}

void grace_free(struct inlay_export *ex)
{
	struct inlay_list *it;

	while ((it = inlay_list_pop(&ex->grace)))
		free(inlay_container(it, struct grace, link));
}

/* Under server.lock: moves those that are over to `gone`; client NULL: all. True: that was the last. */
static bool cut_locked(struct inlay_export *ex, const struct inlay_uuid *client, struct inlay_list *gone)
{
	bool any = false;

	inlay_list_each_safe(it, tmp, &ex->grace) {
		struct grace *g = inlay_container(it, struct grace, link);

		if (client && memcmp(&g->client, client, sizeof(*client)))
			continue;
		inlay_list_remove(it);
		inlay_list_append(gone, it);
		__atomic_sub_fetch(&ex->grace_left, 1, __ATOMIC_RELEASE);
		any = true;
	}
	return any && !ex->grace_left;
}

static void drop(struct inlay_server *s, struct inlay_list *gone)
{
	struct inlay_list *it;

	while ((it = inlay_list_pop(gone))) {
		struct grace *g = inlay_container(it, struct grace, link);

		roster_remove(s->roster, g->place);
		free(g);
	}
}

static struct inlay_session *next_told(struct inlay_export *ex)
{
	struct inlay_session *found = NULL;

	pthread_mutex_lock(&ex->server->lock);
	inlay_list_each(it, &ex->server->sessions) {
		struct inlay_session *ss = inlay_container(it, struct inlay_session, link);

		if (ss->ex == ex && __atomic_exchange_n(&ss->told_to_wait, false, __ATOMIC_ACQ_REL)) {
			found = session_ref(ss);
			break;
		}
	}
	pthread_mutex_unlock(&ex->server->lock);
	return found;
}

static void wake_all(struct inlay_export *ex)
{
	struct inlay_session *ss;

	inlay_info("export '%s': locks are free to all again", ex->name);
	while ((ss = next_told(ex))) {
		session_wake(ss, &(struct inlay_event_lock_req){0});
		session_unref(ss);
	}
}

static void end_for(struct inlay_export *ex, const struct inlay_uuid *client)
{
	struct inlay_list gone;
	bool last;

	inlay_list_init(&gone);
	pthread_mutex_lock(&ex->server->lock);
	last = cut_locked(ex, client, &gone);
	pthread_mutex_unlock(&ex->server->lock);
	drop(ex->server, &gone);
	if (last)
		wake_all(ex);
}

static bool is_in_grace(struct inlay_export *ex)
{
	if (!__atomic_load_n(&ex->grace_left, __ATOMIC_ACQUIRE))
		return false;
	if (clock_ns() < ex->server->grace_end_ns)
		return true;
	end_for(ex, NULL);
	return false;
}

bool grace_holds(struct inlay_session *ss)
{
	if (!is_in_grace(ss->ex))
		return false;
	__atomic_store_n(&ss->told_to_wait, true, __ATOMIC_RELEASE);
	/* It may have ended before the note was made: then nobody looks for it any more. */
	return is_in_grace(ss->ex);
}

bool grace_claims(struct inlay_session *ss)
{
	bool found = false;

	if (!is_in_grace(ss->ex))
		return false;
	pthread_mutex_lock(&ss->server->lock);
	inlay_list_each(it, &ss->ex->grace)
		found |= memcmp(&inlay_container(it, struct grace, link)->client, &ss->client, sizeof(ss->client)) == 0;
	pthread_mutex_unlock(&ss->server->lock);
	return found;
}

void grace_done(struct inlay_session *ss)
{
	if (__atomic_load_n(&ss->ex->grace_left, __ATOMIC_ACQUIRE))
		end_for(ss->ex, &ss->client);
}

static struct inlay_export *next_in_grace(struct inlay_server *s)
{
	struct inlay_export *found = NULL;

	pthread_mutex_lock(&s->lock);
	inlay_list_each(it, &s->exports) {
		struct inlay_export *ex = inlay_container(it, struct inlay_export, link);

		if (!ex->grace_left)
			continue;
		__atomic_add_fetch(&ex->refs, 1, __ATOMIC_RELAXED);
		found = ex;
		break;
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

void grace_expire(struct inlay_server *s)
{
	struct inlay_export *ex;

	if (!s->roster || __atomic_load_n(&s->grace_over, __ATOMIC_ACQUIRE) || clock_ns() < s->grace_end_ns)
		return;
	__atomic_store_n(&s->grace_over, true, __ATOMIC_RELEASE);
	while ((ex = next_in_grace(s))) {
		end_for(ex, NULL);
		export_unref(ex);
	}
	roster_drop_untaken(s->roster);
	if (s->records)
		records_clean(s->records);
}

void session_record(struct inlay_session *ss)
{
	struct records *rs = ss->server->records;

	if (!rs)
		return;
	ss->record = record_get(rs, &ss->client, export_number(ss->ex), ss->reclaim != RECLAIM_NONE,
	                        ss->origin ? origin_records(ss->server, ss->origin) : NULL);
	if (ss->record)
		session_take(ss, RECORD_DESCRIPTORS);
}

/* ---- who holds locks ---- */

void holder_enroll(struct inlay_session *ss)
{
	struct inlay_server *s = ss->server;
	uint32_t place, none = 0;
	int err;

	if (!s->roster || __atomic_load_n(&ss->enrolled, __ATOMIC_ACQUIRE))
		return;
	err = roster_add(s->roster, &(struct roster_entry){ss->client, export_number(ss->ex)}, &place);
	if (err < 0) {
		if (!__atomic_exchange_n(&s->roster_failed, true, __ATOMIC_RELAXED))
			inlay_warning("the state directory: %s: locks will be lost when this server restarts", inlay_status_text(err));
		return;
	}
	if (!__atomic_compare_exchange_n(&ss->enrolled, &none, place + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		roster_remove(s->roster, place); /* another thread was quicker */
	else if (__atomic_load_n(&ss->over, __ATOMIC_ACQUIRE))
		holder_strike(ss);
}

void holder_strike(struct inlay_session *ss)
{
	uint32_t place = __atomic_exchange_n(&ss->enrolled, 0, __ATOMIC_ACQ_REL);

	/* A server that stops keeps the list for the one that comes after it. */
	if (place && !ss->server->stopping)
		roster_remove(ss->server->roster, place - 1);
}
