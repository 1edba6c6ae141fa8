/*
 * The host's clock, randomness, log and descriptors as the product sees them here, and the count of chunks.
 * What the product takes from the C library itself is wrapped by the linker: see meson.build.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "sim.h"

#include "base/log.h"
#include "net/chunk.h"
#include "net/socket.h"
#include "os/clock.h"
#include "os/random.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

static unsigned chunks;

struct inlay_chunk *__real_inlay_chunk_new(size_t len);
struct inlay_chunk *__wrap_inlay_chunk_new(size_t len);
void __real_inlay_chunk_unref(struct inlay_chunk *c);
void __wrap_inlay_chunk_unref(struct inlay_chunk *c);
int __real_clock_gettime(clockid_t id, struct timespec *ret);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret);
ssize_t __wrap_getrandom(void *p, size_t len, unsigned flags);
int __real_close(int fd);
int __wrap_close(int fd);

static unsigned one_of;
static bool scarce, failed;

void sim_host_begin(void)
{
	chunks = one_of = 0;
	scarce = failed = false;
}

/* ---- memory ---- */

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

void sim_memory_short(unsigned one_in_so_many)
{
	one_of = one_in_so_many;
	if (one_of)
		sim_trace("fault: memory", one_of, 0, 0);
}

bool sim_memory_failed(void)
{
	return failed;
}

bool sim_memory_scarce(bool is_scarce)
{
	bool was = scarce;

	scarce = is_scarce;
	return was;
}

static bool must_fail(void)
{
	if (!one_of || !scarce || !sim_running || sim_below(one_of))
		return false;
	sim_trace("out of memory", 0, 0, 0);
	return failed = true;
}

void *__wrap_malloc(size_t size)
{
	return must_fail() ? NULL : malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return must_fail() ? NULL : calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return must_fail() ? NULL : realloc(p, size);
}

/* ---- clock, randomness, log ---- */

uint64_t inlay_clock_ns(void)
{
	return sim_running ? sim_proc_clock(sim_running) : sim_now + SEC;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
	uint64_t now = inlay_clock_ns();

	(void)id;
	*ret = (struct timespec){.tv_sec = (time_t)(now / SEC), .tv_nsec = (long)(now % SEC)};
	return 0;
}

ssize_t __wrap_getrandom(void *p, size_t len, unsigned flags)
{
	(void)flags;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)p)[i] = (uint8_t)sim_random();
	return (ssize_t)len;
}

int inlay_random(void *bytes, size_t len)
{
	(void)__wrap_getrandom(bytes, len, 0);
	return 0;
}

/* A connection that the server closes without having served it; or a file of its state directory. */
int __wrap_close(int fd)
{
	if (!sim_net_is(fd))
		return __real_close(fd);
	inlay_socket_close(fd);
	return 0;
}

/* Both ends are ours: neither may find the other at fault, whatever becomes of connections. */
void inlay_log(enum inlay_log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof line, fmt, args);
	va_end(args);
	(void)level;
	sim_trace_text("log", line);
	/* A reply that had to be kept, and could not be, ends its session in the same way. */
	if (strstr(line, "protocol violation") && !failed)
		sim_fail("one end finds the other at fault: %s", line);
}

unsigned sim_chunks(void)
{
	return chunks;
}

struct inlay_chunk *__wrap_inlay_chunk_new(size_t len)
{
	struct inlay_chunk *c = __real_inlay_chunk_new(len);

	chunks += c != NULL;
	return c;
}

void __wrap_inlay_chunk_unref(struct inlay_chunk *c)
{
	if (c && inlay_chunk_is_private(c))
		chunks--;
	__real_inlay_chunk_unref(c);
}
