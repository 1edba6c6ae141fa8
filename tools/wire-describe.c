/*
 * Describes the protocol as the codec has it: tables for docs/PROTOCOL.md, tables for the Wireshark dissector, and one
 * valid frame per message as seeds for fuzzers. Each table stands between marker lines, see tools/update-protocol-doc.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "../tests/wire_table.h"

#include "base/limits.h"
#include "base/status.h"
#include "wire/codec.h"
#include "wire/frame.h"
#include "wire/types.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct header_row {
	const char *name, *text;
	struct inlay_frame ones; /* the field, all ones: inlay_frame_put tells where it stands */
};

static const struct header_row header_rows[] = {
	{"size", "bytes of the whole frame, this header included", {.size = UINT32_MAX}},
	{"type", "number of the message", {.type = UINT16_MAX}},
	{"kind", "1 request, 2 reply, 3 event", {.kind = UINT8_MAX}},
	{"flags", "1 replay: a request sent before, on a connection now lost; 2 redo: in a session now lost; other bits zero", {.flags = UINT8_MAX}},
	{"slot", "slot of the request, 0xffffffff for none", {.slot = UINT32_MAX}},
	{"status", "replies: 0 or a status; redo: low half of the sequence in the lost session; else zero", {.status = UINT32_MAX}},
	{"sequence", "sequence number of the request in its slot", {.seq = UINT64_MAX}},
	{"body", "bytes of the body, a multiple of 8; what is left of size is the payload", {.body = UINT32_MAX}},
	{"lane", "redo: slot in the lost session, and from bit 8 on the first 3 bytes of its id; else zero", {.lane = UINT32_MAX}},
};

struct type_row {
	const char *name, *size, *text;
};

#define TEXT(value) TEXT_(value)
#define TEXT_(value) #value

static const struct type_row type_rows[] = {
	{"U32", "4", "unsigned number"},
	{"U64", "8", "unsigned number"},
	{"NODE", "40", "names a file for as long as it exists, over renames and server restarts; opaque; all zero: none"},
	{"UUID", "16", "random bytes"},
	{"TIME", "16", "+0 seconds since 1970, signed 64 bit; +8 U32 nanoseconds, below 10^9; +12 U32 zero"},
	{"ATTR", "128", "+0 U64 ino; +8 U64 size in bytes; +16 U64 blocks of 512 bytes; +24 U64 change: differs whenever "
		"data or attributes do; +32 TIME atime; +48 TIME mtime; +64 TIME ctime; +80 TIME btime; +96 U32 mode, type "
		"and permissions in POSIX numbers; +100 U32 nlink; +104 U32 uid; +108 U32 gid; +112 U32 rdev_major; +116 U32 "
		"rdev_minor; +120 U32 blksize; +124 U32 zero"},
	{"LEASE", "8", "+0 U32 kind: 0 none, 1 read, 2 write; +4 U32 term in ms"},
	{"CRED", "16 and more", "+0 U32 uid; +4 U32 gid; +8 U32 count of groups; +12 U32 zero; +16 count * U32 groups; zeros "
		"to a multiple of 8"},
	{"NAME", "8 and more", "+0 U32 length, 1 to 255; +4 the bytes; zeros to a multiple of 8. No `/`, no NUL, not `.` or "
		"`..`"},
	{"STR", "8 and more", "+0 U32 length; +4 the bytes; zeros to a multiple of 8. No NUL"},
};
_Static_assert(INLAY_WIRE_SIZE_NODE == 40 && INLAY_WIRE_SIZE_ATTR == 128 && INLAY_WIRE_SIZE_CRED == 16, "type_rows");
_Static_assert(INLAY_NAME_MAX == 255, "type_rows");

