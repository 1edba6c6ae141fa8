/*
 * Fuzzes what a peer's bytes go through first: frame headers, every reader, listings. What is accepted must come out
 * of the writers as the very same bytes.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "../wire_table.h"

#include "wire/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static const struct wire_half *half_of(const struct inlay_frame *f)
{
	for (unsigned i = 0; i < WIRE_HALVES; i++)
		if (wire_halves[i].number == f->type && wire_halves[i].reply == (f->kind == INLAY_FRAME_REPLY))
			return &wire_halves[i];
	abort();
}

static void body(const struct inlay_frame *f, const uint8_t *p)
{
	static union wire_any message;
	static uint8_t again[INLAY_BODY_MAX];
	const struct wire_half *h = half_of(f);
	struct inlay_reader r = inlay_reader(p, f->body);
	struct inlay_writer w = inlay_writer(again, sizeof(again));

	if (h->get(&r, &message) < 0)
		return;
	h->put(&w, &message);
	require(!w.full && inlay_writer_len(&w) == f->body && memcmp(again, p, f->body) == 0);
}

static void listing(const uint8_t *p, size_t len, unsigned flags)
{
	uint8_t again[512];
	struct inlay_reader r = inlay_reader(p, len);

	while (r.p < r.end) {
		const uint8_t *start = r.p;
		struct inlay_writer w = inlay_writer(again, sizeof(again));
		struct inlay_dirent d;

		if (inlay_get_dirent(&r, &d, flags) < 0)
			return;
		inlay_put_dirent(&w, &d, flags);
		require(!w.full && inlay_writer_len(&w) == (size_t)(r.p - start));
		require(inlay_dirent_size(d.name.len, flags) == inlay_writer_len(&w));
		require(memcmp(again, start, inlay_writer_len(&w)) == 0);
	}
}

/* One frame after the other, each in a heap block of its own size: a sanitizer sees any step past its end. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const unsigned kinds = 1 << INLAY_FRAME_REQUEST | 1 << INLAY_FRAME_REPLY | 1 << INLAY_FRAME_EVENT;
	uint8_t header[INLAY_FRAME_HEADER];
	struct inlay_frame f;

	while (inlay_frame_parse(data, size, kinds, &f) == 1) {
		uint8_t *copy;

		inlay_frame_put(header, &f);
		require(memcmp(header, data, sizeof(header)) == 0);
		require(f.size <= INLAY_FRAME_MAX && inlay_frame_data_len(&f) <= INLAY_DATA_MAX);
		if (f.size > size)
			break;
		copy = malloc(f.size);
		if (!copy)
			break;
		memcpy(copy, data, f.size);
		if (!f.status)
			body(&f, copy + INLAY_FRAME_HEADER);
		for (unsigned flags = 0; flags <= INLAY_READDIR_ATTRS; flags++)
			listing(copy + INLAY_FRAME_HEADER + f.body, inlay_frame_data_len(&f), flags);
		free(copy);
		data += f.size;
		size -= f.size;
	}
	return 0;
}
