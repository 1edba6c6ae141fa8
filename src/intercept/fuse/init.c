/*
 * The start of a mount: INIT is answered, and each loop gets a channel of its own.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/log.h"
#include "intercept/fuse/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MAX_BACKGROUND 512u
#define INIT_TIMEOUT_MS 10000

/* What we want of what the kernel offers. */
static const uint64_t wanted =
	FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DONT_MASK |
	FUSE_AUTO_INVAL_DATA | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_HANDLE_KILLPRIV_V2 |
	FUSE_SETXATTR_EXT | FUSE_INIT_EXT | INLAY_FUSE_DIRECT_IO_ALLOW_MMAP | INLAY_FUSE_HAS_RESEND;

static uint64_t choose_flags(struct inlay_fuse *f, const struct fuse_init_in *in)
{
	uint64_t offered = in->flags;

	if (in->flags & FUSE_INIT_EXT)
		offered |= (uint64_t)in->flags2 << 32;
	inlay_fuse_pass_init(f, offered);
	return offered & (wanted | (inlay_fuse_passthrough(f) ? INLAY_FUSE_PASSTHROUGH : 0));
}

static int answer_init(struct inlay_fuse *f, int fd, const struct fuse_in_header *h, const struct fuse_init_in *in)
{
	struct {
		struct fuse_out_header h;
		struct inlay_fuse_init_out out;
	} reply = {.h = {.len = sizeof reply, .unique = h->unique}};

	if (in->major != FUSE_KERNEL_VERSION || in->minor < 31)
		return -INLAY_ENOTSUP; /* before Linux 5.4 */
	f->flags = choose_flags(f, in);
	reply.out = (struct inlay_fuse_init_out){
		.major = FUSE_KERNEL_VERSION,
		.minor = in->minor < INLAY_FUSE_MINOR ? in->minor : INLAY_FUSE_MINOR,
		.max_readahead = INLAY_FUSE_MAX_WRITE,
		.flags = (uint32_t)f->flags,
		.flags2 = (uint32_t)(f->flags >> 32),
		.max_background = MAX_BACKGROUND,
		.congestion_threshold = MAX_BACKGROUND / 4 * 3,
		.max_write = INLAY_FUSE_MAX_WRITE,
		.time_gran = 1,
		.max_pages = INLAY_FUSE_MAX_WRITE / 4096,
		.max_stack_depth = f->flags & INLAY_FUSE_PASSTHROUGH ? 1 : 0,
	};
	return write(fd, &reply, sizeof reply) == (ssize_t)sizeof reply ? 0 : inlay_status_from_errno(errno);
}

static int take_init(struct inlay_fuse *f, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct inlay_chunk *chunk = inlay_chunk_new(INLAY_CHUNK_LARGE);
	const struct fuse_in_header *h;
	ssize_t n = -1;
	int err = -INLAY_ENOMEM;

	if (!chunk)
		return err;
	if (poll(&p, 1, INIT_TIMEOUT_MS) == 1)
		n = read(fd, chunk->mem, INLAY_FUSE_READ_ROOM);
	h = (const void *)chunk->mem;
	err = -INLAY_EPROTO;
	/* Kernels before 5.17 know a shorter INIT; what they don't send counts as zero. */
	if (n >= (ssize_t)(sizeof *h + offsetof(struct fuse_init_in, flags2)) && h->opcode == FUSE_INIT) {
		memset(chunk->mem + n, 0, sizeof(struct fuse_init_in));
		err = answer_init(f, fd, h, (const void *)(h + 1));
	}
	inlay_chunk_unref(chunk);
	return err;
}

