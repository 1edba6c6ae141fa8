/*
 * The driver's control device, from the redirector's end: one handle, its ring and its filter directory.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_WINDOWS_DRIVER_H
#define INLAY_CMD_WINDOWS_DRIVER_H

#include "ring/check.h"
#include "ring/control.h"

#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

/* All handles; zero it before opening. Calls from any thread, one at a time for each function. */
struct inlay_driver {
	void *device, *section, *requests, *completions; /* NULL: not open */
	void *view;                      /* geometry.size bytes of the section */
	struct inlay_ring_geometry geometry;
};

/*
 * Opens the device, checks the versions, makes the section and the events; nothing is registered yet. 0; or a status with one line for the
 * user in why. inlay_driver_close() in both cases.
 */
int inlay_driver_open(struct inlay_driver *d, char *why, size_t why_len);
/*
 * The device alone: this process then sees what a redirector that has gone left behind as NTFS has it, and may clear it away. -INLAY_ENOENT: no
 * driver is loaded, so nothing is hidden either.
 */
int inlay_driver_open_device(struct inlay_driver *d);
/* Hands section and events over, once the ring's head is written. timeout_ms: how long a request may be unanswered; 0 = for ever. */
int inlay_driver_set_ring(const struct inlay_driver *d, uint32_t timeout_ms);
/* Names the directory: the volume's device and the path on it, as the driver will see them. -INLAY_EEXIST: within or above another one. */
int inlay_driver_add(const struct inlay_driver *d, uint32_t number, const wchar_t *volume, const wchar_t *path);
int inlay_driver_remove(const struct inlay_driver *d, uint32_t number);
/* How the directory is used now. */
int inlay_driver_usage(const struct inlay_driver *d, uint32_t number, struct inlay_control_usage *ret);
/* There are completions. */
void inlay_driver_wake(const struct inlay_driver *d);
/* The driver ends all requests and forgets the directory. The section stays until inlay_driver_close(). */
void inlay_driver_let_go(struct inlay_driver *d);
void inlay_driver_close(struct inlay_driver *d);

#endif
