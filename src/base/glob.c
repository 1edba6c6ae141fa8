/*
 * Globs, matched name by name. Both levels (names of a path, bytes of a name) remember only their last star: a match
 * that fails later goes on from there. Going back further never helps, so that no pair is compared twice per star.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/glob.h"

#include "base/status.h"

#include <string.h>

struct span {
	const char *p, *end;
};

static bool span_empty(struct span s)
{
	return s.p == s.end;
}

/* Takes the first name off a path; the path must not be empty. */
static struct span take_name(struct span *path)
{
	const char *slash = memchr(path->p, '/', (size_t)(path->end - path->p));
	struct span name = {path->p, slash ? slash : path->end};

	path->p = slash ? slash + 1 : path->end;
	return name;
}

static bool span_is(struct span s, const char *text)
{
	return strlen(text) == (size_t)(s.end - s.p) && memcmp(s.p, text, strlen(text)) == 0;
}

/* One byte of a set, unescaped; p is stepped over it. The caller knows that the set is whole. */
static unsigned char set_byte(const char **p)
{
	if (**p == '\\')
		(*p)++;
	return (unsigned char)*(*p)++;
}

static unsigned char other_case(unsigned char byte)
{
	bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');

	return letter ? byte ^ 0x20 : byte;
}

/* p: after '['. Says in *ret_in whether the set has the byte, or the other one; returns the place after its ']'. */
static const char *set_match(const char *p, unsigned char byte, unsigned char other, bool *ret_in)
{
	bool inverted = *p == '!', in = false, first = true;

	p += inverted;
	for (; first || *p != ']'; first = false) {
		unsigned char low = set_byte(&p), high = low;

		if (p[0] == '-' && p[1] != ']') {
			p++;
			high = set_byte(&p);
		}
		in = in || (low <= byte && byte <= high) || (low <= other && other <= high);
	}
	*ret_in = in != inverted;
	return p + 1;
}

/* Matches one byte against the element at p, which is not a star: the place after it, NULL when it doesn't match. */
static const char *element_match(const char *p, unsigned char byte, bool fold)
{
	unsigned char other = fold ? other_case(byte) : byte;
	bool in;

	switch (*p) {
	case '?':
		return p + 1;
	case '[':
		p = set_match(p + 1, byte, other, &in);
		return in ? p : NULL;
	case '\\':
		p++;
		break;
	}
	return (unsigned char)*p == byte || (unsigned char)*p == other ? p + 1 : NULL;
}

static bool name_match(struct span pattern, struct span name, bool fold)
{
	struct span star = {NULL, NULL}; /* the pattern after the last star, and the name where it stood */

	while (!span_empty(name)) {
		const char *next;

		if (!span_empty(pattern) && *pattern.p == '*') {
			star = (struct span){++pattern.p, name.p};
		} else if (!span_empty(pattern) && (next = element_match(pattern.p, (unsigned char)*name.p, fold))) {
			pattern.p = next;
			name.p++;
		} else if (star.p) {
			pattern.p = star.p;
			name.p = ++star.end;
		} else {
			return false;
		}
	}
	while (!span_empty(pattern) && *pattern.p == '*')
		pattern.p++;
	return span_empty(pattern);
}

/* A pattern as inlay_glob_match uses it: without the slashes at its ends. */
struct shape {
	struct span names;
	bool anywhere;  /* it had no slash but for a trailing one */
	bool directory; /* it had a trailing slash, or ends in a "**" that may stand for no name at all */
};

static struct shape shape_of(const char *pattern)
{
	struct shape s = {{pattern, pattern + strlen(pattern)}, false, false};

	if (s.names.end[-1] == '/') {
		s.names.end--;
		s.directory = true;
	}
	s.anywhere = !memchr(s.names.p, '/', (size_t)(s.names.end - s.names.p));
	if (!span_empty(s.names) && *s.names.p == '/')
		s.names.p++;
	return s;
}

