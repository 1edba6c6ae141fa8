/*
 * A random exerciser of files against a model in memory: fsx [-s SEED] [-n OPERATIONS] [-r] [-v] DIR [DIR2].
 * SPDX-License-Identifier: Apache-2.0
 *
 * With DIR2, the same files by another way, two processes take turns; each sees what the other has done through
 * descriptors that it opened long before. -r: the server may be restarted, which a file that is removed does not survive,
 * though it is open: it may be stale. Says what it did last when something isn't as the model has it, and exits 1.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES 4
#define FDS 3             /* descriptors of one file in one process */
#define MOST (320 * 1024) /* bytes of one file */
#define HISTORY 24
#define LINE 160
#define ALIGN 4096u

struct file {
	unsigned generation; /* of the file behind the name: descriptors of an earlier one are closed */
	unsigned name;       /* <name> of f<slot>.<name> */
	bool linked;         /* l<slot> is a hard link of it */
	size_t size;
	uint8_t data[MOST];
};

/* Shared by the two processes. */
struct model {
	struct file file[FILES];
	uint64_t random;
	unsigned long done, wanted;
	unsigned line;
	char history[HISTORY][LINE];
};

struct descriptor {
	int fd; /* -1: none */
	unsigned generation;
	int flags;
};

static struct model *m;
static struct descriptor descriptors[FILES][FDS];
static const char *dir;
static unsigned player;
static bool verbose, restarts;
static uint8_t *buffer; /* MOST bytes, aligned */

static uint64_t rnd(uint64_t below)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (m->random * UINT64_C(0x2545f4914f6cdd1d) >> 11) % below;
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	char *line = m->history[m->line++ % HISTORY];
	int len = snprintf(line, LINE, "%lu by %u: ", m->done, player);
	va_list ap;

	va_start(ap, format);
	vsnprintf(line + len, LINE - (size_t)len, format, ap);
	va_end(ap);
	if (verbose)
		fprintf(stderr, "%s\n", line);
}

__attribute__((format(printf, 1, 2), noreturn)) static void wrong(const char *format, ...)
{
	va_list ap;

	for (unsigned i = 0; i < HISTORY; i++)
		fprintf(stderr, "  %s\n", m->history[(m->line + i) % HISTORY]);
	fprintf(stderr, "fsx: ");
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	exit(1);
}

static void must(bool ok, const char *what)
{
	if (!ok)
		wrong("%s: %s", what, strerror(errno));
}

static const char *path_of(unsigned slot, unsigned name)
{
	static char paths[4][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, PATH_MAX, "%s/f%u.%u", dir, slot, name);
	return path;
}

static const char *link_of(unsigned slot)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/l%u", dir, slot);
	return path;
}

static const char *path_now(unsigned slot)
{
	return m->file[slot].linked && rnd(3) == 0 ? link_of(slot) : path_of(slot, m->file[slot].name);
}

static void same(unsigned slot, const uint8_t *got, size_t off, size_t len, const char *by)
{
	const uint8_t *want = m->file[slot].data + off;

	if (memcmp(got, want, len) == 0)
		return;
	for (size_t i = 0, shown = 0; i < len; i++)
		if (got[i] != want[i] && shown++ < 1)
			wrong("%s: file %u at %zu: %02x, not %02x; %zu bytes read from %zu, size %zu", by, slot, off + i, got[i], want[i],
			      len, off, m->file[slot].size);
}

/* ---- descriptors ---- */

static void reopen(unsigned slot, struct descriptor *d, int extra)
{
	static const int kinds[] = {O_RDWR, O_RDWR | O_APPEND, O_RDWR | O_DSYNC, O_RDWR | O_DIRECT, O_RDWR | O_NOATIME};

	if (d->fd >= 0)
		must(close(d->fd) == 0, "close");
	d->flags = kinds[rnd(sizeof kinds / sizeof kinds[0])] | extra;
	d->generation = m->file[slot].generation;
	note("open %u flags %o", slot, (unsigned)d->flags);
	d->fd = open(path_now(slot), d->flags);
	must(d->fd >= 0, "open");
}

