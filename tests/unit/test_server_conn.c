/*
 * The server over socket pairs, with frames made by hand: handshake, slots, replay, resumption, hostile bytes, leases.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server_support.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct inlay_crew *crew;
static struct inlay_server *server;

static void setup_asking(uint32_t lease_ms, int (*identify)(int fd, struct inlay_cred *ret))
{
	inlay_log_init("test", 2, INLAY_LOG_ERROR, INLAY_LOG_TEXT);
	assert_int_equal(inlay_crew_new(&(struct inlay_crew_config){.loops = 2, .spares_max = 4}, &crew), 0);
	server = make_server_asking(crew, lease_ms, identify);
	add_export(server, "data", false);
	assert_int_equal(inlay_crew_start(crew), 0);
}

static void setup(uint32_t lease_ms)
{
	setup_asking(lease_ms, NULL);
}

static void teardown(void)
{
	inlay_crew_stop(crew);
	inlay_server_free(server);
	inlay_crew_free(crew);
}

/* ---- a client by hand ---- */

struct hand {
	int fd;
	uint32_t lane;
	struct inlay_hello_rep hello;
	struct inlay_frame f;
	uint8_t in[INLAY_FRAME_HEADER + 65536];
	uint8_t out[INLAY_FRAME_HEADER + 65536];
};

static void hand_open(struct hand *h)
{
	int fds[2];

	memset(h, 0, sizeof(*h));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	h->fd = fds[0];
	inlay_server_accept(server, fds[1], "pair");
}

static void hand_send(struct hand *h, const struct inlay_frame *f, const void *body, const void *data)
{
	size_t data_len = f->size - INLAY_FRAME_HEADER - f->body;

	inlay_frame_put(h->out, f);
	if (f->body)
		memcpy(h->out + INLAY_FRAME_HEADER, body, f->body);
	if (data_len)
		memcpy(h->out + INLAY_FRAME_HEADER + f->body, data, data_len);
	assert_true(send(h->fd, h->out, f->size, MSG_NOSIGNAL) >= 0 || errno == EPIPE || errno == ECONNRESET);
}

static bool hand_read(struct hand *h, void *p, size_t len)
{
	for (size_t n = 0; n < len;) {
		struct pollfd pfd = {h->fd, POLLIN, 0};
		ssize_t r;

		assert_int_equal(poll(&pfd, 1, 10000), 1);
		r = read(h->fd, (uint8_t *)p + n, len - n);
		if (r <= 0)
			return false;
		n += (size_t)r;
	}
	return true;
}

/* False: the server has closed. */
static bool hand_receive(struct hand *h)
{
	if (!hand_read(h, h->in, INLAY_FRAME_HEADER))
		return false;
	assert_int_equal(inlay_frame_parse(h->in, INLAY_FRAME_HEADER, 1u << INLAY_FRAME_REPLY | 1u << INLAY_FRAME_EVENT,
		&h->f), 1);
	assert_true(h->f.size <= sizeof(h->in));
	return hand_read(h, h->in + INLAY_FRAME_HEADER, h->f.size - INLAY_FRAME_HEADER);
}

/* What is not set is made valid. */
static int hello(struct hand *h, struct inlay_hello_req m)
{
	uint8_t body[1024];
	struct inlay_writer w = inlay_writer(body, sizeof(body));
	struct inlay_reader r;
	uint32_t len;

	m.version_min = m.version_min ? m.version_min : 1;
	m.version_max = m.version_max ? m.version_max : 1;
	m.slots = 8;
	m.max_data = INLAY_DATA_MAX;
	m.client.bytes[1] = 9;
	m.export = m.export.p ? m.export : INLAY_STR("data");
	m.host = INLAY_STR("unit test");
	inlay_put_hello_req(&w, &m);
	len = (uint32_t)inlay_writer_len(&w);
	hand_send(h, &(struct inlay_frame){.size = INLAY_FRAME_HEADER + len, .type = INLAY_HELLO,
		.kind = INLAY_FRAME_REQUEST, .slot = INLAY_NO_SLOT, .seq = 1, .body = len}, body, NULL);
	if (!hand_receive(h))
		return -INLAY_ECONNRESET;
	assert_int_equal(h->f.type, INLAY_HELLO);
	assert_int_equal(h->f.slot, INLAY_NO_SLOT);
	if (h->f.status)
		return -(int)h->f.status;
	r = inlay_reader(h->in + INLAY_FRAME_HEADER, h->f.body);
	assert_int_equal(inlay_get_hello_rep(&r, &h->hello), 0);
	return 0;
}

