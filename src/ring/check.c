/*
 * Layout of a section, and what requests and completions may say.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ring/check.h"

#include <stdbool.h>
#include <string.h>

#define PAGE 4096u
#define LINE 64u
#define NAME_MAX_BYTES (32767u * 2u)
#define OFFSET_MAX ((uint64_t)INT64_MAX)

/* NTSTATUS values, which user land's headers lack. */
#define WIN_SUCCESS 0x00000000u
#define WIN_BUFFER_OVERFLOW 0x80000005u
#define WIN_NO_MORE_FILES 0x80000006u
#define WIN_MORE_PROCESSING_REQUIRED 0xc0000016u
#define WIN_CANT_WAIT 0xc00000d8u
#define WIN_IO_DEVICE_ERROR 0xc0000185u
#define WIN_FACILITY_FILTER_MANAGER 0x1cu

/* What a request of a kind must say, and what may be in its slot. */
enum rule_bits { FILE_NEEDED = 1, NAME_IN_SLOT = 2, DATA_IN_SLOT = 4 };

static const uint8_t rules[INLAY_RING_KIND_TOP] = {
	[INLAY_RING_OPEN] = NAME_IN_SLOT,
	[INLAY_RING_CLOSE] = FILE_NEEDED,
	[INLAY_RING_READ] = FILE_NEEDED | DATA_IN_SLOT,
	[INLAY_RING_WRITE] = FILE_NEEDED | DATA_IN_SLOT,
	[INLAY_RING_FLUSH] = FILE_NEEDED,
	[INLAY_RING_GETATTR] = FILE_NEEDED,
	[INLAY_RING_SETATTR] = FILE_NEEDED,
	[INLAY_RING_LIST] = FILE_NEEDED,
	[INLAY_RING_RENAME_BEGIN] = NAME_IN_SLOT,
	[INLAY_RING_RENAME_END] = FILE_NEEDED,
	[INLAY_RING_REMOVE_BEGIN] = FILE_NEEDED,
	[INLAY_RING_REMOVE_END] = FILE_NEEDED,
	[INLAY_RING_CANCEL] = 0,
	[INLAY_RING_STATFS] = FILE_NEEDED,
};

int inlay_ring_layout(struct inlay_ring_geometry *ret, uint32_t entries, uint32_t slots, uint32_t slot_size)
{
	struct inlay_ring_geometry g = {.entries = entries, .slots = slots, .slot_size = slot_size};

	if (entries > INLAY_RING_ENTRIES_MAX || slots > INLAY_RING_SLOTS_MAX || slot_size > INLAY_RING_SLOT_MAX)
		return -INLAY_EINVAL; /* first, so that nothing below overflows */
	g.sq_off = (uint32_t)sizeof(struct inlay_ring_head);
	g.cq_off = g.sq_off + entries * (uint32_t)sizeof(struct inlay_ring_request);
	g.slots_off = g.cq_off + entries * (uint32_t)sizeof(struct inlay_ring_completion);
	g.slots_off = (g.slots_off + PAGE - 1) / PAGE * PAGE;
	g.size = g.slots_off + (uint64_t)slots * slot_size;
	if (inlay_ring_geometry_check(&g, g.size) < 0)
		return -INLAY_EINVAL;
	*ret = g;
	return 0;
}

static bool counts_are_legal(const struct inlay_ring_geometry *g)
{
	return g->entries && g->entries <= INLAY_RING_ENTRIES_MAX && (g->entries & (g->entries - 1)) == 0 &&
	       g->slots && g->slots <= INLAY_RING_SLOTS_MAX && g->slot_size >= INLAY_RING_SLOT_MIN &&
	       g->slot_size <= INLAY_RING_SLOT_MAX && g->slot_size % PAGE == 0;
}

int inlay_ring_geometry_check(const struct inlay_ring_geometry *g, uint64_t size)
{
	/* The areas stand in this order. 64 bits hold every sum, whatever the offsets. */
	if (!counts_are_legal(g) || g->sq_off % LINE || g->cq_off % LINE || g->slots_off % PAGE ||
	    g->sq_off < sizeof(struct inlay_ring_head) ||
	    g->cq_off < g->sq_off + (uint64_t)g->entries * sizeof(struct inlay_ring_request) ||
	    g->slots_off < g->cq_off + (uint64_t)g->entries * sizeof(struct inlay_ring_completion) ||
	    g->size < g->slots_off + (uint64_t)g->slots * g->slot_size || g->size > INLAY_RING_SECTION_MAX || g->size > size)
		return -INLAY_EPROTO;
	return 0;
}

int inlay_ring_geometry_read(struct inlay_ring_geometry *ret, const void *section, uint64_t size)
{
	/* Volatile: whoever changes the head meanwhile must not make the compiler's copy differ from what was checked. */
	const volatile struct inlay_ring_head *head = section;
	struct inlay_ring_geometry g;

	if (size < sizeof(*head) || head->magic != INLAY_RING_MAGIC)
		return -INLAY_EPROTO;
	if (head->version != INLAY_RING_VERSION)
		return -INLAY_EVERSION;
	g = (struct inlay_ring_geometry){.entries = head->entries, .slots = head->slots, .slot_size = head->slot_size,
	                                 .sq_off = head->sq_off, .cq_off = head->cq_off, .slots_off = head->slots_off,
	                                 .size = head->size};
	if (inlay_ring_geometry_check(&g, size) < 0)
		return -INLAY_EPROTO;
	*ret = g;
	return 0;
}

