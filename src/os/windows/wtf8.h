/*
 * WTF-8: UTF-8 in which an unpaired surrogate stands as three bytes, so that every name of NTFS survives both ways.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_OS_WINDOWS_WTF8_H
#define INLAY_OS_WINDOWS_WTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * text (len bytes) as UTF-16 units: how many, at most `len` and at most 65535, or -INLAY_EINVAL when it is no WTF-8, or
 * -INLAY_ENAMETOOLONG when out has no room for them (cap units). Nothing is terminated.
 */
int inlay_wtf8_to_utf16(const char *text, size_t len, uint16_t *out, size_t cap);
/* The other way: bytes, at most 3 * units, without a NUL; or -INLAY_ENAMETOOLONG. */
int inlay_wtf8_from_utf16(const uint16_t *units, size_t count, char *out, size_t cap);

#endif
