/*
 * Bytes as what lies in the server's state directory: the lock holders' file, a client's record, the secret. A disk may
 * return anything: what isn't signed is as none, and what is signed may still be nonsense.
 *
 * An input: how (a byte: which checks are put right before the server looks), the length of the holders' file (a byte, in
 * places of 32), that file; then the record's file up to its end, its entries 320 bytes each.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/bytes.h"
#include "base/log.h"
#include "base/status.h"
#include "cmd/inlayd_host.h"
#include "server/record.h"
#include "server/roster.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE 32u
#define HEAD 4096u
#define HEAD_CHECK 312u
#define TAG 0x030201u
#define ENTRY 320u
#define OUTCOME 80u
#define ENTRIES_MAX 64u

enum { SIGN_HOLDERS = 1, SIGN_HEAD = 2, SIGN_INTENTS = 4, SIGN_OUTCOMES = 8, WITH_LANE = 16, LONG_SECRET = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct inlay_hash_key secret = {{11, 22}};
static const struct inlay_uuid client = {{1, 2, 3}}, boot = {{9, 8, 7, 6, 5, 4, 3, 2}};
static char dir[64];

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void remove_all(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	require(system(command) == 0);
}

static void begin(void)
{
	const char *shm = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char records[128];

	if (*dir)
		return;
	inlay_log_init("fuzz", STDERR_FILENO, INLAY_LOG_ERROR, INLAY_LOG_TEXT);
	snprintf(dir, sizeof(dir), "%s/inlay-fuzz-XXXXXX", shm);
	require(mkdtemp(dir));
	snprintf(records, sizeof(records), "%s/records", dir);
	require(mkdir(records, 0700) == 0);
	atexit(remove_all);
}

static void put(const char *name, const void *bytes, size_t len)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	require(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	close(fd);
}

static struct inlay_hash_key derived(const char *a, const char *b)
{
	return (struct inlay_hash_key){{inlay_siphash(&secret, a, 8), inlay_siphash(&secret, b, 8)}};
}

/* ---- the files as the server signs them ---- */

static void sign_holders(uint8_t *p, size_t places)
{
	const struct inlay_hash_key key = derived("roster 0", "roster 1");

	for (size_t i = 0; i < places; i++)
		inlay_store64(p + i * PLACE + 24, inlay_siphash(&key, p + i * PLACE, 24));
}

static void sign_entry(uint8_t *e, unsigned how)
{
	struct inlay_hash_key key = derived("record 0", "record 1");
	uint32_t len = inlay_load32(e + OUTCOME + 12);

	if (how & SIGN_INTENTS)
		inlay_store64(e, inlay_siphash(&key, e + 8, OUTCOME - 8));
	if (!(how & SIGN_OUTCOMES) || len > RECORD_REPLY_MAX)
		return;
	key.k[0] ^= inlay_load64(e);
	key.k[1] ^= inlay_load64(boot.bytes);
	inlay_store64(e + OUTCOME, inlay_siphash(&key, e + OUTCOME + 8, 8 + len));
}

static void sign_record(uint8_t *p, size_t entries, unsigned how)
{
	const struct inlay_hash_key key = derived("record 0", "record 1");

	if (how & SIGN_HEAD) {
		memcpy(p, "inlycrd2", 8);
		memcpy(p + 8, client.bytes, 16);
		memcpy(p + 24, boot.bytes, 16);
		inlay_store64(p + 40, 7);
		inlay_store64(p + HEAD_CHECK, inlay_siphash(&key, p, HEAD_CHECK));
	}
	for (size_t i = 0; i < entries; i++)
		sign_entry(p + HEAD + i * ENTRY, how);
}

/* ---- what the server does with them ---- */

static void holders(uint64_t export)
{
	struct roster *r;
	uint32_t at = 0, place = 0, taken = 0;
	struct inlay_uuid who;

	require(roster_open(dir, &secret, &r) == 0);
	while (roster_take(r, export, &at, &who, &place))
		require(++taken <= 256);
	if (taken)
		roster_remove(r, place);
	require(roster_add(r, &(struct roster_entry){client, export}, &place) == 0);
	roster_drop_untaken(r);
	roster_close(r);
	/* Whatever stood there: what was added is found again, and it alone of what nobody took. */
	require(roster_open(dir, &secret, &r) == 0);
	at = 0;
	for (taken = 0; roster_take(r, export, &at, &who, &place);)
		taken += memcmp(&who, &client, sizeof(who)) == 0;
	require(taken >= 1);
	roster_close(r);
}

static void entries(struct record_lane *lane, const uint8_t *p, size_t count)
{
	static struct record_found found;

	for (uint32_t slot = 0; slot < count; slot++) {
		const uint8_t *e = p + HEAD + slot * ENTRY;
		uint16_t type = inlay_load16(e + 20);
		struct record_ref ref = {lane, slot, inlay_load32(e + 16), inlay_load64(e + 8), true};
		enum record_state state = record_find(&ref, type, &found);

		if (state == RECORD_DONE)
			require(found.status <= 0 && found.len <= RECORD_REPLY_MAX);
		record_begin(&ref, type, &(struct record_intent){.size = slot});
		require(record_find(&ref, type, &found) == RECORD_BEGUN);
		record_end(&ref, -INLAY_ENOENT, e, RECORD_REPLY_MAX);
		require(record_find(&ref, type, &found) == RECORD_DONE && found.status == -INLAY_ENOENT);
	}
	require(record_find(&(struct record_ref){lane, 1u << 20, 0, 0, true}, 1, &found) == RECORD_UNKNOWN);
}

static void record(const uint8_t *p, size_t count, bool again)
{
	struct records *rs;
	struct record *r;
	struct record_lane *lane;

	require(records_open(dir, &secret, &boot, &rs) == 0);
	r = record_get(rs, &client, 7, again, NULL);
	require(r);
	lane = record_lane(r, 0, TAG);
	require(lane);
	entries(lane, p, count);
	require(record_lane(r, 1, TAG));
	records_clean(rs);
	record_put(r, false);
	records_close(rs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t file[HEAD + ENTRIES_MAX * ENTRY], list[256 * PLACE];
	struct inlay_hash_key key;
	unsigned how = size > 1 ? data[0] : 0;
	size_t places = size > 1 ? data[1] : 0, count;

	begin();
	data += size > 1 ? 2 : size;
	size -= size > 1 ? 2 : size;
	places = places < size / PLACE ? places : size / PLACE;
	memcpy(list, data, places * PLACE);
	if (how & SIGN_HOLDERS)
		sign_holders(list, places);
	put("lock-holders", list, how & SIGN_HOLDERS ? places * PLACE : places * PLACE + size % PLACE);
	holders(places ? inlay_load64(list + 16) : 1);

	data += places * PLACE;
	size -= places * PLACE;
	memset(file, 0, sizeof(file));
	count = size / ENTRY < ENTRIES_MAX ? size / ENTRY : ENTRIES_MAX;
	memcpy(file + HEAD, data, count * ENTRY);
	if (!(how & SIGN_HEAD))
		memcpy(file, data, size < HEAD ? size : HEAD);
	sign_record(file, count, how);
	put("records/01020300000000000000000000000000-0000000000000007", file, how & WITH_LANE ? sizeof(file) : HEAD + size % HEAD);
	record(file, how & WITH_LANE ? count : 0, how & SIGN_HEAD);

	put("node-id.secret", data, how & LONG_SECRET ? (size < 40 ? size : 40) : size < 16 ? size : 16);
	(void)inlayd_secret(dir, &key);
	return 0;
}
