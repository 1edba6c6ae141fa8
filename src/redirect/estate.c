/*
 * The estate: writing it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect/estate.h"

#include "base/status.h"
#include "redirect/estate_rows.h"
#include "redirect/op.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC UINT64_C(0x3165746174736569) /* "iestate1" */
#define PAGE 4096u

static size_t pages(size_t len)
{
	return (len + PAGE - 1) & ~(size_t)(PAGE - 1);
}

/* Tables in their order, each from a page of its own. */
static void lay_out(const struct inlay_estate_caps *caps, size_t at[5])
{
	at[0] = pages(sizeof(struct estate_head));
	at[1] = at[0] + pages((size_t)caps->nodes * sizeof(struct estate_node));
	at[2] = at[1] + pages((size_t)caps->files * sizeof(struct estate_file));
	at[3] = at[2] + pages((size_t)caps->files * sizeof(struct inlay_cred));
	at[4] = at[3] + pages((size_t)caps->locks * sizeof(struct estate_lock));
}

size_t inlay_estate_len(const struct inlay_estate_caps *caps)
{
	size_t at[5];

	lay_out(caps, at);
	return at[4];
}

static int make(void *memory, struct inlay_estate **ret)
{
	struct inlay_estate *e = calloc(1, sizeof *e);
	uint8_t *p = memory;
	size_t at[5];

	if (!e)
		return -INLAY_ENOMEM;
	e->head = memory;
	lay_out(&e->head->caps, at);
	e->nodes = (void *)(p + at[0]);
	e->files = (void *)(p + at[1]);
	e->creds = (void *)(p + at[2]);
	e->locks = (void *)(p + at[3]);
	*ret = e;
	return 0;
}

int inlay_estate_new(void *memory, const struct inlay_estate_caps *caps, struct inlay_estate **ret)
{
	struct estate_head *head = memory;

	head->caps = *caps;
	head->node_size = sizeof(struct estate_node);
	head->file_size = sizeof(struct estate_file);
	head->cred_size = sizeof(struct inlay_cred);
	head->lock_size = sizeof(struct estate_lock);
	head->client_size = sizeof(struct inlay_client);
	head->lane_size = sizeof(struct inlay_lane_row);
	head->magic = MAGIC;
	return make(memory, ret);
}

int inlay_estate_open(void *memory, size_t len, struct inlay_estate **ret)
{
	const struct estate_head *head = memory;
	struct inlay_estate_caps caps;

	if (len < sizeof *head || head->magic != MAGIC || head->node_size != sizeof(struct estate_node) ||
	    head->file_size != sizeof(struct estate_file) || head->cred_size != sizeof(struct inlay_cred) ||
	    head->lock_size != sizeof(struct estate_lock) || head->client_size != sizeof(struct inlay_client) ||
	    head->lane_size != sizeof(struct inlay_lane_row))
		return -INLAY_EPROTO;
	caps = head->caps;
	if (inlay_estate_len(&caps) > len || head->nodes > caps.nodes || head->files > caps.files || head->locks > caps.locks)
		return -INLAY_EPROTO;
	return make(memory, ret);
}

void inlay_estate_free(struct inlay_estate *e)
{
	free(e);
}

void *inlay_estate_host(struct inlay_estate *e)
{
	return e->head->host;
}

struct inlay_lane_row *inlay_estate_lanes(struct inlay_estate *e)
{
	return e->head->lanes;
}

void inlay_estate_save_client(struct inlay_estate *e, const struct inlay_client *c)
{
	uint32_t other;

	if (!e)
		return;
	other = e->head->client == 1 ? 1 : 0;
	e->head->clients[other] = *c;
	atomic_store_explicit(&e->head->client, other + 1, memory_order_release);
}

bool inlay_estate_load_client(struct inlay_estate *e, struct inlay_client *ret)
{
	uint32_t which = e->head->client;

	if (which != 1 && which != 2)
		return false;
	*ret = e->head->clients[which - 1];
	return true;
}

/* ---- rows ---- */

static uint32_t index_of(uint64_t number)
{
	return (uint32_t)number - 1;
}

static void reach(_Atomic uint32_t *top, uint32_t index)
{
	uint32_t was = atomic_load_explicit(top, memory_order_relaxed);

	while (was <= index && !atomic_compare_exchange_weak_explicit(top, &was, index + 1, memory_order_release, memory_order_relaxed))
		;
}

/* The number is free for another thing by now: only what is still this one's goes. */
static void drop(_Atomic uint64_t *number, uint64_t mine)
{
	(void)atomic_compare_exchange_strong(number, &mine, 0);
}

static void put_place(struct estate_node *row, const struct inlay_node *n)
{
	uint32_t other = row->place ? 0 : 1;
	struct estate_place *p = &row->at[other];
	size_t len = n->name ? strlen(n->name) : 0;

	p->parent = n->parent ? n->parent->table_id : 0;
	p->len = (uint8_t)(len <= INLAY_NAME_MAX ? len : INLAY_NAME_MAX);
	memcpy(p->name, n->name ? n->name : "", p->len);
	atomic_store_explicit(&row->place, other, memory_order_release);
}