/* Sends one request of a message and receives; the status. */
#define ASK(h, slot_, seq_, flags_, NAME, lower, ...) \
	__extension__({ \
		uint8_t ask_body[1024]; \
		struct inlay_writer ask_w = inlay_writer(ask_body, sizeof(ask_body)); \
\
		inlay_put_##lower##_req(&ask_w, &(struct inlay_##lower##_req){__VA_ARGS__}); \
		ask(h, slot_, seq_, flags_, INLAY_##NAME, ask_body, (uint32_t)inlay_writer_len(&ask_w)); \
	})

static void put(struct hand *h, uint32_t slot, uint64_t seq, uint8_t flags, uint16_t type, const void *body, uint32_t len)
{
	hand_send(h, &(struct inlay_frame){.size = INLAY_FRAME_HEADER + len, .type = type, .kind = INLAY_FRAME_REQUEST,
		.flags = flags, .slot = slot, .seq = seq, .body = len}, body, NULL);
}

static int ask(struct hand *h, uint32_t slot, uint64_t seq, uint8_t flags, uint16_t type, const void *body, uint32_t len)
{
	put(h, slot, seq, flags, type, body, len);
	if (!hand_receive(h))
		return -INLAY_ECONNRESET;
	assert_int_equal(h->f.slot, slot);
	assert_int_equal(h->f.seq, seq);
	assert_int_equal(h->f.kind, INLAY_FRAME_REPLY);
	return -(int)h->f.status;
}

#define READ_REPLY(h, lower, ret) \
	do { \
		struct inlay_reader reply_r = inlay_reader((h)->in + INLAY_FRAME_HEADER, (h)->f.body); \
\
		assert_int_equal(inlay_get_##lower##_rep(&reply_r, (ret)), 0); \
	} while (0)

static bool is_closed(struct hand *h)
{
	return !hand_receive(h);
}

/* Waits for a count of the server to become what is expected. */
static void await(size_t field, uint32_t want)
{
	struct inlay_server_counts counts;

	for (int i = 0; i < 1000; i++) {
		inlay_server_counts(server, &counts);
		if (*(uint32_t *)(void *)((char *)&counts + field) == want)
			return;
		usleep(5000);
	}
	assert_int_equal(*(uint32_t *)(void *)((char *)&counts + field), want);
}
#define AWAIT(field, want) await(offsetof(struct inlay_server_counts, field), want)

static void handshake_says_what_is_wrong(void **state)
{
	struct hand h;

	(void)state;
	setup(0);
	hand_open(&h);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.version_min = 2, .version_max = 2}), -INLAY_EVERSION);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.export = INLAY_STR("none")}), -INLAY_ENOEXPORT);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.session = {{1}}}), -INLAY_ENOSESSION);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.flags = 1}), -INLAY_EINVAL);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 1}), -INLAY_EINVAL);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = INLAY_LANES_MAX}), -INLAY_EINVAL);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), 0);
	assert_int_equal(h.hello.slots, 8);
	assert_int_equal(h.hello.resumed, 0);
	assert_int_equal(h.hello.lease_ms, INLAY_LEASE_MS);
	assert_int_equal(ASK(&h, 0, 1, 0, GETATTR, getattr, .node = h.hello.root), 0);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), -INLAY_ECONNRESET); /* twice on one connection */
	close(h.fd);
	hand_open(&h);
	put(&h, 0, 1, 0, INLAY_PING, NULL, 0); /* before HELLO */
	assert_true(is_closed(&h));
	close(h.fd);
	teardown();
}

static void wrong_slots_end_the_session(void **state)
{
	const struct { uint32_t slot; uint64_t seq; } wrong[] = {{8, 1}, {INLAY_NO_SLOT, 1}, {0, 0}, {0, 2}};
	struct hand h;

	(void)state;
	setup(0);
	for (size_t i = 0; i < 4; i++) {
		hand_open(&h);
		assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), 0);
		put(&h, wrong[i].slot, wrong[i].seq, 0, INLAY_PING, NULL, 0);
		assert_true(is_closed(&h));
		close(h.fd);
	}
	AWAIT(sessions, 0);
	teardown();
}

static void a_replay_is_answered_not_done_again(void **state)
{
	struct hand h, again;
	struct inlay_create_rep first, second;

	(void)state;
	setup(0);
	hand_open(&h);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), 0);
#define CREATE_IT(h, seq, flag) ASK(h, 3, seq, flag, CREATE, create, .dir = (h)->hello.root, .name = INLAY_STR("f"), \
	.flags = INLAY_O_RDWR | INLAY_O_EXCL, .mode = 0600)
	assert_int_equal(CREATE_IT(&h, 1, 0), 0);
	READ_REPLY(&h, create, &first);
	/* the connection is lost, and with it, for all the client knows, the reply */
	hand_open(&again);
	assert_int_equal(hello(&again, (struct inlay_hello_req){.session = h.hello.session}), 0);
	assert_int_equal(again.hello.resumed, 1);
	assert_int_equal(CREATE_IT(&again, 1, INLAY_FRAME_REPLAY), 0);
	READ_REPLY(&again, create, &second);
	assert_memory_equal(&first, &second, sizeof(first));
	assert_int_equal(CREATE_IT(&again, 2, 0), -INLAY_EEXIST); /* the twin: not a replay */
	assert_true(is_closed(&h)); /* the old connection was replaced */
	AWAIT(conns, 1);
	AWAIT(handles, 1);
	assert_int_equal(ASK(&again, 0, 1, 0, CLOSE, close, .handle = first.handle), 0);
	close(h.fd);
	close(again.fd);
	teardown();
}

static void a_session_is_its_clients_own(void **state)
{
	struct hand h, thief, lane;

	(void)state;
	setup(0);
	hand_open(&h);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), 0);
	hand_open(&thief);
	assert_int_equal(hello(&thief, (struct inlay_hello_req){.client = {{8}}, .session = h.hello.session}),
		-INLAY_ENOSESSION);
	hand_open(&lane);
	assert_int_equal(hello(&lane, (struct inlay_hello_req){.session = h.hello.session, .lane = 5}), 0);
	assert_int_equal(lane.hello.resumed, 0);
	assert_int_equal(ASK(&lane, 0, 1, 0, PING, ping, ), 0);
	assert_int_equal(ASK(&h, 0, 1, 0, PING, ping, ), 0);
	AWAIT(sessions, 1);
	assert_int_equal(ASK(&lane, 0, 2, 0, BYE, bye, ), 0);
	assert_true(is_closed(&lane));
	assert_true(is_closed(&h));
	AWAIT(sessions, 0);
	close(h.fd);
	close(thief.fd);
	close(lane.fd);
	teardown();
}

static void silence_costs_the_session(void **state)
{
	struct hand h, back;

	(void)state;
	setup(100);
	hand_open(&h);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), 0);
	assert_int_equal(ASK(&h, 0, 1, 0, CREATE, create, .dir = h.hello.root, .name = INLAY_STR("f"), .flags = 2), 0);
	AWAIT(handles, 1);
	close(h.fd);
	AWAIT(conns, 0);
	AWAIT(sessions, 0); /* after the lease */
	AWAIT(handles, 0);
	hand_open(&back);
	assert_int_equal(hello(&back, (struct inlay_hello_req){.session = h.hello.session}), -INLAY_ENOSESSION);
	assert_int_equal(hello(&back, (struct inlay_hello_req){.lane = 0}), 0);
	assert_true(is_closed(&back)); /* connected, but silent */
	close(back.fd);
	teardown();
}

