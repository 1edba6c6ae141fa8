/*
 * Bytes as the kernel's requests, on two sides in memory, of which the remote one may lie: nothing may crash, each request
 * is answered at most once and gone at the end, and every reference given back. An input is a list of requests:
 *   opcode, nodeid, number of the file handle (a byte each), then the argument: 2 bytes of length and the bytes.
 * Numbers below 16 stand for nodes and files that earlier answers brought, others for themselves. In place of an opcode:
 *   200  the server's answer to its next-but-`nodeid`th call is something else, as the argument says; see lie()
 *   201  the server holds its answers back; 202: it answers the oldest, 203: all, and holds back no more
 *   204  the server wakes whoever waits for a lock, or says so of something else
 *   205  the server was restarted: all that is open is reclaimed
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/bytes.h"
#include "intercept/fuse/channel.h"
#include "net/crew.h"

#include "../unit/fake_sides.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define KNOWN 16
#define REQUESTS_MAX 200u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct fake_world w;
	uint8_t *lie;      /* what the answer is to be; NULL: it is right */
	size_t lie_len;
	unsigned lie_in;   /* calls */
	uint8_t *said[2];  /* body and payload of the last lie */
	bool reclaiming;
	struct inlay_crew *crew;
	struct inlay_fuse fuse;
	struct inlay_fuse_channel channel;
	int kernel; /* the other end of the device */
	uint64_t nodes[KNOWN], files[KNOWN];
	struct {
		uint64_t node, count;
	} lookups[4096];
	unsigned node_count, file_count, lookup_count;
	uint8_t *kept[REQUESTS_MAX]; /* requests whose answers are held back */
	unsigned kept_count;
	struct {
		uint32_t opcode;
		bool answered;
	} asked[REQUESTS_MAX + 1]; /* by unique */
	uint64_t unique;           /* the last one */
};

static void hear(struct fuzz *z);
static void lie(struct fake_side *f, const struct inlay_call *c, struct inlay_reply *r);

static void over(void *arg)
{
	(void)arg;
}

static void fuzz_init(struct fuzz *z)
{
	static const char *const rules[] = {"local *.l", "remote *.r", "local dl/", NULL};
	const struct inlay_crew_config config = {.loops = 1, .spares_max = 1};
	int pair[2];

	memset(z, 0, sizeof *z);
	fake_world_init(&z->w, rules);
	z->w.r.repost = inlay_fuse_repost;
	z->w.side[INLAY_REMOTE].mangle = lie;
	z->w.side[INLAY_REMOTE].arg = z;
	FAKE_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	FAKE_REQUIRE(inlay_crew_new(&config, &z->crew) == 0);
	z->kernel = pair[1];
	z->fuse.config = (struct inlay_fuse_config){.redirect = &z->w.r, .crew = z->crew, .over = over};
	z->fuse.channel = &z->channel;
	z->fuse.channels = 1;
	pthread_mutex_init(&z->fuse.lock, NULL);
	z->channel.fuse = &z->fuse;
	z->channel.source.fd = pair[0];
	z->channel.chunk = inlay_chunk_new(INLAY_CHUNK_LARGE);
	FAKE_REQUIRE(z->channel.chunk);
	inlay_list_init(&z->channel.inflight);
	inlay_list_init(&z->channel.spare);
	z->nodes[z->node_count++] = INLAY_ROOT_NUMBER;
}

/* ---- a server that lies ---- */

static uint8_t *exactly(uint8_t **place, const uint8_t *p, size_t len, size_t cap)
{
	free(*place);
	*place = calloc(1, cap ? cap : 1); /* so that reading on is found */
	FAKE_REQUIRE(*place);
	if (p && len)
		memcpy(*place, p, len < cap ? len : cap);
	return *place;
}

/*
 * The argument: how (a byte), then bytes. 1: the status is the next byte. 2: the body is changed at a byte's offset; 4: it
 * is as long as a byte says, in eights. 8: the payload is as long as 2 bytes say, what it lacks are the argument's bytes.
 */
