/*
 * A small JSON writer: strictly valid output for arbitrary bytes, into a growing buffer with a sticky error.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef INLAY_CMD_JSON_H
#define INLAY_CMD_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero it to begin; free(text) at the end. */
struct inlay_json {
	char *text; /* NUL-terminated once something was written */
	size_t len, cap;
	bool comma;  /* a value stands before the next one */
	bool failed; /* out of memory: text is not to be used */
};

/*
 * name: the member's key within an object, NULL within an array and for the outermost value.
 * Bytes that aren't UTF-8 become U+FFFD in strings; inlay_json_bytes() tells more.
 */
void inlay_json_object(struct inlay_json *j, const char *name);
void inlay_json_object_end(struct inlay_json *j);
void inlay_json_array(struct inlay_json *j, const char *name);
void inlay_json_array_end(struct inlay_json *j);
void inlay_json_string(struct inlay_json *j, const char *name, const char *value); /* value NULL: null */
void inlay_json_number(struct inlay_json *j, const char *name, uint64_t value);
void inlay_json_bool(struct inlay_json *j, const char *name, bool value);
/* A path or name of arbitrary bytes: a string; where it isn't UTF-8, also a member NAME_hex with the exact bytes. */
void inlay_json_name(struct inlay_json *j, const char *name, const char *value);
/* The members of another object, given as JSON, into the present one. */
void inlay_json_members(struct inlay_json *j, const char *object);

/*
 * Reads what this writer wrote: the value of a member of the object that starts at json (not of nested ones), NULL if
 * it has none. The text must be valid, as inlay_json_valid() says. Returns where the value begins.
 */
const char *inlay_json_find(const char *json, const char *name);
/* The first element of an array and the ones after it; NULL at the end. */
const char *inlay_json_first(const char *array);
const char *inlay_json_next(const char *element);
/* Strings unescaped and cut to size - 1 bytes; "" when value is NULL or not a string. Returns buf. */
const char *inlay_json_text(const char *value, char *buf, size_t size);
uint64_t inlay_json_uint(const char *value); /* 0 when it isn't a number */
bool inlay_json_true(const char *value);
/* Just after the value that begins here. */
const char *inlay_json_skip(const char *value);
/* The whole text is one JSON value, nested at most 32 deep. */
bool inlay_json_valid(const char *text);

/* Length of the UTF-8 sequence at p (RFC 3629: no overlong form, no surrogate), 0 when there is none; len >= 1. */
size_t inlay_utf8_len(const unsigned char *p, size_t len);

#endif
