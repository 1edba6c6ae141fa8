/*
 * The files of records: how many of them there may be, in all and of one place.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/record.h"

#include "base/limits.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAG 77

static char dir[64];
static const struct inlay_hash_key secret = {{1, 2}};
static const struct inlay_uuid boot = {{3}};

static struct records *start(uint32_t lanes)
{
	struct records *rs;

	assert_int_equal(records_open(dir, &secret, &boot, &rs), 0);
	records_limit(rs, lanes);
	return rs;
}

static struct record *client(struct records *rs, uint8_t number, bool again, struct record_place *place)
{
	struct record *r = record_get(rs, &(struct inlay_uuid){{number}}, 5, again, place);

	assert_non_null(r);
	return r;
}

/* How many lanes it gets, one after the other, of 40. */
static unsigned lanes(struct record *r)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < 40; i++)
		n += record_lane(r, i, TAG) != NULL;
	return n;
}

static void remove_dir(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	assert_int_equal(system(command), 0);
}

static void no_place_takes_the_disk(void **state)
{
	struct record_place greedy = {.refs = 1}, other = {.refs = 1};
	struct record *r[4];
	struct records *rs;

	(void)state;
	strcpy(dir, "/tmp/inlay-record-XXXXXX");
	assert_non_null(mkdtemp(dir));
	rs = start(50);
	for (uint8_t i = 0; i < 2; i++)
		r[i] = client(rs, i, false, &greedy);
	assert_int_equal(lanes(r[0]) + lanes(r[1]), 41); /* four fifths, whoever asks there */
	assert_int_equal(lanes(r[0]), 40);               /* what it has stays */
	r[2] = client(rs, 2, false, &other);
	assert_in_range(lanes(r[2]), 7, 8); /* the twin: others have some */
	r[3] = client(rs, 3, false, NULL);
	assert_in_range(lanes(r[3]), 1, 2); /* and no more than all */
	/* Whoever goes makes room. */
	record_put(r[0], false);
	assert_int_equal(greedy.lanes, 1);
	assert_true(lanes(r[2]) > 30);
	for (uint8_t i = 1; i < 4; i++)
		record_put(r[i], false);
	assert_int_equal(greedy.lanes + other.lanes, 0);
	assert_int_equal(greedy.refs + other.refs, 2);
	records_close(rs);
	remove_dir();
}

/* Lives that end soon, one after the other, must not each leave as much as is allowed. */
static void what_is_left_over_counts(void **state)
{
	struct record *r;
	struct records *rs;

	(void)state;
	strcpy(dir, "/tmp/inlay-record-XXXXXX");
	assert_non_null(mkdtemp(dir));
	rs = start(50);
	r = client(rs, 1, false, NULL);
	assert_int_equal(lanes(r), 40);
	record_put(r, true);
	records_close(rs);
	rs = start(50);
	r = client(rs, 2, false, NULL);
	assert_in_range(lanes(r), 7, 10);
	record_put(r, false);
	r = client(rs, 1, true, NULL); /* the twin: whose it is has it */
	assert_int_equal(lanes(r), 40);
	record_put(r, true);
	records_close(rs);
	rs = start(50);
	records_clean(rs);
	r = client(rs, 2, false, NULL);
	assert_int_equal(lanes(r), 40);
	record_put(r, false);
	records_close(rs);
	remove_dir();
}

RUN_TESTS(cmocka_unit_test(no_place_takes_the_disk), cmocka_unit_test(what_is_left_over_counts))