/* Any descriptor of the file as it is now, without O_APPEND and O_DIRECT if plain. */
static struct descriptor *pick(unsigned slot, bool plain)
{
	struct descriptor *d = &descriptors[slot][rnd(FDS)];

	if (d->fd >= 0 && d->generation != m->file[slot].generation) {
		must(close(d->fd) == 0, "close");
		d->fd = -1;
	}
	while (d->fd < 0 || (plain && d->flags & (O_APPEND | O_DIRECT)))
		reopen(slot, d, 0);
	return d;
}

/* ---- reading and writing ---- */

static void pick_range(size_t *off, size_t *len, size_t limit, bool aligned)
{
	size_t most = rnd(4) == 0 ? limit : 9000;

	*off = rnd(limit);
	*len = 1 + rnd(most);
	if (aligned) {
		*off &= ~(size_t)(ALIGN - 1);
		*len = (*len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	}
	if (*len > limit - *off)
		*len = limit - *off;
}

static void fill(size_t len)
{
	uint64_t x = rnd(UINT64_MAX) | 1;

	for (size_t i = 0; i < len; i++) {
		x = x * UINT64_C(6364136223846793005) + 1;
		buffer[i] = (uint8_t)(x >> 56);
	}
}

static void do_read(unsigned slot)
{
	struct file *f = &m->file[slot];
	struct descriptor *d = pick(slot, false);
	size_t off, len, want;
	ssize_t n;

	pick_range(&off, &len, MOST, d->flags & O_DIRECT);
	want = off >= f->size ? 0 : f->size - off < len ? f->size - off : len;
	note("read %u: %zu at %zu, size %zu", slot, len, off, f->size);
	n = pread(d->fd, buffer, len, (off_t)off);
	must(n >= 0, "read");
	if ((size_t)n != want)
		wrong("read gave %zd bytes, not %zu", n, want);
	same(slot, buffer, off, want, "read");
}

static void wrote(struct file *f, const uint8_t *from, size_t off, size_t len)
{
	memcpy(f->data + off, from, len);
	if (off + len > f->size)
		f->size = off + len;
}

static void do_write(unsigned slot)
{
	struct file *f = &m->file[slot];
	struct descriptor *d = pick(slot, false);
	size_t off, len;
	ssize_t n;

	pick_range(&off, &len, MOST, d->flags & O_DIRECT);
	if (d->flags & O_APPEND) {
		off = f->size;
		len = len < MOST - off ? len : MOST - off;
	}
	fill(len);
	note("%s %u: %zu at %zu, size %zu", d->flags & O_APPEND ? "append" : "write", slot, len, off, f->size);
	n = d->flags & O_APPEND ? write(d->fd, buffer, len) : pwrite(d->fd, buffer, len, (off_t)off);
	must(n >= 0, "write");
	if ((size_t)n != len)
		wrong("write took %zd bytes, not %zu", n, len);
	wrote(f, buffer, off, len);
}

static void do_truncate(unsigned slot)
{
	struct file *f = &m->file[slot];
	size_t size = rnd(5) == 0 ? rnd(2) * f->size : rnd(MOST);

	note("truncate %u to %zu, size %zu", slot, size, f->size);
	if (rnd(2))
		must(ftruncate(pick(slot, false)->fd, (off_t)size) == 0, "ftruncate");
	else
		must(truncate(path_now(slot), (off_t)size) == 0, "truncate");
	if (size < f->size)
		memset(f->data + size, 0, f->size - size);
	f->size = size;
}

static void do_fallocate(unsigned slot)
{
	static const int modes[] = {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
	                            FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, FALLOC_FL_KEEP_SIZE};
	struct file *f = &m->file[slot];
	struct descriptor *d = pick(slot, false);
	int mode = modes[rnd(sizeof modes / sizeof modes[0])];
	size_t off, len, end;

	pick_range(&off, &len, MOST, false);
	note("fallocate %u mode %d: %zu at %zu, size %zu", slot, mode, len, off, f->size);
	if (fallocate(d->fd, mode, (off_t)off, (off_t)len) < 0) {
		must(errno == EOPNOTSUPP, "fallocate");
		return;
	}
	if (!(mode & FALLOC_FL_KEEP_SIZE) && off + len > f->size)
		f->size = off + len;
	end = off + len < f->size ? off + len : f->size;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && off < end)
		memset(f->data + off, 0, end - off);
}

