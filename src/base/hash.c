/*
 * SipHash-2-4 and the chained map.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/hash.h"

#include "base/bytes.h"
#include "base/status.h"

#include <stdlib.h>

#define MAP_BUCKETS_MIN 16u

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

/* The last word: the bytes that are left over, and the length's low byte on top. */
static uint64_t sip_tail(const uint8_t *p, size_t len)
{
	uint64_t word = (uint64_t)(len & 0xff) << 56;

	for (size_t i = 0; i < (len & 7); i++)
		word |= (uint64_t)p[i] << (8 * i);
	return word;
}

uint64_t inlay_siphash(const struct inlay_hash_key *key, const void *bytes, size_t len)
{
	struct sip s = {
		key->k[0] ^ 0x736f6d6570736575,
		key->k[1] ^ 0x646f72616e646f6d,
		key->k[0] ^ 0x6c7967656e657261,
		key->k[1] ^ 0x7465646279746573,
	};
	const uint8_t *p = bytes;

	for (size_t words = len / 8; words; words--, p += 8)
		sip_word(&s, inlay_load64(p));
	sip_word(&s, sip_tail(p, len));

	s.v2 ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

int inlay_map_init(struct inlay_map *m)
{
	struct inlay_map_link **buckets = calloc(MAP_BUCKETS_MIN, sizeof(struct inlay_map_link *));

	if (!buckets)
		return -INLAY_ENOMEM;
	*m = (struct inlay_map){.buckets = buckets, .mask = MAP_BUCKETS_MIN - 1};
	return 0;
}

void inlay_map_done(struct inlay_map *m)
{
	free(m->buckets);
	*m = (struct inlay_map){0};
}

static void link_in(struct inlay_map *m, struct inlay_map_link *link)
{
	struct inlay_map_link **bucket = &m->buckets[link->hash & m->mask];

	link->next = *bucket;
	*bucket = link;
}

static void grow(struct inlay_map *m)
{
	struct inlay_map old = *m;
	struct inlay_map_link **buckets = calloc((old.mask + 1) * 2, sizeof(struct inlay_map_link *));

	if (!buckets)
		return;
	m->buckets = buckets;
	m->mask = old.mask * 2 + 1;
	for (size_t i = 0; i <= old.mask; i++) {
		for (struct inlay_map_link *link = old.buckets[i], *next; link; link = next) {
			next = link->next;
			link_in(m, link);
		}
	}
	free(old.buckets);
}

void inlay_map_add(struct inlay_map *m, struct inlay_map_link *link, uint64_t hash)
{
	if (m->count > m->mask)
		grow(m);
	link->hash = hash;
	link_in(m, link);
	m->count++;
}

void inlay_map_remove(struct inlay_map *m, struct inlay_map_link *link)
{
	struct inlay_map_link **at = &m->buckets[link->hash & m->mask];

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	link->next = NULL;
	m->count--;
}

static struct inlay_map_link *first_with(struct inlay_map_link *link, uint64_t hash)
{
	while (link && link->hash != hash)
		link = link->next;
	return link;
}

struct inlay_map_link *inlay_map_find(const struct inlay_map *m, uint64_t hash)
{
	return first_with(m->buckets[hash & m->mask], hash);
}

struct inlay_map_link *inlay_map_find_next(const struct inlay_map_link *after)
{
	return first_with(after->next, after->hash);
}

void inlay_map_each(struct inlay_map *m, void (*fn)(struct inlay_map_link *link, void *arg), void *arg)
{
	for (size_t i = 0; i <= m->mask; i++) {
		for (struct inlay_map_link *link = m->buckets[i], *next; link; link = next) {
			next = link->next;
			fn(link, arg);
		}
	}
}
