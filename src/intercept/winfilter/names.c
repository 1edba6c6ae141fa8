/*
 * Names of the server and of Windows.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "intercept/winfilter/names.h"

#include "base/status.h"
#include "intercept/winfilter/upcase.h"

#include <stdlib.h>
#include <string.h>

#define ESCAPE 0xf000u

static bool is_lead(uint32_t unit)
{
	return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_trail(uint32_t unit)
{
	return unit >= 0xdc00 && unit < 0xe000;
}

static bool is_escape(uint32_t unit)
{
	return unit > ESCAPE && unit <= ESCAPE + 0xff;
}

static bool is_reserved(uint32_t c)
{
	return c < 32 || (c < 128 && strchr("\"*:<>?\\|", (int)c));
}

/*
 * One character of UTF-8 or one surrogate in the same form; returns its bytes, 0 where there is none: overlong ones, those beyond
 * U+10FFFF and broken ones are none.
 */
static size_t decode(const uint8_t *p, size_t len, uint32_t *ret)
{
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t c = len ? p[0] : 0xff;
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (n == 0 || n > len)
		return 0;
	if (n > 1)
		c &= 0x7fu >> n;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff)
		return 0;
	*ret = c;
	return n;
}

static size_t encode(uint32_t c, uint8_t out[4])
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xe0 | c >> 12);
		out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | c >> 18);
	out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

/* ---- WTF-8 ---- */

/* The character at units[i], two units where they pair. */
static uint32_t character_at(const uint16_t *units, size_t count, size_t i, size_t *ret_units)
{
	if (is_lead(units[i]) && i + 1 < count && is_trail(units[i + 1])) {
		*ret_units = 2;
		return 0x10000u + ((units[i] & 0x3ffu) << 10) + (units[i + 1] & 0x3ffu);
	}
	*ret_units = 1;
	return units[i];
}

static int64_t put_wtf8(const uint16_t *units, size_t count, char *ret, size_t cap)
{
	size_t len = 0, n, taken;
	uint8_t bytes[4];

	for (size_t i = 0; i < count; i += taken) {
		n = encode(character_at(units, count, i, &taken), bytes);
		if (len + n > cap)
			return -INLAY_ERANGE;
		memcpy(ret + len, bytes, n);
		len += n;
	}
	return (int64_t)len;
}

int64_t inlay_wtf8_from_utf16(const uint8_t *utf16, size_t units, char *ret, size_t cap)
{
	size_t len = 0, n, taken;
	uint8_t bytes[4];

	for (size_t i = 0; i < units; i += taken) {
		uint16_t two[2] = {inlay_load16(utf16 + 2 * i), i + 1 < units ? inlay_load16(utf16 + 2 * i + 2) : (uint16_t)0};

		n = encode(character_at(two, 2, 0, &taken), bytes);
		if (len + n > cap)
			return -INLAY_ERANGE;
		memcpy(ret + len, bytes, n);
		len += n;
	}
	return (int64_t)len;
}

int64_t inlay_wtf8_to_utf16(struct inlay_str wtf8, uint16_t *ret, size_t cap)
{
	const uint8_t *p = (const uint8_t *)wtf8.p;
	size_t count = 0, n;
	uint32_t c;

	for (size_t i = 0; i < wtf8.len; i += n) {
		n = decode(p + i, wtf8.len - i, &c);
		if (n == 0)
			return -INLAY_EINVAL;
		/* Two that pair would have been one character: it has one spelling only. */
		if (is_trail(c) && count && is_lead(ret[count - 1]) && n == 3)
			return -INLAY_EINVAL;
		if (count + (c >= 0x10000) >= cap)
			return -INLAY_ERANGE;
		if (c >= 0x10000) {
			ret[count++] = (uint16_t)(0xd800 + ((c - 0x10000) >> 10));
			ret[count++] = (uint16_t)(0xdc00 + (c & 0x3ff));
		} else {
			ret[count++] = (uint16_t)c;
		}
	}
	return (int64_t)count;
}

/* ---- the server's to Windows' ---- */

