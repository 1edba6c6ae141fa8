/*
 * An attachment's memory that outlives its process: the estate, and in its host's room what else a successor must know.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_HANDOVER_H
#define INLAY_CMD_HANDOVER_H

#include "cmd/attachment.h"
#include "cmd/local_side.h"
#include "intercept/fuse/fuse.h"
#include "redirect/estate.h"

#define INLAY_HANDOVER_WORDS 98304u /* bytes of configuration */

/* In the host's room. Its size is part of its version. */
struct inlay_handover_papers {
	uint32_t size, lanes;
	uint32_t words;      /* bytes of word; 0: not whole */
	uint32_t flags;
	uint32_t timeout_ms, takeovers;
	uint64_t start_ms;   /* inlay_clock_ms() when it was attached */
	struct inlay_fuse_past fuse;
	struct inlay_local_past local;
	char word[INLAY_HANDOVER_WORDS]; /* source, directory, rules; each NUL-terminated */
};
_Static_assert(sizeof(struct inlay_handover_papers) <= INLAY_ESTATE_HOST, "it has room");

struct inlay_handover {
	int fd; /* of the memory */
	void *memory;
	size_t len;
	struct inlay_estate *estate;
	struct inlay_handover_papers *papers;
};

/* Fresh memory. 0 or a status; *ret is then to be closed all the same. */
int inlay_handover_new(struct inlay_handover *ret);
/* A predecessor's; fd is taken over. -INLAY_EPROTO: of another version, or never finished. */
int inlay_handover_open(int fd, struct inlay_handover *ret);
/* The memory lives on while others have its descriptor. */
void inlay_handover_close(struct inlay_handover *h);

/* Notes the configuration, last of all: from then on there may be a successor. 0, or -INLAY_EOVERFLOW: too many rules. */
int inlay_handover_write(struct inlay_handover *h, const struct inlay_attachment_config *config, unsigned lanes);
/* The configuration; its texts lie in the memory, *rules (an array, NULL-terminated) is the caller's to free. */
int inlay_handover_read(const struct inlay_handover *h, struct inlay_attachment_config *ret, const char ***rules);

#endif