static uint64_t seed = 3;

static uint32_t rnd(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33);
}

static void hostile_frames_end_only_their_session(void **state)
{
	static struct hand good, bad;
	static uint8_t junk[4096];
	uint64_t seq = 0;

	(void)state;
	setup(0);
	hand_open(&good);
	assert_int_equal(hello(&good, (struct inlay_hello_req){.lane = 0}), 0);
	for (unsigned type = 0; type < INLAY_MESSAGE_TOP + 2; type++) {
		for (unsigned i = 0; i < 6; i++) {
			uint32_t body = 8 * (rnd() % 64), data = rnd() % 3 ? 0 : rnd() % 1000;

			for (size_t k = 0; k < sizeof(junk); k++)
				junk[k] = (uint8_t)rnd();
			hand_open(&bad);
			assert_int_equal(hello(&bad, (struct inlay_hello_req){.lane = 0}), 0);
			hand_send(&bad, &(struct inlay_frame){.size = INLAY_FRAME_HEADER + body + data, .type = (uint16_t)type,
				.kind = (uint8_t)(i == 5 ? rnd() : INLAY_FRAME_REQUEST), .slot = 0, .seq = 1, .body = body},
				junk, junk);
			shutdown(bad.fd, SHUT_WR);
			while (hand_receive(&bad))
				;
			close(bad.fd);
		}
	}
	assert_int_equal(ASK(&good, 0, ++seq, 0, GETATTR, getattr, .node = good.hello.root), 0);
	close(good.fd);
	teardown();
}

static void reads_and_writes_of_every_size(void **state)
{
	static struct hand h;
	static uint8_t data[60000];
	struct inlay_create_rep f;
	struct inlay_read_rep r;
	uint8_t body[64];
	uint64_t seq = 1;

	(void)state;
	setup(0);
	hand_open(&h);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), 0);
	assert_int_equal(ASK(&h, 0, seq, 0, CREATE, create, .dir = h.hello.root, .name = INLAY_STR("f"), .flags = 2), 0);
	READ_REPLY(&h, create, &f);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)rnd();
	for (uint32_t len = 1; len <= sizeof(data); len = len * 3 + 1) {
		struct inlay_writer w = inlay_writer(body, sizeof(body));

		inlay_put_write_req(&w, &(struct inlay_write_req){.handle = f.handle, .off = 7});
		hand_send(&h, &(struct inlay_frame){.size = INLAY_FRAME_HEADER + 24 + len, .type = INLAY_WRITE,
			.kind = INLAY_FRAME_REQUEST, .slot = 0, .seq = ++seq, .body = 24}, body, data);
		assert_true(hand_receive(&h));
		assert_int_equal(h.f.status, 0);
		assert_int_equal(ASK(&h, 0, ++seq, 0, READ, read, .handle = f.handle, .off = 7, .len = len), 0);
		READ_REPLY(&h, read, &r);
		assert_int_equal(inlay_frame_data_len(&h.f), len);
		assert_memory_equal(h.in + INLAY_FRAME_HEADER + h.f.body, data, len);
	}
	assert_int_equal(ASK(&h, 0, ++seq, 0, READ, read, .handle = 12345, .len = 1), -INLAY_EBADF);
	/* on a spare thread */
	assert_int_equal(ASK(&h, 0, ++seq, 0, COMMIT, commit, .handle = f.handle), 0);
	assert_int_equal(ASK(&h, 0, ++seq, 0, SYNCFS, syncfs, .node = h.hello.root), 0);
	AWAIT(requests, 0);
	close(h.fd);
	teardown();
}

static void waiters_are_told(void **state)
{
	struct hand a, b;
	struct inlay_create_rep fa, fb;
	struct inlay_event_lock_req event;
	struct inlay_reader r;

	(void)state;
	setup(0);
	hand_open(&a);
	hand_open(&b);
	assert_int_equal(hello(&a, (struct inlay_hello_req){.lane = 0}), 0);
	assert_int_equal(hello(&b, (struct inlay_hello_req){.client = {{7}}}), 0);
	assert_int_equal(ASK(&a, 0, 1, 0, CREATE, create, .dir = a.hello.root, .name = INLAY_STR("f"), .flags = 2), 0);
	READ_REPLY(&a, create, &fa);
	assert_int_equal(ASK(&b, 0, 1, 0, CREATE, create, .dir = b.hello.root, .name = INLAY_STR("f"), .flags = 2), 0);
	READ_REPLY(&b, create, &fb);
	assert_int_equal(ASK(&a, 0, 2, 0, LOCK, lock, .handle = fa.handle, .owner = 1, .end = 9, .type = 1), 0);
	assert_int_equal(ASK(&b, 0, 2, 0, LOCK, lock, .handle = fb.handle, .owner = 1, .end = 9, .type = 1), -INLAY_EAGAIN);
	assert_int_equal(ASK(&b, 0, 3, 0, LOCK, lock, .handle = fb.handle, .owner = 1, .end = 9, .type = 1,
		.flags = INLAY_LOCK_WAIT), -INLAY_EQUEUED);
	assert_int_equal(ASK(&a, 0, 3, 0, BYE, bye, ), 0);
	assert_true(hand_receive(&b));
	assert_int_equal(b.f.kind, INLAY_FRAME_EVENT);
	r = inlay_reader(b.in + INLAY_FRAME_HEADER, b.f.body);
	assert_int_equal(inlay_get_event_lock_req(&r, &event), 0);
	assert_int_equal(event.handle, fb.handle);
	assert_int_equal(event.owner, 1);
	assert_int_equal(ASK(&b, 0, 4, 0, LOCK, lock, .handle = fb.handle, .owner = 1, .end = 9, .type = 1), 0);
	close(a.fd);
	close(b.fd);
	teardown();
}