/*
 * Before they map or copy, programs ask for the size: from what they saw last, the kernel judges what lies behind the
 * end, and by another client it may have moved.
 */
static void see_size(unsigned slot, int fd)
{
	struct stat st;

	must(fstat(fd, &st) == 0, "fstat");
	if ((size_t)st.st_size != m->file[slot].size)
		wrong("file %u has size %lld, not %zu", slot, (long long)st.st_size, m->file[slot].size);
}

static void do_mmap(unsigned slot)
{
	struct file *f = &m->file[slot];
	struct descriptor *d = pick(slot, true);
	bool writes = rnd(2);
	size_t off, len;
	uint8_t *p;

	if (f->size == 0)
		return;
	see_size(slot, d->fd);
	pick_range(&off, &len, f->size, false);
	note("mmap %u to %s: %zu at %zu, size %zu", slot, writes ? "write" : "read", len, off, f->size);
	p = mmap(NULL, f->size, writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, d->fd, 0);
	must(p != MAP_FAILED, "mmap");
	same(slot, p + off, off, len, "mapping");
	if (writes) {
		fill(len);
		memcpy(p + off, buffer, len);
		wrote(f, buffer, off, len);
		must(msync(p, f->size, MS_SYNC) == 0, "msync");
	}
	must(munmap(p, f->size) == 0, "munmap");
}

static void do_sync(unsigned slot)
{
	struct descriptor *d = pick(slot, false);

	note("sync %u", slot);
	must((rnd(2) ? fsync(d->fd) : fdatasync(d->fd)) == 0, "fsync");
}

static void do_reopen(unsigned slot)
{
	struct file *f = &m->file[slot];
	struct descriptor *d = &descriptors[slot][rnd(FDS)];
	bool truncates = rnd(8) == 0;

	reopen(slot, d, truncates ? O_TRUNC : 0);
	if (truncates) {
		memset(f->data, 0, f->size);
		f->size = 0;
	}
}

static void do_copy(unsigned slot)
{
	unsigned from = (slot + 1 + (unsigned)rnd(FILES - 1)) % FILES;
	struct descriptor *d = pick(slot, true), *s = pick(from, true);
	struct file *f = &m->file[slot];
	size_t off, len, to;
	loff_t in, out;

	pick_range(&off, &len, MOST, false);
	to = rnd(MOST);
	len = len < MOST - to ? len : MOST - to;
	note("copy %zu of %u at %zu, size %zu, to %u at %zu, size %zu", len, from, off, m->file[from].size, slot, to, f->size);
	see_size(from, s->fd);
	while (len) {
		ssize_t n;

		in = (loff_t)off, out = (loff_t)to;
		n = copy_file_range(s->fd, &in, d->fd, &out, len, 0);
		must(n >= 0, "copy_file_range");
		if (n == 0)
			break;
		wrote(f, m->file[from].data + off, to, (size_t)n);
		off += (size_t)n, to += (size_t)n, len -= (size_t)n;
	}
	if (len && off < m->file[from].size)
		wrong("copy ended at %zu", off);
}

static void do_seek(unsigned slot)
{
	struct file *f = &m->file[slot];
	int fd = pick(slot, false)->fd;
	off_t at = 0;

	note("seek through %u, size %zu", slot, f->size);
	while ((size_t)at < f->size) {
		off_t data = lseek(fd, at, SEEK_DATA);

		if (data < 0) {
			must(errno == ENXIO, "SEEK_DATA");
			data = (off_t)f->size;
		}
		for (; at < data; at++)
			if (f->data[at])
				wrong("a hole at %lld, where data is", (long long)at);
		if ((size_t)at < f->size) {
			at = lseek(fd, at, SEEK_HOLE);
			must(at >= 0, "SEEK_HOLE");
		}
	}
}

/* ---- names ---- */

