/*
 * A record's file: a page with its head, then each lane's slots, 80 KiB apart:
 *
 *   0          80        96             320
 *   | intent   | outcome | reply        |     both parts have a SipHash of their own: a process may die between them,
 *   | check .. | check ..|              |     or in the middle of one, which is then as if it had not been written
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/record.h"

#include "base/bytes.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/status.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD 4096
#define MAGIC UINT64_C(0x32647263796c6e69) /* "inlycrd2": changes when the layout does */
#define SESSIONS 16u /* of a client, whose requests are still known; older ones are as if they had not been recorded */

struct entry {
	uint64_t check; /* of what follows, up to outcome */
	uint64_t seq;
	uint32_t tag;
	uint16_t type, there;
	int64_t sec;
	uint32_t nsec, made_nsec;
	uint64_t size, ino;
	int64_t made_sec;
	uint64_t pad[2];
	uint64_t outcome; /* check of intent's check and of what follows */
	uint32_t status, len;
	uint8_t reply[RECORD_REPLY_MAX];
};
_Static_assert(sizeof(struct entry) == 320 && offsetof(struct entry, outcome) == 80, "the picture above");
#define LANE (INLAY_SLOTS_MAX * sizeof(struct entry))
_Static_assert(LANE % 4096 == 0, "lanes are mapped one by one");

/* boot: of the host since when the lanes of those sessions have been recorded, from their first request on. */
struct head {
	uint64_t magic;
	uint8_t client[16], boot[16];
	uint64_t export;
	struct {
		uint64_t lanes; /* a bit each */
		uint64_t tag;
	} session[SESSIONS];
	uint64_t begun;     /* sessions; the last one stands at (begun - 1) % SESSIONS */
	uint64_t check;
};
_Static_assert(INLAY_LANES_MAX <= 64, "a bit for each lane");

struct record_lane {
	struct record *record;
	struct entry *entries;
};

struct record {
	struct records *all;
	struct inlay_map_link link; /* records.map */
	struct inlay_uuid client;
	uint64_t export;
	uint32_t refs;              /* under records.lock */
	struct record_place *place; /* referenced; NULL: nobody's */
	int fd;
	struct head head;           /* as it stands in the file; under records.lock */
	struct record_lane lanes[INLAY_LANES_MAX]; /* under records.lock until they are handed out */
};

struct records {
	int dir;
	struct inlay_hash_key key;
	struct inlay_uuid boot;
	pthread_mutex_t lock;
	/* under lock: */
	struct inlay_map map;
	uint32_t lanes_max, lanes; /* mapped ones */
	uint64_t old_bytes;        /* on the disk, of files of the server's last life that nobody has asked for yet */
};

