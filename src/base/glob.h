/*
 * Path globs of the judge's rules, byte-wise: `?` one byte but '/', `*` any run without '/', `[a-z]` `[!a-z]` a set,
 * `**` any run with '/' (as a whole component: zero or more components), `\c` the byte c, a trailing '/' matches
 * directories only. A pattern without '/' (but for a trailing one) matches at any depth, as in .gitignore; one with a
 * '/' is anchored at the filter directory. A pattern that matches a directory matches everything beneath it.
 * At a pattern's end `**` that stands for no component asks for a directory there, and `**` with
 * a slash after it stands for one directory at least. Neither `*` nor `?` treats a leading '.' specially.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_BASE_GLOB_H
#define INLAY_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/*
 * 0, or -INLAY_EINVAL with *ret_why a static text: empty, unclosed set, range that runs backwards, trailing backslash
 * or one before a '/', "**" inside a name, an empty component, "." or "..".
 */
int inlay_glob_check(const char *pattern, const char **ret_why);
/* pattern: passed inlay_glob_check. path: relative, no '/' at its ends. Time is O(len(pattern) * path_len). */
bool inlay_glob_match(const char *pattern, const char *path, size_t path_len, bool is_dir);
/* The same where letters of ASCII match in either case. */
bool inlay_glob_match_either_case(const char *pattern, const char *path, size_t path_len, bool is_dir);

#endif
