/*
 * The JSON writer: valid whatever the bytes; what it wrote is read back; what is no JSON is refused.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/json.h"

#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_writes_what_is_expected(void **state)
{
	struct inlay_json j = {0};

	(void)state;
	inlay_json_object(&j, NULL);
	inlay_json_string(&j, "a", "x\"\\\n\x7f");
	inlay_json_number(&j, "n", UINT64_MAX);
	inlay_json_bool(&j, "t", true);
	inlay_json_string(&j, "none", NULL);
	inlay_json_array(&j, "list");
	inlay_json_number(&j, NULL, 1);
	inlay_json_object(&j, NULL);
	inlay_json_object_end(&j);
	inlay_json_array_end(&j);
	inlay_json_members(&j, "{\"m\":1,\"o\":{}}");
	inlay_json_members(&j, "{}");
	inlay_json_bool(&j, "f", false);
	inlay_json_object_end(&j);
	assert_false(j.failed);
	assert_string_equal(j.text, "{\"a\":\"x\\\"\\\\\\u000a\\u007f\",\"n\":18446744073709551615,\"t\":true,\"none\":null,"
				    "\"list\":[1,{}],\"m\":1,\"o\":{},\"f\":false}");
	assert_true(inlay_json_valid(j.text));
	free(j.text);
}

/* Every byte value, alone and after the start of a UTF-8 sequence. */
static void test_any_byte_is_valid(void **state)
{
	(void)state;
	for (unsigned lead = 0; lead < 256; lead++) {
		for (unsigned byte = 1; byte < 256; byte++) {
			char text[] = {'a', (char)lead, (char)byte, 'z', '\0'}, back[64];
			const char *value = lead ? text : text + 2;
			struct inlay_json j = {0};

			inlay_json_object(&j, NULL);
			inlay_json_name(&j, "name", value);
			inlay_json_object_end(&j);
			assert_true(inlay_json_valid(j.text));
			inlay_json_text(inlay_json_find(j.text, "name"), back, sizeof(back));
			/* Either the very text, or its bytes in hex. */
			assert_int_equal(strcmp(back, value) != 0, inlay_json_find(j.text, "name_hex") != NULL);
			free(j.text);
		}
	}
}

static void test_name_in_hex(void **state)
{
	struct inlay_json j = {0};

	(void)state;
	inlay_json_object(&j, NULL);
	inlay_json_name(&j, "dir", "a\xff");
	inlay_json_object_end(&j);
	assert_string_equal(j.text, "{\"dir\":\"a\\ufffd\",\"dir_hex\":\"61ff\"}");
	free(j.text);
}

static void test_refuses(void **state)
{
	static const char *const wrong[] = {"", "{", "}", "{]", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "01", "1.", "-", "+1", "tru",
		"\"\n\"", "\"\\x\"", "\"\\u12\"", "\"", "\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "1 2", "{} x", "[1 2]", "nul"};
	static const char *const right[] = {"{}", "[]", " [ 1 , -2.5e+3 ] ", "\"\\u00e4\\n\"", "true", "null", "0", "\"\xc3\xa4\"",
		"{\"a\" : [ { } ] }"};
	char deep[200];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (inlay_json_valid(wrong[i]))
			fail_msg("taken for JSON: %s", wrong[i]);
	}
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		if (!inlay_json_valid(right[i]))
			fail_msg("not taken for JSON: %s", right[i]);
	}
	memset(deep, '[', 60);
	memset(deep + 60, ']', 60);
	deep[120] = '\0';
	assert_false(inlay_json_valid(deep));
	assert_true(inlay_json_valid(deep + 40 + 0) == false); /* unbalanced */
	memmove(deep, deep + 50, 21);
	deep[20] = '\0';
	assert_true(inlay_json_valid(deep));
}

static void test_reads_back(void **state)
{
	const char *json = "{\"deep\":{\"x\":1},\"x\":2,\"s\":\"a\\\"b\\nc\\u0007\",\"l\":[10, 20 ,30],\"e\":[],\"b\":true}";
	const char *element;
	uint64_t sum = 0;
	char text[8];

	(void)state;
	assert_int_equal(inlay_json_uint(inlay_json_find(json, "x")), 2);
	assert_null(inlay_json_find(json, "y"));
	assert_null(inlay_json_find("[1]", "x"));
	assert_string_equal(inlay_json_text(inlay_json_find(json, "s"), text, sizeof(text)), "a\"b\nc\a");
	assert_string_equal(inlay_json_text(inlay_json_find(json, "s"), text, 3), "a\"");
	assert_string_equal(inlay_json_text(inlay_json_find(json, "x"), text, sizeof(text)), "");
	assert_string_equal(inlay_json_text(NULL, text, sizeof(text)), "");
	for (element = inlay_json_first(inlay_json_find(json, "l")); element; element = inlay_json_next(element))
		sum += inlay_json_uint(element);
	assert_int_equal(sum, 60);
	assert_null(inlay_json_first(inlay_json_find(json, "e")));
	assert_null(inlay_json_first(NULL));
	assert_true(inlay_json_true(inlay_json_find(json, "b")));
	assert_false(inlay_json_true(inlay_json_find(json, "x")));
}

RUN_TESTS(
	cmocka_unit_test(test_writes_what_is_expected), cmocka_unit_test(test_any_byte_is_valid),
	cmocka_unit_test(test_name_in_hex), cmocka_unit_test(test_refuses), cmocka_unit_test(test_reads_back))