static bool fields_are_legal(const struct inlay_ring_request *q)
{
	switch (q->kind) {
	case INLAY_RING_OPEN:
		return q->in.open.disposition <= 5; /* FILE_OVERWRITE_IF */
	case INLAY_RING_READ:
		return q->offset <= OFFSET_MAX - q->length;
	case INLAY_RING_WRITE:
		return (q->flags & INLAY_RING_APPEND) || q->offset <= OFFSET_MAX - q->length;
	case INLAY_RING_SETATTR:
		return (q->in.set.mask & ~(uint32_t)(INLAY_RING_SET_SIZE | INLAY_RING_SET_TIMES | INLAY_RING_SET_ATTRIBUTES)) == 0;
	case INLAY_RING_RENAME_BEGIN:
		return q->in.rename.replace <= 1;
	default:
		return true;
	}
}

int inlay_ring_request_check(const struct inlay_ring_geometry *g, const struct inlay_ring_request *q)
{
	unsigned rule;

	if (!q->kind || q->kind >= INLAY_RING_KIND_TOP || (q->flags & ~(uint32_t)INLAY_RING_FLAGS_KNOWN))
		return -INLAY_EPROTO;
	rule = rules[q->kind];
	if (q->slot >= g->slots && q->slot != INLAY_RING_NO_SLOT)
		return -INLAY_EPROTO;
	if (((rule & FILE_NEEDED) && !q->file) || !fields_are_legal(q))
		return -INLAY_EPROTO;
	if (!q->length)
		return 0;
	if (!(rule & (NAME_IN_SLOT | DATA_IN_SLOT)) || q->slot == INLAY_RING_NO_SLOT || q->length > g->slot_size)
		return -INLAY_EPROTO;
	if ((rule & NAME_IN_SLOT) && (q->length > NAME_MAX_BYTES || q->length % 2))
		return -INLAY_EPROTO;
	return 0;
}

/*
 * Some of NT's numbers are orders to the I/O manager or the filter manager, and not a result: STATUS_PENDING, STATUS_REPARSE and
 * everything else that calls itself success but 0; "more processing required"; the filter manager's own. Those bring a kernel down.
 */
uint32_t inlay_ring_status_check(uint32_t status)
{
	if (status == WIN_SUCCESS || status == WIN_BUFFER_OVERFLOW || status == WIN_NO_MORE_FILES)
		return status;
	if (status >> 28 != 0xc || (status >> 16 & 0xfff) == WIN_FACILITY_FILTER_MANAGER ||
	    status == WIN_MORE_PROCESSING_REQUIRED || status == WIN_CANT_WAIT)
		return WIN_IO_DEVICE_ERROR;
	return status;
}

static bool attr_is_legal(const struct inlay_ring_attr *a)
{
	return a->size <= OFFSET_MAX && a->allocation <= OFFSET_MAX && a->created >= 0 && a->accessed >= 0 && a->written >= 0 &&
	       a->changed >= 0;
}

static bool answer_has_attr(uint32_t kind)
{
	return kind == INLAY_RING_OPEN || kind == INLAY_RING_WRITE || kind == INLAY_RING_GETATTR ||
	       kind == INLAY_RING_SETATTR || kind == INLAY_RING_STATFS;
}

static bool open_is_legal(const struct inlay_ring_completion *c)
{
	if (c->verdict == INLAY_RING_REMOTE)
		return c->file && c->created <= 1;
	return (c->verdict == INLAY_RING_LOCAL || c->verdict == INLAY_RING_ABSENT) && !c->file && !c->created;
}

int inlay_ring_completion_check(const struct inlay_ring_request *request, struct inlay_ring_completion *c)
{
	struct inlay_ring_completion kept = {.tag = c->tag, .status = inlay_ring_status_check(c->status)};
	uint32_t kind = request->kind;

	if (c->tag != request->tag || kind == INLAY_RING_CANCEL)
		return -INLAY_EPROTO;
	if (kept.status != WIN_SUCCESS) {
		*c = kept;
		return 0;
	}
	if (kind == INLAY_RING_READ || kind == INLAY_RING_WRITE) {
		if (c->length > request->length)
			return -INLAY_EPROTO;
		kept.length = c->length;
	}
	if (kind == INLAY_RING_OPEN) {
		if (!open_is_legal(c))
			return -INLAY_EPROTO;
		kept.verdict = c->verdict;
		kept.file = c->file;
		kept.created = c->created;
	}
	if (answer_has_attr(kind) && (kind != INLAY_RING_OPEN || c->verdict == INLAY_RING_REMOTE)) {
		if (!attr_is_legal(&c->attr))
			return -INLAY_EPROTO;
		kept.attr = c->attr;
	}
	*c = kept;
	return 0;
}