static bool word_is(const uint16_t *units, size_t count, const char *word)
{
	if (strlen(word) != count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (inlay_winname_upper(units[i]) != (uint8_t)word[i])
			return false;
	return true;
}

/* Windows takes these for devices, whatever comes after the first dot. */
static bool is_device(const uint16_t *units, size_t count)
{
	static const char *const words[] = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"};
	size_t stem = 0;
	uint16_t digit;

	while (stem < count && units[stem] != '.')
		stem++;
	while (stem && units[stem - 1] == ' ')
		stem--;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (word_is(units, stem, words[i]))
			return true;
	if (stem != 4 || !(word_is(units, 3, "COM") || word_is(units, 3, "LPT")))
		return false;
	digit = units[3];
	return (digit >= '0' && digit <= '9') || digit == 0xb9 || digit == 0xb2 || digit == 0xb3;
}

static bool is_no_server_name(struct inlay_str name)
{
	return name.len == 0 || name.len > INLAY_NAME_MAX || inlay_str_is(name, ".") || inlay_str_is(name, "..") ||
	       memchr(name.p, '/', name.len) || memchr(name.p, '\0', name.len);
}

/* One character of a server's name as units; returns the bytes it took. */
static size_t take_character(const uint8_t *p, size_t len, uint16_t *units, size_t *count)
{
	uint32_t c, next;
	size_t n = decode(p, len, &c);
	bool pairs = n == 3 && is_lead(c) && decode(p + n, len - n, &next) == 3 && is_trail(next);

	if (n == 0 || pairs || is_escape(c)) {
		units[(*count)++] = (uint16_t)(ESCAPE + p[0]); /* the bytes behind it are none of a character's start: each comes here, too */
		return 1;
	}
	if (is_reserved(c)) {
		units[(*count)++] = (uint16_t)(ESCAPE + c);
	} else if (c >= 0x10000) {
		units[(*count)++] = (uint16_t)(0xd800 + ((c - 0x10000) >> 10));
		units[(*count)++] = (uint16_t)(0xdc00 + (c & 0x3ff));
	} else {
		units[(*count)++] = (uint16_t)c;
	}
	return n;
}

/* Each byte makes one unit at most. */
static size_t units_from_server(struct inlay_str name, uint16_t units[INLAY_WINNAME_UNITS])
{
	const uint8_t *p = (const uint8_t *)name.p;
	size_t count = 0;

	for (size_t i = 0; i < name.len;)
		i += take_character(p + i, name.len - i, units, &count);
	if (units[count - 1] == '.' || units[count - 1] == ' ')
		units[count - 1] = (uint16_t)(units[count - 1] + ESCAPE);
	if (is_device(units, count))
		units[0] = (uint16_t)(units[0] + ESCAPE);
	return count;
}

int inlay_winname_from_server(struct inlay_str name, char ret[INLAY_WINNAME_MAX + 1])
{
	uint16_t units[INLAY_WINNAME_UNITS];
	int64_t len;

	if (is_no_server_name(name))
		return -INLAY_EINVAL;
	len = put_wtf8(units, units_from_server(name, units), ret, INLAY_WINNAME_MAX);
	if (len < 0)
		return -INLAY_EINVAL; /* unreachable: 255 units always fit */
	ret[len] = '\0';
	return (int)len;
}

/* ---- Windows' to the server's ---- */

static int server_bytes(const uint16_t *units, size_t count, char ret[INLAY_NAME_MAX + 1])
{
	size_t len = 0, n, taken;
	uint8_t bytes[4];

	for (size_t i = 0; i < count; i += taken) {
		uint32_t c = character_at(units, count, i, &taken);

		if (is_escape(c)) {
			bytes[0] = (uint8_t)(c - ESCAPE);
			n = 1;
		} else {
			n = encode(c, bytes);
		}
		if (len + n > INLAY_NAME_MAX)
			return -INLAY_ENAMETOOLONG;
		memcpy(ret + len, bytes, n);
		len += n;
	}
	ret[len] = '\0';
	return (int)len;
}

static int units_to_server(const uint16_t *units, size_t count, char ret[INLAY_NAME_MAX + 1])
{
	uint16_t back[INLAY_WINNAME_UNITS];
	int len = server_bytes(units, count, ret);
	struct inlay_str name = {ret, (uint32_t)len};

	if (len < 0)
		return len;
	if (is_no_server_name(name) || units_from_server(name, back) != count || memcmp(back, units, count * sizeof *units) != 0)
		return -INLAY_EINVAL;
	return len;
}

int inlay_winname_to_server(struct inlay_str win, char ret[INLAY_NAME_MAX + 1])
{
	uint16_t units[INLAY_WINNAME_UNITS];
	int64_t count = inlay_wtf8_to_utf16(win, units, INLAY_WINNAME_UNITS);

	if (count == -INLAY_ERANGE)
		return -INLAY_ENAMETOOLONG;
	if (count <= 0)
		return -INLAY_EINVAL;
	return units_to_server(units, (size_t)count, ret);
}

/* ---- comparing ---- */

uint16_t inlay_winname_upper(uint16_t unit)
{
	size_t low = 0, high = INLAY_UPCASE_RUNS;

	if (unit < 0x80)
		return unit >= 'a' && unit <= 'z' ? (uint16_t)(unit - 32) : unit;
	while (low < high) {
		size_t mid = (low + high) / 2;
		const struct inlay_upcase_run *r = &inlay_upcase_runs[mid];

		if (unit > r->last)
			low = mid + 1;
		else if (unit < r->first)
			high = mid;
		else
			return (unit - r->first) % r->step ? unit : (uint16_t)(unit + r->delta);
	}
	return unit;
}

/* The next character in upper case; what is no WTF-8 goes byte by byte. */
static size_t next_upper(struct inlay_str s, size_t at, uint32_t *ret)
{
	uint32_t c;
	size_t n = decode((const uint8_t *)s.p + at, s.len - at, &c);

	if (n == 0) {
		*ret = 0x110000u + (uint8_t)s.p[at];
		return 1;
	}
	*ret = c < 0x10000 ? inlay_winname_upper((uint16_t)c) : c;
	return n;
}

bool inlay_winname_same(struct inlay_str a, struct inlay_str b)
{
	size_t i = 0, j = 0;
	uint32_t x, y;

	while (i < a.len && j < b.len) {
		i += next_upper(a, i, &x);
		j += next_upper(b, j, &y);
		if (x != y)
			return false;
	}
	return i == a.len && j == b.len;
}

uint64_t inlay_winname_hash(const struct inlay_hash_key *key, struct inlay_str name)
{
	uint32_t part[64], c;
	uint64_t hash = 0;
	size_t n = 0;

	for (size_t i = 0; i < name.len;) {
		i += next_upper(name, i, &c);
		part[n++] = c;
		if (n == 62 || i >= name.len) {
			memcpy(part + n, &hash, sizeof hash); /* chained: paths are longer than any buffer here */
			hash = inlay_siphash(key, part, n * sizeof *part + sizeof hash);
			n = 0;
		}
	}
	return hash;
}

int inlay_winname_order(struct inlay_str a, struct inlay_str b)
{
	int order = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);

	return order < 0 ? -1 : order > 0 ? 1 : (a.len > b.len) - (a.len < b.len);
}

