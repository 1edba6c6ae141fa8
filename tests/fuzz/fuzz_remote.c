/*
 * A server's answers to `inlay ls`, `cat` and `cp`: what it says of names, links and listings, rightly or not. Nothing may
 * come of it but a file, a listing of names that are safe to use, or an error.
 *
 * An input is what the server says, call by call: status, length of the body (a byte each), length of the payload (two),
 * and the bytes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/bytes.h"
#include "base/status.h"
#include "cmd/remote.h"

#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

/* Stands in for the visit of cmd/client.c. */
struct inlay_visit {
	struct inlay_client client;
	struct inlay_cred cred;
	struct inlay_reader in;
	unsigned calls;
	uint8_t room[4096];
	uint8_t *body, *data;
};

const struct inlay_client *inlay_visit_client(const struct inlay_visit *v)
{
	return &v->client;
}

const struct inlay_cred *inlay_visit_cred(const struct inlay_visit *v)
{
	return &v->cred;
}

struct inlay_writer inlay_visit_begin(struct inlay_visit *v, uint16_t type)
{
	(void)type;
	return inlay_writer(v->room, sizeof(v->room));
}

/* A copy of exactly its size, so that reading on is found. */
static uint8_t *said(struct inlay_visit *v, uint8_t **place, size_t len)
{
	const uint8_t *p = inlay_read_bytes(&v->in, len);

	free(*place);
	*place = malloc(len ? len : 1);
	require(*place);
	if (p)
		memcpy(*place, p, len);
	return p ? *place : NULL;
}

int inlay_visit_call(struct inlay_visit *v, const struct inlay_writer *w, struct inlay_visit_answer *ret)
{
	const uint8_t *head = inlay_read_bytes(&v->in, 4);
	const uint8_t *body, *data;
	uint32_t body_len, data_len;

	require(!w->full);
	if (!head || ++v->calls > CALLS_MAX || head[0])
		return head && head[0] ? -(int)head[0] : -INLAY_ETIMEDOUT;
	body_len = head[1] * 8u;
	data_len = inlay_load16(head + 2);
	body = said(v, &v->body, body_len);
	data = said(v, &v->data, data_len);
	if (!body || !data)
		return -INLAY_ETIMEDOUT;
	*ret = (struct inlay_visit_answer){inlay_reader(body, body_len), data, data_len};
	return 0;
}

static void check_name(const char *name)
{
	require(*name && strlen(name) <= INLAY_NAME_MAX && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, ".."));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct inlay_visit v;
	struct inlay_remote_listing l;
	struct inlay_remote_file f;
	char name[INLAY_NAME_MAX + 1], target[INLAY_TARGET_MAX + 1];

	memset(&v, 0, sizeof(v));
	v.in = inlay_reader(data, size);
	v.client.max_data = INLAY_DATA_MAX;
	v.client.root_attr.mode = 0040755;
	if (size % 3 == 0) {
		if (inlay_remote_walk(&v, "a/../b/c", size % 2, &f) == 0)
			(void)inlay_remote_readlink(&v, &f.node, target);
		if (inlay_remote_walk_parent(&v, "a/b/c", &f, name) == 0)
			require(strcmp(name, "c") == 0);
	}
	if (inlay_remote_list(&v, &v.client.root, &l) == 0) {
		for (size_t i = 0; i < l.count; i++)
			check_name(l.entry[i].name);
		for (size_t i = 1; i < l.count; i++)
			require(strcmp(l.entry[i - 1].name, l.entry[i].name) <= 0);
		inlay_remote_listing_done(&l);
	}
	free(v.body);
	free(v.data);
	return 0;
}
