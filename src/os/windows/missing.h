/*
 * Functions of POSIX and GNU that portable files use and mingw-w64's C library lacks. Included before every file by the
 * build for Windows.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_WINDOWS_MISSING_H
#define INLAY_OS_WINDOWS_MISSING_H

#ifdef _WIN32

#include <errno.h>
#include <stddef.h>
#include <time.h>

/* As in POSIX and glibc. */
char *strndup(const char *text, size_t len);
char *strsep(char **cursor, const char *delimiters);
struct tm *gmtime_r(const time_t *when, struct tm *ret);
struct tm *localtime_r(const time_t *when, struct tm *ret);

/* Never set by this host: numbers of their own, so that no status shares a row with another. */
#define EDQUOT 1001
#define ESTALE 1002
#define EUSERS 1003

#endif
#endif
