/*
 * What the server's tests share: a server on the memory store, local sessions, and one-line requests.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_TESTS_SERVER_SUPPORT_H
#define INLAY_TESTS_SERVER_SUPPORT_H

#include "base/status.h"
#include "server/server.h"

#include "support.h"

#include <stdlib.h>
#include <string.h>

static inline struct inlay_server *make_server_asking(struct inlay_crew *crew, uint32_t lease_ms,
                                                      int (*identify)(int fd, struct inlay_cred *ret))
{
	struct inlay_server_config config = {.boot = {{1, 2, 3, 4, 5, 6, 7, 8}}, .secret = {{11, 22}},
		.lease_ms = lease_ms, .banner = "test", .identify = identify};
	struct inlay_server *s;

	assert_int_equal(inlay_server_new(&config, crew, &s), 0);
	return s;
}

static inline struct inlay_server *make_server(struct inlay_crew *crew, uint32_t lease_ms)
{
	return make_server_asking(crew, lease_ms, NULL);
}

static inline void add_export(struct inlay_server *s, const char *name, bool readonly)
{
	struct inlay_export_config config = {.name = name, .readonly = readonly, .identity_client = true, .rules = ""};

	assert_int_equal(inlay_memory_open(&config.store), 0);
	assert_int_equal(inlay_server_export_add(s, &config), 0);
}

/* A local session and the request that it makes again and again. */
struct local {
	struct inlay_session *ss;
	struct inlay_node_id root;
	struct inlay_attr attr;
	struct inlay_request rq;
	uint8_t body[32768];
	struct inlay_writer w;
	unsigned wakes;
	struct inlay_event_lock_req woken;
};

static inline void local_woken(void *arg, const struct inlay_event_lock_req *e)
{
	struct local *l = arg;

	l->wakes++;
	l->woken = *e;
}

static inline void local_open(struct local *l, struct inlay_server *s, const char *name)
{
	memset(l, 0, sizeof(*l));
	assert_int_equal(inlay_local_session_new(s, name, local_woken, l, &l->root, &l->attr, &l->ss), 0);
}

static inline void local_close(struct local *l)
{
	inlay_request_done(&l->rq);
	inlay_local_session_free(l->ss);
}

static inline int local_raw(struct local *l, uint16_t type, const void *body, size_t len, const void *data, size_t dlen)
{
	inlay_request_done(&l->rq);
	l->rq = (struct inlay_request){.session = l->ss, .type = type, .body = body, .body_len = (uint32_t)len,
		.data = data, .data_len = (uint32_t)dlen};
	inlay_request_execute(&l->rq);
	return l->rq.status;
}

/* CALL(l, LOOKUP, lookup, .dir = l.root, .name = INLAY_STR("a")): the status. REPLY(l, lookup, &rep) reads the answer. */
#define CALL_DATA(l, NAME, lower, bytes, count, ...) \
	((l)->w = inlay_writer((l)->body, sizeof((l)->body)), \
		inlay_put_##lower##_req(&(l)->w, &(struct inlay_##lower##_req){__VA_ARGS__}), \
		local_raw((l), INLAY_##NAME, (l)->body, inlay_writer_len(&(l)->w), (bytes), (count)))
#define CALL(l, NAME, lower, ...) CALL_DATA(l, NAME, lower, NULL, 0, __VA_ARGS__)
#define REPLY(l, lower, ret) \
	do { \
		struct inlay_reader reply_reader = inlay_reader((l)->rq.reply_body, (l)->rq.reply_len); \
\
		assert_int_equal(inlay_get_##lower##_rep(&reply_reader, (ret)), 0); \
	} while (0)

static inline uint64_t local_create(struct local *l, const char *name, uint32_t flags)
{
	struct inlay_create_rep rep;

	assert_int_equal(CALL(l, CREATE, create, .dir = l->root, .name = inlay_str(name), .flags = flags, .mode = 0644), 0);
	REPLY(l, create, &rep);
	return rep.handle;
}

#endif
