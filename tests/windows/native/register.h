/*
 * What a redirector says to the driver over the control device: its section, its events, its directory.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NATIVE_REGISTER_H
#define INLAY_NATIVE_REGISTER_H

#include "native.h"

#define REDIRECTOR 200u /* its process */

struct registration {
	struct native_section section;
	struct native_event requests, completions;
	struct native_control *control; /* NULL: not open */
};

/* The section and the events, in the redirector's process. Ends the test program when they can't be had. */
void registration_make(struct registration *r, uint64_t size);
/* Opens the control device and says it all; the section's head must have been written. On failure the device is closed again. */
NTSTATUS registration_tell(struct registration *r, uint32_t timeout_ms, const WCHAR *root, uint32_t number);
/* Section and events, after the control device has been closed. */
void registration_release(struct registration *r);

#endif
