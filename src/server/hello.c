/*
 * The server's handshake: a new session, a lane that joins one, or a lane that comes back.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/peer.h"

#include "base/log.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct hello {
	struct inlay_task task;
	struct peer *peer; /* referenced */
	int fd; /* the connection's, duplicated: it may close meanwhile, and its number be another's; -1 for none */
	uint64_t seq;
	struct inlay_hello_req m; /* its texts point into the fields below */
	char export_name[256], host[128];
	int status;
	bool fresh, resumed;
	struct inlay_session *session; /* referenced */
	struct lane *lane;
	struct inlay_attr attr;
};

/* What a stranger calls itself goes into log lines: printable, and not endless. */
static void copy_host(char *out, size_t cap, struct inlay_str s)
{
	size_t n = s.len < cap - 1 ? s.len : cap - 1;

	for (size_t i = 0; i < n; i++)
		out[i] = isprint((unsigned char)s.p[i]) ? s.p[i] : '?';
	out[n] = '\0';
	if (!n)
		memcpy(out, "(nameless)", sizeof("(nameless)"));
}

static int check(const struct inlay_hello_req *m)
{
	if (m->version_min > INLAY_PROTOCOL_VERSION || m->version_max < INLAY_PROTOCOL_VERSION)
		return -INLAY_EVERSION;
	if (m->flags || m->lane >= INLAY_LANES_MAX || m->host.len > INLAY_TEXT_MAX || m->export.len > 255)
		return -INLAY_EINVAL;
	return 0;
}

static bool is_zero(const struct inlay_uuid *id)
{
	return memcmp(id, &(struct inlay_uuid){{0}}, sizeof(*id)) == 0;
}

/* As whom the connection acts; NULL: as its requests say, or as the export does. */
static int judge(struct hello *h, const struct inlay_export *ex, struct inlay_cred **ret)
{
	*ret = NULL;
	return ex->identity_client && h->fd >= 0 ? trust_judge(ex->server, h->fd, h->peer->name, ret) : 0;
}

static int check_owner(struct hello *h, const struct inlay_session *ss)
{
	struct inlay_cred *as;
	int r;

	/* Who doesn't know the client's number, or isn't its user, is told nothing about its session. */
	if (memcmp(&ss->client, &h->m.client, sizeof(ss->client)) || !inlay_str_is(h->m.export, ss->ex->name))
		return -INLAY_ENOSESSION;
	r = judge(h, ss->ex, &as);
	if (r < 0)
		return r;
	r = trust_same(as, ss->as) ? 0 : -INLAY_ENOSESSION;
	free(as);
	return r;
}

static int find_session(struct hello *h, struct inlay_server *s)
{
	struct inlay_session *ss = session_find(s, &h->m.session);
	int r;

	if (!ss)
		return -INLAY_ENOSESSION;
	r = check_owner(h, ss);
	if (r < 0)
		session_unref(ss);
	else
		h->session = ss;
	return r;
}

static int make_session(struct hello *h, struct inlay_server *s)
{
	struct inlay_cred *as = NULL;
	struct inlay_export *ex;
	int r;

	if (h->m.lane)
		return -INLAY_EINVAL;
	ex = export_find(s, h->m.export);
	if (!ex)
		return -INLAY_ENOEXPORT;
	r = judge(h, ex, &as);
	if (r == 0)
		r = origin_enter_session(s, h->peer->origin);
	if (r == 0 && (r = session_new(ex, &h->m.client, h->peer->origin, &h->session)) < 0) {
		origin_leave(s, h->peer->origin, true);
		origin_put(s, h->peer->origin);
	}
	if (r < 0) {
		export_unref(ex);
		free(as);
		return r;
	}
	session_ref(h->session); /* this one is the connection's */
	if (!is_zero(&h->m.previous) && h->m.features & INLAY_FEATURE_RECLAIM)
		h->session->reclaim = RECLAIM_OPEN;
	if (h->m.features & INLAY_FEATURE_RECLAIM)
		session_record(h->session);
	h->session->as = as;     /* nobody knows its number yet, and so nobody else uses it */
	h->fresh = true;
	memcpy(h->session->host, h->host, sizeof(h->host));
	memcpy(h->session->peer, h->peer->name, sizeof(h->peer->name));
	return 0;
}

static uint32_t slots_granted(uint32_t wanted)
{
	if (!wanted)
		return INLAY_SLOTS_DEFAULT;
	return wanted < INLAY_SLOTS_MAX ? wanted : INLAY_SLOTS_MAX;
}

/* Any thread: looks at the store. */
static void hello_work(struct inlay_task *t)
{
	struct hello *h = inlay_container(t, struct hello, task);
	struct inlay_server *s = h->peer->sl->server;
	struct inlay_export *ex;

	h->status = check(&h->m);
	if (h->status < 0)
		return;
	h->status = is_zero(&h->m.session) ? make_session(h, s) : find_session(h, s);
	if (h->status < 0)
		return;
	ex = h->session->ex;
	h->status = ex->store->ops->getattr(ex->root, NULL, &h->attr);
	if (h->status >= 0)
		h->status = session_lane(h->session, h->m.lane, slots_granted(h->m.slots), &h->lane, &h->resumed);
}

