/*
 * UTF-8, as everywhere in this program, to and from the UTF-16 of Windows.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_WINDOWS_TEXT_H
#define INLAY_OS_WINDOWS_TEXT_H

#include <wchar.h>

/* Both are allocated; NULL: out of memory. What is not well-formed becomes U+FFFD. Any thread. */
char *inlay_text_narrow(const wchar_t *wide);
wchar_t *inlay_text_wide(const char *text);

#endif