static void create(unsigned slot)
{
	struct file *f = &m->file[slot];
	int fd = open(path_of(slot, f->name), O_RDWR | O_CREAT | O_EXCL, 0644);

	must(fd >= 0, "create");
	must(close(fd) == 0, "close");
	f->generation++;
	f->linked = false;
	f->size = 0;
	memset(f->data, 0, sizeof f->data);
}

static void do_rename(unsigned slot)
{
	struct file *f = &m->file[slot];
	unsigned name = f->name + 1;

	note("rename %u to %u", slot, name);
	must(rename(path_of(slot, f->name), path_of(slot, name)) == 0, "rename");
	must(access(path_of(slot, f->name), F_OK) < 0 && errno == ENOENT, "the old name after rename");
	f->name = name;
}

/* slot's file takes the name of another one, which is gone then and made again. */
static void do_replace(unsigned slot)
{
	unsigned over = (slot + 1) % FILES;
	struct file *f = &m->file[slot], *o = &m->file[over];

	note("rename %u over %u", slot, over);
	if (o->linked)
		must(unlink(link_of(over)) == 0, "unlink");
	must(rename(path_of(slot, f->name), path_of(over, o->name)) == 0, "rename over");
	must(rename(path_of(over, o->name), path_of(slot, f->name)) == 0, "rename back");
	create(over);
}

static void do_link(unsigned slot)
{
	struct file *f = &m->file[slot];

	note("%s %u", f->linked ? "unlink the link of" : "link", slot);
	if (f->linked)
		must(unlink(link_of(slot)) == 0, "unlink");
	else
		must(link(path_of(slot, f->name), link_of(slot)) == 0, "link");
	f->linked = !f->linked;
}

static void do_exchange(unsigned slot)
{
	unsigned other = (slot + 1) % FILES;
	struct file *f = &m->file[slot], *o = &m->file[other];
	const char *a = path_of(slot, f->name), *b = path_of(other, o->name);

	note("exchange %u and %u, twice", slot, other);
	for (int i = 0; i < 2; i++) {
		struct stat st;

		must(renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0, "exchange");
		must(stat(a, &st) == 0, "stat");
		if ((size_t)st.st_size != (i == 0 ? o : f)->size)
			wrong("size %lld after exchange", (long long)st.st_size);
	}
}

static bool is_stale(int fd)
{
	struct stat st;

	errno = 0;
	return restarts && fstat(fd, &st) < 0 && errno == ESTALE;
}

static void do_remove(unsigned slot)
{
	struct file *f = &m->file[slot];
	int fd = pick(slot, true)->fd;
	struct stat st;

	note("remove %u and make it again", slot);
	if (f->linked)
		must(unlink(link_of(slot)) == 0, "unlink");
	must(unlink(path_of(slot, f->name)) == 0, "unlink");
	if (!is_stale(fd)) {
		errno = 0;
		must(fstat(fd, &st) == 0 || (restarts && errno == ESTALE), "fstat of a removed file");
		if (errno != ESTALE && (st.st_nlink != 0 || (size_t)st.st_size != f->size))
			wrong("removed file: %lu links, size %lld", (unsigned long)st.st_nlink, (long long)st.st_size);
		errno = 0;
		must(pread(fd, buffer, f->size, 0) == (ssize_t)f->size || (restarts && errno == ESTALE), "read of a removed file");
		if (errno != ESTALE)
			same(slot, buffer, 0, f->size, "removed file");
	}
	create(slot);
}

static void do_list(unsigned slot)
{
	char name[64];
	DIR *d = opendir(dir);
	unsigned seen = 0, wanted = 0;

	note("list");
	must(d, "opendir");
	for (struct dirent *e; (e = readdir(d));) {
		for (unsigned i = 0; i < FILES; i++) {
			snprintf(name, sizeof name, "f%u.%u", i, m->file[i].name);
			if (strcmp(e->d_name, name) == 0)
				seen++;
			snprintf(name, sizeof name, "l%u", i);
			if (strcmp(e->d_name, name) == 0)
				seen++;
		}
		seen += strncmp(e->d_name, "stray", 5) == 0;
	}
	closedir(d);
	for (unsigned i = 0; i < FILES; i++)
		wanted += 1 + m->file[i].linked;
	(void)slot;
	if (seen != wanted)
		wrong("%u names listed, not %u", seen, wanted);
}

