/*
 * The redirector's listings of merged directories.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect_support.h"

static void make_many(int side, const char *dir, const char *prefix, unsigned count)
{
	char path[256];

	for (unsigned i = 0; i < count; i++) {
		snprintf(path, sizeof path, "%s/%s%03u", dir, prefix, i);
		side_make(side, path);
	}
}

static unsigned words(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == ' ';
	return n;
}

static void begin_listing(const char *const *rules)
{
	start(rules);
	for (int side = 0; side < INLAY_SIDES; side++) {
		side_make(side, "d/");
		make_many(side, "d", "both", 50);
		make_many(side, "d", side == INLAY_LOCAL ? "local" : "remote", 300);
	}
	side_make(INLAY_REMOTE, "r/");
	make_many(INLAY_REMOTE, "r", "a", 200);
	make_many(INLAY_REMOTE, "r", "b", 3);
}

static void each_name_is_listed_once(void **state)
{
	static const uint32_t lens[] = {64, 100, 4096, 1u << 20};
	char text[65536];

	(void)state;
	begin_listing(NULL);
	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
		assert_int_equal(t_list("d", lens[i], text), 0);
		assert_int_equal(words(text), 650);
		assert_int_equal(t_list("r", lens[i], text), 0);
		assert_int_equal(words(text), 203);
	}
	stop();
}

/* What lookup would not find is not listed, on merged directories and on others; a batch of hidden names is no end. */
static void hidden_names_are_not_listed(void **state)
{
	static const char *const rules[] = {"local a*", "remote local00*", "local both01*", "local remote1*", NULL};
	char text[65536];

	(void)state;
	begin_listing(rules);
	assert_int_equal(t_list("r", 100, text), 0);
	assert_string_equal(text, "b000 b001 b002 ");
	assert_int_equal(t_list("d", 4096, text), 0);
	assert_int_equal(words(text), 650 - 10 - 100);
	assert_null(strstr(text, "local005"));
	assert_null(strstr(text, "remote123"));
	assert_non_null(strstr(text, "both010"));
	stop();
}

static void listings_can_be_read_again_and_from_the_middle(void **state)
{
	struct inlay_file *f;
	char first[65536] = "", again[65536] = "", rest[65536] = "";
	uint64_t cookie, middle;
	int status;

	(void)state;
	begin_listing(NULL);
	f = t_open("d", 0, &status);
	assert_non_null(f);
	assert_int_equal(t_readdir(f, 0, 4096, first, &middle), 0);
	assert_int_equal(t_readdir(f, middle, 65536, rest, &cookie), 0);
	side_make(INLAY_REMOTE, "d/zzz");
	assert_int_equal(t_readdir(f, 0, 4096, again, &cookie), 0);
	assert_string_equal(first, again);
	assert_int_equal(t_readdir(f, 1000000, 4096, again, &cookie), 0); /* beyond the end */
	assert_int_equal(t_readdir(f, UINT64_MAX, 4096, again, &cookie), 0);
	rest[0] = '\0';
	assert_int_equal(t_readdir(f, middle, 65536, rest, &cookie), 0);
	assert_non_null(strstr(rest, "zzz"));
	assert_int_equal(t_close(f), 0);
	stop();
}

static void a_listing_without_one_half_fails(void **state)
{
	char text[65536];

	(void)state;
	begin_listing(NULL);
	for (int side = 0; side < INLAY_SIDES; side++) {
		for (unsigned at = 1; at <= 2; at++) {
			w.side[side].fail_type = at == 1 ? INLAY_OPENDIR : INLAY_READDIR;
			w.side[side].fail_at = 1;
			w.side[side].fail_status = -INLAY_EACCES;
			assert_int_equal(t_list("d", 4096, text), -INLAY_EACCES);
		}
	}
	assert_int_equal(t_list("d", 4096, text), 0);
	stop();
}

RUN_TESTS(cmocka_unit_test(each_name_is_listed_once), cmocka_unit_test(hidden_names_are_not_listed),
          cmocka_unit_test(listings_can_be_read_again_and_from_the_middle), cmocka_unit_test(a_listing_without_one_half_fails))
