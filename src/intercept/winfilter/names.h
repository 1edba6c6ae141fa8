/*
 * Names: the server's are any bytes but '/' and NUL, Windows' are UTF-16 without some characters, endings and words.
 * SPDX-License-Identifier: Apache-2.0
 *
 * What can't stand in a name of Windows stands in the private-use range instead: U+F001 ... U+F0FF for the byte 0x01 ... 0xFF.
 *
 *     the server's                                    Windows'
 *     1-31 " * : < > ? \ |                            U+F000 + it
 *     a dot or blank at the end                       U+F02E, U+F020
 *     first letter of CON, NUL.txt, COM1, ...         U+F000 + it
 *     a byte that is no UTF-8                         U+F000 + it
 *     U+F001 ... U+F0FF in UTF-8                      U+F000 + each of its three bytes
 *     an unpaired surrogate as three bytes (WTF-8)    the surrogate; if it would pair with the next: U+F000 + each byte
 *
 * So every name of the server has one name on Windows, another one for each, and back: a name of Windows that no name of
 * the server would have got is refused. Here both are bytes: Windows' names as WTF-8. Pure functions.
 */
#ifndef INLAY_INTERCEPT_WINFILTER_NAMES_H
#define INLAY_INTERCEPT_WINFILTER_NAMES_H

#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INLAY_WINNAME_UNITS 255u                      /* of one name */
#define INLAY_WINNAME_MAX (3u * INLAY_WINNAME_UNITS)  /* bytes of one in WTF-8 */
#define INLAY_WINPATH_UNITS 32767u
#define INLAY_WINPATH_PARTS 1024u

/* The bytes, NUL behind them, and their number; -INLAY_EINVAL: no name at all ("", ".", a '/', a NUL, over 255 bytes). */
int inlay_winname_from_server(struct inlay_str name, char ret[INLAY_WINNAME_MAX + 1]) __attribute__((warn_unused_result));
/* The other way. -INLAY_EINVAL: no name that the above gives; -INLAY_ENAMETOOLONG: over 255 bytes on the server. */
int inlay_winname_to_server(struct inlay_str win, char ret[INLAY_NAME_MAX + 1]) __attribute__((warn_unused_result));

/* UTF-16LE units (2 * units bytes) to WTF-8 and back; the bytes or units written, -INLAY_ERANGE: too many, -INLAY_EINVAL: no WTF-8. */
int64_t inlay_wtf8_from_utf16(const uint8_t *utf16, size_t units, char *ret, size_t cap) __attribute__((warn_unused_result));
int64_t inlay_wtf8_to_utf16(struct inlay_str wtf8, uint16_t *ret, size_t cap) __attribute__((warn_unused_result));

/* The character as NTFS compares it (without the oddities of locales). */
uint16_t inlay_winname_upper(uint16_t unit);
/* Whether two names or paths (WTF-8) differ in nothing but case; and a hash that is the same for such. */
bool inlay_winname_same(struct inlay_str a, struct inlay_str b);
uint64_t inlay_winname_hash(const struct inlay_hash_key *key, struct inlay_str name);
/* -1, 0, 1: by the bytes. */
int inlay_winname_order(struct inlay_str a, struct inlay_str b);

/* A path beneath the filter directory, both ways. One allocation: free() it. */
struct inlay_winpath {
	unsigned parts;       /* 0: the filter directory itself */
	char *win, *server;   /* '/' between the parts, NUL behind */
	uint32_t *win_end, *server_end; /* by part: where it ends */
};

/*
 * Reads a path of the ring: UTF-16LE, len bytes, '\' between the parts, none in front or behind. The bytes are copied first.
 * -INLAY_EINVAL: it is none, or has a part that is no name; -INLAY_ENAMETOOLONG; -INLAY_ENOMEM.
 */
int inlay_winpath_parse(const uint8_t *utf16, size_t len, struct inlay_winpath **ret) __attribute__((warn_unused_result));

/* The same of WTF-8 with '/' between the parts. */
int inlay_winpath_make(struct inlay_str wtf8, struct inlay_winpath **ret) __attribute__((warn_unused_result));

/* The same path with another name of the server for one part. -INLAY_EINVAL: it is none; -INLAY_ENOMEM. */
int inlay_winpath_replace(const struct inlay_winpath *p, unsigned part, struct inlay_str server, struct inlay_winpath **ret)
	__attribute__((warn_unused_result));

/* The part's name on either side, and the path up to its end. */
struct inlay_str inlay_winpath_win(const struct inlay_winpath *p, unsigned part);
struct inlay_str inlay_winpath_server(const struct inlay_winpath *p, unsigned part);

#endif