void record_place_put(struct record_place *p)
{
	if (p && __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(p);
}

/* ---- all of them ---- */

static uint64_t bytes_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

/* What another life has left stays until records_clean(), and takes its room until then. */
static void count_old(struct records *rs)
{
	int fd = openat(rs->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	struct stat st;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d)))
		if (fstatat(rs->dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			rs->old_bytes += (uint64_t)st.st_blocks * 512;
	closedir(d);
}

void records_limit(struct records *rs, uint32_t lanes)
{
	rs->lanes_max = lanes;
}

int records_open(const char *dir, const struct inlay_hash_key *secret, const struct inlay_uuid *host_boot,
                 struct records **ret)
{
	struct records *rs = calloc(1, sizeof(*rs));
	char path[4200];
	int err = -INLAY_ENOMEM;

	if (!rs)
		return err;
	snprintf(path, sizeof(path), "%s/records", dir);
	rs->boot = *host_boot;
	rs->key.k[0] = inlay_siphash(secret, "record 0", 8);
	rs->key.k[1] = inlay_siphash(secret, "record 1", 8);
	pthread_mutex_init(&rs->lock, NULL);
	if (inlay_map_init(&rs->map) == 0) {
		rs->dir = mkdir(path, 0700) == 0 || errno == EEXIST ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
		err = rs->dir < 0 ? inlay_status_from_errno(errno) : 0;
	}
	if (err == 0) {
		rs->lanes_max = INLAY_RECORD_LANES_MAX;
		count_old(rs);
		*ret = rs;
		return 0;
	}
	inlay_map_done(&rs->map);
	pthread_mutex_destroy(&rs->lock);
	free(rs);
	return err;
}

void records_close(struct records *rs)
{
	if (!rs)
		return;
	close(rs->dir);
	inlay_map_done(&rs->map);
	pthread_mutex_destroy(&rs->lock);
	free(rs);
}

static void name_of(const struct inlay_uuid *client, uint64_t export, char name[64])
{
	for (unsigned i = 0; i < 16; i++)
		snprintf(name + 2 * i, 3, "%02x", client->bytes[i]);
	snprintf(name + 32, 32, "-%016llx", (unsigned long long)export);
}

static struct record *find_name(struct records *rs, const char *name)
{
	char other[64];

	for (size_t i = 0; i <= rs->map.mask; i++)
		for (struct inlay_map_link *l = rs->map.buckets[i]; l; l = l->next) {
			struct record *r = inlay_container(l, struct record, link);

			name_of(&r->client, r->export, other);
			if (strcmp(name, other) == 0)
				return r;
		}
	return NULL;
}

void records_clean(struct records *rs)
{
	int fd = openat(rs->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d))) {
		pthread_mutex_lock(&rs->lock);
		if (e->d_name[0] != '.' && !find_name(rs, e->d_name))
			(void)unlinkat(rs->dir, e->d_name, 0);
		pthread_mutex_unlock(&rs->lock);
	}
	closedir(d);
	pthread_mutex_lock(&rs->lock);
	rs->old_bytes = 0;
	pthread_mutex_unlock(&rs->lock);
}

/* ---- one ---- */

static uint64_t head_check(const struct records *rs, const struct head *h)
{
	return inlay_siphash(&rs->key, h, offsetof(struct head, check));
}