/* What follows a "**" that ends the pattern. `s` has matched as far as `rest`. */
static bool tail_match(const struct shape *s, struct span rest, bool is_dir)
{
	if (s->directory) {
		/* Some directory beneath: one name at least. */
		if (span_empty(rest))
			return false;
		take_name(&rest);
	}
	return !span_empty(rest) || is_dir;
}

static bool match(const char *pattern, const char *path, size_t path_len, bool is_dir, bool fold)
{
	struct shape s = shape_of(pattern);
	struct span names = s.names, rest = {path, path + path_len};
	struct span star_names = s.names, star_rest = rest;
	bool star = s.anywhere;

	while (!span_empty(names)) {
		struct span before = rest, name = take_name(&names);

		if (span_is(name, "**")) {
			if (span_empty(names))
				return tail_match(&s, rest, is_dir);
			star = true;
			star_names = names;
			star_rest = rest;
			continue;
		}
		if (span_empty(before))
			return false;
		if (name_match(name, take_name(&rest), fold))
			continue;
		if (!star)
			return false;
		take_name(&star_rest);
		names = star_names;
		rest = star_rest;
	}
	/* What is left of the path lies beneath the directory that the pattern matched. */
	return !s.directory || !span_empty(rest) || is_dir;
}

bool inlay_glob_match(const char *pattern, const char *path, size_t path_len, bool is_dir)
{
	return match(pattern, path, path_len, is_dir, false);
}

bool inlay_glob_match_either_case(const char *pattern, const char *path, size_t path_len, bool is_dir)
{
	return match(pattern, path, path_len, is_dir, true);
}

/* p: after '['. The place after the set's ']', NULL with a reason. */
static const char *set_check(const char *p, const char **ret_why)
{
	bool first = true;

	p += *p == '!';
	for (; first || *p != ']'; first = false) {
		unsigned char low, high;

		*ret_why = "a set '[' is not closed";
		if (!*p || *p == '/' || (*p == '\\' && (!p[1] || p[1] == '/')))
			return NULL;
		low = set_byte(&p);
		if (p[0] != '-' || p[1] == ']')
			continue;
		p++;
		if (!*p || *p == '/' || (*p == '\\' && (!p[1] || p[1] == '/')))
			return NULL;
		high = set_byte(&p);
		*ret_why = "a range in a set runs backwards";
		if (high < low)
			return NULL;
	}
	return p + 1;
}

/* Checks the name at p; the place after it, NULL with a reason. */
static const char *name_check(const char *p, const char **ret_why)
{
	const char *start = p;

	while (*p && *p != '/') {
		switch (*p) {
		case '[':
			p = set_check(p + 1, ret_why);
			if (!p)
				return NULL;
			continue;
		case '\\':
			*ret_why = p[1] ? "a '\\' stands before a '/'" : "a '\\' stands at the end";
			if (!p[1] || p[1] == '/')
				return NULL;
			p++;
			break;
		case '*':
			*ret_why = "\"**\" must be a whole name between slashes";
			if (p[1] == '*' && !(p == start && (!p[2] || p[2] == '/')))
				return NULL;
			p += p[1] == '*';
			break;
		}
		p++;
	}
	return p;
}

int inlay_glob_check(const char *pattern, const char **ret_why)
{
	const char *p = pattern + (*pattern == '/');

	if (!*p) {
		*ret_why = "the pattern is empty";
		return -INLAY_EINVAL;
	}
	while (*p) {
		struct span name = {p, name_check(p, ret_why)};

		if (!name.end)
			return -INLAY_EINVAL;
		if (span_empty(name) || span_is(name, ".") || span_is(name, "..")) {
			*ret_why = span_empty(name) ? "two '/' in a row" : "\".\" and \"..\" never match";
			return -INLAY_EINVAL;
		}
		p = name.end + (*name.end == '/');
	}
	return 0;
}
