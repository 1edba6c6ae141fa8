/*
 * The driver's control device, from the redirector's end.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/windows/driver.h"

#include "base/status.h"
#include "os/windows/error.h"
#include "ring/ring.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#define ENTRIES 1024u
#define SLOTS 64u
#define SLOT_SIZE (256u * 1024u)

static int control(const struct inlay_driver *d, uint32_t code, const void *in, size_t in_len, void *out, size_t out_len)
{
	DWORD count = 0;

	if (!DeviceIoControl(d->device, code, (void *)(uintptr_t)in, (DWORD)in_len, out, (DWORD)out_len, &count, NULL))
		return inlay_status_from_win32(GetLastError());
	return count == out_len ? 0 : -INLAY_EPROTO;
}

int inlay_driver_open_device(struct inlay_driver *d)
{
	HANDLE device = CreateFileA(INLAY_CONTROL_DEVICE, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);

	if (device == INVALID_HANDLE_VALUE)
		return inlay_status_from_win32(GetLastError());
	d->device = device;
	return 0;
}

/* As "fltmc load" does. False: it isn't installed, or doesn't start, or the caller may not. */
static bool load_driver(void)
{
	SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT), found = NULL;
	bool started = false;

	if (manager)
		found = OpenServiceW(manager, L"inlay", SERVICE_START);
	if (found)
		started = StartServiceW(found, 0, NULL) || GetLastError() == ERROR_SERVICE_ALREADY_RUNNING;
	if (found)
		CloseServiceHandle(found);
	if (manager)
		CloseServiceHandle(manager);
	return started;
}

static int open_device(struct inlay_driver *d, char *why, size_t why_len)
{
	int status = inlay_driver_open_device(d);

	if (status == -INLAY_ENOENT && load_driver())
		status = inlay_driver_open_device(d);
	if (status == -INLAY_ENOENT)
		snprintf(why, why_len, "the driver is not loaded: " INLAY_CONTROL_DEVICE ": \"fltmc load inlay\" as administrator says why");
	else if (status == -INLAY_EACCES)
		snprintf(why, why_len, "no permission to use the driver: " INLAY_CONTROL_DEVICE ": start a console as administrator");
	else if (status < 0)
		snprintf(why, why_len, "the driver does not open: " INLAY_CONTROL_DEVICE ": %s", inlay_status_text(status));
	return status;
}

static int check_version(const struct inlay_driver *d, char *why, size_t why_len)
{
	struct inlay_control_version v;
	int status = control(d, INLAY_CONTROL_VERSION_GET, NULL, 0, &v, sizeof(v));

	if (status < 0) {
		snprintf(why, why_len, "the driver does not say its version: " INLAY_CONTROL_DEVICE ": %s", inlay_status_text(status));
		return status;
	}
	if (v.control == INLAY_CONTROL_VERSION && v.ring == INLAY_RING_VERSION)
		return 0;
	snprintf(why, why_len, "another version's driver is loaded (control %u, ring %u, wanted %u, %u): install driver and program together",
		v.control, v.ring, INLAY_CONTROL_VERSION, INLAY_RING_VERSION);
	return -INLAY_EVERSION;
}

static int make_section(struct inlay_driver *d)
{
	int status = inlay_ring_layout(&d->geometry, ENTRIES, SLOTS, SLOT_SIZE);

	if (status < 0)
		return status;
	d->section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, (DWORD)(d->geometry.size >> 32),
		(DWORD)d->geometry.size, NULL);
	if (d->section)
		d->view = MapViewOfFile(d->section, FILE_MAP_ALL_ACCESS, 0, 0, 0);
	d->requests = CreateEventW(NULL, FALSE, FALSE, NULL);
	d->completions = CreateEventW(NULL, FALSE, FALSE, NULL);
	return d->view && d->requests && d->completions ? 0 : -INLAY_ENOMEM;
}

int inlay_driver_open(struct inlay_driver *d, char *why, size_t why_len)
{
	int status = open_device(d, why, why_len);

	if (status == 0)
		status = check_version(d, why, why_len);
	if (status < 0)
		return status;
	status = make_section(d);
	if (status < 0)
		snprintf(why, why_len, "can't make the section that is shared with the driver: %s", inlay_status_text(status));
	return status;
}

int inlay_driver_set_ring(const struct inlay_driver *d, uint32_t timeout_ms)
{
	struct inlay_control_ring ring = {.version = INLAY_CONTROL_VERSION, .timeout_ms = timeout_ms,
	                                  .section = (uintptr_t)d->section, .requests = (uintptr_t)d->requests,
	                                  .completions = (uintptr_t)d->completions, .size = d->geometry.size};

	return control(d, INLAY_CONTROL_RING_SET, &ring, sizeof(ring), NULL, 0);
}

int inlay_driver_add(const struct inlay_driver *d, uint32_t number, const wchar_t *volume, const wchar_t *path)
{
	struct inlay_control_directory head = {.version = INLAY_CONTROL_VERSION, .number = number,
	                                       .volume_length = (uint32_t)(wcslen(volume) * sizeof(wchar_t)),
	                                       .path_length = (uint32_t)(wcslen(path) * sizeof(wchar_t))};
	size_t len = sizeof(head) + head.volume_length + head.path_length;
	uint8_t *in = malloc(len);
	int status;

	if (!in)
		return -INLAY_ENOMEM;
	memcpy(in, &head, sizeof(head));
	memcpy(in + sizeof(head), volume, head.volume_length);
	memcpy(in + sizeof(head) + head.volume_length, path, head.path_length);
	status = control(d, INLAY_CONTROL_DIRECTORY_ADD, in, len, NULL, 0);
	free(in);
	return status;
}

int inlay_driver_remove(const struct inlay_driver *d, uint32_t number)
{
	struct inlay_control_number n = {.version = INLAY_CONTROL_VERSION, .number = number};

	return control(d, INLAY_CONTROL_DIRECTORY_REMOVE, &n, sizeof(n), NULL, 0);
}

int inlay_driver_usage(const struct inlay_driver *d, uint32_t number, struct inlay_control_usage *ret)
{
	struct inlay_control_number n = {.version = INLAY_CONTROL_VERSION, .number = number};
	struct inlay_control_usage usage;
	int status = control(d, INLAY_CONTROL_DIRECTORY_USAGE, &n, sizeof(n), &usage, sizeof(usage));

	if (status == 0)
		*ret = usage;
	return status;
}

void inlay_driver_wake(const struct inlay_driver *d)
{
	SetEvent(d->completions);
}

static void close_one(void **handle)
{
	if (*handle)
		CloseHandle(*handle);
	*handle = NULL;
}

void inlay_driver_let_go(struct inlay_driver *d)
{
	close_one(&d->device);
}

void inlay_driver_close(struct inlay_driver *d)
{
	close_one(&d->device);
	if (d->view)
		UnmapViewOfFile(d->view);
	d->view = NULL;
	close_one(&d->section);
	close_one(&d->requests);
	close_one(&d->completions);
}