static const struct limit_row {
	unsigned value;
	const char *text;
} limit_rows[] = {
	{INLAY_NAME_MAX, "bytes of a NAME"},
	{INLAY_STR_MAX, "bytes of a STR"},
	{INLAY_TARGET_MAX - 1, "bytes of a symbolic link's target"},
	{INLAY_XATTR_NAME_MAX, "bytes of an extended attribute's name"},
	{INLAY_XATTR_VALUE_MAX, "bytes of an extended attribute's value, and of a file's list of names"},
	{INLAY_GROUPS_MAX, "groups of a CRED"},
	{INLAY_RULES_MAX, "bytes of HELLO's suggested rules"},
	{INLAY_TEXT_MAX, "bytes of the program texts in HELLO"},
	{INLAY_BODY_MAX, "bytes of a body"},
	{INLAY_DATA_MAX, "bytes of a payload; HELLO's max_data may say less"},
	{INLAY_FRAME_MAX, "bytes of a frame"},
	{INLAY_LANES_MAX, "lanes of a session"},
	{INLAY_SLOTS_MAX, "slots of a lane"},
	{INLAY_REPLY_CACHE_MAX, "bytes of a reply that a slot keeps"},
	{INLAY_HANDLES_MAX, "open files of a session"},
	{INLAY_LOCKS_MAX, "lock records of a session"},
	{INLAY_HELLO_TIMEOUT_MS, "ms within which a new connection must say HELLO"},
	{INLAY_LEASE_MS, "ms without a word after which a session is over"},
};

static const struct bit_row {
	unsigned value;
	const char *name, *text;
} open_rows[] = {
	{INLAY_O_WRONLY, "WRONLY", "open for writing (0: for reading)"},
	{INLAY_O_RDWR, "RDWR", "open for both"},
	{INLAY_O_EXCL, "EXCL", "CREATE: the name must be new. TMPFILE: the file can't be linked"},
	{INLAY_O_TRUNC, "TRUNC", "cut to no bytes"},
	{INLAY_O_APPEND, "APPEND", "each write lands at the end of file, atomically among all clients"},
	{INLAY_O_SYNC, "SYNC", "each write is durable with its metadata before it is answered"},
	{INLAY_O_DSYNC, "DSYNC", "each write's data is durable before it is answered"},
	{INLAY_O_DIRECT, "DIRECT", "advice: bypass the server's cache where alignment allows"},
	{INLAY_O_NOATIME, "NOATIME", "reading leaves the access time alone"},
	{INLAY_O_KILL_PRIV, "KILL_PRIV", "with TRUNC: drop set-id bits"},
	{INLAY_O_EXEC, "EXEC", "opened to execute: needs x, not r"},
}, feature_rows[] = {
	{INLAY_FEATURE_LEASES, "LEASES", "reserved: leases and recall"},
	{INLAY_FEATURE_RECLAIM, "RECLAIM", "REOPEN, RECLAIM_DONE and LOCK's flag 2: open files and locks live on in a new session"},
};

static void begin(const char *comment, const char *table, const char *end)
{
	printf("%s generated %s: begin%s\n", comment, table, end);
}

static void finish(const char *comment, const char *table, const char *end)
{
	printf("%s generated %s: end%s\n", comment, table, end);
}

static void markdown_header(void)
{
	begin("<!--", "header", " -->");
	printf("| offset | size | name | meaning |\n| ---: | ---: | --- | --- |\n");
	for (size_t i = 0; i < COUNT(header_rows); i++) {
		uint8_t bytes[INLAY_FRAME_HEADER];
		unsigned at = 0, size = 0;

		inlay_frame_put(bytes, &header_rows[i].ones);
		while (at < sizeof(bytes) && !bytes[at])
			at++;
		while (at + size < sizeof(bytes) && bytes[at + size])
			size++;
		printf("| %u | %u | %s | %s |\n", at, size, header_rows[i].name, header_rows[i].text);
	}
	finish("<!--", "header", " -->");
}

static void markdown_types(void)
{
	begin("<!--", "types", " -->");
	printf("| type | bytes | what it is |\n| --- | --- | --- |\n");
	for (size_t i = 0; i < COUNT(type_rows); i++)
		printf("| %s | %s | %s |\n", type_rows[i].name, type_rows[i].size, type_rows[i].text);
	finish("<!--", "types", " -->");
}

static void markdown_half(const struct wire_half *h, const char *title)
{
	const char *after = "";
	unsigned at = 0;

	if (!h->count) {
		printf("%s: no body.\n\n", title);
		return;
	}
	printf("%s:\n\n| offset | size | type | name | meaning |\n| ---: | ---: | --- | --- | --- |\n", title);
	for (unsigned i = 0; i < h->count; i++) {
		const struct wire_field *f = &h->fields[i];

		printf("| %s%s%u | %u%s | %s | %s | %s |\n", after, *after ? "+" : "", at, f->size, f->varies ? ".." : "", f->type,
			f->name, f->text);
		at = f->varies ? 0 : at + f->size;
		if (f->varies)
			after = f->name;
	}
	printf("\n");
}

