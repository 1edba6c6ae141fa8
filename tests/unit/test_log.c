/*
 * Log lines: levels, one line whatever is in them, valid JSON.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/log.h"

#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int fds[2];
static char line[32768];

/* A pipe of packets: each write(2) is read back as one piece, which shows that a line is one write. */
static int open_pipe(void **state)
{
	(void)state;
	return pipe2(fds, O_DIRECT | O_NONBLOCK | O_CLOEXEC);
}

static int close_pipe(void **state)
{
	(void)state;
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* The last line without its newline; NULL when nothing was written. */
static char *take(void)
{
	ssize_t n = read(fds[0], line, sizeof(line) - 1);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return NULL;
	}
	assert_true(n > 0);
	assert_int_equal(line[n - 1], '\n');
	line[n - 1] = 0;
	assert_null(memchr(line, '\n', (size_t)n - 1));
	return line;
}

static void text_lines(void **state)
{
	(void)state;
	inlay_log_init("inlayd", fds[1], INLAY_LOG_DEBUG, INLAY_LOG_TEXT);
	inlay_warning("cannot open %s: %d", "x", 5);
	assert_string_equal(take(), "inlayd: warning: cannot open x: 5");
	inlay_error("e");
	assert_string_equal(take(), "inlayd: error: e");
	inlay_info("i");
	assert_string_equal(take(), "inlayd: info: i");
	inlay_debug("%s", "");
	assert_string_equal(take(), "inlayd: debug: ");
}

static void levels_above_the_most_are_dropped(void **state)
{
	(void)state;
	inlay_log_init("p", fds[1], INLAY_LOG_WARNING, INLAY_LOG_TEXT);
	inlay_info("no");
	inlay_debug("no");
	assert_null(take());
	inlay_warning("yes");
	assert_non_null(take());
	inlay_error("yes");
	assert_non_null(take());
}

static void text_cannot_forge(void **state)
{
	(void)state;
	inlay_log_init("p", fds[1], INLAY_LOG_INFO, INLAY_LOG_TEXT);
	inlay_info("a\nb\r\x1b[2J\x7f%s", "\xc3\xa4");
	assert_string_equal(take(), "p: info: a\\x0ab\\x0d\\x1b[2J\\x7f\xc3\xa4");
}

/* The message of a JSON line, still escaped, after a check of all that stands before it. */
static const char *json_message(void)
{
	static const char after[] = "\",\"level\":\"warning\",\"program\":\"p\\\"q\",\"message\":\"";
	char *text = take();
	struct tm tm = {0};
	const char *rest;
	time_t stamp;
	size_t len;

	assert_non_null(text);
	assert_memory_equal(text, "{\"time\":\"", 9);
	rest = strptime(text + 9, "%Y-%m-%dT%H:%M:%S", &tm);
	assert_non_null(rest);
	stamp = timegm(&tm);
	assert_true(labs((long)(time(NULL) - stamp)) <= 2);
	assert_int_equal(rest[0], '.');
	assert_int_equal(strspn(rest + 1, "0123456789"), 6);
	assert_int_equal(rest[7], 'Z');
	assert_memory_equal(rest + 8, after, sizeof(after) - 1);
	rest += 8 + sizeof(after) - 1;
	len = strlen(rest);
	assert_true(len >= 2);
	assert_string_equal(rest + len - 2, "\"}");
	text[(size_t)(rest - text) + len - 2] = 0;
	return rest;
}

static void json_escapes(void **state)
{
	static const struct {
		const char *raw, *escaped;
	} cases[] = {
		{"plain", "plain"},
		{"", ""},
		{"a\"b\\c/d", "a\\\"b\\\\c/d"},
		{"\n\r\t\x01\x1f\x7f", "\\u000a\\u000d\\u0009\\u0001\\u001f\\u007f"},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"},
		/* Not UTF-8: a lone continuation, a cut sequence, overlong forms, a surrogate, beyond U+10FFFF. */
		{"\x80", "\\ufffd"},
		{"\xc3", "\\ufffd"},
		{"\xe2\x82", "\\ufffd\\ufffd"},
		{"\xc3x", "\\ufffdx"},
		{"\xc0\xaf", "\\ufffd\\ufffd"},
		{"\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd"},
		{"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},
		{"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
		{"\xff", "\\ufffd"},
	};

	(void)state;
	inlay_log_init("p\"q", fds[1], INLAY_LOG_INFO, INLAY_LOG_JSON);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		inlay_warning("%s", cases[i].raw);
		assert_string_equal(json_message(), cases[i].escaped);
	}
}

static void long_lines_are_cut_whole(void **state)
{
	static char big[5000];
	const char *message;
	size_t len;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	inlay_log_init("p", fds[1], INLAY_LOG_INFO, INLAY_LOG_TEXT);
	inlay_warning("%s", big);
	message = take();
	assert_non_null(message);
	len = strlen("p: warning: ") + 2047;
	assert_int_equal(strlen(message), len);
	assert_string_equal(message + len - 4, "x...");

	inlay_log_init("p\"q", fds[1], INLAY_LOG_INFO, INLAY_LOG_JSON);
	inlay_warning("%s", big);
	message = json_message();
	len = strlen(message);
	assert_int_equal(len, 2047);
	assert_string_equal(message + len - 4, "x...");
}

static void worst_case_fits(void **state)
{
	static char big[5000];
	char name[] = "/tmp/inlay-test-log-XXXXXX";
	int fd = mkstemp(name);
	ssize_t n;

	(void)state;
	assert_true(fd >= 0);
	unlink(name);
	memset(big, '\x01', sizeof(big) - 1);
	inlay_log_init("p\"q", fd, INLAY_LOG_INFO, INLAY_LOG_JSON);
	inlay_warning("%s", big);
	n = pread(fd, line, sizeof(line), 0);
	close(fd);
	assert_true(n > 2044 * 6);
	assert_memory_equal(line + n - 12, "\\u0001...\"}\n", 12);
}

static void errno_survives(void **state)
{
	(void)state;
	inlay_log_init("p", -1, INLAY_LOG_INFO, INLAY_LOG_TEXT);
	errno = ENOTTY;
	inlay_info("nowhere to write to");
	assert_int_equal(errno, ENOTTY);
}

#define WITH_PIPE(test) cmocka_unit_test_setup_teardown(test, open_pipe, close_pipe)

RUN_TESTS(
	WITH_PIPE(text_lines), WITH_PIPE(levels_above_the_most_are_dropped), WITH_PIPE(text_cannot_forge),
	WITH_PIPE(json_escapes), WITH_PIPE(long_lines_are_cut_whole), cmocka_unit_test(worst_case_fits),
	cmocka_unit_test(errno_survives))