static void a_drained_server_says_no_more(void **state)
{
	struct hand h, late;

	(void)state;
	setup(0);
	hand_open(&h);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), 0);
	inlay_server_drain(server);
	assert_true(is_closed(&h));
	hand_open(&late);
	assert_true(is_closed(&late));
	AWAIT(conns, 0);
	close(h.fd);
	close(late.fd);
	teardown();
}

static void a_removed_export_ends_its_sessions(void **state)
{
	struct hand h;

	(void)state;
	setup(0);
	hand_open(&h);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), 0);
	assert_int_equal(inlay_server_export_remove(server, "data"), 0);
	assert_true(is_closed(&h));
	close(h.fd);
	hand_open(&h);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), -INLAY_ENOEXPORT);
	add_export(server, "data", false);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), 0);
	close(h.fd);
	teardown();
}

/* ---- whose word counts ---- */

/* What the host would say of the next connection. */
static int told;
static struct inlay_cred told_cred;

static int tell(int fd, struct inlay_cred *ret)
{
	assert_true(fcntl(fd, F_GETFD) >= 0);
	if (told > 0)
		*ret = told_cred;
	return told;
}

static int hello_from(struct hand *h, int r, uint32_t uid, struct inlay_hello_req m)
{
	told = r;
	told_cred = (struct inlay_cred){.uid = uid, .gid = uid, .ngroups = 1, .groups = {777}};
	hand_open(h);
	return hello(h, m);
}

static int create_as_root(struct hand *h, const char *name, uint64_t seq, struct inlay_create_rep *ret)
{
	int r = ASK(h, 0, seq, 0, CREATE, create, .dir = h->hello.root, .name = inlay_str(name), .flags = INLAY_O_RDWR,
		.mode = 0600);

	if (r == 0)
		READ_REPLY(h, create, ret);
	return r;
}

static int open_as_root(struct hand *h, const struct inlay_node_id *node, uint64_t seq)
{
	return ASK(h, 0, seq, 0, OPEN, open, .node = *node, .flags = INLAY_O_RDONLY);
}

static void set_root_mode(uint32_t mode)
{
	struct hand h;

	assert_int_equal(hello_from(&h, 1, 0, (struct inlay_hello_req){.lane = 0}), 0);
	assert_int_equal(ASK(&h, 0, 1, 0, SETATTR, setattr, .node = h.hello.root, .valid = INLAY_SET_MODE, .mode = mode), 0);
	close(h.fd);
}

static void a_user_is_who_the_host_says(void **state)
{
	struct inlay_create_rep roots, mine;
	struct hand root, user;

	(void)state;
	setup_asking(0, tell);
	set_root_mode(0777);
	assert_int_equal(hello_from(&root, 1, 0, (struct inlay_hello_req){.lane = 0}), 0);
	assert_true(root.hello.export_flags & INLAY_EXPORT_IDENTITY_CLIENT);
	assert_int_equal(create_as_root(&root, "roots", 1, &roots), 0);
	assert_int_equal(roots.attr.uid, 0);
	assert_int_equal(hello_from(&user, 1, 12345, (struct inlay_hello_req){.lane = 0}), 0);
	assert_false(user.hello.export_flags & INLAY_EXPORT_IDENTITY_CLIENT);
	assert_int_equal(create_as_root(&user, "mine", 1, &mine), 0);
	assert_int_equal(mine.attr.uid, 12345);
	assert_int_equal(mine.attr.gid, 12345);
	assert_int_equal(open_as_root(&user, &roots.node, 2), -INLAY_EACCES);
	assert_int_equal(open_as_root(&user, &mine.node, 3), 0);
	assert_int_equal(ASK(&user, 0, 4, 0, SETATTR, setattr, .node = roots.node, .valid = INLAY_SET_MODE, .mode = 0666),
		-INLAY_EPERM);
	/* The twins: root may, and so may a client beyond this host. */
	assert_int_equal(open_as_root(&root, &mine.node, 2), 0);
	close(user.fd);
	assert_int_equal(hello_from(&user, 0, 12345, (struct inlay_hello_req){.lane = 0}), 0);
	assert_int_equal(open_as_root(&user, &roots.node, 1), 0);
	close(user.fd);
	close(root.fd);
	teardown();
}

/* His groups are the host's as well. */
static void a_users_groups_are_the_hosts(void **state)
{
	struct inlay_create_rep f;
	struct hand root, user;

	(void)state;
	setup_asking(0, tell);
	assert_int_equal(hello_from(&root, 1, 0, (struct inlay_hello_req){.lane = 0}), 0);
	assert_int_equal(create_as_root(&root, "f", 1, &f), 0);
	assert_int_equal(hello_from(&user, 1, 12345, (struct inlay_hello_req){.lane = 0}), 0);
	for (uint32_t gid = 776; gid <= 777; gid++) {
		uint64_t seq = gid - 774;

		assert_int_equal(ASK(&root, 0, seq, 0, SETATTR, setattr, .node = f.node, .valid = INLAY_SET_GID | INLAY_SET_MODE,
			.gid = gid, .mode = 0640), 0);
		assert_int_equal(ASK(&user, 0, seq - 1, 0, OPEN, open, .node = f.node, .flags = INLAY_O_RDONLY,
			.cred = {.ngroups = 1, .groups = {776}}), gid == 777 ? 0 : -INLAY_EACCES);
	}
	close(user.fd);
	close(root.fd);
	teardown();
}

static void whom_the_host_does_not_know_is_nobody(void **state)
{
	struct inlay_create_rep mine;
	struct hand h;

	(void)state;
	setup_asking(0, tell);
	set_root_mode(0777);
	assert_int_equal(hello_from(&h, -INLAY_ENOTCONN, 0, (struct inlay_hello_req){.lane = 0}), 0);
	assert_int_equal(create_as_root(&h, "mine", 1, &mine), 0);
	assert_int_equal(mine.attr.uid, 65534);
	assert_int_equal(mine.attr.gid, 65534);
	close(h.fd);
	/* What passes by makes nobody of no one: he is to come again. */
	assert_int_equal(hello_from(&h, -INLAY_EMFILE, 0, (struct inlay_hello_req){.lane = 0}), -INLAY_EMFILE);
	close(h.fd);
	teardown();
}