static void markdown_message(const struct wire_half *req, const struct wire_half *rep)
{
	static const char *const words[] = {"handled by the session", "mutates: done at most once", "request may carry a payload",
		"reply may carry a payload", "event: server to client, no reply"};
	const char *comma = "";

	printf("### %s (%u)\n\n", req->message, req->number);
	for (unsigned bit = 0; bit < COUNT(words); bit++)
		if (req->flags & 1 << bit) {
			printf("%s%s", comma, words[bit]);
			comma = "; ";
		}
	if (*comma)
		printf(".\n\n");
	if (req->flags & INLAY_MSG_EVENT) {
		markdown_half(req, "Event");
		return;
	}
	markdown_half(req, "Request");
	markdown_half(rep, "Reply");
}

static void markdown_bits(const char *table, const struct bit_row *rows, size_t count)
{
	begin("<!--", table, " -->");
	printf("| bit | name | meaning |\n| ---: | --- | --- |\n");
	for (size_t i = 0; i < count; i++)
		printf("| %u | %s | %s |\n", rows[i].value, rows[i].name, rows[i].text);
	finish("<!--", table, " -->");
}

static void markdown(void)
{
	markdown_header();
	markdown_types();
	begin("<!--", "messages", " -->");
	for (size_t i = 0; i < WIRE_HALVES; i += 2)
		markdown_message(&wire_halves[i], &wire_halves[i + 1]);
	finish("<!--", "messages", " -->");
	markdown_bits("open-flags", open_rows, COUNT(open_rows));
	markdown_bits("features", feature_rows, COUNT(feature_rows));
	begin("<!--", "statuses", " -->");
	printf("| number | name | on Linux | meaning |\n| ---: | --- | --- | --- |\n| 0 | OK | | done |\n");
#define STATUS_ROW(name, number, host, text) printf("| %d | %s | %s | %s |\n", number, #name, #host, text);
	INLAY_STATUSES(STATUS_ROW)
	finish("<!--", "statuses", " -->");
	begin("<!--", "limits", " -->");
	printf("| at most | of what |\n| ---: | --- |\n");
	for (size_t i = 0; i < COUNT(limit_rows); i++)
		printf("| %u | %s |\n", limit_rows[i].value, limit_rows[i].text);
	finish("<!--", "limits", " -->");
}

static void lua_half(const struct wire_half *h, const char *key)
{
	printf("\t\t%s = {", key);
	for (unsigned i = 0; i < h->count; i++) {
		const struct wire_field *f = &h->fields[i];

		printf("%s\n\t\t\t{\"%s\", \"%s\", \"%s\"}", i ? "," : "", f->type, f->name, f->text);
	}
	printf("%s},\n", h->count ? "\n\t\t" : "");
}

/* Texts come from our own headers and hold neither quotes nor backslashes. */
static void lua(void)
{
	begin("--", "tables", "");
	printf("local FRAME_HEADER, BODY_MAX, DATA_MAX = %u, %u, %u\n", INLAY_FRAME_HEADER, INLAY_BODY_MAX, INLAY_DATA_MAX);
	printf("local NAME_MAX, STR_MAX, GROUPS_MAX = %u, %u, %u\n", INLAY_NAME_MAX, INLAY_STR_MAX, INLAY_GROUPS_MAX);
	printf("local statuses = {\n\t[0] = \"OK\",\n");
#define STATUS_LUA(name, number, host, text) printf("\t[%d] = \"%s (%s)\",\n", number, #name, text);
	INLAY_STATUSES(STATUS_LUA)
	printf("}\nlocal messages = {\n");
	for (size_t i = 0; i < WIRE_HALVES; i += 2) {
		const struct wire_half *h = &wire_halves[i];

		printf("\t[%u] = {\n\t\tname = \"%s\", event = %s, request_data = %s, reply_data = %s,\n", h->number, h->message,
			h->flags & INLAY_MSG_EVENT ? "true" : "false", h->flags & INLAY_MSG_REQUEST_DATA ? "true" : "false",
			h->flags & INLAY_MSG_REPLY_DATA ? "true" : "false");
		lua_half(h, "request");
		lua_half(&wire_halves[i + 1], "reply");
		printf("\t},\n");
	}
	printf("}\n");
	finish("--", "tables", "");
}

