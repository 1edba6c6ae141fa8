/*
 * The server's connections and sessions by steps, bytes and time interleaved: some clients that open, resume, take over
 * and lose lanes, ask for things by nodes and handles that they were given or made up, send half frames, never read, and
 * say nothing. Nothing may crash or be left; what is answered was asked for, and answered once on that connection.
 *
 * An input is a list of steps: what (a byte), which connection (a byte), and what the step wants.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/bytes.h"
#include "base/log.h"
#include "server/server.h"
#include "store/memory/memory.h"
#include "wire/codec.h"

#include "fake_net.h"

#define CONNS FAKE_FDS
#define KNOWN 8u
#define SLOTS 4u
#define LEASE_MS 1000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

struct conn {
	bool greeted; /* HELLO was answered well */
	uint64_t seq[SLOTS], hello_seq;
	uint32_t owed[SLOTS]; /* frames with the slot's present number, answers not seen yet */
};

struct fuzz {
	struct inlay_server *server;
	struct inlay_reader in;
	struct conn conn[CONNS];
	struct inlay_uuid session[KNOWN];
	struct inlay_node_id node[KNOWN];
	uint64_t handle[KNOWN], token[KNOWN];
	unsigned sessions, nodes, handles;
};

static uint8_t byte(struct fuzz *z)
{
	const uint8_t *p = inlay_read_bytes(&z->in, 1);

	return p ? *p : 0;
}

static const uint8_t *bytes(struct fuzz *z, size_t *len)
{
	if (*len > (size_t)(z->in.end - z->in.p))
		*len = (size_t)(z->in.end - z->in.p);
	return inlay_read_bytes(&z->in, *len);
}

/* ---- what the server says ---- */

static void learn_file(struct fuzz *z, const struct inlay_node_id *node, uint64_t handle, uint64_t token)
{
	if (node)
		z->node[z->nodes++ % KNOWN] = *node;
	if (!handle)
		return;
	z->token[z->handles % KNOWN] = token;
	z->handle[z->handles++ % KNOWN] = handle;
}

static void learn(struct fuzz *z, const struct inlay_frame *f, const uint8_t *body)
{
	struct inlay_reader r = inlay_reader(body, f->body);
	struct inlay_lookup_rep lookup;
	struct inlay_create_rep create;
	struct inlay_open_rep open;
	struct inlay_opendir_rep dir;

	if (f->type == INLAY_LOOKUP && inlay_get_lookup_rep(&r, &lookup) == 0)
		learn_file(z, &lookup.node, 0, 0);
	else if ((f->type == INLAY_CREATE || f->type == INLAY_TMPFILE) && inlay_get_create_rep(&r, &create) == 0)
		learn_file(z, &create.node, create.handle, create.token);
	else if (f->type == INLAY_OPEN && inlay_get_open_rep(&r, &open) == 0)
		learn_file(z, NULL, open.handle, open.token);
	else if (f->type == INLAY_OPENDIR && inlay_get_opendir_rep(&r, &dir) == 0)
		learn_file(z, NULL, dir.handle, dir.token);
}

static void hello_answered(struct fuzz *z, struct conn *c, const struct inlay_frame *f, const uint8_t *body)
{
	struct inlay_reader r = inlay_reader(body, f->body);
	struct inlay_hello_rep m;

	require(f->seq && !c->greeted); /* of several, the first that is good */
	if (f->status)
		return;
	require(inlay_get_hello_rep(&r, &m) == 0 && m.slots >= 1 && m.slots <= INLAY_SLOTS_MAX);
	c->greeted = true;
	z->session[z->sessions++ % KNOWN] = m.session;
	learn_file(z, &m.root, 0, 0);
}

static void frame_said(struct fuzz *z, struct conn *c, const struct inlay_frame *f, const uint8_t *body)
{
	if (f->kind == INLAY_FRAME_EVENT)
		return;
	if (f->type == INLAY_HELLO) {
		hello_answered(z, c, f, body);
		return;
	}
	if (f->slot < SLOTS && f->seq == c->seq[f->slot]) {
		require(c->owed[f->slot]);
		c->owed[f->slot]--;
	}
	if (!f->status)
		learn(z, f, body);
}

