/*
 * Taking a mount over: the kernel asks again for what a predecessor had read and not answered; that is begun first, each
 * request on the lane that had it, so that it finds what became of it.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Source: the kernel's fuse_resend() in fs/fuse/dev.c: requests to be sent again stand before all new ones.
 */
#include "intercept/fuse/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

struct asked {
	struct inlay_list link;
	struct inlay_chunk *chunk;
	const uint8_t *p;
	size_t len;
	int fd;
};

static uint64_t unique_of(const struct asked *a)
{
	return ((const struct fuse_in_header *)(const void *)a->p)->unique;
}

static int note(struct inlay_fuse *f, uint64_t origin)
{
	uint64_t *grown = realloc(f->origins, (f->origin_count + 1) * sizeof *grown);

	if (!grown)
		return -INLAY_ENOMEM;
	f->origins = grown;
	f->origins[f->origin_count++] = origin;
	return 0;
}

/* 1: one was read; 0: none is there, or the first that is new was read. */
static int collect_one(struct inlay_fuse *f)
{
	struct inlay_fuse_channel *ch = &f->channel[0];
	uint8_t *room = inlay_fuse_read_room(ch);
	const struct fuse_in_header *in = (const void *)room;
	struct asked *a = room ? malloc(sizeof *a) : NULL;
	ssize_t n;

	if (!a)
		return -INLAY_ENOMEM;
	do {
		n = read(ch->source.fd, room, INLAY_FUSE_READ_ROOM);
	} while (n < 0 && (errno == EINTR || errno == ENOENT));
	if (n < (ssize_t)sizeof *in) {
		free(a);
		return n < 0 && errno == ENODEV ? -INLAY_ENOTCONN : 0;
	}
	inlay_fuse_use_room(ch, (size_t)n);
	*a = (struct asked){.chunk = inlay_chunk_ref(ch->chunk), .p = room, .len = (size_t)n, .fd = ch->source.fd};
	inlay_list_append(&f->asked, &a->link);
	if (in->unique & INLAY_FUSE_UNIQUE_RESEND) {
		int err = note(f, inlay_fuse_origin(in->unique));

		return err < 0 ? err : 1;
	}
	return in->opcode == FUSE_INTERRUPT || in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int inlay_fuse_collect(struct inlay_fuse *f)
{
	struct fuse_out_header h = {.len = sizeof h, .error = INLAY_FUSE_NOTIFY_RESEND};
	int r;

	inlay_list_init(&f->asked);
	for (unsigned i = 0; i < f->channels; i++)
		inlay_list_init(&f->channel[i].asked);
	if (write(f->channel[0].source.fd, &h, sizeof h) != (ssize_t)sizeof h)
		return errno == ENODEV ? -INLAY_ENOTCONN : inlay_status_from_errno(errno);
	while ((r = collect_one(f)) > 0)
		;
	if (f->origin_count)
		qsort(f->origins, f->origin_count, sizeof *f->origins, compare);
	return r;
}

bool inlay_fuse_can_inherit(const struct inlay_fuse *f)
{
	return f->flags & INLAY_FUSE_HAS_RESEND;
}

bool inlay_fuse_is_asked(const struct inlay_fuse *f, uint64_t origin)
{
	return f->origin_count && bsearch(&origin, f->origins, f->origin_count, sizeof origin, compare);
}

void inlay_fuse_route(struct inlay_fuse *f, int (*lane_of)(void *arg, uint64_t origin), void *arg)
{
	struct inlay_list *it;

	while ((it = inlay_list_pop(&f->asked))) {
		uint64_t unique = unique_of(inlay_container(it, struct asked, link));
		int lane = unique & INLAY_FUSE_UNIQUE_RESEND ? lane_of(arg, inlay_fuse_origin(unique)) : -1;

		inlay_list_append(&f->channel[lane > 0 && (unsigned)lane < f->channels ? lane : 0].asked, it);
	}
}

static void asked_free(struct asked *a)
{
	inlay_chunk_unref(a->chunk);
	free(a);
}

static void begin(struct inlay_task *t)
{
	struct inlay_fuse_channel *ch = inlay_container(t, struct inlay_fuse_channel, begin);
	struct inlay_list *it = inlay_list_pop(&ch->asked);
	struct asked *a;

	if (!it)
		return;
	/* It may cost this thread the loop: the rest is for whoever has it then. */
	inlay_fuse_begin_asked(ch);
	a = inlay_container(it, struct asked, link);
	inlay_fuse_take(ch, a->fd, a->chunk, a->p, a->len);
	asked_free(a);
}

void inlay_fuse_begin_asked(struct inlay_fuse_channel *ch)
{
	if (!ch->asked.next || inlay_list_empty(&ch->asked))
		return;
	ch->begin = (struct inlay_task){.done = begin};
	inlay_loop_post(inlay_crew_loop(ch->fuse->config.crew, ch->lane), &ch->begin);
}

static void free_list(struct inlay_list *head)
{
	struct inlay_list *it;

	while (head->next && (it = inlay_list_pop(head)))
		asked_free(inlay_container(it, struct asked, link));
}

void inlay_fuse_free_asked(struct inlay_fuse *f)
{
	free_list(&f->asked);
	for (unsigned i = 0; i < f->channels; i++)
		free_list(&f->channel[i].asked);
	free(f->origins);
}
