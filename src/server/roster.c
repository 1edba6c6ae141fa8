/*
 * The roster's file: one place of 32 bytes per client:
 *
 *   0      16       24         32
 *   | client | export | SipHash |     a free place is zeros
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "server/roster.h"

#include "base/bytes.h"
#include "base/limits.h"
#include "base/status.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define PLACE 32u
#define TAG_OFF 24u
#define PLACES_MAX (2u * INLAY_SESSIONS_MAX) /* those of before the restart, and those of now */

struct found {
	struct roster_entry entry;
	uint32_t place;
	bool gone; /* under roster.lock: handed out, or dropped */
};

struct roster {
	int fd;
	struct inlay_hash_key key;
	struct found *found;
	uint32_t count;
	pthread_mutex_t lock;
	/* under lock: */
	uint8_t *taken; /* per place */
};

/* Not synced: an entry that comes back with the host costs others a wait, and nothing else. */
static void remove_locked(struct roster *r, uint32_t place)
{
	static const uint8_t none[PLACE];

	if (pwrite(r->fd, none, PLACE, (off_t)place * PLACE) == PLACE)
		r->taken[place] = 0;
}

static uint64_t tag(const struct roster *r, const uint8_t place[PLACE])
{
	return inlay_siphash(&r->key, place, TAG_OFF);
}

static void place_put(const struct roster *r, const struct roster_entry *e, uint8_t place[PLACE])
{
	memcpy(place, e->client.bytes, sizeof(e->client.bytes));
	inlay_store64(place + 16, e->export);
	inlay_store64(place + TAG_OFF, tag(r, place));
}

static int take_found(struct roster *r, const uint8_t *places, uint32_t count)
{
	r->found = calloc(count ? count : 1, sizeof(r->found[0]));
	if (!r->found)
		return -INLAY_ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *p = places + (size_t)i * PLACE;
		struct found *f = &r->found[r->count];

		if (inlay_load64(p + TAG_OFF) != tag(r, p))
			continue;
		memcpy(f->entry.client.bytes, p, sizeof(f->entry.client.bytes));
		f->entry.export = inlay_load64(p + 16);
		f->place = i;
		r->taken[i] = 1;
		r->count++;
	}
	return 0;
}

static int load(struct roster *r)
{
	uint8_t *all = malloc((size_t)PLACES_MAX * PLACE);
	ssize_t n = all ? pread(r->fd, all, (size_t)PLACES_MAX * PLACE, 0) : 0;
	int err = n < 0 ? inlay_status_from_errno(errno) : all ? 0 : -INLAY_ENOMEM;

	if (err == 0)
		err = take_found(r, all, (uint32_t)((size_t)n / PLACE));
	free(all);
	return err;
}

static int open_file(const char *dir)
{
	char path[4200];
	int fd, err;

	snprintf(path, sizeof(path), "%s/lock-holders", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return inlay_status_from_errno(errno);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	err = errno == EWOULDBLOCK ? -INLAY_EBUSY : inlay_status_from_errno(errno);
	close(fd);
	return err;
}

int roster_open(const char *dir, const struct inlay_hash_key *secret, struct roster **ret)
{
	struct roster *r = calloc(1, sizeof(*r));
	int err = -INLAY_ENOMEM;

	if (!r)
		return err;
	pthread_mutex_init(&r->lock, NULL);
	r->key.k[0] = inlay_siphash(secret, "roster 0", 8);
	r->key.k[1] = inlay_siphash(secret, "roster 1", 8);
	r->taken = calloc(PLACES_MAX, 1);
	r->fd = r->taken ? open_file(dir) : -1;
	if (r->taken)
		err = r->fd < 0 ? r->fd : load(r);
	if (err < 0) {
		roster_close(r);
		return err;
	}
	*ret = r;
	return 0;
}

void roster_close(struct roster *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	pthread_mutex_destroy(&r->lock);
	free(r->found);
	free(r->taken);
	free(r);
}

bool roster_take(struct roster *r, uint64_t export, uint32_t *at, struct inlay_uuid *ret_client, uint32_t *ret_place)
{
	bool found = false;

	pthread_mutex_lock(&r->lock);
	for (; *at < r->count && !found; ++*at) {
		struct found *f = &r->found[*at];

		if (f->gone || f->entry.export != export)
			continue;
		*ret_client = f->entry.client;
		*ret_place = f->place;
		f->gone = found = true;
	}
	pthread_mutex_unlock(&r->lock);
	return found;
}

void roster_drop_untaken(struct roster *r)
{
	pthread_mutex_lock(&r->lock);
	for (uint32_t i = 0; i < r->count; i++) {
		if (!r->found[i].gone)
			remove_locked(r, r->found[i].place);
		r->found[i].gone = true;
	}
	pthread_mutex_unlock(&r->lock);
}

static int add_locked(struct roster *r, const uint8_t place[PLACE], uint32_t *ret_place)
{
	uint32_t at = 0;

	while (at < PLACES_MAX && r->taken[at])
		at++;
	if (at == PLACES_MAX)
		return -INLAY_ELIMIT;
	if (pwrite(r->fd, place, PLACE, (off_t)at * PLACE) != PLACE || fdatasync(r->fd) < 0)
		return inlay_status_from_errno(errno);
	r->taken[at] = 1;
	*ret_place = at;
	return 0;
}

int roster_add(struct roster *r, const struct roster_entry *e, uint32_t *ret_place)
{
	uint8_t place[PLACE];
	int err;

	place_put(r, e, place);
	pthread_mutex_lock(&r->lock);
	err = add_locked(r, place, ret_place);
	pthread_mutex_unlock(&r->lock);
	return err;
}

void roster_remove(struct roster *r, uint32_t place)
{
	pthread_mutex_lock(&r->lock);
	remove_locked(r, place);
	pthread_mutex_unlock(&r->lock);
}
