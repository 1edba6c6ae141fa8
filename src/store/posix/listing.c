/*
 * Listings: getdents64 with the file system's own cookies, which stay right while others change the directory.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "store/posix/posix.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define LISTING_BUFFER 32768

struct linux_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* lock guards all; held while emit runs. */
struct posix_listing {
	pthread_mutex_t lock;
	uint64_t cookie; /* of the entry before pos: where the next call goes on without a seek */
	size_t pos, len; /* unread part of buf */
	bool started;    /* the descriptor has moved */
	_Alignas(8) char buf[LISTING_BUFFER];
};

struct posix_listing *posix_listing_new(void)
{
	struct posix_listing *l = malloc(sizeof(*l));

	if (!l)
		return NULL;
	l->cookie = 0;
	l->pos = l->len = 0;
	l->started = false;
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

void posix_listing_free(struct posix_listing *l)
{
	if (!l)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* Starting over reads afresh: it is how a program asks for what is there now. */
static int listing_seek(struct posix_listing *l, int fd, uint64_t cookie)
{
	if (cookie == l->cookie && (cookie != 0 || !l->started))
		return 0;
	if (lseek(fd, (off_t)cookie, SEEK_SET) < 0)
		return posix_errno();
	l->cookie = cookie;
	l->pos = l->len = 0;
	return 0;
}

/* 1: there is an entry at pos, 0: the end. */
static int listing_fill(struct posix_listing *l, int fd)
{
	ssize_t got;

	if (l->pos < l->len)
		return 1;
	l->started = true;
	got = TEMP_FAILURE_RETRY(syscall(SYS_getdents64, fd, l->buf, sizeof(l->buf)));
	if (got < 0)
		return posix_errno();
	l->pos = 0;
	l->len = (size_t)got;
	return got > 0;
}

static uint32_t entry_type(int fd, const struct linux_dirent *d)
{
	struct stat st;

	if (d->type != DT_UNKNOWN)
		return DTTOIF((uint32_t)d->type);
	return fstatat(fd, d->name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0 ? 0 : st.st_mode & S_IFMT;
}

static void entry_of(struct posix_file *f, const struct linux_dirent *d, struct inlay_dirent *ret)
{
	struct posix_node *root = posix_store(f->base.store)->root;
	struct stat st;

	*ret = (struct inlay_dirent){
		.ino = d->ino,
		.cookie = (uint64_t)d->off,
		.type = entry_type(f->fd, d),
		.name = inlay_str(d->name),
	};
	/* What lies above the root is nobody's business. */
	if (f->base.node == &root->base && inlay_str_is(ret->name, "..") && fstat(f->fd, &st) == 0)
		ret->ino = st.st_ino;
}

int posix_readdir(struct inlay_store_file *dir, uint64_t cookie, inlay_store_emit *emit, void *arg)
{
	struct posix_file *f = posix_file(dir);
	struct posix_listing *l = f->listing;
	struct inlay_dirent entry;
	int rc;

	if (!l)
		return -INLAY_ENOTDIR;
	pthread_mutex_lock(&l->lock);
	rc = listing_seek(l, f->fd, cookie);
	while (rc >= 0) {
		const struct linux_dirent *d;

		rc = listing_fill(l, f->fd);
		if (rc <= 0)
			break;
		d = (const struct linux_dirent *)(const void *)(l->buf + l->pos);
		entry_of(f, d, &entry);
		if (!emit(arg, &entry))
			break;
		l->pos += d->reclen;
		l->cookie = entry.cookie;
	}
	pthread_mutex_unlock(&l->lock);
	if (rc < 0)
		return rc;
	return rc == 0;
}
