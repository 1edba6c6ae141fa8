/*
 * A redirector's registration with the driver.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "register.h"

#include "ring/control.h"

#include <stdlib.h>

void registration_make(struct registration *r, uint64_t size)
{
	if (!native_section_new(&r->section, REDIRECTOR, size) || !native_event_new(&r->requests, REDIRECTOR, false) ||
		!native_event_new(&r->completions, REDIRECTOR, false))
		abort();
}

static NTSTATUS add_directory(struct registration *r, const WCHAR *path, uint32_t number)
{
	static const WCHAR device[] = L"\\Device\\HarddiskVolume3";
	struct {
		struct inlay_control_directory head;
		WCHAR names[64];
	} in = { .head = { .version = INLAY_CONTROL_VERSION, .number = number, .volume_length = sizeof(device) - sizeof(WCHAR) } };
	UNICODE_STRING root;

	RtlInitUnicodeString(&root, path);
	in.head.path_length = root.Length;
	memcpy(in.names, device, in.head.volume_length);
	memcpy((char *)in.names + in.head.volume_length, root.Buffer, root.Length);
	return native_control_call(r->control, INLAY_CONTROL_DIRECTORY_ADD, &in,
		(ULONG)sizeof(in.head) + in.head.volume_length + in.head.path_length, NULL, 0, NULL);
}

NTSTATUS registration_tell(struct registration *r, uint32_t timeout_ms, const WCHAR *root, uint32_t number)
{
	struct inlay_control_ring ring = {
		.version = INLAY_CONTROL_VERSION, .timeout_ms = timeout_ms, .section = (uint64_t)(ULONG_PTR)r->section.handle,
		.requests = (uint64_t)(ULONG_PTR)r->requests.handle, .completions = (uint64_t)(ULONG_PTR)r->completions.handle,
		.size = r->section.size,
	};
	NTSTATUS status = native_control_open(L"\\DosDevices\\Inlay", REDIRECTOR, &r->control);

	if (!NT_SUCCESS(status))
		return status;
	status = native_control_call(r->control, INLAY_CONTROL_RING_SET, &ring, sizeof(ring), NULL, 0, NULL);
	if (NT_SUCCESS(status))
		status = add_directory(r, root, number);
	if (!NT_SUCCESS(status)) {
		native_control_close(r->control, true);
		r->control = NULL;
	}
	return status;
}

void registration_release(struct registration *r)
{
	native_handle_close(r->section.handle);
	native_handle_close(r->requests.handle);
	native_handle_close(r->completions.handle);
}