static void a_session_has_one_user(void **state)
{
	struct hand first, other;
	struct inlay_hello_req second;

	(void)state;
	setup_asking(0, tell);
	assert_int_equal(hello_from(&first, 1, 12345, (struct inlay_hello_req){.lane = 0}), 0);
	second = (struct inlay_hello_req){.session = first.hello.session, .lane = 1};
	assert_int_equal(hello_from(&other, 1, 12346, second), -INLAY_ENOSESSION);
	close(other.fd);
	assert_int_equal(hello_from(&other, 1, 0, second), -INLAY_ENOSESSION);
	close(other.fd);
	assert_int_equal(hello_from(&other, 1, 12345, second), 0);
	close(other.fd);
	close(first.fd);
	/* Nor does a user get into one of root's. */
	assert_int_equal(hello_from(&first, 1, 0, (struct inlay_hello_req){.lane = 0}), 0);
	second.session = first.hello.session;
	assert_int_equal(hello_from(&other, 1, 12345, second), -INLAY_ENOSESSION);
	close(other.fd);
	assert_int_equal(hello_from(&other, 1, 0, second), 0);
	close(other.fd);
	close(first.fd);
	teardown();
}

/* ---- limits ---- */

/* room: bytes that the host keeps for whoever doesn't read; 0: as it likes. */
static void hand_open_from(struct hand *h, const char *name, int room)
{
	int fds[2];

	memset(h, 0, sizeof(*h));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	h->fd = fds[0];
	if (room)
		assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	inlay_server_accept(server, fds[1], name);
}

static void the_first_frame_is_small(void **state)
{
	static const uint8_t body[30000];
	struct hand h;

	(void)state;
	setup(0);
	hand_open(&h);
	/* Nobody waits for 30,000 bytes of somebody who has not said who he is. */
	inlay_frame_put(h.out, &(struct inlay_frame){.size = INLAY_FRAME_HEADER + 30000, .type = INLAY_HELLO,
		.kind = INLAY_FRAME_REQUEST, .slot = INLAY_NO_SLOT, .seq = 1, .body = 30000});
	assert_int_equal(send(h.fd, h.out, INLAY_FRAME_HEADER, MSG_NOSIGNAL), INLAY_FRAME_HEADER);
	assert_true(is_closed(&h));
	close(h.fd);
	hand_open(&h);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), 0);
	put(&h, 0, 1, 0, INLAY_GETATTR, body, sizeof(body)); /* the twin: afterwards it is waited for, and then judged */
	assert_true(is_closed(&h));
	close(h.fd);
	teardown();
}

static void who_sends_too_slowly_is_cut_off(void **state)
{
	struct hand h, well;
	uint64_t seq = 0;
	unsigned sent = 0;

	(void)state;
	setup(400);
	hand_open(&h);
	hand_open(&well);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), 0);
	assert_int_equal(hello(&well, (struct inlay_hello_req){.lane = 0}), 0);
	inlay_frame_put(h.out, &(struct inlay_frame){.size = INLAY_FRAME_HEADER + 8000, .type = INLAY_GETATTR,
		.kind = INLAY_FRAME_REQUEST, .slot = 0, .seq = 1, .body = 8000});
	/* A byte each 20 ms: it is heard from all the time. */
	while (sent < 200 && send(h.fd, h.out + sent, 1, MSG_NOSIGNAL) == 1) {
		usleep(20000);
		if (++sent % 10 == 0)
			assert_int_equal(ASK(&well, 0, ++seq, 0, PING, ping, ), 0);
	}
	assert_in_range(sent, 10, 190);
	AWAIT(conns, 1);
	close(h.fd);
	close(well.fd);
	teardown();
}

static void who_never_reads_is_cut_off(void **state)
{
	static struct hand h, well;
	static uint8_t data[60000];
	struct inlay_create_rep f;
	struct inlay_read_req read = {.len = sizeof(data)};
	uint8_t body[64];
	struct inlay_writer w = inlay_writer(body, sizeof(body));
	struct inlay_server_counts counts;
	uint64_t seq;

	(void)state;
	memset(data, 7, sizeof(data)); /* no hole: that would be told in few bytes */
	setup(400);
	hand_open_from(&h, "pair", 65536);
	hand_open(&well);
	assert_int_equal(hello(&well, (struct inlay_hello_req){.lane = 0}), 0);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), 0);
	assert_int_equal(ASK(&h, 0, 1, 0, CREATE, create, .dir = h.hello.root, .name = INLAY_STR("f"), .flags = 2), 0);
	READ_REPLY(&h, create, &f);
	inlay_put_write_req(&w, &(struct inlay_write_req){.handle = f.handle});
	hand_send(&h, &(struct inlay_frame){.size = INLAY_FRAME_HEADER + 24 + sizeof(data), .type = INLAY_WRITE,
		.kind = INLAY_FRAME_REQUEST, .slot = 0, .seq = 2, .body = 24}, body, data);
	assert_true(hand_receive(&h));
	assert_int_equal(h.f.status, 0);
	read.handle = f.handle;
	for (unsigned i = 1; i < 8; i++) { /* together more than the host's buffers hold */
		w = inlay_writer(body, sizeof(body));
		inlay_put_read_req(&w, &read);
		put(&h, i, 1, 0, INLAY_READ, body, (uint32_t)inlay_writer_len(&w));
	}
	usleep(100000);
	inlay_server_counts(server, &counts);
	assert_true(counts.bytes_out > 7 * sizeof(data)); /* or there is nothing to be taken */
	AWAIT(conns, 2);
	seq = 0;
	for (unsigned i = 0; i < 40; i++) { /* who is well goes on */
		usleep(50000);
		assert_int_equal(ASK(&well, 0, ++seq, 0, PING, ping, ), 0);
	}
	inlay_server_counts(server, &counts); /* now, as who is well is cut off, too, when he says nothing any more */
	assert_int_equal(counts.conns, 1);
	assert_int_equal(ASK(&well, 0, ++seq, 0, PING, ping, ), 0);
	close(h.fd);
	close(well.fd);
	teardown();
}

