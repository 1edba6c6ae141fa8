/*
 * What people see: progress lines, quantities, names made safe; and the texts of the control socket.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/progress.h"

#include "support.h"

#include "base/status.h"
#include "cmd/control.h"
#include "cmd/rundir.h"
#include "cmd/say.h"
#include "cmd/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_progress(void **state)
{
	char line[512];

	(void)state;
	inlay_progress_line("disk.img", 600000000, 1000000000, 1000, 79, line, sizeof(line));
	assert_string_equal(line, "disk.img  [###################              ]  60 %  600 MB/s  0:01 left");
	inlay_progress_line("disk.img", 0, 1000, 0, 79, line, sizeof(line));
	assert_non_null(strstr(line, "[      "));
	assert_non_null(strstr(line, "  0 %  0 kB/s"));
	/* More than there seemed to be, and no size at all. */
	inlay_progress_line("f", 2000, 1000, 1000, 79, line, sizeof(line));
	assert_non_null(strstr(line, "100 %"));
	inlay_progress_line("f", 2500000, 0, 1000, 79, line, sizeof(line));
	assert_string_equal(line, "f  2.5 MB  2 MB/s");
	inlay_progress_line("f", 1000, 10000000000, 1000, 79, line, sizeof(line));
	assert_non_null(strstr(line, "days left"));
	inlay_progress_line("f", 1000000, 10000000000, 1000, 79, line, sizeof(line));
	assert_non_null(strstr(line, "2:46:40 left"));
}

/* Whatever the name and the window: the line fits, and drives no terminal. */
static void test_progress_fits(void **state)
{
	static const char *const names[] = {"a", "quite-a-long-name-of-a-disk-image-of-a-virtual-machine.qcow2",
		"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6", "a\033[31m\n\xff"};
	static const uint64_t totals[] = {0, 1, 1000000, 1ull << 62};
	char line[2048];

	(void)state;
	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		for (size_t t = 0; t < sizeof(totals) / sizeof(totals[0]); t++) {
			for (unsigned columns = 40; columns < 200; columns++) {
				inlay_progress_line(names[n], totals[t] / 3, totals[t], 123456, columns, line, sizeof(line));
				if (inlay_name_width(line) > columns + 3 * 10) /* its own backslashes count as four here */
					fail_msg("%u columns: %s", columns, line);
				for (const char *p = line; *p; p++)
					assert_true((unsigned char)*p >= 0x20);
			}
		}
	}
}

static void test_quantities(void **state)
{
	char b[INLAY_UNIT_TEXT];

	(void)state;
	assert_string_equal(inlay_bytes_text(0, b), "0 B");
	assert_string_equal(inlay_bytes_text(1023, b), "1023 B");
	assert_string_equal(inlay_bytes_text(1536, b), "1.5 KiB");
	assert_string_equal(inlay_bytes_text(1024 * 1024 - 1, b), "1023 KiB");
	assert_string_equal(inlay_bytes_text(UINT64_MAX, b), "15.9 EiB");
	assert_string_equal(inlay_latency_text(999, b), "999 ns");
	assert_string_equal(inlay_latency_text(1234, b), "1.23 us");
	assert_string_equal(inlay_latency_text(12345678, b), "12.3 ms");
	assert_string_equal(inlay_latency_text(123456789, b), "123 ms");
	assert_string_equal(inlay_latency_text(UINT64_MAX, b), "18446744073 s");
	assert_string_equal(inlay_duration_text(59999, b), "59 s");
	assert_string_equal(inlay_duration_text(200000, b), "3 min 20 s");
	assert_string_equal(inlay_duration_text(7500000, b), "2 h 5 min");
	assert_string_equal(inlay_duration_text(100ull * 3600 * 1000, b), "4 d 4 h");
}

static void test_printable(void **state)
{
	char buf[64], small[6];

	(void)state;
	inlay_printable("a\x1b[1m\\\x7f\xff\xc3\xa4\xc2\x9b", 12, buf, sizeof(buf));
	assert_string_equal(buf, "a\\x1b[1m\\x5c\\x7f\\xff\xc3\xa4\\xc2\\x9b");
	/* Cut between, never within. */
	assert_int_equal(inlay_printable("ab\ncd", 5, small, sizeof(small)), 8);
	assert_string_equal(small, "ab");
	assert_int_equal(inlay_name_width("a\xc3\xa4\n"), 6);
}

static void test_control_texts(void **state)
{
	static const char *const paths[] = {"", "a/b", "\\", "\n", "a\\nb\n\\\\", "\xff\x01", "\\n"};
	struct inlay_json j = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char text[64];

		inlay_control_escape(paths[i], text);
		assert_null(strchr(text, '\n'));
		inlay_control_unescape(text);
		assert_string_equal(text, paths[i]);
	}
	inlay_control_answer(NULL, "dance", &j);
	assert_string_equal(j.text, "{\"ok\":false,\"status\":17,\"error\":\"unknown request\"}");
	free(j.text);
}

static void test_socket_names(void **state)
{
	static const char *const wrong[] = {"", "x", "0:57.sock", "0:57-.sock", "0:57-1.sock2", "0:57-1", " 0:57-1.sock", "0:57-0.sock",
		"0:57--1.sock"};
	struct inlay_socket_name name;

	(void)state;
	assert_true(inlay_socket_name_parse("0:57-1234.sock", &name));
	assert_int_equal(name.major, 0);
	assert_int_equal(name.minor, 57);
	assert_int_equal(name.pid, 1234);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(inlay_socket_name_parse(wrong[i], &name));
}

RUN_TESTS(
	cmocka_unit_test(test_progress), cmocka_unit_test(test_progress_fits), cmocka_unit_test(test_quantities),
	cmocka_unit_test(test_printable), cmocka_unit_test(test_control_texts), cmocka_unit_test(test_socket_names))
