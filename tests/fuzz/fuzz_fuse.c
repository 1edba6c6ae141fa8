/*
 * Bytes as the kernel's requests, on two sides in memory: nothing may crash, each request is answered at most once and
 * gone at the end, and every reference given back. An input is a list of requests:
 *   opcode, nodeid, number of the file handle (a byte each), then the argument: 2 bytes of length and the bytes.
 * Numbers below 16 stand for nodes and files that earlier answers brought, others for themselves.
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct fake_world w;
	struct inlay_crew *crew;
	struct inlay_fuse fuse;
	struct inlay_fuse_channel channel;
	int kernel; /* the other end of the device */
	uint64_t nodes[KNOWN], files[KNOWN];
	struct {
		uint64_t node, count;
	} lookups[4096];
	unsigned node_count, file_count, lookup_count;
};

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

static void learn_node(struct fuzz *z, uint64_t node)
{
	if (z->lookup_count < sizeof z->lookups / sizeof z->lookups[0]) {
		z->lookups[z->lookup_count].node = node;
		z->lookups[z->lookup_count++].count = 1;
	}
	z->nodes[z->node_count++ % KNOWN] = node;
}

/* What the kernel would make of the answers. */
static void hear(struct fuzz *z, uint32_t opcode, uint64_t unique)
{
	static uint8_t buf[2u << 20];
	struct fuse_out_header h;
	unsigned answers = 0;
	ssize_t n;

	while ((n = recv(z->kernel, buf, sizeof buf, 0)) > 0) {
		FAKE_REQUIRE((size_t)n >= sizeof h);
		memcpy(&h, buf, sizeof h);
		FAKE_REQUIRE(h.len == (size_t)n && h.error <= 0 && h.error > -1000 && (h.error == 0 || n == sizeof h));
		if (h.unique != unique)
			continue;
		FAKE_REQUIRE(++answers == 1);
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
	static uint64_t unique;
	struct fuse_in_header h = {.len = (uint32_t)(sizeof h + len), .opcode = opcode, .unique = ++unique,
	                           .nodeid = node < KNOWN ? z->nodes[node] : node};
	uint8_t *p = malloc(sizeof h + len); /* exactly, so that reading on is found */

	FAKE_REQUIRE(p);
	memcpy(p, &h, sizeof h);
	memcpy(p + sizeof h, arg, len);
	if (has_handle(opcode) && len >= 8)
		memcpy(p + sizeof h, file < KNOWN ? &z->files[file] : &(uint64_t){file}, 8);
	if (opcode == FUSE_LINK && len >= 8)
		memcpy(p + sizeof h, file < KNOWN ? &z->nodes[file] : &(uint64_t){file}, 8);
	if ((opcode == FUSE_RENAME || opcode == FUSE_RENAME2) && len >= 8)
		memcpy(p + sizeof h, file < KNOWN ? &z->nodes[file] : &(uint64_t){file}, 8);
	if (opcode == FUSE_INTERRUPT && len >= 8)
		memcpy(p + sizeof h, &(uint64_t){unique - file}, 8);
	inlay_fuse_take(&z->channel, p, sizeof h + len);
	inlay_loop_drain(inlay_crew_loop(z->crew, 0));
	hear(z, opcode, unique);
	free(p); /* what still waits must not need it */
}

static void fuzz_end(struct fuzz *z)
{
	inlay_redirect_stop_waiting(&z->w.r);
	while (inlay_loop_drain(inlay_crew_loop(z->crew, 0)))
		;
	FAKE_REQUIRE(inlay_list_empty(&z->channel.inflight));
	hear(z, 0, 0);
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
	for (unsigned i = 0; i < 200 && in.p < in.end; i++) {
		const uint8_t *head = inlay_read_bytes(&in, 5);
		size_t len = head ? inlay_load16(head + 3) : 0;
		const uint8_t *arg;

		if (!head)
			break;
		if (len > (size_t)(in.end - in.p))
			len = (size_t)(in.end - in.p);
		arg = inlay_read_bytes(&in, len);
		request(&z, head[0], head[1], head[2], arg, len);
	}
	fuzz_end(&z);
	inlay_table_each(z.w.r.files, close_one, &z);
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
