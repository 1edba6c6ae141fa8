/*
 * The Windows filter's words: names both ways, paths of the ring, times, attributes, statuses, security descriptors.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support.h"

#include "base/status.h"
#include "intercept/winfilter/convert.h"
#include "intercept/winfilter/names.h"
#include "intercept/winfilter/ntstatus.h"
#include "intercept/winfilter/security.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */


static const struct {
	const char *server, *win;
} names[] = {
	{"plain.txt", "plain.txt"},
	{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
	{"a:b", "a\xef\x80\xba" "b"},
	{"a\\b", "a\xef\x81\x9c" "b"},
	{"?*\"<>|", "\xef\x80\xbf\xef\x80\xaa\xef\x80\xa2\xef\x80\xbc\xef\x80\xbe\xef\x81\xbc"},
	{"\x01\x1f\x7f", "\xef\x80\x81\xef\x80\x9f\x7f"},
	{"end.", "end\xef\x80\xae"},
	{"end ", "end\xef\x80\xa0"},
	{"...", "..\xef\x80\xae"},
	{".hidden", ".hidden"},
	{" x", " x"},
	{"con", "\xef\x81\xa3on"},
	{"NUL", "\xef\x81\x8eUL"},
	{"aux.c", "\xef\x81\xa1ux.c"},
	{"Com1.tar.gz", "\xef\x81\x83om1.tar.gz"},
	{"LPT9", "\xef\x81\x8cPT9"},
	{"COM\xc2\xb2", "\xef\x81\x83OM\xc2\xb2"},
	{"con .x", "\xef\x81\xa3on .x"},
	{"CONIN$", "\xef\x81\x83ONIN$"},
	{"console", "console"},
	{"com", "com"},
	{"com10", "com10"},
	{"con.", "con\xef\x80\xae"},
	{"\xff", "\xef\x83\xbf"},
	{"a\xc3", "a\xef\x83\x83"},
	{"\xc0\xaf", "\xef\x83\x80\xef\x82\xaf"},
	{"\xf5\x80\x80\x80", "\xef\x83\xb5\xef\x82\x80\xef\x82\x80\xef\x82\x80"},
	/* What looks like ours already. */
	{"\xef\x80\xba", "\xef\x83\xaf\xef\x82\x80\xef\x82\xba"},
	{"\xef\x80\x80", "\xef\x80\x80"},
	{"\xef\x84\x80", "\xef\x84\x80"},
	/* Surrogates: alone they are Windows' own, in pairs no way to write a character. */
	{"\xed\xa0\x80", "\xed\xa0\x80"},
	{"\xed\xb0\x80\xed\xa0\x80", "\xed\xb0\x80\xed\xa0\x80"},
	{"\xed\xa0\x80\xed\xb0\x80", "\xef\x83\xad\xef\x82\xa0\xef\x82\x80\xed\xb0\x80"},
};

static void test_names(void **state)
{
	char win[INLAY_WINNAME_MAX + 1], server[INLAY_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		int len = inlay_winname_from_server(inlay_str(names[i].server), win);

		if (len < 0 || strcmp(win, names[i].win) != 0)
			fail_msg("name %zu: %d", i, len);
		len = inlay_winname_to_server(inlay_str(win), server);
		if (len != (int)strlen(names[i].server) || strcmp(server, names[i].server) != 0)
			fail_msg("name %zu back: %d", i, len);
	}
}

static void test_no_names(void **state)
{
	static const char *const no_server[] = {"", ".", "..", "a/b"};
	static const char *const no_win[] = {"", ".", "..", "a/b", "a\\b", "a:b", "a*", "x?", "\x01", "end.", "end ", "con", "nul.txt",
		"COM7", "\xef\x80\xaf", "\xef\x81\x81", "\xef\x80\xaex", "\xef\x80\xae", "\xff", "\xed\xa0\x80\xed\xb0\x80",
		"\xef\x81\xa3\xef\x81\xafn"};
	char win[INLAY_WINNAME_MAX + 1], server[INLAY_NAME_MAX + 1], longest[300];

	(void)state;
	for (size_t i = 0; i < sizeof no_server / sizeof *no_server; i++)
		assert_int_equal(inlay_winname_from_server(inlay_str(no_server[i]), win), -INLAY_EINVAL);
	assert_int_equal(inlay_winname_from_server((struct inlay_str){"a\0b", 3}, win), -INLAY_EINVAL);
	for (size_t i = 0; i < sizeof no_win / sizeof *no_win; i++)
		if (inlay_winname_to_server(inlay_str(no_win[i]), server) != -INLAY_EINVAL)
			fail_msg("name %zu is taken", i);
	memset(longest, 'x', sizeof longest);
	assert_int_equal(inlay_winname_from_server((struct inlay_str){longest, 256}, win), -INLAY_EINVAL);
	assert_int_equal(inlay_winname_from_server((struct inlay_str){longest, 255}, win), 255);
	assert_int_equal(inlay_winname_to_server(inlay_str(win), server), 255);
	assert_int_equal(inlay_winname_to_server((struct inlay_str){longest, 256}, server), -INLAY_ENAMETOOLONG);
	/* All of it escaped: three bytes a unit. */
	memset(longest, 0xff, sizeof longest);
	assert_int_equal(inlay_winname_from_server((struct inlay_str){longest, 255}, win), 765);
	assert_int_equal(inlay_winname_to_server(inlay_str(win), server), 255);
	/* 128 characters of two bytes each are too many bytes for the server, though few units for Windows. */
	for (size_t i = 0; i < 256; i += 2)
		memcpy(longest + i, "\xc3\xa4", 2);
	assert_int_equal(inlay_winname_to_server((struct inlay_str){longest, 256}, server), -INLAY_ENAMETOOLONG);
}

/* Whatever bytes: another name for each, and the way back. */
static void test_random_names(void **state)
{
	static const char alphabet[] = ".. :conCON1xX\xed\xa0\x80\xb0\xef\x80\x81\x83\xc3\xa4\xf0\x9f\x98\xff";
	char name[16], win[INLAY_WINNAME_MAX + 1], server[INLAY_NAME_MAX + 1];

	(void)state;
	srand(1);
	for (unsigned i = 0; i < 200000; i++) {
		uint32_t len = (uint32_t)rand() % 8 + 1;
		int n;

		for (uint32_t k = 0; k < len; k++)
			name[k] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
		n = inlay_winname_from_server((struct inlay_str){name, len}, win);
		if (n < 0) /* "." and ".." */
			continue;
		assert_int_equal(inlay_winname_to_server((struct inlay_str){win, (uint32_t)n}, server), (int)len);
		assert_memory_equal(server, name, len);
	}
}

static void test_comparing(void **state)
{
	const struct inlay_hash_key key = {{1, 2}};
	static const struct {
		const char *a, *b;
		bool same;
	} pairs[] = {
		{"abc", "ABC", true}, {"abc", "abd", false}, {"abc", "ab", false}, {"", "", true},
		{"\xc3\xa4", "\xc3\x84", true},           /* a umlaut */
		{"\xd1\x8f", "\xd0\xaf", true},           /* Cyrillic ya */
		{"\xc3\xbf", "\xc5\xb8", true},           /* y diaeresis, whose capital lies elsewhere */
		{"\xe1\xba\x81", "\xe1\xba\x80", true},   /* w grave */
		{"\xe2\xb1\xa5", "\xc8\xba", true},       /* of different lengths */
		{"\xc4\xb1", "I", false},                 /* dotless i */
		{"\xc3\x9f", "SS", false},
		{"\xf0\x90\x90\xa8", "\xf0\x90\x90\x80", false}, /* beyond the plane that NTFS knows */
		{"\xff", "\xff", true}, {"\xff", "\xfe", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		struct inlay_str a = inlay_str(pairs[i].a), b = inlay_str(pairs[i].b);

		if (inlay_winname_same(a, b) != pairs[i].same || inlay_winname_same(b, a) != pairs[i].same)
			fail_msg("pair %zu", i);
		if (pairs[i].same)
			assert_true(inlay_winname_hash(&key, a) == inlay_winname_hash(&key, b));
	}
	/* Every capital is its own. */
	for (uint32_t c = 0; c <= 0xffff; c++)
		assert_int_equal(inlay_winname_upper(inlay_winname_upper((uint16_t)c)), inlay_winname_upper((uint16_t)c));
	assert_true(inlay_winname_order(inlay_str("a"), inlay_str("ab")) < 0);
	assert_true(inlay_winname_order(inlay_str("b"), inlay_str("ab")) > 0);
	assert_int_equal(inlay_winname_order(inlay_str("ab"), inlay_str("ab")), 0);
}

/* ---- paths ---- */

static int parse(const char *text, struct inlay_winpath **ret)
{
	uint8_t bytes[2048];
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		inlay_store16(bytes + 2 * i, (uint8_t)text[i]);
	return inlay_winpath_parse(bytes, 2 * len, ret);
}

static void test_paths(void **state)
{
	static const char *const bad[] = {"\\", "\\a", "a\\", "a\\\\b", ".", "a\\..", "..\\a", "a\\.\\b", "a/b", "a:b", "a\\con", "a.\\b"};
	struct inlay_winpath *p, *q;
	uint8_t *deep = malloc(65536);
	char *name;

	(void)state;
	assert_int_equal(parse("", &p), 0);
	assert_int_equal(p->parts, 0);
	assert_string_equal(p->win, "");
	free(p);
	assert_int_equal(parse("one\\Two\\three.txt", &p), 0);
	assert_int_equal(p->parts, 3);
	assert_string_equal(p->win, "one/Two/three.txt");
	assert_string_equal(p->server, "one/Two/three.txt");
	assert_true(inlay_str_is(inlay_winpath_win(p, 1), "Two"));
	assert_true(inlay_str_is(inlay_winpath_server(p, 2), "three.txt"));
	assert_int_equal(inlay_winpath_replace(p, 1, inlay_str("a:2"), &q), 0);
	assert_string_equal(q->server, "one/a:2/three.txt");
	assert_string_equal(q->win, "one/a\xef\x80\xba" "2/three.txt");
	free(p);
	assert_int_equal(inlay_winpath_make(inlay_str(q->win), &p), 0);
	assert_string_equal(p->server, "one/a:2/three.txt");
	assert_int_equal(inlay_winpath_replace(p, 0, inlay_str(".."), &(struct inlay_winpath *){NULL}), -INLAY_EINVAL);
	free(p);
	free(q);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (parse(bad[i], &p) != -INLAY_EINVAL)
			fail_msg("%s is a path", bad[i]);
	assert_int_equal(inlay_winpath_parse((const uint8_t *)"a\0b", 3, &p), -INLAY_EINVAL);
	assert_int_equal(inlay_winpath_parse((const uint8_t *)"a\0\0\0b\0", 6, &p), -INLAY_EINVAL);
	/* As deep and as long as may be, and more. */
	for (size_t i = 0; i < 65536; i += 4) {
		memcpy(deep + i, "a\0\\\0", 4);
	}
	assert_int_equal(inlay_winpath_parse(deep, 4 * INLAY_WINPATH_PARTS - 2, &p), 0);
	assert_int_equal(p->parts, INLAY_WINPATH_PARTS);
	free(p);
	assert_int_equal(inlay_winpath_parse(deep, 4 * INLAY_WINPATH_PARTS + 2, &p), -INLAY_ENAMETOOLONG);
	assert_int_equal(inlay_winpath_parse(deep, 65536, &p), -INLAY_ENAMETOOLONG);
	free(deep);
	name = malloc(600);
	memset(name, 'x', 600);
	name[256] = '\0';
	assert_int_equal(parse(name, &p), -INLAY_ENAMETOOLONG);
	name[255] = '\0';
	assert_int_equal(parse(name, &p), 0);
	free(p);
	free(name);
}

/* ---- times, attributes, access ---- */

static void test_times(void **state)
{
	struct inlay_time t = {.sec = 0, .nsec = 1234567};
	int64_t ticks = inlay_win_time_from(&t);

	(void)state;
	assert_true(ticks == INT64_C(116444736000012345));
	t = inlay_win_time_to(ticks);
	assert_int_equal(t.sec, 0);
	assert_int_equal(t.nsec, 1234500);
	t = (struct inlay_time){.sec = -11644473600 - 1};
	assert_true(inlay_win_time_from(&t) == 0);
	t = (struct inlay_time){.sec = -11644473600, .nsec = 100};
	assert_true(inlay_win_time_from(&t) == 1);
	t = (struct inlay_time){.sec = INT64_MAX, .nsec = 999999999};
	assert_true(inlay_win_time_from(&t) == INT64_MAX);
	t = (struct inlay_time){.sec = INT64_MIN};
	assert_true(inlay_win_time_from(&t) == 0);
	t = inlay_win_time_to(INT64_MAX);
	assert_true(inlay_win_time_from(&t) == INT64_MAX);
	t = inlay_win_time_to(-1);
	assert_true(t.sec == -11644473600 && t.nsec == 0);
	for (int64_t at = 0; at < INT64_MAX - INT64_C(1234567890123456); at += INT64_C(1234567890123456)) {
		t = inlay_win_time_to(at);
		assert_true(inlay_win_time_from(&t) == at && t.nsec < 1000000000);
	}
}

static void test_attributes(void **state)
{
	struct inlay_attr a = {.ino = 9, .size = UINT64_MAX, .blocks = UINT64_MAX, .mode = 0100444, .nlink = 3, .mtime = {.sec = 5}, .ctime = {.sec = 6}};
	struct inlay_ring_attr r;

	(void)state;
	inlay_win_attr_from(&a, &r);
	assert_true(r.size == INT64_MAX && r.allocation == INT64_MAX);
	assert_int_equal(r.attributes, INLAY_WIN_ARCHIVE | INLAY_WIN_READONLY);
	assert_int_equal(r.links, 3);
	assert_int_equal(r.index, 9);
	assert_true(r.created == r.written); /* no birth is known */
	a = (struct inlay_attr){.mode = 0040555, .size = 4096, .blocks = 8};
	inlay_win_attr_from(&a, &r);
	assert_int_equal(r.attributes, INLAY_WIN_DIRECTORY);
	assert_int_equal(r.size, 0);
	assert_int_equal(inlay_win_mode_with(0100755, INLAY_WIN_READONLY), 0555);
	assert_int_equal(inlay_win_mode_with(0100555, INLAY_WIN_NORMAL), 0755);
	assert_int_equal(inlay_win_mode_with(0100464, INLAY_WIN_ARCHIVE), 0464); /* somebody may write */
	assert_int_equal(inlay_win_mode_with(0040755, INLAY_WIN_READONLY), 0755);
	assert_int_equal(inlay_win_access_of(0x80000000), INLAY_WIN_ACCESS_READ);
	assert_int_equal(inlay_win_access_of(0x40000000), INLAY_WIN_ACCESS_WRITE);
	assert_int_equal(inlay_win_access_of(0x10000000), INLAY_WIN_ACCESS_READ | INLAY_WIN_ACCESS_WRITE);
	assert_int_equal(inlay_win_access_of(0x00110180), INLAY_WIN_ACCESS_NONE);
	assert_int_equal(inlay_win_access_of(0x20), INLAY_WIN_ACCESS_READ);
	assert_int_equal(inlay_win_access_of(4), INLAY_WIN_ACCESS_WRITE);
}

/* Every status has a number that the driver shows. */
static void test_statuses(void **state)
{
	(void)state;
	assert_int_equal(inlay_ntstatus_from(0), 0);
	for (int i = 1; i <= INLAY_EUNKNOWN; i++) {
		assert_int_equal(inlay_ntstatus_from(-i) >> 30, 3);
		assert_int_equal(inlay_ntstatus_from(-i), inlay_ntstatus_from(i));
	}
	assert_int_equal(inlay_ntstatus_from(-INLAY_ENOSPC), 0xc000007f);
	assert_int_equal(inlay_ntstatus_from(-99999), 0xc0000001);
	assert_int_equal(inlay_ntstatus_from(INT32_MIN), 0xc0000001);
}

/* ---- security descriptors ---- */

static const uint8_t admin[] = {1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0};

static void test_modes(void **state)
{
	const struct inlay_security_self self = {.uid = 1000, .sid = admin, .sid_len = sizeof admin};
	uint8_t sd[INLAY_SECURITY_MAX];
	struct inlay_security_mode m;

	(void)state;
	for (uint32_t mode = 0; mode <= 0777; mode++) {
		for (unsigned k = 0; k < 4; k++) {
			const struct inlay_security_self *s = k & 1 ? &self : NULL;
			int len = inlay_security_from_mode(mode | (k & 2 ? 0040000 : 0100000), 1000, 77, s, sd, sizeof sd);

			assert_true(len > 0);
			assert_int_equal(inlay_security_to_mode(sd, (size_t)len, s, &m), 0);
			if (m.mode != mode)
				fail_msg("%03o became %03o", mode, m.mode);
			assert_int_equal(m.uid, 1000);
			assert_int_equal(m.gid, 77);
			/* Cut off anywhere it is no descriptor, or says less; never more than there is. */
			for (size_t cut = 0; cut < (size_t)len; cut++) {
				uint8_t *copy = malloc(cut ? cut : 1);

				memcpy(copy, sd, cut);
				(void)!inlay_security_to_mode(copy, cut, s, &m);
				free(copy);
			}
			assert_int_equal(inlay_security_from_mode(mode, 1000, 77, s, sd, (size_t)len - 1), -INLAY_ERANGE);
		}
	}
}

static void test_descriptors(void **state)
{
	const struct inlay_security_self bad = {.uid = 5, .sid = admin, .sid_len = sizeof admin - 1};
	uint8_t sd[INLAY_SECURITY_MAX], copy[INLAY_SECURITY_MAX];
	struct inlay_security_mode m;
	int len;

	(void)state;
	assert_int_equal(inlay_security_from_mode(0100644, 5, 6, &bad, sd, sizeof sd), -INLAY_EINVAL);
	len = inlay_security_from_mode(0100644, 5, 6, NULL, sd, sizeof sd);
	/* The bytes as they are documented: revision, control, owner S-1-22-1-5. */
	assert_int_equal(sd[0], 1);
	assert_int_equal(inlay_load16(sd + 2), 0x9004);
	assert_memory_equal(sd + inlay_load32(sd + 4), "\1\2\0\0\0\0\0\x16\1\0\0\0\5\0\0\0", 16);
	assert_memory_equal(sd + inlay_load32(sd + 8), "\1\2\0\0\0\0\0\x16\2\0\0\0\6\0\0\0", 16);
	/* Without a list everything is allowed; owners of Windows are nobody of the server. */
	memcpy(copy, sd, (size_t)len);
	inlay_store16(copy + 2, 0x8000);
	inlay_store32(copy + 4, 0);
	assert_int_equal(inlay_security_to_mode(copy, (size_t)len, NULL, &m), 0);
	assert_int_equal(m.mode, 0777);
	assert_int_equal(m.uid, INLAY_SECURITY_UNKNOWN);
	assert_int_equal(m.gid, 6);
	inlay_store16(copy + 2, 0);
	assert_int_equal(inlay_security_to_mode(copy, (size_t)len, NULL, &m), -INLAY_EINVAL);
	/* Each byte damaged: no harm. */
	for (int i = 0; i < len; i++) {
		for (unsigned bits = 1; bits < 256; bits <<= 1) {
			memcpy(copy, sd, (size_t)len);
			copy[i] ^= (uint8_t)bits;
			(void)!inlay_security_to_mode(copy, (size_t)len, NULL, &m);
		}
	}
}

RUN_TESTS(cmocka_unit_test(test_names), cmocka_unit_test(test_no_names), cmocka_unit_test(test_random_names),
          cmocka_unit_test(test_comparing), cmocka_unit_test(test_paths), cmocka_unit_test(test_times),
          cmocka_unit_test(test_attributes), cmocka_unit_test(test_statuses), cmocka_unit_test(test_modes),
          cmocka_unit_test(test_descriptors))
