/*
 * A progress bar on a terminal.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/progress.h"

#include "cmd/json.h"
#include "cmd/clock.h"
#include "cmd/say.h"
#include "os/files.h"

#include <stdio.h>
#include <string.h>

#define EVERY_MS 100u
#define TAIL 34u     /* columns of "  60 %  812 MB/s  1:02:12 left" and what is around it */
#define BAR_MIN 10u

/* Bytes a second, in powers of ten, as rates are. */
static void rate_text(uint64_t done, uint64_t elapsed_ms, char *buf, size_t size)
{
	double rate = elapsed_ms ? (double)done * 1000.0 / (double)elapsed_ms : 0;

	if (rate >= 1e9)
		snprintf(buf, size, "%.1f GB/s", rate / 1e9);
	else if (rate >= 1e6)
		snprintf(buf, size, "%.0f MB/s", rate / 1e6);
	else
		snprintf(buf, size, "%.0f kB/s", rate / 1e3);
}

static void left_text(uint64_t done, uint64_t total, uint64_t elapsed_ms, char *buf, size_t size)
{
	uint64_t s;

	if (!done || !total || done >= total || elapsed_ms < 500) {
		snprintf(buf, size, "%s", "");
		return;
	}
	s = (uint64_t)((double)(total - done) * (double)elapsed_ms / (double)done / 1000.0) + 1;
	if (s > 359999)
		snprintf(buf, size, "days left");
	else if (s >= 3600)
		snprintf(buf, size, "%u:%02u:%02u left", (unsigned)(s / 3600), (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	else
		snprintf(buf, size, "%u:%02u left", (unsigned)(s / 60), (unsigned)(s % 60));
}

/* The name in at most `columns` columns, made printable; the end is what tells names apart, so the front is cut. */
static size_t name_text(const char *name, size_t columns, char *buf, size_t size)
{
	while (inlay_name_width(name) > columns && *name) {
		size_t step = inlay_utf8_len((const unsigned char *)name, strlen(name));

		name += step ? step : 1;
	}
	inlay_printable(name, strlen(name), buf, size);
	return inlay_name_width(name);
}

const char *inlay_progress_line(const char *name, uint64_t done, uint64_t total, uint64_t elapsed_ms, unsigned columns,
	char *buf, size_t size)
{
	char shown[1024], rate[32], left[32], bar[128] = "";
	size_t room, width, bar_len, filled;

	if (columns < 40)
		columns = 40;
	done = total && done > total ? total : done;
	rate_text(done, elapsed_ms, rate, sizeof(rate));
	left_text(done, total, elapsed_ms, left, sizeof(left));
	if (!total) {
		name_text(name, columns - 24, shown, sizeof(shown));
		snprintf(buf, size, "%s  %.1f MB  %s", shown, (double)done / 1e6, rate);
		return buf;
	}
	room = columns - TAIL;
	width = name_text(name, room > BAR_MIN + 14 ? room - BAR_MIN - 4 : room, shown, sizeof(shown));
	bar_len = room > width + BAR_MIN + 4 ? room - width - 4 : room >= width + BAR_MIN + 4 ? BAR_MIN : 0;
	bar_len = bar_len > 50 ? 50 : bar_len;
	filled = (size_t)((double)done / (double)total * (double)bar_len);
	if (bar_len)
		snprintf(bar, sizeof(bar), "  [%.*s%*s]", (int)filled, "##################################################",
			(int)(bar_len - filled), "");
	snprintf(buf, size, "%s%s %3u %%  %s  %s", shown, bar, (unsigned)((double)done * 100.0 / (double)total), rate, left);
	return buf;
}

/* One call, so that no character is cut in two, and no escape sequences: not every terminal knows them. */
static void draw(struct inlay_progress *p, const char *line)
{
	unsigned width = (unsigned)inlay_name_width(line);
	char text[2048 + 512];
	int len = snprintf(text, sizeof(text), "\r%s%*s", line, width < p->width ? (int)(p->width - width) : 0, "");

	p->width = width;
	(void)inlay_fd_write_some(fileno(stderr), text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

void inlay_progress_begin(struct inlay_progress *p, const char *name, uint64_t total)
{
#ifdef _WIN32
	const char *last = strrchr(name, '\\');

	name = last ? last + 1 : name; /* a backslash would be shown as what it is in names of the server: an odd character */
#endif
	*p = (struct inlay_progress){.on = inlay_terminal_columns() > 0, .name = name, .total = total};
	p->begin_ms = p->drawn_ms = inlay_clock_ms();
}

void inlay_progress_update(struct inlay_progress *p, uint64_t done)
{
	char line[2048];
	unsigned columns;
	uint64_t now;

	if (!p->on)
		return;
	now = inlay_clock_ms();
	if (now - p->drawn_ms < EVERY_MS)
		return;
	p->drawn_ms = now;
	columns = inlay_terminal_columns();
	inlay_progress_line(p->name, done, p->total, now - p->begin_ms, columns ? columns - 1 : 79, line, sizeof(line));
	draw(p, line);
}

void inlay_progress_end(struct inlay_progress *p)
{
	if (p->on && p->width) {
		draw(p, "");
		(void)inlay_fd_write_some(fileno(stderr), "\r", 1);
	}
	p->on = false;
}