/* ---- paths ---- */

/* Room for the longest: three bytes a unit on either side, the ends, and the struct. */
static struct inlay_winpath *path_new(size_t units, unsigned parts)
{
	size_t text = 3 * units + 1;
	struct inlay_winpath *p = malloc(sizeof *p + 2 * parts * sizeof(uint32_t) + 2 * text);

	if (!p)
		return NULL;
	p->parts = 0;
	p->win_end = (uint32_t *)(p + 1);
	p->server_end = p->win_end + parts;
	p->win = (char *)(p->server_end + parts);
	p->server = p->win + text;
	p->win[0] = p->server[0] = '\0';
	return p;
}

/* Appends a part to both texts, which have room: a server's name is never longer than three bytes a unit. */
static int path_add(struct inlay_winpath *p, const uint16_t *units, size_t count)
{
	uint32_t win = p->parts ? p->win_end[p->parts - 1] : 0, server = p->parts ? p->server_end[p->parts - 1] : 0;
	char name[INLAY_NAME_MAX + 1];
	int64_t win_len;
	int len;

	if (count == 0 || count > INLAY_WINNAME_UNITS)
		return count ? -INLAY_ENAMETOOLONG : -INLAY_EINVAL;
	len = units_to_server(units, count, name);
	if (len < 0)
		return len;
	if (p->parts)
		p->win[win++] = p->server[server++] = '/';
	win_len = put_wtf8(units, count, p->win + win, 3 * count);
	if (win_len < 0)
		return -INLAY_EINVAL; /* unreachable */
	memcpy(p->server + server, name, (size_t)len);
	p->win_end[p->parts] = win + (uint32_t)win_len;
	p->server_end[p->parts] = server + (uint32_t)len;
	p->win[p->win_end[p->parts]] = p->server[p->server_end[p->parts]] = '\0';
	p->parts++;
	return 0;
}