static void lie(struct fake_side *f, const struct inlay_call *c, struct inlay_reply *r)
{
	struct fuzz *z = f->arg;
	struct inlay_reader in;
	uint8_t how;

	(void)c;
	if (!z->lie || z->lie_in--)
		return;
	in = inlay_reader(z->lie, z->lie_len);
	how = z->lie_len ? *inlay_read_bytes(&in, 1) : 1;
	z->w.lossy = true; /* what was opened is never told */
	if (how & 1) {
		*r = (struct inlay_reply){.status = in.p < in.end && *in.p ? -(int)*in.p : -INLAY_EIO};
	} else if (r->status == 0) {
		uint32_t body_len = how & 4 && in.p < in.end ? *inlay_read_bytes(&in, 1) * 8u : r->body_len;
		uint8_t *body = exactly(&z->said[0], r->body, r->body_len, body_len);
		size_t at = how & 2 && in.p < in.end ? *inlay_read_bytes(&in, 1) : SIZE_MAX;
		const uint8_t *len = how & 8 ? inlay_read_bytes(&in, 2) : NULL;

		for (; at < body_len && in.p < in.end; at++)
			body[at] = *inlay_read_bytes(&in, 1);
		if (len) {
			uint8_t *data = exactly(&z->said[1], in.p, (size_t)(in.end - in.p), inlay_load16(len));

			r->data = data;
			r->data_len = inlay_load16(len);
			r->hold = NULL;
		}
		r->body = body;
		r->body_len = body_len;
	}
	free(z->lie);
	z->lie = NULL;
}

static void lie_later(struct fuzz *z, unsigned in, const uint8_t *arg, size_t len)
{
	z->lie_len = len;
	z->lie_in = in % 8;
	exactly(&z->lie, arg, len, len);
}

static void reclaim_send(void *arg, struct inlay_call *c)
{
	struct fuzz *z = arg;

	z->w.side[INLAY_REMOTE].port.submit(&z->w.side[INLAY_REMOTE].port, 0, c);
}

static void reclaim_over(void *arg, unsigned files, unsigned stale, unsigned lost)
{
	(void)files, (void)stale, (void)lost;
	((struct fuzz *)arg)->reclaiming = false;
}

static void reclaim(struct fuzz *z, uint8_t boot)
{
	static const struct inlay_reclaim_ops ops = {reclaim_send, reclaim_over};

	if (z->reclaiming)
		return;
	z->reclaiming = true;
	if (inlay_redirect_reclaim(&z->w.r, &(struct inlay_uuid){{1, boot}}, &ops, z) < 0)
		z->reclaiming = false;
}

static void hold_no_more(struct fuzz *z)
{
	z->w.side[INLAY_REMOTE].hold = false;
	while (fake_release(&z->w.side[INLAY_REMOTE]))
		;
}

static void serve_badly(struct fuzz *z, const uint8_t head[5], const uint8_t *arg, size_t len)
{
	struct fake_side *remote = &z->w.side[INLAY_REMOTE];
	struct inlay_event_lock_req e = {.kind = head[2] & 1};

	switch (head[0]) {
	case 200:
		lie_later(z, head[1], arg, len);
		break;
	case 201:
		remote->hold = true;
		break;
	case 202:
		(void)fake_release(remote);
		break;
	case 203:
		hold_no_more(z);
		break;
	case 204:
		if (len >= 16) {
			e.handle = inlay_load64(arg);
			e.owner = inlay_load64(arg + 8);
		}
		inlay_redirect_event_lock(&z->w.r, INLAY_REMOTE, &e);
		break;
	default:
		reclaim(z, head[1]);
	}
	inlay_loop_drain(inlay_crew_loop(z->crew, 0));
	hear(z);
}

/* ---- the kernel ---- */

static void learn_node(struct fuzz *z, uint64_t node)
{
	if (z->lookup_count < sizeof z->lookups / sizeof z->lookups[0]) {
		z->lookups[z->lookup_count].node = node;
		z->lookups[z->lookup_count++].count = 1;
	}
	z->nodes[z->node_count++ % KNOWN] = node;
}

/* What the kernel would make of the answers. */
static void hear(struct fuzz *z)
{
	static uint8_t buf[2u << 20];
	struct fuse_out_header h;
	uint32_t opcode;
	ssize_t n;

	while ((n = recv(z->kernel, buf, sizeof buf, 0)) > 0) {
		FAKE_REQUIRE((size_t)n >= sizeof h);
		memcpy(&h, buf, sizeof h);
		FAKE_REQUIRE(h.len == (size_t)n && h.error <= 0 && h.error > -1000 && (h.error == 0 || n == sizeof h));
		if (!h.unique)
			continue; /* told without being asked */
		FAKE_REQUIRE(h.unique <= z->unique && !z->asked[h.unique].answered);
		z->asked[h.unique].answered = true;
		opcode = z->asked[h.unique].opcode;
		if (h.error)
			continue;
		if ((opcode == FUSE_LOOKUP || opcode == FUSE_MKDIR || opcode == FUSE_MKNOD || opcode == FUSE_SYMLINK ||
		     opcode == FUSE_LINK || opcode == FUSE_CREATE || opcode == FUSE_TMPFILE) &&
		    (size_t)n >= sizeof h + sizeof(struct fuse_entry_out)) {
			struct fuse_entry_out e;

			memcpy(&e, buf + sizeof h, sizeof e);
			learn_node(z, e.nodeid);
		}
		if (opcode == FUSE_OPEN || opcode == FUSE_OPENDIR || opcode == FUSE_CREATE || opcode == FUSE_TMPFILE) {
			struct fuse_open_out o;

			FAKE_REQUIRE((size_t)n >= sizeof h + sizeof o);
			memcpy(&o, buf + n - sizeof o, sizeof o);
			z->files[z->file_count++ % KNOWN] = o.fh;
		}
	}
}

