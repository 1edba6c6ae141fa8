/*
 * The redirector's thread at the ring, and everything that goes wrong with it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "model.h"

#include "model_private.h"

#include <stdlib.h>

#define BATCH 4

static void send(struct model *model, const struct inlay_ring_completion *c)
{
	if (inlay_ring_responder_push(&model->ring, c) == 0 && inlay_ring_responder_publish(&model->ring))
		KeSetEvent(model->at.completions.event, 0, FALSE);
}

static void send_garbage(struct model *model, struct inlay_ring_completion *c, const struct inlay_ring_request *request)
{
	struct inlay_ring_head *head = model->at.section.memory;

	switch (model->faults.garbage) {
	case GARBAGE_TAG: c->tag ^= 0xdeadbeefull << 8; break;
	case GARBAGE_LENGTH: c->length = 0x7fffffff; break;
	case GARBAGE_VERDICT: c->verdict = 77; c->file = 0; c->status = 0; break;
	case GARBAGE_TAIL: __atomic_store_n(&head->cq_tail.value, head->cq_tail.value + 100000, __ATOMIC_RELEASE); break;
	case GARBAGE_TWICE: send(model, c); break;
	case GARBAGE_MANY:
		for (uint32_t i = 0; i < head->entries; i++) {
			c->tag = request->tag + i * 7;
			send(model, c);
		}
		break;
	default: break;
	}
	send(model, c);
	KeSetEvent(model->at.completions.event, 0, FALSE);
}

static bool chance(uint32_t one_in)
{
	return one_in && native_random(one_in) == 0;
}

static void shorten(struct model *model, const struct inlay_ring_request *request, struct inlay_ring_completion *c)
{
	if (request->kind == INLAY_RING_WRITE && chance(model->faults.short_io) && c->length > 1)
		c->length = 1 + native_random(c->length - 1);
}

static void release_one(struct model *model)
{
	uint32_t which = native_random(model->held_count);

	send(model, &model->held[which]);
	model->held[which] = model->held[--model->held_count];
}

static bool fails(struct model *model, const struct inlay_ring_request *request)
{
	if (request->kind == INLAY_RING_CLOSE)
		return false;
	return (!model->faults.kind || model->faults.kind == request->kind) && chance(model->faults.error);
}

static bool serve(struct model *model, const struct inlay_ring_request *request);

/* OPENs whose names are free again. */
static bool serve_waiting(struct model *model)
{
	for (uint32_t i = 0; i < model->waiting_count; i++) {
		struct inlay_ring_request request = model->waiting[i];

		if (model_is_held(model, &request))
			continue;
		model->waiting[i] = model->waiting[--model->waiting_count];
		return serve(model, &request) && serve_waiting(model);
	}
	return true;
}

static bool ends_hold(const struct inlay_ring_request *request)
{
	return request->kind == INLAY_RING_RENAME_END || request->kind == INLAY_RING_REMOVE_END || request->kind == INLAY_RING_CLOSE;
}

/* False: the process has ended. */
static bool serve(struct model *model, const struct inlay_ring_request *request)
{
	struct inlay_ring_completion c = { .tag = request->tag };
	uint32_t number;

	if (request->kind < INLAY_RING_KIND_TOP)
		model->kinds[request->kind]++;
	if (request->kind == INLAY_RING_CANCEL) {
		model->cancels++;
		return true;
	}
	if (request->kind == INLAY_RING_OPEN && model_is_held(model, request) && model->waiting_count < RTL_NUMBER_OF(model->waiting)) {
		model->waiting[model->waiting_count++] = *request;
		return true;
	}
	number = ++model->answered;
	if (number == model->faults.die_at) {
		model->dead = true;
		return false;
	}
	if (model->faults.silent_at && number >= model->faults.silent_at)
		return true;
	if (fails(model, request)) {
		struct inlay_ring_request undone = *request;

		undone.flags &= ~(uint32_t)INLAY_RING_DONE;
		if (request->kind == INLAY_RING_RENAME_END || request->kind == INLAY_RING_REMOVE_END)
			model_answer(model, &undone, &c); /* what is held is let go of, whatever came of it */
		c.status = (uint32_t)(model->faults.status ? model->faults.status : STATUS_UNEXPECTED_IO_ERROR);
	} else {
		model_answer(model, request, &c);
		shorten(model, request, &c);
	}
	if (number == model->faults.slow_at) {
		model->slow = c;
		model->slow_due = native_time() + (int64_t)model->faults.slow_ms * 10000;
	} else if (number == model->faults.garbage_at)
		send_garbage(model, &c, request);
	else if (chance(model->faults.late) && model->held_count < RTL_NUMBER_OF(model->held))
		model->held[model->held_count++] = c;
	else
		send(model, &c);
	return !ends_hold(request) || serve_waiting(model);
}

