/*
 * An attachment's memory that outlives its process.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/handover.h"

#include "base/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the tables may hold at most; untouched rows cost nothing. */
static const struct inlay_estate_caps caps = {.nodes = 1u << 26, .files = INLAY_HANDLES_MAX, .locks = 1u << 20};

enum flags { READONLY = 1, INSECURE = 2, ALLOW_OTHER = 4, SERVER_RULES = 8 };

static int map(struct inlay_handover *h)
{
	h->memory = mmap(NULL, h->len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, h->fd, 0);
	if (h->memory == MAP_FAILED) {
		h->memory = NULL;
		return inlay_status_from_errno(errno);
	}
	(void)madvise(h->memory, h->len, MADV_DONTDUMP);
	return 0;
}

int inlay_handover_new(struct inlay_handover *ret)
{
	int err;

	*ret = (struct inlay_handover){.fd = memfd_create("inlay-estate", MFD_CLOEXEC), .len = inlay_estate_len(&caps)};
	if (ret->fd < 0 || ftruncate(ret->fd, (off_t)ret->len) < 0)
		return inlay_status_from_errno(errno);
	err = map(ret);
	if (err == 0)
		err = inlay_estate_new(ret->memory, &caps, &ret->estate);
	if (err == 0) {
		ret->papers = inlay_estate_host(ret->estate);
		ret->papers->size = sizeof *ret->papers;
	}
	return err;
}

int inlay_handover_open(int fd, struct inlay_handover *ret)
{
	struct stat st;
	int err;

	*ret = (struct inlay_handover){.fd = fd};
	if (fstat(fd, &st) < 0)
		return inlay_status_from_errno(errno);
	ret->len = (size_t)st.st_size;
	err = map(ret);
	if (err == 0)
		err = inlay_estate_open(ret->memory, ret->len, &ret->estate);
	if (err < 0)
		return err;
	ret->papers = inlay_estate_host(ret->estate);
	if (ret->papers->size != sizeof *ret->papers || !ret->papers->words || ret->papers->words > INLAY_HANDOVER_WORDS ||
	    ret->papers->word[ret->papers->words - 1])
		return -INLAY_EPROTO;
	return 0;
}

void inlay_handover_close(struct inlay_handover *h)
{
	inlay_estate_free(h->estate);
	if (h->memory)
		munmap(h->memory, h->len);
	if (h->fd >= 0)
		close(h->fd);
	*h = (struct inlay_handover){.fd = -1};
}

static bool put_word(struct inlay_handover_papers *p, uint32_t *used, const char *text)
{
	size_t len = strlen(text) + 1;

	if (len > INLAY_HANDOVER_WORDS - *used)
		return false;
	memcpy(p->word + *used, text, len);
	*used += (uint32_t)len;
	return true;
}

int inlay_handover_write(struct inlay_handover *h, const struct inlay_attachment_config *config, unsigned lanes)
{
	struct inlay_handover_papers *p = h->papers;
	uint32_t used = 0;
	bool ok = put_word(p, &used, config->source) && put_word(p, &used, config->dir);

	for (const char *const *rule = config->rules; ok && rule && *rule; rule++)
		ok = put_word(p, &used, *rule);
	if (!ok)
		return -INLAY_EOVERFLOW;
	p->lanes = lanes;
	p->timeout_ms = config->timeout_ms;
	p->flags = (config->readonly ? READONLY : 0) | (config->insecure ? INSECURE : 0) |
	           (config->allow_other ? ALLOW_OTHER : 0) | (config->server_rules ? SERVER_RULES : 0);
	p->words = used;
	return 0;
}

int inlay_handover_read(const struct inlay_handover *h, struct inlay_attachment_config *ret, const char ***rules)
{
	const struct inlay_handover_papers *p = h->papers;
	const char *end = p->word + p->words, *at = p->word;
	const char **list;
	size_t count = 0;

	for (const char *c = p->word; c < end; c++)
		count += !*c;
	list = calloc(count + 1, sizeof *list);
	if (!list)
		return -INLAY_ENOMEM;
	for (size_t i = 0; i < count; i++, at += strlen(at) + 1)
		list[i] = at;
	*ret = (struct inlay_attachment_config){.source = list[0], .dir = count > 1 ? list[1] : "", .timeout_ms = p->timeout_ms,
	                                        .connections = p->lanes, .readonly = p->flags & READONLY,
	                                        .insecure = p->flags & INSECURE, .allow_other = p->flags & ALLOW_OTHER,
	                                        .server_rules = p->flags & SERVER_RULES};
	*rules = list;
	ret->rules = count > 2 ? list + 2 : list + count;
	if (count < 2 || p->lanes < 1 || p->lanes > INLAY_LANES_MAX) {
		free(list);
		return -INLAY_EPROTO;
	}
	return 0;
}