static int path_fill(struct inlay_winpath *p, const uint16_t *units, size_t count, uint16_t between)
{
	size_t start = 0;
	int err = 0;

	for (size_t i = 0; i <= count && err == 0 && count; i++) {
		if (i < count && units[i] != between)
			continue;
		err = path_add(p, units + start, i - start);
		start = i + 1;
	}
	return err;
}

static int path_of(const uint16_t *units, size_t count, uint16_t between, struct inlay_winpath **ret)
{
	struct inlay_winpath *p;
	unsigned parts = 1;
	int err;

	for (size_t i = 0; i < count; i++)
		parts += units[i] == between;
	if (parts > INLAY_WINPATH_PARTS)
		return -INLAY_ENAMETOOLONG;
	p = path_new(count, parts);
	if (!p)
		return -INLAY_ENOMEM;
	err = path_fill(p, units, count, between);
	if (err < 0)
		free(p);
	else
		*ret = p;
	return err;
}

int inlay_winpath_parse(const uint8_t *utf16, size_t len, struct inlay_winpath **ret)
{
	size_t count = len / 2;
	uint16_t *units;
	int err;

	if (len % 2)
		return -INLAY_EINVAL;
	if (count > INLAY_WINPATH_UNITS)
		return -INLAY_ENAMETOOLONG;
	units = malloc(count ? len : 1);
	if (!units)
		return -INLAY_ENOMEM;
	for (size_t i = 0; i < count; i++)
		units[i] = inlay_load16(utf16 + 2 * i);
	err = path_of(units, count, '\\', ret);
	free(units);
	return err;
}

int inlay_winpath_make(struct inlay_str wtf8, struct inlay_winpath **ret)
{
	uint16_t *units = malloc((wtf8.len + 1u) * sizeof *units);
	int64_t count;
	int err;

	if (!units)
		return -INLAY_ENOMEM;
	count = inlay_wtf8_to_utf16(wtf8, units, wtf8.len + 1u);
	err = count < 0 ? (int)count : path_of(units, (size_t)count, '/', ret);
	free(units);
	return err;
}

int inlay_winpath_replace(const struct inlay_winpath *p, unsigned part, struct inlay_str server, struct inlay_winpath **ret)
{
	struct inlay_winpath *copy = path_new(p->win_end[p->parts - 1] + INLAY_WINNAME_UNITS, p->parts);
	uint16_t units[INLAY_WINNAME_UNITS];
	char name[INLAY_WINNAME_MAX + 1];
	int64_t count;
	int err = copy ? 0 : -INLAY_ENOMEM;

	for (unsigned i = 0; i < p->parts && err == 0; i++) {
		struct inlay_str win = inlay_winpath_win(p, i);

		if (i == part) {
			err = inlay_winname_from_server(server, name);
			win = (struct inlay_str){name, err < 0 ? 0 : (uint32_t)err};
		}
		count = err < 0 ? err : inlay_wtf8_to_utf16(win, units, INLAY_WINNAME_UNITS);
		err = count < 0 ? (int)count : path_add(copy, units, (size_t)count);
	}
	if (err < 0)
		free(copy);
	else
		*ret = copy;
	return err;
}

struct inlay_str inlay_winpath_win(const struct inlay_winpath *p, unsigned part)
{
	uint32_t start = part ? p->win_end[part - 1] + 1 : 0;

	return (struct inlay_str){p->win + start, p->win_end[part] - start};
}

struct inlay_str inlay_winpath_server(const struct inlay_winpath *p, unsigned part)
{
	uint32_t start = part ? p->server_end[part - 1] + 1 : 0;

	return (struct inlay_str){p->server + start, p->server_end[part] - start};
}
