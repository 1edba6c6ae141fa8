/*
 * Runs a fuzzer's function on files and on all files of folders, without a fuzzing engine: how the corpus is replayed in
 * the ordinary tests. Every file is also run cut off at some places, and a small one with each of its bytes damaged, so
 * that a small corpus shows more. What lies in a folder "grown" came of such damage: it is run as it is.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DAMAGE_MAX = 1024 }; /* bytes */

static unsigned replayed;

static void run(const uint8_t *p, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, p, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static void replay_bytes(uint8_t *p, size_t len, bool grown)
{
	if (grown) {
		run(p, len);
		return;
	}
	for (size_t cut = 0; cut <= 8; cut++)
		run(p, len - len * cut / 8);
	for (size_t i = 0; i < len && len <= DAMAGE_MAX; i++)
		for (unsigned bits = 1; bits <= 0xff; bits = bits << 4 | 0xf) {
			p[i] ^= (uint8_t)bits;
			run(p, len);
			p[i] ^= (uint8_t)bits;
		}
}

static int replay_file(const char *path)
{
	static uint8_t bytes[4u << 20];
	FILE *file = fopen(path, "rb");
	size_t len;

	if (!file) {
		perror(path);
		return 1;
	}
	len = fread(bytes, 1, sizeof(bytes), file);
	if (ferror(file) || !feof(file)) {
		fprintf(stderr, "%s: unreadable or too long\n", path);
		fclose(file);
		return 1;
	}
	fclose(file);
	replay_bytes(bytes, len, strstr(path, "/grown/"));
	replayed++;
	return 0;
}

static int replay(const char *path);

static int replay_folder(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;
	char name[4096];
	int bad = 0;

	if (!dir) {
		perror(path);
		return 1;
	}
	while ((d = readdir(dir))) {
		int n = snprintf(name, sizeof(name), "%s/%s", path, d->d_name);

		if (d->d_name[0] == '.')
			continue;
		bad |= n < 0 || (size_t)n >= sizeof(name) || replay(name);
	}
	closedir(dir);
	return bad;
}

static int replay(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		perror(path);
		return 1;
	}
	return S_ISDIR(st.st_mode) ? replay_folder(path) : replay_file(path);
}

int main(int argc, char **argv)
{
	int bad = 0;

	for (int i = 1; i < argc; i++)
		bad |= replay(argv[i]);
	if (!replayed) {
		fprintf(stderr, "%s: nothing to replay\n", argv[0]);
		return 1;
	}
	printf("%u files replayed\n", replayed);
	return bad;
}
