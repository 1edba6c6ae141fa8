/*
 * WTF-8 to UTF-16 and back.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/windows/wtf8.h"

#include "base/status.h"

/* One code point, surrogates included: how many bytes it takes, 0 when there is none at p. */
static size_t decode(const unsigned char *p, size_t len, uint32_t *ret)
{
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	size_t want = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
	uint32_t code;

	if (want == 0 || want > len)
		return 0;
	code = want == 1 ? p[0] : p[0] & (0xffu >> (want + 1));
	for (size_t i = 1; i < want; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least[want] || code > 0x10ffff)
		return 0;
	*ret = code;
	return want;
}

int inlay_wtf8_to_utf16(const char *text, size_t len, uint16_t *out, size_t cap)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t used = 0;

	while (len) {
		uint32_t code;
		size_t step = decode(p, len, &code), units = code > 0xffff ? 2 : 1;

		if (!step)
			return -INLAY_EINVAL;
		if (used + units > cap || used + units > 0xffff)
			return -INLAY_ENAMETOOLONG;
		if (units == 2) {
			out[used++] = (uint16_t)(0xd7c0 + (code >> 10));
			out[used++] = (uint16_t)(0xdc00 + (code & 0x3ff));
		} else {
			out[used++] = (uint16_t)code;
		}
		p += step;
		len -= step;
	}
	return (int)used;
}

static size_t encode(uint32_t code, unsigned char out[4])
{
	if (code < 0x80) {
		out[0] = (unsigned char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (unsigned char)(0xc0 | code >> 6);
		out[1] = (unsigned char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (unsigned char)(0xe0 | code >> 12);
		out[1] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (unsigned char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (unsigned char)(0xf0 | code >> 18);
	out[1] = (unsigned char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (unsigned char)(0x80 | (code & 0x3f));
	return 4;
}

int inlay_wtf8_from_utf16(const uint16_t *units, size_t count, char *out, size_t cap)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t code = units[i];
		unsigned char piece[4];
		size_t len;

		if (code >= 0xd800 && code < 0xdc00 && i + 1 < count && units[i + 1] >= 0xdc00 && units[i + 1] < 0xe000)
			code = 0x10000 + ((code - 0xd800) << 10) + (units[++i] - 0xdc00u);
		len = encode(code, piece);
		if (used + len > cap)
			return -INLAY_ENAMETOOLONG;
		for (size_t k = 0; k < len; k++)
			out[used++] = (char)piece[k];
	}
	return (int)used;
}
