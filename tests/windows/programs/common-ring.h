/*
 * A ring as a redirector makes it, and the control device's inputs, for programs that play one.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_COMMON_RING_H
#define INLAY_COMMON_RING_H

#include "common.h"
#include "ring/abi.h"
#include "ring/control.h"

#define VOLUME L"\\Device\\InlayDrive"

struct made {
	HANDLE section;
	struct inlay_ring_head *head;
	struct inlay_control_ring set;
};

static inline void ring_make(struct made *made, uint32_t entries, uint32_t slots)
{
	struct inlay_ring_head *head;
	uint64_t size;
	uint32_t sq = sizeof(*head), cq = sq + entries * (uint32_t)sizeof(struct inlay_ring_request);
	uint32_t first = (cq + entries * (uint32_t)sizeof(struct inlay_ring_completion) + 4095) & ~4095u;

	size = first + (uint64_t)slots * INLAY_RING_SLOT_MIN;
	made->section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, (DWORD)size, NULL);
	CHECK(made->section, "section");
	head = made->head = MapViewOfFile(made->section, FILE_MAP_WRITE, 0, 0, 0);
	CHECK(head, "view");
	*head = (struct inlay_ring_head){ .magic = INLAY_RING_MAGIC, .version = INLAY_RING_VERSION, .entries = entries, .slots = slots,
		.slot_size = INLAY_RING_SLOT_MIN, .sq_off = sq, .cq_off = cq, .slots_off = first, .size = size };
	made->set = (struct inlay_control_ring){ .version = INLAY_CONTROL_VERSION, .section = (uintptr_t)made->section,
		.requests = (uintptr_t)CreateEventA(NULL, FALSE, FALSE, NULL),
		.completions = (uintptr_t)CreateEventA(NULL, FALSE, FALSE, NULL), .size = size };
}

static inline void ring_drop(struct made *made)
{
	UnmapViewOfFile(made->head);
	CloseHandle(made->section);
	CloseHandle((HANDLE)(uintptr_t)made->set.requests);
	CloseHandle((HANDLE)(uintptr_t)made->set.completions);
}

struct directory {
	struct inlay_control_directory head;
	WCHAR text[200];
};

static inline DWORD directory_fill(struct directory *d, uint32_t number, const WCHAR *volume, const WCHAR *path)
{
	d->head = (struct inlay_control_directory){ INLAY_CONTROL_VERSION, number, (uint32_t)(wcslen(volume) * sizeof(WCHAR)),
		(uint32_t)(wcslen(path) * sizeof(WCHAR)) };
	memcpy(d->text, volume, d->head.volume_length);
	memcpy((char *)d->text + d->head.volume_length, path, d->head.path_length);
	return (DWORD)sizeof(d->head) + d->head.volume_length + d->head.path_length;
}

static inline HANDLE device_open(void)
{
	return open_file(INLAY_CONTROL_DEVICE, GENERIC_READ | GENERIC_WRITE, 7, OPEN_EXISTING, 0);
}

/* The error, or 0. */
static inline DWORD device_call(HANDLE device, DWORD code, const void *in, DWORD length)
{
	char out[64];
	DWORD got = 0;

	return DeviceIoControl(device, code, (void *)(uintptr_t)in, length, out, sizeof(out), &got, NULL) ? 0 : GetLastError();
}

#endif
