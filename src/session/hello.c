/*
 * The client's handshake: what HELLO asks for, and what its reply makes of the lane.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "session/lane.h"

#include <string.h>

static bool uuid_is(const struct inlay_uuid *a, const struct inlay_uuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool uuid_is_zero(const struct inlay_uuid *a)
{
	return uuid_is(a, &(struct inlay_uuid){{0}});
}

static uint32_t slots_asked(const struct inlay_client *k)
{
	uint32_t n = k->slots_wanted ? k->slots_wanted : INLAY_SLOTS_DEFAULT;

	return n < INLAY_SLOTS_MAX ? n : INLAY_SLOTS_MAX;
}

static uint64_t features(const struct inlay_lane *l)
{
	return l->ops->reclaim ? INLAY_FEATURE_RECLAIM : 0;
}

static void send_hello(struct inlay_lane *l, uint64_t now_ns)
{
	struct inlay_client *k = l->client;
	struct inlay_writer w = inlay_call_begin(&l->hello_call, INLAY_HELLO, l->hello, sizeof(l->hello));
	struct inlay_hello_req m = {
		.version_min = INLAY_PROTOCOL_VERSION,
		.version_max = INLAY_PROTOCOL_VERSION,
		.features = features(l),
		.client = k->client,
		.lane = l->index,
		.slots = l->slots ? l->slots : slots_asked(k),
		.max_data = INLAY_DATA_MAX,
		.export = inlay_str(k->export_name),
		.host = inlay_str(k->host),
	};

	if (!l->fresh)
		m.session = k->session;
	else if (l->ops->reclaim)
		m.previous = k->session;
	inlay_put_hello_req(&w, &m);
	if (inlay_call_end(&l->hello_call, &w) < 0) {
		lane_drop(l, -INLAY_EOVERFLOW); /* unreachable: both names have bounds that fit */
		return;
	}
	l->hello_call.slot = INLAY_NO_SLOT;
	lane_send(l, &l->hello_call, ++l->hello_seq, 0, now_ns);
}

void inlay_lane_connected(struct inlay_lane *l, uint64_t now_ns)
{
	if (l->state == INLAY_LANE_DEAD)
		return;
	lane_state(l, INLAY_LANE_HELLO, now_ns);
	l->heard_ns = now_ns;
	l->silent_ns = l->half_ns = l->moved = 0;
	l->dropped = l->served = false;
	l->fresh = uuid_is_zero(&l->client->session);
	if (l->index && (l->fresh || l->client->reclaiming))
		lane_drop(l, -INLAY_ENOSESSION); /* only lane 0 may open one */
	else
		send_hello(l, now_ns);
}

/* Refusals that no patience will change. */
static bool is_final(int status)
{
	switch (status) {
	case -INLAY_ENOEXPORT:
	case -INLAY_EVERSION:
	case -INLAY_EACCES:
	case -INLAY_EPERM:
	case -INLAY_EINVAL:
	case -INLAY_ENOTSUP:
		return true;
	default:
		return false;
	}
}

static int refused(struct inlay_lane *l, uint32_t number, uint64_t now_ns)
{
	int status = number > INLAY_EUNKNOWN ? -INLAY_EUNKNOWN : -(int)number;

	if (status == -INLAY_ENOSESSION && l->index == 0 && !l->fresh) {
		if (l->ops->session_lost)
			l->ops->session_lost(l);
		l->fresh = true;
		/* Replies of the old session may still be read: what they bring has to be reclaimed, too. */
		if (l->ops->reclaim && __atomic_load_n(&l->client->up, __ATOMIC_ACQUIRE))
			lane_drop(l, status);
		else
			send_hello(l, now_ns);
		return 0;
	}
	if (is_final(status))
		lane_die(l, status, now_ns);
	else
		lane_drop(l, status);
	return 0;
}

static bool reply_ok(const struct inlay_lane *l, const struct inlay_hello_rep *m)
{
	const struct inlay_client *k = l->client;

	if (m->version != INLAY_PROTOCOL_VERSION || m->features & ~features(l) || m->resumed > 1)
		return false;
	if (!m->slots || m->slots > (l->slots ? l->slots : slots_asked(k)) || !m->lanes || !m->lease_ms)
		return false;
	if (m->max_data < 4096 || m->max_data > INLAY_DATA_MAX || uuid_is_zero(&m->session))
		return false;
	if (m->server.len > INLAY_TEXT_MAX || m->rules.len > INLAY_RULES_MAX)
		return false;
	return l->fresh || uuid_is(&m->session, &k->session);
}