/* A second descriptor of the same connection with a queue of its own; shares the first where that isn't allowed. */
static int clone_device(int fd)
{
	uint32_t source = (uint32_t)fd;
	int clone = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (clone >= 0 && ioctl(clone, FUSE_DEV_IOC_CLONE, &source) == 0)
		return clone;
	if (clone >= 0)
		close(clone);
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* Takes the descriptors over in every case: one for each loop, or one from which the others are cloned. */
static int make_channels(struct inlay_fuse *f, const int *fds, unsigned nfds)
{
	unsigned count = inlay_crew_loops(f->config.crew);
	int err = 0;

	f->channel = nfds == 1 || nfds == count ? calloc(count, sizeof *f->channel) : NULL;
	if (!f->channel) {
		for (unsigned i = 0; i < nfds; i++)
			close(fds[i]);
		return nfds == 1 || nfds == count ? -INLAY_ENOMEM : -INLAY_EINVAL;
	}
	for (unsigned i = 0; i < count; i++) {
		struct inlay_fuse_channel *ch = &f->channel[i];

		ch->fuse = f;
		ch->lane = i;
		inlay_list_init(&ch->inflight);
		inlay_fuse_watch_init(ch);
		inlay_list_init(&ch->spare);
		ch->source.fd = i < nfds ? fds[i] : err < 0 ? -1 : clone_device(fds[0]);
		if (ch->source.fd < 0)
			err = inlay_status_from_errno(errno);
		f->channels++;
	}
	return err;
}

static struct inlay_fuse *fuse_new(const struct inlay_fuse_config *config)
{
	struct inlay_fuse *f = calloc(1, sizeof *f);

	if (!f)
		return NULL;
	f->config = *config;
	pthread_mutex_init(&f->lock, NULL);
	return f;
}

int inlay_fuse_new(const struct inlay_fuse_config *config, int fd, struct inlay_fuse **ret)
{
	struct inlay_fuse *f = fuse_new(config);
	int err = -INLAY_ENOMEM;

	if (!f) {
		close(fd);
		return err;
	}
	err = take_init(f, fd);
	if (err == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		err = inlay_status_from_errno(errno);
	if (err < 0) {
		close(fd);
		inlay_fuse_free(f);
		return err;
	}
	err = make_channels(f, &fd, 1);
	if (err < 0) {
		inlay_fuse_free(f);
		return err;
	}
	inlay_fuse_pass_probe(f);
	*ret = f;
	return 0;
}

int inlay_fuse_inherit(const struct inlay_fuse_config *config, const struct inlay_fuse_past *past, const int *fds, unsigned nfds,
                       struct inlay_fuse **ret)
{
	struct inlay_fuse *f = fuse_new(config);
	int err;

	if (!f) {
		for (unsigned i = 0; i < nfds; i++)
			close(fds[i]);
		return -INLAY_ENOMEM;
	}
	f->flags = past->flags;
	atomic_store(&f->passthrough, past->flags & INLAY_FUSE_PASSTHROUGH && past->passthrough);
	snprintf(f->passthrough_why, sizeof f->passthrough_why, "%.*s", (int)sizeof past->passthrough_why - 1, past->passthrough_why);
	err = make_channels(f, fds, nfds);
	if (err == 0)
		err = inlay_fuse_collect(f);
	if (err < 0) {
		inlay_fuse_free(f);
		return err;
	}
	*ret = f;
	return 0;
}

void inlay_fuse_leave(const struct inlay_fuse *f, struct inlay_fuse_past *ret)
{
	*ret = (struct inlay_fuse_past){.flags = f->flags, .passthrough = inlay_fuse_passthrough(f)};
	snprintf(ret->passthrough_why, sizeof ret->passthrough_why, "%s", inlay_fuse_passthrough_why(f));
}

unsigned inlay_fuse_fds(const struct inlay_fuse *f, int *ret, unsigned most)
{
	for (unsigned i = 0; i < f->channels && i < most; i++)
		ret[i] = f->channel[i].source.fd;
	return f->channels;
}

void inlay_fuse_abort(struct inlay_fuse *f)
{
	char path[64];
	int fd;

	if (!f->config.connection)
		return;
	snprintf(path, sizeof path, "/sys/fs/fuse/connections/%u/abort", f->config.connection);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* sysfs without fusectl, or not root: a lazy unmount must do */
	if (write(fd, "1", 1) != 1)
		inlay_debug("%s: %s", path, strerror(errno));
	close(fd);
}

bool inlay_fuse_is_over(const struct inlay_fuse *f)
{
	return atomic_load(&((struct inlay_fuse *)(uintptr_t)f)->over);
}
