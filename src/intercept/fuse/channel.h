/*
 * Private to src/intercept/fuse: a channel per loop, a request per kernel request.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_INTERCEPT_FUSE_CHANNEL_H
#define INLAY_INTERCEPT_FUSE_CHANNEL_H

#include "base/status.h"
#include "intercept/fuse/abi.h"
#include "intercept/fuse/fuse.h"
#include "net/chunk.h"

#include <pthread.h>

#define INLAY_FUSE_MAX_WRITE INLAY_DATA_MAX
/* What one read(2) of the device must have room for: see fuse_dev_do_read() in the kernel. */
#define INLAY_FUSE_READ_ROOM (INLAY_FUSE_MAX_WRITE + 4096u)
#define INLAY_FUSE_EARLY 64u /* interrupts remembered that may have come before their request */

_Static_assert(INLAY_CHUNK_LARGE > INLAY_FUSE_READ_ROOM, "a request fits in a chunk");

struct inlay_fuse_channel {
	struct inlay_source source;
	struct inlay_fuse *fuse;
	unsigned lane;
	struct inlay_chunk *chunk;   /* requests are read into it, one after the other */
	size_t used;                 /* bytes of it taken */
	struct inlay_list inflight;  /* requests */
	struct inlay_list spare;     /* request structs to use again */
	struct inlay_task arm;       /* has the loop wait for the device again */
	_Atomic bool armed;          /* it does, or is about to */
	unsigned misses;             /* wake-ups for nothing, of late */
	struct inlay_timer look;     /* runs while a request is watched */
	struct inlay_list asked;     /* requests of a predecessor, to be begun first */
	struct inlay_task begin;     /* begins them */
};

struct inlay_fuse {
	struct inlay_fuse_config config;
	struct inlay_fuse_channel *channel;
	unsigned channels;
	uint64_t flags;              /* negotiated */
	_Atomic bool over;
	_Atomic bool passthrough;
	char passthrough_why[128];
	/* Numbers of requests that a predecessor left, ascending; fixed once there are loops. */
	uint64_t *origins;
	size_t origin_count;
	struct inlay_list asked;     /* until they are routed */
	pthread_mutex_t lock;        /* of all below, and of every node's backing_id and backing_users */
	uint64_t early[INLAY_FUSE_EARLY]; /* uniques interrupted before they were seen */
	unsigned early_at;
};

/* A kernel request under way. Its in-bytes stay in `chunk` until it is answered. */
struct inlay_fuse_request {
	struct inlay_op op;
	struct inlay_fuse_channel *channel;
	struct inlay_list link;      /* inflight or spare */
	struct inlay_task task;      /* for reposts and rounds */
	unsigned round;              /* refused locks: the channel to be passed next; one more than there are: all were */
	const struct fuse_in_header *in;
	uint64_t unique, start_ns;
	int fd;                      /* the kernel takes the answer only where it gave the request */
	bool resent;
	uint32_t opcode;
	uint32_t size;               /* most bytes of the answer that the kernel takes */
	uint32_t pid;                /* who waits for it; 0: not known */
	bool watched;                /* answered at once when its caller is dying */
	bool early;                  /* was so: nobody waits for it any more */
	struct inlay_chunk *chunk;
};

static inline struct inlay_fuse_request *inlay_fuse_request_of(struct inlay_op *op)
{
	return inlay_container(op, struct inlay_fuse_request, op);
}

/*
 * A handler takes a request whose fixed part `arg` and rest (`len` bytes in all, arg included) have the length that its table row
 * asks for. It must answer, now or by its op's finish. After it returned the caller checks whether it still owns the loop.
 */
typedef void inlay_fuse_handler(struct inlay_fuse_request *rq, const void *arg, size_t len);

/* Starts the request whose bytes were read from fd to p, 8-aligned and within chunk. What is none is dropped. */
void inlay_fuse_take(struct inlay_fuse_channel *ch, int fd, struct inlay_chunk *chunk, const uint8_t *p, size_t len);
/* Room for the next request, in ch->chunk; NULL: out of memory. And the bytes of it that one takes. */
uint8_t *inlay_fuse_read_room(struct inlay_fuse_channel *ch);
void inlay_fuse_use_room(struct inlay_fuse_channel *ch, size_t len);

/* ---- resume.c ---- */
/* The origin of a request's calls. */
static inline uint64_t inlay_fuse_origin(uint64_t unique)
{
	return unique & ~INLAY_FUSE_UNIQUE_RESEND;
}
/* Has the kernel ask again for everything that it waits for, and reads that. */
int inlay_fuse_collect(struct inlay_fuse *f);
/* Has the channel's loop begin what was routed to it. */
void inlay_fuse_begin_asked(struct inlay_fuse_channel *ch);
void inlay_fuse_free_asked(struct inlay_fuse *f);

