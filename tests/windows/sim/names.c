/*
 * UTF-16 strings: copies, order, wildcards, short names.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "private.h"

bool sim_string_copy(UNICODE_STRING *to, const UNICODE_STRING *from)
{
	to->Buffer = sim_host_alloc(from->Length + sizeof(WCHAR));
	if (!to->Buffer)
		return false;
	if (from->Length)
		memcpy(to->Buffer, from->Buffer, from->Length);
	to->Length = from->Length;
	to->MaximumLength = (USHORT)(from->Length + sizeof(WCHAR));
	return true;
}

bool sim_string_upper(UNICODE_STRING *to, const UNICODE_STRING *from)
{
	if (!sim_string_copy(to, from))
		return false;
	for (ULONG i = 0; i < to->Length / sizeof(WCHAR); i++)
		to->Buffer[i] = RtlUpcaseUnicodeChar(to->Buffer[i]);
	return true;
}

void sim_string_free(UNICODE_STRING *string)
{
	sim_host_free(string->Buffer);
	memset(string, 0, sizeof(*string));
}

LONG sim_string_compare(const UNICODE_STRING *a, const UNICODE_STRING *b)
{
	ULONG length = (a->Length < b->Length ? a->Length : b->Length) / sizeof(WCHAR);

	for (ULONG i = 0; i < length; i++)
		if (a->Buffer[i] != b->Buffer[i])
			return a->Buffer[i] < b->Buffer[i] ? -1 : 1;
	return a->Length == b->Length ? 0 : a->Length < b->Length ? -1 : 1;
}

bool sim_string_equal(const UNICODE_STRING *a, const UNICODE_STRING *b)
{
	return a->Length == b->Length && sim_string_compare(a, b) == 0;
}

bool sim_name_valid(const UNICODE_STRING *name)
{
	ULONG units = name->Length / sizeof(WCHAR);

	if (!units || units > SIM_NAME_MAX)
		return false;
	for (ULONG i = 0; i < units; i++) {
		WCHAR c = name->Buffer[i];

		if (c < 32 || c == '"' || c == '*' || c == '/' || c == ':' || c == '<' || c == '>' || c == '?' || c == '\\' || c == '|')
			return false;
	}
	return true;
}

bool sim_path_next(UNICODE_STRING *path, UNICODE_STRING *ret_component)
{
	while (path->Length && path->Buffer[0] == '\\') {
		path->Buffer++;
		path->Length = (USHORT)(path->Length - sizeof(WCHAR));
	}
	if (!path->Length)
		return false;
	*ret_component = (UNICODE_STRING){ .Buffer = path->Buffer };
	while (path->Length && path->Buffer[0] != '\\') {
		path->Buffer++;
		path->Length = (USHORT)(path->Length - sizeof(WCHAR));
		ret_component->Length = (USHORT)(ret_component->Length + sizeof(WCHAR));
	}
	ret_component->MaximumLength = ret_component->Length;
	return true;
}

/* Units from the index to the last dot; DOS_STAR does not cross it. */
static bool later_dot(const UNICODE_STRING *name, ULONG from)
{
	for (ULONG i = from; i < name->Length / sizeof(WCHAR); i++)
		if (name->Buffer[i] == '.')
			return true;
	return false;
}

static bool matches(const UNICODE_STRING *pattern, ULONG p, const UNICODE_STRING *name, ULONG n)
{
	ULONG plen = pattern->Length / sizeof(WCHAR), nlen = name->Length / sizeof(WCHAR);

	for (; p < plen; p++) {
		WCHAR c = pattern->Buffer[p];

		if (c == '*' || c == '<') {
			for (ULONG i = n; i <= nlen; i++) {
				if (matches(pattern, p + 1, name, i))
					return true;
				if (c == '<' && i < nlen && name->Buffer[i] == '.' && !later_dot(name, i + 1))
					return false;
			}
			return false;
		}
		if (c == '>') { /* any unit; nothing before a dot or at the end */
			if (n < nlen && name->Buffer[n] != '.')
				n++;
		} else if (c == '"' && n == nlen) {
			continue; /* a dot, or nothing at the end */
		} else if (n < nlen && (c == '?' || c == name->Buffer[n] || (c == '"' && name->Buffer[n] == '.'))) {
			n++;
		} else {
			return false;
		}
	}
	return n == nlen;
}

bool sim_name_matches(const UNICODE_STRING *pattern, const UNICODE_STRING *name)
{
	return matches(pattern, 0, name, 0);
}

static bool is_short(const UNICODE_STRING *name, ULONG *ret_dot)
{
	ULONG units = name->Length / sizeof(WCHAR), dot = units;

	for (ULONG i = 0; i < units; i++) {
		if (name->Buffer[i] == ' ' || name->Buffer[i] > 126 || (name->Buffer[i] == '.' && dot != units))
			return false;
		if (name->Buffer[i] == '.')
			dot = i;
	}
	*ret_dot = dot;
	return dot > 0 && dot <= 8 && units - dot <= 4;
}

static bool short_taken(const struct sim_node *parent, const struct sim_node *node)
{
	for (ULONG i = 0; i < parent->child_count; i++) {
		const struct sim_node *other = parent->children[i];

		if (other != node && other->short_length == node->short_length &&
			!memcmp(other->short_name, node->short_name, node->short_length * sizeof(WCHAR)))
			return true;
	}
	return false;
}

static ULONG take_letters(WCHAR *to, const UNICODE_STRING *name, ULONG from, ULONG end, ULONG most)
{
	ULONG count = 0;

	for (ULONG i = from; i < end && count < most; i++) {
		WCHAR c = name->Buffer[i];

		if (c != ' ' && c != '.')
			to[count++] = c > 126 ? '_' : c;
	}
	return count;
}

/* "LONGNA~1.TXT"; none when the first nine of the kind are taken, which NTFS would solve with a hash. */
void sim_name_shorten(struct sim_node *parent, struct sim_node *node)
{
	const UNICODE_STRING *upper = &node->upper;
	ULONG units = upper->Length / sizeof(WCHAR), dot, stem, count;

	node->short_length = 0;
	if (is_short(upper, &dot) || parent->child_count > 64) /* a full directory would make this slow */
		return;
	for (dot = units; dot > 0 && upper->Buffer[dot - 1] != '.'; dot--)
		;
	dot = dot > 1 ? dot - 1 : units;
	stem = take_letters(node->short_name, upper, 0, dot, 6);
	node->short_name[stem] = '~';
	count = stem + 2;
	if (dot < units) {
		node->short_name[count++] = '.';
		count += take_letters(node->short_name + count, upper, dot + 1, units, 3);
	}
	node->short_length = (UCHAR)count;
	for (WCHAR digit = '1'; digit <= '9'; digit++) {
		node->short_name[stem + 1] = digit;
		if (!short_taken(parent, node))
			return;
	}
	node->short_length = 0;
}
