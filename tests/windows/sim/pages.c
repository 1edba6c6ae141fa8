/*
 * Pages by number: a hash that doubles.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "pages.h"

static ULONG bucket_of(const struct sim_pages *pages, ULONGLONG number)
{
	return (ULONG)((number * 0x9e3779b97f4a7c15ull) >> 40) & (pages->bucket_count - 1);
}

struct sim_page *sim_pages_find(const struct sim_pages *pages, ULONGLONG number)
{
	if (!pages->bucket_count)
		return NULL;
	for (struct sim_page *page = pages->buckets[bucket_of(pages, number)]; page; page = page->next)
		if (page->number == number)
			return page;
	return NULL;
}

static bool grow(struct sim_pages *pages)
{
	struct sim_pages bigger = { .bucket_count = pages->bucket_count ? pages->bucket_count * 4 : 16, .count = pages->count };

	bigger.buckets = sim_host_alloc(bigger.bucket_count * sizeof(struct sim_page *));
	if (!bigger.buckets)
		return pages->bucket_count != 0; /* goes on, slower */
	for (ULONG i = 0; i < pages->bucket_count; i++) {
		struct sim_page *page = pages->buckets[i];

		while (page) {
			struct sim_page *next = page->next;
			ULONG bucket = bucket_of(&bigger, page->number);

			page->next = bigger.buckets[bucket];
			bigger.buckets[bucket] = page;
			page = next;
		}
	}
	sim_host_free(pages->buckets);
	*pages = bigger;
	return true;
}

struct sim_page *sim_pages_get(struct sim_pages *pages, ULONGLONG number)
{
	struct sim_page *page = sim_pages_find(pages, number);
	ULONG bucket;

	if (page)
		return page;
	if (pages->count >= pages->bucket_count * 2 && !grow(pages))
		return NULL;
	page = sim_host_alloc(sizeof(*page));
	if (!page)
		return NULL;
	page->number = number;
	bucket = bucket_of(pages, number);
	page->next = pages->buckets[bucket];
	pages->buckets[bucket] = page;
	pages->count++;
	return page;
}

ULONG sim_pages_drop(struct sim_pages *pages, ULONGLONG from, ULONGLONG to)
{
	ULONG dropped = 0;

	for (ULONG i = 0; i < pages->bucket_count && pages->count; i++) {
		struct sim_page **link = &pages->buckets[i];

		while (*link) {
			struct sim_page *page = *link;

			if (page->number < from || page->number >= to) {
				link = &page->next;
				continue;
			}
			*link = page->next;
			sim_host_free(page);
			pages->count--;
			dropped++;
		}
	}
	return dropped;
}

struct sim_page *sim_pages_next(const struct sim_pages *pages, ULONGLONG from)
{
	struct sim_page *best = NULL;

	for (ULONG i = 0; i < pages->bucket_count; i++)
		for (struct sim_page *page = pages->buckets[i]; page; page = page->next)
			if (page->number >= from && (!best || page->number < best->number))
				best = page;
	return best;
}

void sim_pages_done(struct sim_pages *pages)
{
	sim_pages_drop(pages, 0, ~0ull);
	sim_host_free(pages->buckets);
	memset(pages, 0, sizeof(*pages));
}

static ULONG piece_of(ULONGLONG offset, ULONGLONG length)
{
	ULONG room = SIM_PAGE - (ULONG)(offset % SIM_PAGE);

	return length < room ? (ULONG)length : room;
}

void sim_pages_read(const struct sim_pages *pages, ULONGLONG offset, void *buffer, ULONG length)
{
	UCHAR *to = buffer;

	while (length) {
		const struct sim_page *page = sim_pages_find(pages, offset / SIM_PAGE);
		ULONG piece = piece_of(offset, length);

		if (page)
			memcpy(to, page->bytes + offset % SIM_PAGE, piece);
		else
			memset(to, 0, piece);
		to += piece;
		offset += piece;
		length -= piece;
	}
}

bool sim_pages_write(struct sim_pages *pages, ULONGLONG offset, const void *buffer, ULONG length)
{
	const UCHAR *from = buffer;

	while (length) {
		struct sim_page *page = sim_pages_get(pages, offset / SIM_PAGE);
		ULONG piece = piece_of(offset, length);

		if (!page)
			return false;
		memcpy(page->bytes + offset % SIM_PAGE, from, piece);
		from += piece;
		offset += piece;
		length -= piece;
	}
	return true;
}

static void zero_within(struct sim_pages *pages, ULONGLONG offset, ULONG length)
{
	struct sim_page *page = length ? sim_pages_find(pages, offset / SIM_PAGE) : NULL;

	if (page)
		memset(page->bytes + offset % SIM_PAGE, 0, length);
}

void sim_pages_zero(struct sim_pages *pages, ULONGLONG offset, ULONGLONG length)
{
	ULONGLONG end = offset + length < offset ? ~0ull : offset + length;
	ULONGLONG first = (offset + SIM_PAGE - 1) / SIM_PAGE, last = end / SIM_PAGE; /* whole pages */

	if (first > last || offset / SIM_PAGE == end / SIM_PAGE) {
		zero_within(pages, offset, (ULONG)(end - offset));
		return;
	}
	zero_within(pages, offset, (ULONG)(first * SIM_PAGE - offset));
	zero_within(pages, last * SIM_PAGE, (ULONG)(end - last * SIM_PAGE));
	sim_pages_drop(pages, first, last);
}