/* ---- answering: each frees the request; true: the kernel took the answer ---- */
bool inlay_fuse_answer(struct inlay_fuse_request *rq, int status, const void *out, size_t len);
bool inlay_fuse_answer_status(struct inlay_fuse_request *rq, int status);
/* Payload of the reply, then zeros. */
bool inlay_fuse_answer_data(struct inlay_fuse_request *rq, const void *data, size_t len, size_t zeros);
/* Doesn't free the request: it goes on, and its answer then finds nobody, as when the kernel doesn't take it. */
void inlay_fuse_answer_early(struct inlay_fuse_request *rq, int status);
/* No answer (FORGET and its like). */
void inlay_fuse_no_answer(struct inlay_fuse_request *rq);

/* ---- preparing the op ---- */
/* Sets cred from the header, groups included. */
void inlay_fuse_take_cred(struct inlay_fuse_request *rq);
/* Sets op.node from the header's node; answers -ESTALE and returns false for an unknown one. */
bool inlay_fuse_take_node(struct inlay_fuse_request *rq);
/* Sets op.file (or file2) from a kernel handle; answers -EBADF and returns false. */
bool inlay_fuse_take_file(struct inlay_fuse_request *rq, uint64_t fh, struct inlay_file **ret);
/*
 * The NUL-terminated name at p with len bytes left. Returns the bytes it takes, NUL included; answers and returns 0 when it is
 * no name of ours.
 */
size_t inlay_fuse_take_name(struct inlay_fuse_request *rq, const char *p, size_t len, struct inlay_str *ret);
uint32_t inlay_fuse_open_flags(uint32_t host, uint32_t fuse_flags);

/* ---- answering with what an op found ---- */
void inlay_fuse_fill_attr(struct fuse_attr *out, const struct inlay_attr *a);
void inlay_fuse_fill_entry(struct fuse_entry_out *out, struct inlay_op *op);
/* Drops the lookup that a reply promised but the kernel did not take. */
void inlay_fuse_untake_lookup(struct inlay_op *op, struct inlay_fuse_channel *ch);

/* ---- passthrough ---- */
void inlay_fuse_pass_init(struct inlay_fuse *f, uint64_t offered);
/* Finds out whether the kernel really grants it: once INIT is answered and the channels are there. */
void inlay_fuse_pass_probe(struct inlay_fuse *f);
/* Fills in how the kernel is to treat the file that was just opened. */
void inlay_fuse_pass_open(struct inlay_fuse *f, struct inlay_file *file, struct inlay_fuse_open_out *out);
void inlay_fuse_pass_close(struct inlay_fuse *f, struct inlay_file *file);

/* ---- handlers, by file ---- */
inlay_fuse_handler inlay_fuse_lookup, inlay_fuse_forget, inlay_fuse_batch_forget, inlay_fuse_create, inlay_fuse_tmpfile,
	inlay_fuse_mkdir, inlay_fuse_mknod, inlay_fuse_symlink, inlay_fuse_unlink, inlay_fuse_rmdir, inlay_fuse_rename,
	inlay_fuse_rename2, inlay_fuse_link;
inlay_fuse_handler inlay_fuse_getattr, inlay_fuse_statx, inlay_fuse_setattr, inlay_fuse_access, inlay_fuse_readlink,
	inlay_fuse_statfs, inlay_fuse_getxattr, inlay_fuse_setxattr, inlay_fuse_listxattr, inlay_fuse_removexattr;
inlay_fuse_handler inlay_fuse_open, inlay_fuse_opendir, inlay_fuse_read, inlay_fuse_write, inlay_fuse_release,
	inlay_fuse_releasedir, inlay_fuse_fsync, inlay_fuse_flush, inlay_fuse_fallocate, inlay_fuse_lseek,
	inlay_fuse_copy, inlay_fuse_copy64, inlay_fuse_readdir;
inlay_fuse_handler inlay_fuse_getlk, inlay_fuse_setlk, inlay_fuse_setlkw, inlay_fuse_interrupt;

/* Has the request answered as soon as its caller is dying; now: looks at once. Owner thread of its channel's loop; it may be freed. */
void inlay_fuse_watch(struct inlay_fuse_request *rq, bool now);
void inlay_fuse_watch_init(struct inlay_fuse_channel *ch);

/* Whether an interrupt for this request came before it. Forgets the note. */
bool inlay_fuse_was_interrupted(struct inlay_fuse *f, uint64_t unique);

#endif