static uint32_t export_flags(const struct inlay_session *ss)
{
	const struct inlay_export *ex = ss->ex;

	return (ex->readonly ? INLAY_EXPORT_READONLY : 0u) |
		(ex->identity_client && !ss->as ? INLAY_EXPORT_IDENTITY_CLIENT : 0u) |
		(ex->store->ops->pins_nodes ? INLAY_EXPORT_WANTS_FORGET : 0u);
}

static void put_body(const struct hello *h, struct inlay_writer *w)
{
	const struct inlay_session *ss = h->session;

	inlay_put_hello_rep(w, &(struct inlay_hello_rep){
		.version = INLAY_PROTOCOL_VERSION,
		.slots = inlay_slots_count(h->lane->slots),
		.features = h->m.features & INLAY_FEATURES_KNOWN,
		.session = ss->id,
		.boot = ss->server->boot,
		.resumed = h->resumed,
		.lanes = INLAY_LANES_MAX,
		.max_data = INLAY_DATA_MAX,
		.lease_ms = ss->server->lease_ms,
		.export_flags = export_flags(ss),
		.root = ss->ex->root_id,
		.attr = h->attr,
		.server = inlay_str(ss->server->banner),
		.rules = inlay_str(ss->ex->rules),
	});
}

static void answer(struct hello *h)
{
	struct inlay_conn *c = h->peer->conn;
	uint8_t *room = inlay_conn_reserve(c, INLAY_FRAME_HEADER + INLAY_BODY_MAX);
	struct inlay_writer w;
	uint32_t len;

	if (!room)
		return;
	w = inlay_writer(room + INLAY_FRAME_HEADER, INLAY_BODY_MAX);
	if (!h->status)
		put_body(h, &w);
	len = (uint32_t)inlay_writer_len(&w);
	inlay_frame_put(room, &(struct inlay_frame){.size = INLAY_FRAME_HEADER + len, .type = INLAY_HELLO,
		.kind = INLAY_FRAME_REPLY, .slot = INLAY_NO_SLOT, .status = (uint32_t)-h->status, .seq = h->seq, .body = len});
	inlay_conn_commit(c, INLAY_FRAME_HEADER + len);
	peer_sent(h->peer, INLAY_FRAME_HEADER + len);
}

static void say_opened(const struct hello *h)
{
	const struct inlay_session *ss = h->session;

	if (ss->as)
		inlay_info("session opened: client %s at %s, export '%s', as user %u", h->host, h->peer->name, ss->ex->name,
			ss->as->uid);
	else
		inlay_info("session opened: client %s at %s, export '%s'", h->host, h->peer->name, ss->ex->name);
}

static void hello_done(struct inlay_task *t)
{
	struct hello *h = inlay_container(t, struct hello, task);
	struct peer *p = h->peer;

	if (h->status > 0)
		h->status = 0;
	call_end(p->sl->server, &p->origin->hellos);
	p->hello_busy = false;
	if (p->conn->open) {
		/* Other threads post the lane's events to this loop, so that the answer goes first. */
		if (!h->status && !peer_attach(p, h->session, h->lane))
			h->status = -INLAY_ENOSESSION;
		answer(h);
		if (h->status)
			inlay_debug("HELLO of %s at %s refused: %s", h->host, p->name, inlay_status_text(h->status));
		else if (h->fresh)
			say_opened(h);
	}
	if (h->fd >= 0)
		close(h->fd);
	if (p->session != h->session)
		session_unref(h->session);
	peer_unref(p);
	free(h);
}

bool peer_hello(struct peer *p, const struct inlay_frame *f, const uint8_t *body)
{
	struct inlay_reader r = inlay_reader(body, f->body);
	struct hello *h = calloc(1, sizeof(*h));

	if (!h || inlay_get_hello_req(&r, &h->m) < 0 || f->slot != INLAY_NO_SLOT) {
		free(h);
		inlay_conn_close(p->conn, -INLAY_EPROTO);
		return true;
	}
	h->fd = p->sl->server->identify ? fcntl(p->conn->source.fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (p->sl->server->identify && h->fd < 0) {
		free(h);
		inlay_conn_close(p->conn, -INLAY_EMFILE);
		return true;
	}
	copy_host(h->host, sizeof(h->host), h->m.host);
	if (h->m.export.len <= 255)
		memcpy(h->export_name, h->m.export.p, h->m.export.len);
	h->m.export.p = h->export_name;
	h->m.host.p = h->host;
	h->seq = f->seq;
	h->peer = p;
	peer_ref(p);
	p->hello_busy = true;
	h->task.work = hello_work;
	h->task.done = hello_done;
	return !call_begin(p->sl->server, &p->origin->hellos, p->sl->loop, &h->task) || inlay_loop_run(p->sl->loop, &h->task);
}
