/*
 * What was violated, and what was counted.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

#define TEXTS 64u
#define TEXT 200u

struct sim_counts sim_seen;

static CHAR texts[TEXTS][TEXT];
static volatile LONG reported;

static ULONG put(CHAR *line, ULONG at, const char *text)
{
	while (*text && at < TEXT - 1)
		line[at++] = *text++;
	line[at] = 0;
	return at;
}

static void put_number(CHAR *line, ULONG at, ULONGLONG number)
{
	CHAR digits[24];
	ULONG count = sizeof(digits);

	digits[--count] = 0;
	do
		digits[--count] = "0123456789abcdef"[number % 16];
	while (number /= 16);
	put(line, put(line, at, " 0x"), digits + count);
}

void sim_violate(const char *text, const char *detail, ULONGLONG number)
{
	LONG index = __atomic_fetch_add(&reported, 1, __ATOMIC_SEQ_CST);
	CHAR line[TEXT];
	ULONG at = put(line, 0, text);

	if (detail)
		at = put(line, put(line, at, ": "), detail);
	if (number)
		put_number(line, at, number);
	if (index < (LONG)TEXTS)
		memcpy(texts[index], line, TEXT);
	sim_host_log(line);
}

ULONG sim_violations(void)
{
	return (ULONG)__atomic_load_n(&reported, __ATOMIC_SEQ_CST);
}

const char *sim_violation(ULONG index)
{
	return index < TEXTS && index < sim_violations() ? texts[index] : "";
}

void sim_violations_forget(void)
{
	__atomic_store_n(&reported, 0, __ATOMIC_SEQ_CST);
}

void sim_count(struct sim_counts *ret_counts)
{
	*ret_counts = sim_seen;
	ret_counts->contexts = sim_contexts_alive();
	ret_counts->names = sim_names_alive();
}

bool sim_level_at_most(KIRQL irql, const char *function)
{
	if (sim_host_irql() <= irql)
		return true;
	sim_violate("called at too high a level", function, sim_host_irql());
	return false;
}