/* ---- the whole ---- */

static void check(unsigned slot)
{
	struct file *f = &m->file[slot];
	struct stat st;
	int fd = rnd(2) ? open(path_now(slot), O_RDONLY) : dup(pick(slot, true)->fd);

	must(fd >= 0 && fstat(fd, &st) == 0, "open to check");
	if ((size_t)st.st_size != f->size)
		wrong("file %u has size %lld, not %zu", slot, (long long)st.st_size, f->size);
	if (st.st_nlink != 1u + f->linked)
		wrong("file %u has %lu links, not %u", slot, (unsigned long)st.st_nlink, 1u + f->linked);
	must(pread(fd, buffer, MOST, 0) == (ssize_t)f->size, "read to check");
	same(slot, buffer, 0, f->size, "check");
	must(close(fd) == 0, "close");
}

static void (*const operations[])(unsigned slot) = {
	do_read, do_read, do_read, do_write, do_write, do_write, do_write, do_truncate, do_fallocate, do_fallocate, do_mmap,
	do_mmap, do_sync, do_reopen, do_reopen, do_copy, do_seek, do_rename, do_replace, do_link, do_exchange, do_remove,
	do_list, check,
};

static void turn(unsigned count)
{
	for (unsigned i = 0; i < count && m->done < m->wanted; i++, m->done++)
		operations[rnd(sizeof operations / sizeof operations[0])]((unsigned)rnd(FILES));
}

static void close_all(void)
{
	for (unsigned slot = 0; slot < FILES; slot++) {
		for (unsigned i = 0; i < FDS; i++) {
			struct descriptor *d = &descriptors[slot][i];

			if (d->fd >= 0)
				must(close(d->fd) == 0, "close");
			d->fd = -1;
		}
		check(slot);
	}
}

/* One byte on the pipe is the turn. */
static void play(int in, int out)
{
	char ball;

	while (read(in, &ball, 1) == 1) {
		for (unsigned slot = 0; slot < FILES && rnd(3) == 0; slot++)
			check(slot);
		turn(1 + (unsigned)rnd(12));
		if (write(out, &ball, 1) != 1 || m->done >= m->wanted)
			return;
	}
}

static int play_two(const char *other)
{
	int there[2], back[2], status;
	pid_t child;

	must(pipe(there) == 0 && pipe(back) == 0, "pipe");
	child = fork();
	must(child >= 0, "fork");
	if (child == 0) {
		player = 1;
		dir = other;
		close(there[1]);
		close(back[0]);
		play(there[0], back[1]);
		exit(0);
	}
	close(there[0]);
	close(back[1]);
	must(write(there[1], "", 1) == 1, "start");
	signal(SIGPIPE, SIG_IGN);
	play(back[0], there[1]);
	close(there[1]);
	must(waitpid(child, &status, 0) == child, "wait");
	return status != 0 || m->done < m->wanted;
}

int main(int argc, char **argv)
{
	uint64_t seed = 1;
	unsigned long wanted = 10000;
	int bad = 0;

	for (int c; (c = getopt(argc, argv, "s:n:rv")) != -1;) {
		if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			wanted = strtoul(optarg, NULL, 0);
		else if (c == 'r')
			restarts = true;
		else if (c == 'v')
			verbose = true;
		else
			return 2;
	}
	if (optind >= argc)
		return 2;
	dir = argv[optind];
	m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED || posix_memalign((void **)&buffer, ALIGN, MOST + ALIGN) != 0)
		return 2;
	m->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	m->wanted = wanted;
	memset(descriptors, -1, sizeof descriptors);
	for (unsigned slot = 0; slot < FILES; slot++)
		create(slot);
	if (argv[optind + 1])
		bad = play_two(argv[optind + 1]);
	else
		turn((unsigned)wanted);
	if (!bad)
		close_all();
	printf("%lu operations, seed %llu: %s\n", m->done, (unsigned long long)seed, bad ? "wrong" : "as the model has it");
	return bad;
}