static void hear(struct fuzz *z)
{
	for (unsigned i = 0; i < CONNS; i++) {
		struct fake_sock *s = &fake_socks[i];
		struct inlay_frame f;
		size_t at = 0;

		while (s->out_len - at >= INLAY_FRAME_HEADER) {
			require(inlay_frame_parse(s->out + at, s->out_len - at, 1u << INLAY_FRAME_REPLY | 1u << INLAY_FRAME_EVENT, &f) == 1);
			if (f.size > s->out_len - at)
				break;
			frame_said(z, &z->conn[i], &f, s->out + at + INLAY_FRAME_HEADER);
			at += f.size;
		}
		if (at)
			memmove(s->out, s->out + at, s->out_len - at);
		s->out_len -= at;
	}
}

/* ---- what the clients do ---- */

static void connect_one(struct fuzz *z, unsigned i)
{
	if (fake_socks[i].used)
		return;
	z->conn[i] = (struct conn){0};
	inlay_server_accept(z->server, fake_sock_open(i), "fuzz");
}

static void feed(unsigned i, const struct inlay_frame *f, const uint8_t *body, const uint8_t *data, size_t most)
{
	uint8_t head[INLAY_FRAME_HEADER];
	size_t data_len = f->size - INLAY_FRAME_HEADER - f->body;
	struct fake_sock *s = &fake_socks[i];

	inlay_frame_put(head, f);
	fake_sock_feed(s, head, most < sizeof(head) ? most : sizeof(head));
	if (most < sizeof(head))
		return;
	fake_sock_feed(s, body, f->body);
	fake_sock_feed(s, data, data_len);
}

/* The bytes to come may be taken for any request. */
static void owe_anything(struct conn *c)
{
	for (unsigned s = 0; s < SLOTS; s++)
		c->owed[s] += 1000;
}

static void hello(struct fuzz *z, unsigned i)
{
	uint8_t how = byte(z), lane = byte(z), body[512];
	struct inlay_writer w = inlay_writer(body, sizeof(body));
	struct inlay_hello_req m = {.version_min = 1, .version_max = 1 + (how >> 7), .lane = lane % 3, .slots = SLOTS,
	                            .max_data = INLAY_DATA_MAX, .client = {{1, how & 1}}, .host = INLAY_STR("h"),
	                            .features = how & 2 ? INLAY_FEATURE_RECLAIM : 0,
	                            .export = how & 64 ? INLAY_STR("two") : INLAY_STR("one")};
	struct inlay_frame f = {.type = INLAY_HELLO, .kind = INLAY_FRAME_REQUEST, .slot = INLAY_NO_SLOT};
	const struct inlay_uuid *known = &z->session[(lane >> 2) % KNOWN];

	if (how & 4)
		m.session = *known;
	if (how & 8)
		m.previous = *known;
	inlay_put_hello_req(&w, &m);
	f.body = (uint32_t)inlay_writer_len(&w);
	f.size = INLAY_FRAME_HEADER + f.body;
	f.seq = ++z->conn[i].hello_seq;
	if (how & 16)
		body[byte(z) % f.body] ^= byte(z);
	if (how & 32)
		owe_anything(&z->conn[i]);
	feed(i, &f, body, NULL, how & 32 ? byte(z) : SIZE_MAX);
}

/* Puts a node, a handle or a token that the server gave out where the body has one. */
static void patch(struct fuzz *z, uint8_t *body, size_t len)
{
	uint8_t what = byte(z), which = byte(z);
	size_t at = (size_t)(which >> 3) * 8;

	if ((what & 3) == 1 && len >= sizeof(z->node[0]))
		memcpy(body, &z->node[which % KNOWN], sizeof(z->node[0]));
	if ((what & 3) >= 2 && len >= 8)
		memcpy(body, &z->handle[which % KNOWN], 8);
	if ((what & 3) == 3 && len >= at + sizeof(z->node[0]))
		memcpy(body + at, &z->node[(what >> 2) % KNOWN], sizeof(z->node[0]));
	if ((what & 128) && len >= 8)
		memcpy(body + len - 8, &z->token[which % KNOWN], 8);
}