/* A payload that suits the message: entries for a listing, node ids, else a run of bytes. */
static void put_payload(struct inlay_writer *w, const struct wire_half *h, struct wire_fill *fill)
{
	static const char *const names[] = {".", "a", "name with spaces", "8 bytes."};
	struct inlay_dirent d;

	if (!(h->flags & (h->reply ? INLAY_MSG_REPLY_DATA : INLAY_MSG_REQUEST_DATA)))
		return;
	if (h->number != INLAY_READDIR) {
		inlay_write_bytes(w, 2 * INLAY_WIRE_SIZE_NODE);
		return;
	}
	for (unsigned i = 0; i < COUNT(names); i++) {
		d = (struct inlay_dirent){.ino = i + 1, .cookie = 1000 + i, .type = 0100000, .name = inlay_str(names[i])};
		wire_fill_NODE(fill, &d.node);
		wire_fill_ATTR(fill, &d.attr);
		inlay_put_dirent(w, &d, INLAY_READDIR_ATTRS);
	}
}

static int seed_write(const char *dir, const char *message, const char *kind, const uint8_t *p, size_t len)
{
	char path[4096];
	FILE *file;
	size_t done;
	int n = snprintf(path, sizeof(path), "%s/%s-%s", dir, message, kind);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -1;
	for (char *c = path + strlen(dir); *c; c++)
		*c = (char)tolower((unsigned char)*c);
	file = fopen(path, "wb");
	if (!file) {
		perror(path);
		return -1;
	}
	done = fwrite(p, 1, len, file);
	if (fclose(file) != 0 || done != len) {
		perror(path);
		return -1;
	}
	return 0;
}

static int seed(const char *dir, const struct wire_half *h)
{
	static struct wire_fill fill;
	static union wire_any message;
	static uint8_t frame[INLAY_FRAME_MAX];
	bool event = h->flags & INLAY_MSG_EVENT;
	struct inlay_frame f = {.type = (uint16_t)h->number, .slot = 2 * h->number, .seq = 1000 + h->number};
	struct inlay_writer w = inlay_writer(frame + INLAY_FRAME_HEADER, sizeof(frame) - INLAY_FRAME_HEADER);

	if (event && h->reply)
		return 0;
	memset(frame, 0, sizeof(frame));
	fill.state = 2 * h->number + h->reply;
	fill.text_max = 20;
	fill.groups_max = 3;
	h->fill(&fill, &message);
	h->put(&w, &message);
	f.body = (uint32_t)inlay_writer_len(&w);
	put_payload(&w, h, &fill);
	f.size = INLAY_FRAME_HEADER + (uint32_t)inlay_writer_len(&w);
	f.kind = event ? INLAY_FRAME_EVENT : h->reply ? INLAY_FRAME_REPLY : INLAY_FRAME_REQUEST;
	if (event || h->number == INLAY_HELLO) {
		f.slot = INLAY_NO_SLOT;
		f.seq = 0;
	}
	inlay_frame_put(frame, &f);
	return seed_write(dir, h->message, event ? "event" : h->reply ? "reply" : "request", frame, f.size);
}

static int seeds(const char *dir)
{
	struct inlay_frame error = {.size = INLAY_FRAME_HEADER, .type = INLAY_LOOKUP, .kind = INLAY_FRAME_REPLY, .slot = 32,
		.status = INLAY_ENOENT, .seq = 1016};
	uint8_t frame[INLAY_FRAME_HEADER];

	for (size_t i = 0; i < WIRE_HALVES; i++)
		if (seed(dir, &wire_halves[i]) < 0)
			return 1;
	inlay_frame_put(frame, &error);
	return seed_write(dir, "LOOKUP", "error", frame, sizeof(frame)) < 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--markdown") == 0)
		markdown();
	else if (argc == 2 && strcmp(argv[1], "--lua") == 0)
		lua();
	else if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
		return seeds(argv[2]);
	else {
		fprintf(stderr, "usage: wire-describe --markdown | --lua | --seeds DIR\n");
		return 2;
	}
	return fflush(stdout) != 0;
}