static void send_slow(struct model *model)
{
	if (!model->slow_due || native_time() < model->slow_due)
		return;
	model->slow_due = 0;
	send(model, &model->slow);
}

static void rest(struct model *model)
{
	LARGE_INTEGER timeout = { .QuadPart = -100 * 10000 };

	if (model->held_count) {
		release_one(model);
		return;
	}
	if (!inlay_ring_responder_sleep(&model->ring))
		return;
	if (!__atomic_load_n(&model->stop, __ATOMIC_SEQ_CST) && !__atomic_load_n(&model->crash, __ATOMIC_SEQ_CST))
		KeWaitForSingleObject(model->at.requests.event, Executive, KernelMode, FALSE, &timeout);
	inlay_ring_responder_wake(&model->ring);
}

static void run(void *opaque)
{
	struct model *model = opaque;
	struct inlay_ring_request batch[BATCH];
	bool alive = true;
	int count = 0;

	while (alive && !(__atomic_load_n(&model->stop, __ATOMIC_SEQ_CST) && !count && !model->held_count)) {
		native_point();
		if (__atomic_load_n(&model->crash, __ATOMIC_SEQ_CST)) {
			model->dead = true;
			alive = false;
			break;
		}
		count = inlay_ring_responder_pop(&model->ring, batch, BATCH);
		if (count < 0) {
			if (!model->faults.garbage_at)
				sim_violate("the driver broke the ring's rules", NULL, 0);
			break;
		}
		for (int i = 0; i < count && alive; i++) {
			alive = serve(model, &batch[i]);
			if (alive && model->held_count && chance(3))
				release_one(model);
		}
		send_slow(model);
		if (!count)
			rest(model);
	}
	if (!alive) /* the kernel closes the dead process's handles */
		native_control_close(model->at.control, native_random(2));
	model->stopped = true;
}

NTSTATUS model_start(struct model *model, uint32_t entries, uint32_t slots, uint32_t timeout_ms)
{
	struct inlay_ring_geometry geometry;
	NTSTATUS status;

	model->root = model->root ? model->root : L"\\work";
	model->stop = model->crash = model->stopped = model->dead = false;
	model->held_count = model->answered = 0;
	memset(model->numbers, 0, sizeof(model->numbers));
	memset(model->is_renaming, 0, sizeof(model->is_renaming));
	memset(model->is_removing, 0, sizeof(model->is_removing));
	model->waiting_count = 0;
	model->slow_due = 0;
	for (uint32_t i = 0; i < model->file_count; i++)
		model->files[i].opens = model->files[i].removing = model->files[i].renaming = 0;
	if (!model_find(model, L""))
		model_add(model, L"", true, NULL, 0);
	if (inlay_ring_layout(&geometry, entries, slots, INLAY_RING_SLOT_MIN))
		abort();
	registration_make(&model->at, geometry.size);
	if (inlay_ring_responder_open(&model->ring, model->at.section.memory, &geometry))
		abort();
	status = registration_tell(&model->at, timeout_ms, model->root, MODEL_DIRECTORY);
	if (!NT_SUCCESS(status)) {
		registration_release(&model->at);
		return status;
	}
	model->thread = native_thread_new(run, model, REDIRECTOR);
	return STATUS_SUCCESS;
}

void model_stop(struct model *model, bool crash)
{
	if (!crash) /* a proper end: the driver's last CLOSEs are still answered */
		native_sleep_ms(1);
	__atomic_store_n(crash ? &model->crash : &model->stop, true, __ATOMIC_SEQ_CST);
	KeSetEvent(model->at.requests.event, 0, FALSE);
	native_thread_join(model->thread);
	if (!model->dead)
		native_control_close(model->at.control, true);
	model->thread = NULL;
	registration_release(&model->at);
}

void model_done(struct model *model)
{
	for (uint32_t i = 0; i < model->file_count; i++)
		free(model->files[i].data);
	memset(model, 0, sizeof(*model));
}

uint32_t model_open_count(const struct model *model)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < RTL_NUMBER_OF(model->numbers); i++)
		count += model->numbers[i] != 0;
	return count;
}
