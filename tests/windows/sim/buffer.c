/*
 * The data of one operation. Filters never see the caller's memory: what stands for the program's address is hidden when
 * the operation is pended without an MDL, and everything is gone at completion, so that a late touch is seen.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define PATTERN 0xdd
#define PAGING_ADDRESS ((PUCHAR)0x00007ffe00000000ull) /* nobody may touch it: paging I/O goes by its MDL */

NTSTATUS sim_buffer_set(struct sim_request *request, PVOID caller, ULONG length, bool input, bool system)
{
	struct sim_buffer *buffer = &request->buffer;

	buffer->caller = caller;
	buffer->length = length;
	buffer->input = input;
	buffer->system = system;
	buffer->user = sim_host_alloc(length ? length : 1);
	if (!buffer->user)
		return STATUS_INSUFFICIENT_RESOURCES;
	if (length && (input || system))
		memcpy(buffer->user, caller, length);
	if (system)
		request->data->data.Flags |= FLTFL_CALLBACK_DATA_SYSTEM_BUFFER;
	return STATUS_SUCCESS;
}

NTSTATUS sim_buffer_lock(struct sim_request *request)
{
	struct sim_buffer *buffer = &request->buffer;
	PUCHAR address = request->paging ? PAGING_ADDRESS : buffer->user;

	if (buffer->mdl)
		return STATUS_SUCCESS;
	buffer->mdl = sim_host_alloc(sizeof(*buffer->mdl) + 16);
	buffer->locked = sim_host_alloc(buffer->length ? buffer->length : 1);
	if (!buffer->mdl || !buffer->locked) {
		sim_host_free(buffer->mdl);
		sim_host_free(buffer->locked);
		buffer->mdl = NULL;
		buffer->locked = NULL;
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	memcpy(buffer->locked, buffer->user, buffer->length);
	buffer->mdl->MdlFlags = MDL_MAPPED_TO_SYSTEM_VA | MDL_PAGES_LOCKED;
	buffer->mdl->MappedSystemVa = buffer->locked;
	buffer->mdl->StartVa = (PVOID)((ULONG_PTR)address & ~(ULONG_PTR)(SIM_PAGE - 1));
	buffer->mdl->ByteOffset = (ULONG)((ULONG_PTR)address & (SIM_PAGE - 1));
	buffer->mdl->ByteCount = buffer->length;
	return STATUS_SUCCESS;
}

PVOID sim_buffer_data(struct sim_request *request)
{
	return request->buffer.mdl ? request->buffer.locked : request->buffer.user;
}

/*
 * The program's address means nothing outside of its thread: what the filter was shown is filled with a pattern and hidden,
 * the data goes on in another place.
 */
void sim_buffer_hide(struct sim_request *request)
{
	struct sim_buffer *buffer = &request->buffer;
	PUCHAR copy;

	if (!buffer->user || buffer->system || buffer->hidden)
		return;
	copy = sim_host_alloc(buffer->length ? buffer->length : 1);
	if (!copy)
		return;
	memcpy(copy, buffer->user, buffer->length);
	memset(buffer->user, PATTERN, buffer->length);
	sim_host_hide(buffer->user, buffer->length);
	buffer->hidden = buffer->user;
	buffer->user = copy;
}

static void hidden_free(struct sim_buffer *buffer)
{
	bool touched = false;

	if (!buffer->hidden)
		return;
	sim_host_show(buffer->hidden, buffer->length);
	for (ULONG i = 0; i < buffer->length && !touched; i++)
		touched = buffer->hidden[i] != PATTERN;
	if (touched)
		sim_violate("the program's buffer was written without an MDL after the operation was pended", NULL, 0);
	sim_host_free(buffer->hidden);
}

void sim_buffer_finish(struct sim_request *request, NTSTATUS status, ULONG_PTR information)
{
	struct sim_buffer *buffer = &request->buffer;
	PUCHAR data = buffer->user ? sim_buffer_data(request) : NULL;

	if (data && buffer->caller && !buffer->input && !NT_ERROR(status)) {
		if (information > buffer->length) {
			sim_violate("completed with more bytes than asked for", NULL, information);
			information = buffer->length;
		}
		memcpy(buffer->caller, data, information);
	}
	hidden_free(buffer);
	if (buffer->user)
		memset(buffer->user, PATTERN, buffer->length);
	if (buffer->locked)
		memset(buffer->locked, PATTERN, buffer->length);
	sim_host_free(buffer->user);
	sim_host_free(buffer->locked);
	sim_host_free(buffer->mdl);
	memset(buffer, 0, sizeof(*buffer));
}