void inlay_estate_node(struct inlay_estate *e, const struct inlay_node *n, bool placed)
{
	uint32_t index = index_of(n->table_id);
	struct estate_node *row;

	if (!e || index >= e->head->caps.nodes)
		return;
	row = &e->nodes[index];
	if (atomic_load_explicit(&row->number, memory_order_relaxed) != n->table_id) {
		atomic_store_explicit(&row->number, 0, memory_order_release);
		row->has[0] = row->has[1] = 0;
		row->type = n->type;
		placed = true;
	}
	row->lookups = n->lookups;
	row->replaced = n->replaced;
	for (int side = 0; side < INLAY_SIDES; side++) {
		row->pins[side] = n->pins[side];
		if (!n->has[side] || row->has[side])
			continue;
		row->id[side] = n->id[side];
		atomic_store_explicit(&row->has[side], 1, memory_order_release);
	}
	if (placed)
		put_place(row, n);
	if (!row->number) {
		reach(&e->head->nodes, index);
		atomic_store_explicit(&row->number, n->table_id, memory_order_release);
	}
}

void inlay_estate_node_gone(struct inlay_estate *e, uint64_t number)
{
	if (e && index_of(number) < e->head->caps.nodes)
		drop(&e->nodes[index_of(number)].number, number);
}

static struct estate_file *file_of(struct inlay_estate *e, uint64_t number)
{
	struct estate_file *row;

	if (!e || index_of(number) >= e->head->caps.files)
		return NULL;
	row = &e->files[index_of(number)];
	return atomic_load_explicit(&row->number, memory_order_acquire) == number ? row : NULL;
}

void inlay_estate_file(struct inlay_estate *e, const struct inlay_file *f, uint64_t origin)
{
	uint32_t index = index_of(f->number);
	struct estate_file *row;

	if (!e || index >= e->head->caps.files)
		return;
	row = &e->files[index];
	atomic_store_explicit(&row->number, 0, memory_order_release);
	row->node = f->node->table_id;
	row->handle = f->handle;
	row->remote = 0;
	row->token = f->token;
	row->opening = origin;
	row->closing = 0;
	row->marks = 0;
	row->backing_id = 0;
	row->flags = f->flags;
	row->side = (uint8_t)f->side;
	row->is_dir = f->is_dir;
	row->has_cred = f->cred != NULL;
	if (f->cred)
		inlay_cred_copy(&e->creds[index], f->cred);
	reach(&e->head->files, index);
	atomic_store_explicit(&row->number, f->number, memory_order_release);
}

void inlay_estate_file_mark(struct inlay_estate *e, uint64_t number, unsigned mark)
{
	struct estate_file *row = file_of(e, number);

	if (row)
		atomic_fetch_or_explicit(&row->marks, mark, memory_order_release);
}

void inlay_estate_file_unmark(struct inlay_estate *e, uint64_t number, unsigned mark)
{
	struct estate_file *row = file_of(e, number);

	if (row && atomic_load_explicit(&row->marks, memory_order_relaxed) & mark)
		atomic_fetch_and_explicit(&row->marks, ~mark, memory_order_release);
}

void inlay_estate_file_remote(struct inlay_estate *e, uint64_t number, uint64_t handle)
{
	struct estate_file *row = file_of(e, number);

	if (row)
		row->remote = handle;
}

void inlay_estate_file_passes(struct inlay_estate *e, uint64_t number, int backing_id)
{
	struct estate_file *row = file_of(e, number);

	if (row)
		row->backing_id = backing_id;
}

void inlay_estate_file_closing(struct inlay_estate *e, uint64_t number, uint64_t origin)
{
	struct estate_file *row = file_of(e, number);

	if (row)
		row->closing = origin;
}

void inlay_estate_file_gone(struct inlay_estate *e, uint64_t number)
{
	if (e && index_of(number) < e->head->caps.files)
		drop(&e->files[index_of(number)].number, number);
}

uint32_t inlay_estate_lock(struct inlay_estate *e, uint64_t file, const struct inlay_lock_req *l)
{
	struct estate_lock *row;
	uint32_t number;

	if (!e)
		return 0;
	number = e->free_lock;
	if (number) {
		e->free_lock = (uint32_t)e->locks[number - 1].next;
	} else if (e->head->locks < e->head->caps.locks) {
		number = e->head->locks + 1;
		reach(&e->head->locks, number - 1);
	} else {
		return 0;
	}
	row = &e->locks[number - 1];
	row->lock = *l;
	atomic_store_explicit(&row->file, file, memory_order_release);
	return number;
}

void inlay_estate_lock_range(struct inlay_estate *e, uint32_t row, uint64_t start, uint64_t end)
{
	if (!e || !row)
		return;
	e->locks[row - 1].lock.start = start;
	e->locks[row - 1].lock.end = end;
}

void inlay_estate_lock_gone(struct inlay_estate *e, uint32_t row)
{
	if (!e || !row)
		return;
	atomic_store_explicit(&e->locks[row - 1].file, 0, memory_order_release);
	e->locks[row - 1].next = e->free_lock;
	e->free_lock = row;
}