/* Where the kernel's structures have their file handle: at the start of nearly all of them. */
static bool has_handle(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_FLUSH:
	case FUSE_READDIR:
	case FUSE_GETLK:
	case FUSE_SETLK:
	case FUSE_SETLKW:
	case FUSE_FALLOCATE:
	case FUSE_LSEEK:
	case FUSE_COPY_FILE_RANGE:
	case INLAY_FUSE_COPY_FILE_RANGE_64:
		return true;
	default:
		return false;
	}
}

static void request(struct fuzz *z, uint32_t opcode, uint8_t node, uint8_t file, const uint8_t *arg, size_t len)
{
	struct fuse_in_header h = {.len = (uint32_t)(sizeof h + len), .opcode = opcode, .unique = ++z->unique,
	                           .nodeid = node < KNOWN ? z->nodes[node] : node};
	uint8_t *p = malloc(sizeof h + len); /* exactly, so that reading on is found */

	FAKE_REQUIRE(p);
	z->asked[z->unique].opcode = opcode;
	memcpy(p, &h, sizeof h);
	memcpy(p + sizeof h, arg, len);
	if (has_handle(opcode) && len >= 8)
		memcpy(p + sizeof h, file < KNOWN ? &z->files[file] : &(uint64_t){file}, 8);
	if (opcode == FUSE_LINK && len >= 8)
		memcpy(p + sizeof h, file < KNOWN ? &z->nodes[file] : &(uint64_t){file}, 8);
	if ((opcode == FUSE_RENAME || opcode == FUSE_RENAME2) && len >= 8)
		memcpy(p + sizeof h, file < KNOWN ? &z->nodes[file] : &(uint64_t){file}, 8);
	if (opcode == FUSE_INTERRUPT && len >= 8)
		memcpy(p + sizeof h, &(uint64_t){z->unique - file}, 8);
	inlay_fuse_take(&z->channel, z->channel.source.fd, z->channel.chunk, p, sizeof h + len);
	inlay_loop_drain(inlay_crew_loop(z->crew, 0));
	hear(z);
	if (z->w.side[INLAY_REMOTE].hold)
		z->kept[z->kept_count++] = p; /* as the chunk is kept, that the kernel's requests come in */
	else
		free(p); /* what waits for a lock must not need it */
}

static void fuzz_end(struct fuzz *z)
{
	hold_no_more(z);
	inlay_redirect_stop_waiting(&z->w.r);
	while (inlay_loop_drain(inlay_crew_loop(z->crew, 0)))
		;
	FAKE_REQUIRE(!z->reclaiming);
	FAKE_REQUIRE(inlay_list_empty(&z->channel.inflight));
	hear(z);
	for (unsigned i = 0; i < z->lookup_count; i++)
		inlay_redirect_forget(&z->w.r, 0, z->lookups[i].node, z->lookups[i].count);
}

static void close_one(uint64_t id, void *object, void *arg)
{
	struct fuzz *z = arg;

	(void)id;
	inlay_redirect_abandon_file(&z->w.r, 0, object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz z;
	struct inlay_reader in = inlay_reader(data, size);
	struct inlay_list *it;

	fuzz_init(&z);
	for (unsigned i = 0; i < REQUESTS_MAX && in.p < in.end; i++) {
		const uint8_t *head = inlay_read_bytes(&in, 5);
		size_t len = head ? inlay_load16(head + 3) : 0;
		const uint8_t *arg;

		if (!head)
			break;
		if (len > (size_t)(in.end - in.p))
			len = (size_t)(in.end - in.p);
		arg = inlay_read_bytes(&in, len);
		if (head[0] >= 200 && head[0] <= 205)
			serve_badly(&z, head, arg, len);
		else
			request(&z, head[0], head[1], head[2], arg, len);
	}
	fuzz_end(&z);
	inlay_table_each(z.w.r.files, close_one, &z);
	free(z.lie);
	z.lie = NULL;
	free(z.said[0]);
	free(z.said[1]);
	while (z.kept_count)
		free(z.kept[--z.kept_count]);
	while ((it = inlay_list_pop(&z.channel.spare)))
		free(inlay_container(it, struct inlay_fuse_request, link));
	inlay_chunk_unref(z.channel.chunk);
	fake_world_done(&z.w);
	inlay_crew_free(z.crew);
	pthread_mutex_destroy(&z.fuse.lock);
	close(z.channel.source.fd);
	close(z.kernel);
	return 0;
}