static void request(struct fuzz *z, unsigned i)
{
	uint8_t type = byte(z), how = byte(z), body[256 * 8] = {0};
	struct conn *c = &z->conn[i];
	uint32_t slot = how % SLOTS;
	struct inlay_frame f = {.type = type, .kind = INLAY_FRAME_REQUEST, .slot = slot};
	size_t len = byte(z) * 8u, data_len = how & 4 ? byte(z) * 16u : 0, got = len;
	const uint8_t *p, *data;

	p = bytes(z, &got);
	if (got)
		memcpy(body, p, got);
	patch(z, body, len);
	data = bytes(z, &data_len);
	if (!(how & 8)) {
		c->seq[slot]++;
		c->owed[slot] = 0;
	}
	c->owed[slot]++;
	f.seq = c->seq[slot];
	f.flags = (how & 16 ? INLAY_FRAME_REPLAY : 0) | (how & 32 ? INLAY_FRAME_REDO : 0);
	if (how & 32) {
		f.lane = byte(z) % SLOTS | (uint32_t)z->session[byte(z) % KNOWN].bytes[0] << 8;
		f.status = byte(z);
	}
	if (how & 64) {
		f.slot = byte(z);
		if (f.slot < SLOTS)
			c->owed[f.slot]++;
	}
	f.body = (uint32_t)len;
	f.size = INLAY_FRAME_HEADER + f.body + (uint32_t)data_len;
	if (how & 128)
		owe_anything(c);
	feed(i, &f, body, data, how & 128 ? byte(z) : SIZE_MAX);
}

static void raw(struct fuzz *z, unsigned i)
{
	size_t len = byte(z);
	const uint8_t *p = bytes(z, &len);

	owe_anything(&z->conn[i]);
	fake_sock_feed(&fake_socks[i], p, len);
}

static void step(struct fuzz *z)
{
	uint8_t what = byte(z), which = byte(z);
	unsigned i = which % CONNS;
	struct fake_sock *s = &fake_socks[i];

	fake_slow = what & 128;
	if (what % 16 == 0)
		connect_one(z, i);
	else if (what % 16 == 1)
		s->ended |= s->used;
	else if (what % 16 == 2)
		fake_now += byte(z) * UINT64_C(50000000);
	else if (what % 16 == 3)
		s->room = s->used ? (which & 128 ? SIZE_MAX : byte(z) * 16u) : 0;
	else if (what % 16 == 4 && what == 0x74)
		inlay_server_drain(z->server);
	else if (what % 16 == 5 && s->used)
		raw(z, i);
	else if (what % 16 < 8 && s->used)
		hello(z, i);
	else if (s->used)
		request(z, i);
	if (!(what & 64)) /* else more comes at once */
		fake_settle();
	hear(z);
}

static void server_begin(struct fuzz *z)
{
	struct inlay_server_config config = {.boot = {{1}}, .secret = {{11, 22}}, .lease_ms = LEASE_MS, .banner = "fuzz",
	                                     .conns_max = CONNS - 1, .sessions_max = 5};
	static const char *const names[] = {"one", "two"};

	inlay_log_init("fuzz", 2, INLAY_LOG_ERROR, INLAY_LOG_TEXT);
	fake_net_begin();
	require(inlay_server_new(&config, (struct inlay_crew *)&fake_loop, &z->server) == 0);
	for (unsigned i = 0; i < 2; i++) {
		struct inlay_export_config export = {.name = names[i], .identity_client = true, .readonly = i == 1, .rules = ""};

		require(inlay_memory_open(&export.store) == 0);
		inlay_memory_set_capacity(export.store, 1u << 22, 256);
		require(inlay_server_export_add(z->server, &export) == 0);
	}
	fake_settle();
}

static void server_end(struct fuzz *z)
{
	struct inlay_server_counts counts;

	for (unsigned i = 0; i < CONNS; i++) {
		fake_socks[i].ended |= fake_socks[i].used;
		fake_socks[i].room = SIZE_MAX;
	}
	fake_slow = false;
	fake_settle();
	hear(z);
	fake_now += (LEASE_MS + INLAY_HELLO_TIMEOUT_MS) * UINT64_C(3000000);
	fake_settle();
	inlay_server_counts(z->server, &counts);
	require(counts.conns == 0 && counts.requests == 0);
	inlay_server_free(z->server);
	for (unsigned i = 0; i < CONNS; i++)
		if (fake_socks[i].used) /* refused: closed by its number */
			inlay_socket_close(FAKE_FIRST_FD + (int)i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz z;

	memset(&z, 0, sizeof(z));
	z.in = inlay_reader(data, size);
	server_begin(&z);
	for (unsigned steps = 0; z.in.p < z.in.end && !z.in.bad && steps < 300; steps++)
		step(&z);
	server_end(&z);
	return 0;
}
