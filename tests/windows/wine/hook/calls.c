/*
 * Calls of the hook library to the simulated drive.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "hook.h"

#include <stdio.h>

void hook_call_fill(struct drive_call *call, ULONG kind)
{
	memset(call, 0, sizeof(*call));
	call->kind = kind;
	call->process = GetCurrentProcessId();
}

static HANDLE event_of_thread(void)
{
	static __thread HANDLE event; /* until the process ends: test programs have few threads */
	DWORD error = GetLastError(); /* which ntdll's functions leave alone */

	if (!event)
		event = CreateEventW(NULL, TRUE, FALSE, NULL);
	SetLastError(error);
	return event;
}

/* With an event beside the handle: its own state is the program's to wait for, and its completion port hears of nothing. */
static NTSTATUS control(HANDLE handle, ULONG code, void *in, ULONG in_length, void *out, ULONG out_length, IO_STATUS_BLOCK *io)
{
	HANDLE event = event_of_thread();
	NTSTATUS status;

	if (!event)
		return STATUS_INSUFFICIENT_RESOURCES;
	status = NtDeviceIoControlFile(handle, event, NULL, NULL, io, code, in, in_length, out, out_length);
	if (status == STATUS_PENDING) {
		NtWaitForSingleObject(event, FALSE, NULL);
		status = io->Status;
	}
	return status;
}

/* HOOK_TRACE names a file: each call is a line in it, the process's number behind the name. */
static void trace(const struct drive_call *call, const void *data, NTSTATUS status)
{
	static FILE *file;
	static volatile LONG begun;
	DWORD error = GetLastError();
	char name[MAX_PATH + 16];

	if (InterlockedExchange(&begun, 1) == 0 && GetEnvironmentVariableA("HOOK_TRACE", name, MAX_PATH)) {
		sprintf(name + strlen(name), "-%lu", GetCurrentProcessId());
		file = fopen(name, "w");
	}
	if (file) {
		bool named = call->kind == DRIVE_CREATE || call->kind == DRIVE_QUERY_ATTRIBUTES;

		fprintf(file, "%lx call %u class %x access %x share %x disposition %u options %x %.*ls: %lx\n", GetCurrentThreadId(), call->kind,
			call->class, call->access, call->share, call->disposition, call->options,
			named ? (int)(call->length / sizeof(WCHAR)) : 0, (const WCHAR *)data, status);
		fflush(file);
	}
	SetLastError(error);
}

NTSTATUS hook_call(HANDLE handle, struct drive_call *call, const void *data, const void *extra, void *answer, ULONG room,
	IO_STATUS_BLOCK *io)
{
	ULONG where = (ULONG)((sizeof(*call) + call->length + 7) & ~(SIZE_T)7);
	ULONG in_length = call->extra ? where + call->extra : (ULONG)sizeof(*call) + call->length;
	UCHAR *in = malloc(where + call->extra), *out = malloc(sizeof(struct drive_reply) + room);
	struct drive_reply reply;
	IO_STATUS_BLOCK control_io = { 0 };
	NTSTATUS status = STATUS_NO_MEMORY;

	if (!in || !out)
		goto free_both;
	call->answer = room;
	memcpy(in, call, sizeof(*call));
	if (call->length)
		memcpy(in + sizeof(*call), data, call->length);
	if (call->extra)
		memcpy(in + where, extra, call->extra);
	status = control(handle, DRIVE_CALL, in, in_length, out, (ULONG)sizeof(reply) + room, &control_io);
	if (NT_SUCCESS(status) && control_io.Information >= sizeof(reply)) {
		memcpy(&reply, out, sizeof(reply));
		status = (NTSTATUS)reply.status;
		if (io) { /* Wine's LockFile has none */
			io->Status = status;
			io->Information = reply.information;
		}
		if (answer)
			memcpy(answer, out + sizeof(reply), control_io.Information - sizeof(reply));
	} else if (NT_SUCCESS(status)) {
		status = STATUS_INVALID_HANDLE;
	}
free_both:
	trace(call, data, status);
	free(in);
	free(out);
	return status;
}