/* What is known of another boot of the host says nothing: its crash may have taken entries. */
static bool head_read(struct record *r)
{
	struct head h;

	if (pread(r->fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || h.magic != MAGIC || h.check != head_check(r->all, &h))
		return false;
	if (h.export != r->export || memcmp(h.client, r->client.bytes, sizeof(h.client)) != 0)
		return false;
	if (memcmp(h.boot, r->all->boot.bytes, sizeof(h.boot)) != 0) {
		memcpy(h.boot, r->all->boot.bytes, sizeof(h.boot));
		h.begun = 0;
		memset(h.session, 0, sizeof(h.session));
	}
	r->head = h;
	return true;
}

static void head_new(struct record *r)
{
	memset(&r->head, 0, sizeof(r->head));
	r->head.magic = MAGIC;
	r->head.export = r->export;
	memcpy(r->head.client, r->client.bytes, sizeof(r->head.client));
	memcpy(r->head.boot, r->all->boot.bytes, sizeof(r->head.boot));
}

static bool head_write(struct record *r)
{
	r->head.check = head_check(r->all, &r->head);
	return pwrite(r->fd, &r->head, sizeof(r->head), 0) == (ssize_t)sizeof(r->head);
}

/* Its place in the head; SESSIONS: it isn't there. */
static unsigned head_find(const struct record *r, uint32_t tag)
{
	for (unsigned i = 0; i < SESSIONS && i < r->head.begun; i++)
		if (r->head.session[i].tag == tag)
			return i;
	return SESSIONS;
}

/* Under records.lock. What can't be written is as if it had not been recorded. */
static void head_note(struct record *r, uint32_t tag, uint32_t lane)
{
	unsigned i = head_find(r, tag);

	if (i < SESSIONS && r->head.session[i].lanes >> lane & 1)
		return;
	if (i == SESSIONS) {
		i = (unsigned)(r->head.begun++ % SESSIONS);
		r->head.session[i].tag = tag;
		r->head.session[i].lanes = 0;
	}
	r->head.session[i].lanes |= UINT64_C(1) << lane;
	if (!head_write(r))
		r->head.session[i].lanes &= ~(UINT64_C(1) << lane);
}

static bool is_whole(const struct record_ref *ref)
{
	struct record *r = ref->lane->record;
	unsigned i;
	bool whole;

	pthread_mutex_lock(&r->all->lock);
	i = head_find(r, ref->tag);
	whole = i < SESSIONS && r->head.session[i].lanes >> (ref->lane - r->lanes) & 1;
	pthread_mutex_unlock(&r->all->lock);
	return whole;
}

static int open_record(struct record *r, bool again)
{
	char name[64];
	uint64_t old;

	name_of(&r->client, r->export, name);
	r->fd = openat(r->all->dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (r->fd < 0)
		return inlay_status_from_errno(errno);
	old = bytes_of(r->fd);
	r->all->old_bytes -= old < r->all->old_bytes ? old : r->all->old_bytes;
	if (!again || !head_read(r)) {
		if (ftruncate(r->fd, 0) < 0)
			return inlay_status_from_errno(errno);
		head_new(r);
	}
	return head_write(r) ? 0 : -INLAY_EIO;
}

static uint64_t map_hash(const struct inlay_uuid *client)
{
	return inlay_load64(client->bytes); /* random already; who chooses another has one map to himself */
}

static struct record *find_record(struct records *rs, const struct inlay_uuid *client, uint64_t export)
{
	for (struct inlay_map_link *l = inlay_map_find(&rs->map, map_hash(client)); l; l = inlay_map_find_next(l)) {
		struct record *r = inlay_container(l, struct record, link);

		if (r->export == export && memcmp(&r->client, client, sizeof(*client)) == 0)
			return r;
	}
	return NULL;
}

static struct record *make_record(struct records *rs, const struct inlay_uuid *client, uint64_t export, bool again,
                                  struct record_place *place)
{
	struct record *r = rs->map.count < INLAY_RECORDS_MAX ? calloc(1, sizeof(*r)) : NULL;

	if (!r)
		return NULL;
	r->all = rs;
	r->client = *client;
	r->export = export;
	if (open_record(r, again) < 0) {
		if (r->fd >= 0)
			close(r->fd);
		free(r);
		return NULL;
	}
	r->place = place;
	if (place)
		__atomic_add_fetch(&place->refs, 1, __ATOMIC_RELAXED);
	inlay_map_add(&rs->map, &r->link, map_hash(client));
	return r;
}

struct record *record_get(struct records *rs, const struct inlay_uuid *client, uint64_t export, bool again, struct record_place *place)
{
	struct record *r;

	pthread_mutex_lock(&rs->lock);
	r = find_record(rs, client, export);
	if (!r)
		r = make_record(rs, client, export, again, place);
	if (r)
		r->refs++;
	pthread_mutex_unlock(&rs->lock);
	return r;
}

void record_put(struct record *r, bool keep)
{
	char name[64];
	uint32_t lanes = 0;

	if (!r)
		return;
	pthread_mutex_lock(&r->all->lock);
	if (--r->refs) {
		pthread_mutex_unlock(&r->all->lock);
		return;
	}
	for (unsigned i = 0; i < INLAY_LANES_MAX; i++)
		lanes += r->lanes[i].entries != NULL;
	r->all->lanes -= lanes;
	if (r->place)
		r->place->lanes -= lanes;
	inlay_map_remove(&r->all->map, &r->link);
	name_of(&r->client, r->export, name);
	if (!keep)
		(void)unlinkat(r->all->dir, name, 0);
	pthread_mutex_unlock(&r->all->lock);
	for (unsigned i = 0; i < INLAY_LANES_MAX; i++)
		if (r->lanes[i].entries)
			munmap(r->lanes[i].entries, LANE);
	close(r->fd);
	record_place_put(r->place);
	free(r);
}

/* Under records.lock. */
static bool has_room(const struct record *r)
{
	uint64_t taken = r->all->lanes + (r->all->old_bytes + LANE - 1) / LANE;
	uint64_t left = r->all->lanes_max > taken ? r->all->lanes_max - taken : 0;

	return left && (!r->place || r->place->lanes <= INLAY_RECORD_SHARE * left);
}

static void map_lane(struct record *r, struct record_lane *l, off_t off)
{
	void *p;

	/* A page that has no room on the disk would end the process when it is touched. */
	if (!has_room(r) || posix_fallocate(r->fd, off, LANE) != 0)
		return;
	p = mmap(NULL, LANE, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, off);
	if (p == MAP_FAILED)
		return;
	*l = (struct record_lane){.record = r, .entries = p};
	r->all->lanes++;
	if (r->place)
		r->place->lanes++;
}

struct record_lane *record_lane(struct record *r, uint32_t index, uint32_t tag)
{
	struct record_lane *l = &r->lanes[index];

	pthread_mutex_lock(&r->all->lock);
	if (!l->entries)
		map_lane(r, l, HEAD + (off_t)index * (off_t)LANE);
	if (l->entries)
		head_note(r, tag, index);
	pthread_mutex_unlock(&r->all->lock);
	return l->entries ? l : NULL;
}

/* ---- entries ---- */

static struct entry *entry_of(const struct record_ref *ref)
{
	return ref->slot < INLAY_SLOTS_MAX ? &ref->lane->entries[ref->slot] : NULL;
}

static uint64_t intent_check(const struct record_ref *ref, const struct entry *e)
{
	return inlay_siphash(&ref->lane->record->all->key, &e->seq, offsetof(struct entry, outcome) - offsetof(struct entry, seq));
}

/*
 * Of a copy whose len has been looked at. It holds while the host runs: what was done before a crash may be undone by it,
 * and has to be looked at.
 */
static uint64_t outcome_check(const struct record_ref *ref, const struct entry *e)
{
	struct inlay_hash_key key = ref->lane->record->all->key;

	key.k[0] ^= e->check;
	key.k[1] ^= inlay_load64(ref->lane->record->all->boot.bytes);
	return inlay_siphash(&key, &e->status, offsetof(struct entry, reply) - offsetof(struct entry, status) + e->len);
}

void record_begin(const struct record_ref *ref, uint16_t type, const struct record_intent *intent)
{
	struct entry *e = entry_of(ref), now;

	if (!e)
		return;
	memset(&now, 0, offsetof(struct entry, reply));
	now.seq = ref->seq;
	now.tag = ref->tag;
	now.type = type;
	now.sec = intent->time.sec;
	now.nsec = intent->time.nsec;
	now.size = intent->size;
	now.there = intent->name.there;
	now.ino = intent->name.ino;
	now.made_sec = intent->name.btime.sec;
	now.made_nsec = intent->name.btime.nsec;
	now.check = intent_check(ref, &now);
	memcpy(e, &now, offsetof(struct entry, reply));
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* written before the request is begun; what is written outlives a kill */
}

void record_end(const struct record_ref *ref, int status, const uint8_t *reply, uint32_t len)
{
	struct entry *e = entry_of(ref);

	if (!e || len > RECORD_REPLY_MAX)
		return; /* as if it had not ended: looked at when it is asked for */
	e->status = (uint32_t)-status;
	e->len = len;
	memcpy(e->reply, reply, len);
	__atomic_store_n(&e->outcome, outcome_check(ref, e), __ATOMIC_RELEASE);
}

void record_unend(const struct record_ref *ref)
{
	struct entry *e = entry_of(ref);

	if (e)
		e->outcome++;
}

enum record_state record_find(const struct record_ref *ref, uint16_t type, struct record_found *ret)
{
	struct entry *at = entry_of(ref), e;

	if (!at)
		return RECORD_UNKNOWN;
	memcpy(&e, at, sizeof(e));
	if (e.check != intent_check(ref, &e) || e.tag != ref->tag || (uint32_t)e.seq != (uint32_t)ref->seq || e.type != type)
		return is_whole(ref) ? RECORD_NONE : RECORD_UNKNOWN;
	ret->intent.time = (struct inlay_time){.sec = e.sec, .nsec = e.nsec};
	ret->intent.size = e.size;
	ret->intent.name = (struct record_name){e.there != 0, e.ino, {.sec = e.made_sec, .nsec = e.made_nsec}};
	if (e.len > RECORD_REPLY_MAX || e.status > INLAY_EUNKNOWN || e.outcome != outcome_check(ref, &e))
		return RECORD_BEGUN;
	ret->status = -(int)e.status;
	ret->len = e.len;
	memcpy(ret->reply, e.reply, e.len);
	return RECORD_DONE;
}
