/*
 * The native stand-in for the kernel: what tests say to it. Threads run freely (for the thread sanitizer), or one at a time
 * with the next one drawn from a seed at every step, with a clock that only moves when all wait.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_NATIVE_H
#define INLAY_NATIVE_H

#include <ntifs.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- threads and steps ---- */

struct native_thread;

/* From here on one thread runs at a time (seed not 0), or all do (0). Only while no other thread is there. */
void native_steps(uint64_t seed);
bool native_stepping(void);
/* A number below n from the seed's sequence. */
uint32_t native_random(uint32_t n);
/* A place where another thread may come next. Nothing when threads run freely. */
void native_point(void);
struct native_thread *native_thread_new(void (*run)(void *opaque), void *opaque, uint32_t process);
void native_thread_join(struct native_thread *thread);
/* Waits until no thread but the caller's is left that was started by anybody (workers included). */
void native_threads_settle(void);
uint32_t native_process_set(uint32_t process); /* of the calling thread; returns the one before */
uint32_t native_process(void);
/* Moves the clock; 100 ns. */
void native_time_advance(int64_t ticks);
int64_t native_time(void);
void native_sleep_ms(uint32_t ms);

/* ---- resources ---- */

/* The n-th request for memory and the like fails from here on (0: none does); all from the n-th when `on` is set. */
void native_fail(uint32_t n, bool on);
/* Requests since native_fail. */
uint32_t native_fail_count(void);
/* Pool blocks that a driver has not freed; reported as violations by native_check. */
uint32_t native_pool_live(void);

/* A section and events of a process, by handle, and as the process itself sees them. */
struct native_section {
	HANDLE handle;
	void *memory;
	uint64_t size;
};

struct native_event {
	HANDLE handle;
	PKEVENT event;
};

bool native_section_new(struct native_section *section, uint32_t process, uint64_t size);
bool native_event_new(struct native_event *event, uint32_t process, bool signalled);
void native_handle_close(HANDLE handle);
uint32_t native_handles(void);

/* ---- the driver and its control device ---- */

/* Calls DriverEntry; driver is a fresh DRIVER_OBJECT of native's, valid until native_driver_free. */
NTSTATUS native_driver_load(PDRIVER_INITIALIZE entry, PDRIVER_OBJECT *ret_driver);
void native_driver_free(PDRIVER_OBJECT driver);

struct native_control; /* an open handle of a device */
/* link: "\DosDevices\Inlay" */
NTSTATUS native_control_open(const WCHAR *link, uint32_t process, struct native_control **ret_control);
/* In and out through one buffer as METHOD_BUFFERED does. Bytes that came out in *ret_length (may be NULL). */
NTSTATUS native_control_call(struct native_control *control, ULONG code, const void *in, ULONG in_length, void *out, ULONG out_length,
	ULONG *ret_length);
/* Cleanup and close; cleanup false: as after a crash under Wine, close alone. */
void native_control_close(struct native_control *control, bool cleanup);

/* Everything the driver should have given back: leaks and the like become violations. Call when it is unloaded. */
void native_check(void);

#endif