static void nobody_takes_all_connections_and_sessions(void **state)
{
	static struct hand h[5];
	struct inlay_server_config config = {.boot = {{1}}, .secret = {{11, 22}}, .banner = "test", .peer_conns_max = 3,
		.peer_sessions_max = 2};

	(void)state;
	inlay_log_init("test", 2, INLAY_LOG_ERROR, INLAY_LOG_TEXT);
	assert_int_equal(inlay_crew_new(&(struct inlay_crew_config){.loops = 2, .spares_max = 4}, &crew), 0);
	assert_int_equal(inlay_server_new(&config, crew, &server), 0);
	add_export(server, "data", false);
	assert_int_equal(inlay_crew_start(crew), 0);
	for (unsigned i = 0; i < 3; i++) {
		hand_open_from(&h[i], i % 2 ? "[::1]:1000" : "[::1]:2000", 0);
		assert_int_equal(hello(&h[i], (struct inlay_hello_req){.lane = 0}), i < 2 ? 0 : -INLAY_ELIMIT);
	}
	hand_open_from(&h[3], "[::1]:3000", 0);
	assert_true(is_closed(&h[3]));
	hand_open_from(&h[4], "10.1.1.1:3000", 0); /* the twin: from elsewhere */
	assert_int_equal(hello(&h[4], (struct inlay_hello_req){.lane = 0}), 0);
	/* Whoever goes makes room. */
	assert_int_equal(ASK(&h[0], 0, 1, 0, BYE, bye, ), 0);
	AWAIT(conns, 3);
	assert_int_equal(hello(&h[2], (struct inlay_hello_req){.lane = 0}), 0);
	close(h[3].fd);
	hand_open_from(&h[3], "[::1]:3000", 0);
	assert_int_equal(hello(&h[3], (struct inlay_hello_req){.lane = 0}), -INLAY_ELIMIT);
	for (unsigned i = 0; i < 5; i++)
		close(h[i].fd);
	teardown();
}

/* Opens the root until that is refused, or 500 times; how often that was done. */
static unsigned open_on_and_on(struct hand *h, uint64_t *seq, uint64_t *ret_last)
{
	struct inlay_opendir_rep rep;
	unsigned n = 0;
	int r;

	while (n < 500 && (r = ASK(h, 0, ++*seq, 0, OPENDIR, opendir, .node = h->hello.root)) == 0) {
		READ_REPLY(h, opendir, &rep);
		*ret_last = rep.handle;
		n++;
	}
	assert_true(n == 500 || r == -INLAY_EMFILE);
	return n;
}

static void nobody_takes_all_open_files(void **state)
{
	static struct hand h[4];
	struct inlay_server_config config = {.boot = {{1}}, .secret = {{11, 22}}, .banner = "test", .descriptors = 800};
	uint64_t seq[4] = {0}, handle;
	unsigned n;

	(void)state;
	inlay_log_init("test", 2, INLAY_LOG_ERROR, INLAY_LOG_TEXT);
	assert_int_equal(inlay_crew_new(&(struct inlay_crew_config){.loops = 2, .spares_max = 4}, &crew), 0);
	assert_int_equal(inlay_server_new(&config, crew, &server), 0);
	add_export(server, "data", false);
	assert_int_equal(inlay_crew_start(crew), 0);
	/* 550 are shared out: one place gets four fifths, and little more by another session */
	for (unsigned i = 0; i < 2; i++) {
		hand_open_from(&h[i], "[::1]:1000", 0);
		assert_int_equal(hello(&h[i], (struct inlay_hello_req){.lane = 0}), 0);
	}
	n = open_on_and_on(&h[0], &seq[0], &handle);
	assert_in_range(n, 215, 225);
	n = open_on_and_on(&h[1], &seq[1], &handle);
	assert_in_range(n, 5, 20);
	/* What is refused has done nothing. */
	assert_int_equal(ASK(&h[0], 0, ++seq[0], 0, CREATE, create, .dir = h[0].hello.root, .name = INLAY_STR("f"), .flags = INLAY_O_RDWR),
		-INLAY_EMFILE);
	assert_int_equal(ASK(&h[0], 0, ++seq[0], 0, LOOKUP, lookup, .dir = h[0].hello.root, .name = INLAY_STR("f")), -INLAY_ENOENT);
	/* The twins: others connect, and open as many as there are left for them; and who closes one may open one. */
	for (unsigned i = 2; i < 4; i++) {
		hand_open_from(&h[i], i == 2 ? "10.1.1.1:3000" : "10.1.1.2:3000", 0);
		assert_int_equal(hello(&h[i], (struct inlay_hello_req){.lane = 0}), 0);
		assert_in_range(open_on_and_on(&h[i], &seq[i], &handle), 5, 45);
	}
	assert_int_equal(ASK(&h[3], 0, ++seq[3], 0, CLOSE, close, .handle = handle), 0);
	assert_int_equal(open_on_and_on(&h[3], &seq[3], &handle), 1);
	/* All of it comes back with the session. */
	assert_int_equal(ASK(&h[0], 0, ++seq[0], 0, BYE, bye, ), 0);
	assert_true(is_closed(&h[0]));
	assert_true(open_on_and_on(&h[1], &seq[1], &handle) > 150);
	for (unsigned i = 0; i < 4; i++)
		close(h[i].fd);
	teardown();
}

/* ---- buffers ---- */

