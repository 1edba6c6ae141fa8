/*
 * Log lines, for people (to stderr, "inlayd: warning: text") or for machines (one JSON object a line).
 * Only cmd/, server/ and net/ log above debug; library code returns statuses.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_BASE_LOG_H
#define INLAY_BASE_LOG_H

enum inlay_log_level { INLAY_LOG_ERROR, INLAY_LOG_WARNING, INLAY_LOG_INFO, INLAY_LOG_DEBUG };
enum inlay_log_format { INLAY_LOG_TEXT, INLAY_LOG_JSON };

/* program: shown first on each line; kept, not copied. Call once before threads start. fd: where lines go. */
void inlay_log_init(const char *program, int fd, enum inlay_log_level most, enum inlay_log_format format);
/* One line, written with one write(2); any thread. No trailing newline in fmt. */
void inlay_log(enum inlay_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define inlay_error(...) inlay_log(INLAY_LOG_ERROR, __VA_ARGS__)
#define inlay_warning(...) inlay_log(INLAY_LOG_WARNING, __VA_ARGS__)
#define inlay_info(...) inlay_log(INLAY_LOG_INFO, __VA_ARGS__)
#define inlay_debug(...) inlay_log(INLAY_LOG_DEBUG, __VA_ARGS__)

#endif
