/*
 * Quantities as people read them. Integers only: what is shown never rounds up to more than there is.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/units.h"

#include <stdio.h>

#define ull unsigned long long /* for printf */

const char *inlay_bytes_text(uint64_t bytes, char buf[INLAY_UNIT_TEXT])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned power = 0;
	uint64_t rest = 0;

	while (bytes >= 1024) {
		rest = bytes % 1024;
		bytes /= 1024;
		power++;
	}
	if (power && bytes < 100)
		snprintf(buf, INLAY_UNIT_TEXT, "%llu.%llu %s", (ull)bytes, (ull)(rest * 10 / 1024), units[power]);
	else
		snprintf(buf, INLAY_UNIT_TEXT, "%llu %s", (ull)bytes, units[power]);
	return buf;
}

const char *inlay_latency_text(uint64_t ns, char buf[INLAY_UNIT_TEXT])
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	unsigned power = 0;
	uint64_t rest = 0;

	while (ns >= 1000 && power < 3) {
		rest = ns % 1000;
		ns /= 1000;
		power++;
	}
	if (!power || ns >= 100)
		snprintf(buf, INLAY_UNIT_TEXT, "%llu %s", (ull)ns, units[power]);
	else if (ns >= 10)
		snprintf(buf, INLAY_UNIT_TEXT, "%llu.%llu %s", (ull)ns, (ull)(rest / 100), units[power]);
	else
		snprintf(buf, INLAY_UNIT_TEXT, "%llu.%02llu %s", (ull)ns, (ull)(rest / 10), units[power]);
	return buf;
}

const char *inlay_duration_text(uint64_t ms, char buf[INLAY_UNIT_TEXT])
{
	uint64_t s = ms / 1000;

	if (s < 60)
		snprintf(buf, INLAY_UNIT_TEXT, "%llu s", (ull)s);
	else if (s < 3600)
		snprintf(buf, INLAY_UNIT_TEXT, "%llu min %llu s", (ull)(s / 60), (ull)(s % 60));
	else if (s < 86400)
		snprintf(buf, INLAY_UNIT_TEXT, "%llu h %llu min", (ull)(s / 3600), (ull)(s / 60 % 60));
	else
		snprintf(buf, INLAY_UNIT_TEXT, "%llu d %llu h", (ull)(s / 86400), (ull)(s / 3600 % 24));
	return buf;
}