/* Holds so many bytes of buffers; nothing is written to them, so that they cost no memory. */
static struct inlay_chunk *hold_buffers(uint64_t bytes)
{
	struct inlay_chunk *held = NULL;

	while (inlay_chunk_used() <= bytes) {
		struct inlay_chunk *c = inlay_chunk_new(INLAY_CHUNK_LARGE);

		assert_non_null(c);
		c->next_free = held;
		held = c;
	}
	return held;
}

static void let_go(struct inlay_chunk *held)
{
	while (held) {
		struct inlay_chunk *next = held->next_free;

		inlay_chunk_unref(held);
		held = next;
	}
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Who keeps buffers waiting has the lease time, 45 s, but two seconds when they run short. */
static void patience_ends_when_buffers_run_short(void **state)
{
	struct inlay_chunk *held;
	struct hand h, well;
	double begin;

	(void)state;
	setup(0);
	hand_open(&h);
	hand_open(&well);
	assert_int_equal(hello(&h, (struct inlay_hello_req){.lane = 0}), 0);
	assert_int_equal(hello(&well, (struct inlay_hello_req){.lane = 0}), 0);
	inlay_frame_put(h.out, &(struct inlay_frame){.size = INLAY_FRAME_HEADER + 8000, .type = INLAY_GETATTR,
		.kind = INLAY_FRAME_REQUEST, .slot = 0, .seq = 1, .body = 8000});
	assert_int_equal(send(h.fd, h.out, 100, MSG_NOSIGNAL), 100);
	usleep(4500000);
	AWAIT(conns, 2); /* the twin: as long as there are enough, he is waited for */
	held = hold_buffers(INLAY_BUFFERS_SHORT);
	begin = seconds();
	AWAIT(conns, 1);
	assert_true(seconds() - begin < 8);
	let_go(held);
	assert_int_equal(ASK(&well, 0, 1, 0, PING, ping, ), 0);
	close(h.fd);
	close(well.fd);
	teardown();
}

/* Writes a file that is no hole and asks for it without end, reading nothing. */
static void ask_and_never_read(struct hand *h)
{
	static uint8_t data[60000];
	struct inlay_create_rep f;
	uint8_t body[64];
	struct inlay_writer w = inlay_writer(body, sizeof(body));

	memset(data, 7, sizeof(data));
	assert_int_equal(ASK(h, 0, 1, 0, CREATE, create, .dir = h->hello.root, .name = INLAY_STR("f"), .flags = 2), 0);
	READ_REPLY(h, create, &f);
	for (uint64_t i = 0; i < 20; i++) {
		w = inlay_writer(body, sizeof(body));
		inlay_put_write_req(&w, &(struct inlay_write_req){.handle = f.handle, .off = i * sizeof(data)});
		hand_send(h, &(struct inlay_frame){.size = INLAY_FRAME_HEADER + 24 + sizeof(data), .type = INLAY_WRITE,
			.kind = INLAY_FRAME_REQUEST, .slot = 0, .seq = 2 + i, .body = 24}, body, data);
		assert_true(hand_receive(h));
		assert_int_equal(h->f.status, 0);
	}
	for (uint32_t i = 1; i < 8; i++) {
		w = inlay_writer(body, sizeof(body));
		inlay_put_read_req(&w, &(struct inlay_read_req){.handle = f.handle, .len = 1 << 20});
		put(h, i, 1, 0, INLAY_READ, body, (uint32_t)inlay_writer_len(&w));
	}
}

static void who_has_much_waiting_goes_when_buffers_are_out(void **state)
{
	static struct hand h[2];
	struct inlay_chunk *held = NULL;
	double begin;

	(void)state;
	for (unsigned out = 0; out < 2; out++) {
		setup(0);
		held = out ? hold_buffers(INLAY_BUFFERS_MAX) : NULL;
		hand_open_from(&h[0], "pair", 65536);
		assert_int_equal(hello(&h[0], (struct inlay_hello_req){.lane = 0}), 0);
		begin = seconds();
		ask_and_never_read(&h[0]);
		if (!out)
			usleep(1500000); /* the twin */
		AWAIT(conns, out ? 0 : 1);
		assert_true(seconds() - begin < (out ? 1.9 : 10)); /* before patience, however short, ends */
		let_go(held);
		close(h[0].fd);
		teardown();
	}
}

/* ---- pins ---- */

static void pins_have_a_bound(void **state)
{
	struct inlay_export_config config = {.name = "pins", .identity_client = true, .rules = ""};
	static struct inlay_store_ops ops;
	struct inlay_lookup_rep dir, file;
	uint8_t forget[48];
	struct local l;
	uint32_t n = 0;
	char name[16];
	int r = 0;

	(void)state;
	server = make_server(NULL, 0);
	assert_int_equal(inlay_memory_open(&config.store), 0);
	ops = *config.store->ops;
	ops.pins_nodes = true;
	config.store->ops = &ops;
	assert_int_equal(inlay_server_export_add(server, &config), 0);
	local_open(&l, server, "pins");
	while (r == 0 && n <= INLAY_PINS_MAX) {
		snprintf(name, sizeof(name), "%u", n);
		if (n % 256)
			r = CALL(&l, MKNOD, mknod, .dir = dir.node, .mode = 0100644, .name = inlay_str(name));
		else
			r = CALL(&l, MKDIR, mkdir, .dir = l.root, .mode = 0755, .name = inlay_str(name));
		if (r == 0 && n++ % 256 == 0)
			REPLY(&l, lookup, &dir);
	}
	assert_int_equal(r, -INLAY_ENFILE);
	assert_int_equal(n, INLAY_PINS_MAX);
	/* What is known already costs none, and what is forgotten makes room. */
	assert_int_equal(CALL(&l, LOOKUP, lookup, .dir = l.root, .name = INLAY_STR("0")), 0);
	REPLY(&l, lookup, &file);
	memcpy(forget, file.node.bytes, sizeof(file.node.bytes));
	inlay_store64(forget + 40, 2);
	assert_int_equal(CALL_DATA(&l, FORGET, forget, forget, sizeof(forget), .count = 1), 0);
	assert_int_equal(CALL(&l, LOOKUP, lookup, .dir = l.root, .name = inlay_str(name)), 0);
	local_close(&l);
	inlay_server_free(server);
}

/* ---- a store that hangs ---- */

static struct {
	struct inlay_store_ops ops;
	const struct inlay_store_ops *real;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned stuck;
	bool free;
} hang = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int hang_syncfs(struct inlay_store *s)
{
	pthread_mutex_lock(&hang.lock);
	hang.stuck++;
	pthread_cond_broadcast(&hang.changed);
	while (!hang.free)
		pthread_cond_wait(&hang.changed, &hang.lock);
	hang.stuck--;
	pthread_mutex_unlock(&hang.lock);
	return hang.real->syncfs(s);
}

static void add_hanging_export(const char *name)
{
	struct inlay_export_config config = {.name = name, .identity_client = true, .rules = ""};

	assert_int_equal(inlay_memory_open(&config.store), 0);
	hang.real = config.store->ops;
	hang.ops = *hang.real;
	hang.ops.syncfs = hang_syncfs;
	hang.free = false;
	config.store->ops = &hang.ops;
	assert_int_equal(inlay_server_export_add(server, &config), 0);
}

static void ask_syncs(struct hand *h, unsigned count)
{
	uint8_t body[64];
	struct inlay_writer w = inlay_writer(body, sizeof(body));

	inlay_put_syncfs_req(&w, &(struct inlay_syncfs_req){.node = h->hello.root});
	for (uint32_t i = 0; i < count; i++)
		put(h, i, 1, 0, INLAY_SYNCFS, body, (uint32_t)inlay_writer_len(&w));
}

static void nobody_takes_all_threads(void **state)
{
	static struct hand h[6];
	struct inlay_server_config config = {.boot = {{1}}, .secret = {{11, 22}}, .banner = "test", .calls_max = 14};

	(void)state;
	inlay_log_init("test", 2, INLAY_LOG_ERROR, INLAY_LOG_TEXT);
	assert_int_equal(inlay_crew_new(&(struct inlay_crew_config){.loops = 2, .spares_max = 16}, &crew), 0);
	assert_int_equal(inlay_server_new(&config, crew, &server), 0);
	add_export(server, "data", false);
	add_hanging_export("hangs");
	assert_int_equal(inlay_crew_start(crew), 0);
	/* one place, four sessions, 28 requests that hang: more than there are threads */
	for (unsigned i = 0; i < 4; i++) {
		hand_open_from(&h[i], "[::1]:1000", 0);
		assert_int_equal(hello(&h[i], (struct inlay_hello_req){.export = INLAY_STR("hangs")}), 0);
		ask_syncs(&h[i], 7);
	}
	usleep(300000);
	pthread_mutex_lock(&hang.lock);
	assert_in_range(hang.stuck, 10, 13);
	pthread_mutex_unlock(&hang.lock);
	/* Others come, open sessions and are served; what wants no thread is answered also where all hangs. */
	for (unsigned i = 4; i < 6; i++) {
		hand_open_from(&h[i], i == 4 ? "10.1.1.1:3000" : "10.1.1.2:3000", 0);
		assert_int_equal(hello(&h[i], (struct inlay_hello_req){.lane = 0}), 0);
		for (uint64_t seq = 1; seq < 50; seq++)
			assert_int_equal(ASK(&h[i], 0, seq, 0, SYNCFS, syncfs, .node = h[i].hello.root), 0);
	}
	assert_int_equal(ASK(&h[0], 7, 1, 0, PING, ping, ), 0);
	/* In the end each is done, and answered once. */
	pthread_mutex_lock(&hang.lock);
	hang.free = true;
	pthread_cond_broadcast(&hang.changed);
	pthread_mutex_unlock(&hang.lock);
	for (unsigned i = 0; i < 4; i++) {
		unsigned answered = 0;

		for (unsigned k = 0; k < 7; k++) {
			assert_true(hand_receive(&h[i]));
			assert_int_equal(h[i].f.status, 0);
			answered |= 1u << h[i].f.slot;
		}
		assert_int_equal(answered, 0x7f);
	}
	assert_int_equal(ASK(&h[0], 0, 2, 0, SYNCFS, syncfs, .node = h[0].hello.root), 0);
	for (unsigned i = 0; i < 6; i++)
		close(h[i].fd);
	teardown();
}

RUN_TESTS(cmocka_unit_test(the_first_frame_is_small), cmocka_unit_test(who_sends_too_slowly_is_cut_off),
	cmocka_unit_test(who_never_reads_is_cut_off), cmocka_unit_test(nobody_takes_all_connections_and_sessions),
	cmocka_unit_test(nobody_takes_all_open_files), cmocka_unit_test(nobody_takes_all_threads),
	cmocka_unit_test(patience_ends_when_buffers_run_short), cmocka_unit_test(who_has_much_waiting_goes_when_buffers_are_out),
	cmocka_unit_test(pins_have_a_bound),
	cmocka_unit_test(a_user_is_who_the_host_says), cmocka_unit_test(a_users_groups_are_the_hosts),
	cmocka_unit_test(whom_the_host_does_not_know_is_nobody), cmocka_unit_test(a_session_has_one_user),
	cmocka_unit_test(handshake_says_what_is_wrong), cmocka_unit_test(wrong_slots_end_the_session),
	cmocka_unit_test(a_replay_is_answered_not_done_again), cmocka_unit_test(a_session_is_its_clients_own),
	cmocka_unit_test(silence_costs_the_session), cmocka_unit_test(hostile_frames_end_only_their_session),
	cmocka_unit_test(reads_and_writes_of_every_size), cmocka_unit_test(waiters_are_told),
	cmocka_unit_test(a_drained_server_says_no_more), cmocka_unit_test(a_removed_export_ends_its_sessions))