/* What others than lanes read is taken once: it must not change under them when the server is another one later. */
static void take(struct inlay_client *k, const struct inlay_hello_rep *m)
{
	bool first = uuid_is_zero(&k->session);

	k->session = m->session;
	k->boot = m->boot;
	if (!first)
		return;
	k->lanes_max = m->lanes < INLAY_LANES_MAX ? m->lanes : INLAY_LANES_MAX;
	k->max_data = m->max_data;
	k->export_flags = m->export_flags;
	k->root = m->root;
	k->root_attr = m->attr;
	memcpy(k->server, m->server.p, m->server.len);
	k->server[m->server.len] = '\0';
	memcpy(k->rules, m->rules.p, m->rules.len);
	k->rules[m->rules.len] = '\0';
}

static void open_lane(struct inlay_lane *l, bool resumed, uint64_t now_ns)
{
	lane_state(l, INLAY_LANE_OPEN, now_ns);
	l->ops->opened(l, resumed);
	if (resumed)
		lane_replay(l, now_ns);
	lane_pump(l, now_ns);
}

void inlay_lane_reclaimed(struct inlay_lane *l, uint64_t now_ns)
{
	struct inlay_list *it;

	if (l->state != INLAY_LANE_RECLAIM)
		return;
	l->client->reclaiming = false;
	while ((it = inlay_list_pop(&l->reclaims))) /* a PING */
		inlay_list_prepend(&l->waiting, it);
	open_lane(l, false, now_ns);
}

/* again: from the start, in a session that is new. */
static void reclaim(struct inlay_lane *l, bool again, uint64_t now_ns)
{
	lane_state(l, INLAY_LANE_RECLAIM, now_ns);
	if (!again)
		lane_replay(l, now_ns);
	else if (!l->ops->reclaim(l))
		inlay_lane_reclaimed(l, now_ns);
	lane_pump(l, now_ns);
}

int lane_hello_reply(struct inlay_lane *l, const struct inlay_frame *f, const uint8_t *body, uint64_t now_ns)
{
	struct inlay_reader r = inlay_reader(body, f->body);
	struct inlay_hello_rep m;
	bool resumed, again;

	if (f->type != INLAY_HELLO || f->slot != INLAY_NO_SLOT || f->seq != l->hello_seq)
		goto bad;
	if (f->status)
		return refused(l, f->status, now_ns);
	if (inlay_get_hello_rep(&r, &m) < 0 || !reply_ok(l, &m))
		goto bad;
	/*
	 * The server may know the lane from a HELLO whose reply got lost: then the slots here are another session's. And who
	 * was asked for a new one has nothing to resume.
	 */
	resumed = m.resumed && !l->fresh && uuid_is(&l->session, &m.session);
	if (resumed && m.slots != l->slots)
		goto bad;
	again = l->fresh && !uuid_is_zero(&l->client->session) && m.features & INLAY_FEATURE_RECLAIM;
	again |= l->index == 0 && l->client->reclaiming && !resumed;
	if (again && __atomic_load_n(&l->client->up, __ATOMIC_ACQUIRE)) { /* one came up meanwhile: see refused() */
		lane_drop(l, -INLAY_ENOSESSION);
		return 0;
	}
	if (l->index == 0)
		take(l->client, &m); /* the other lanes only read it */
	l->lease_ms = m.lease_ms;
	if (!resumed)
		lane_session_lost(l, m.slots, m.features & INLAY_FEATURE_RECLAIM);
	l->session = m.session;
	if (!resumed)
		lane_row_begin(l);
	if (again)
		l->client->reclaiming = true;
	if (l->index == 0 && l->client->reclaiming)
		reclaim(l, again, now_ns);
	else
		open_lane(l, resumed, now_ns);
	return 0;
bad:
	lane_drop(l, -INLAY_EPROTO);
	return -INLAY_EPROTO;
}
