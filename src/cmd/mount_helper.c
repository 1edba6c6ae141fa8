/*
 * mount(8)'s helper: mount.inlay SERVER/EXPORT DIR [-sfnv] [-o OPTIONS], so that `mount -t inlay` and fstab work.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "cmd/commands.h"
#include "cmd/mount_options.h"
#include "cmd/mounts.h"
#include "cmd/say.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

enum { EXIT_MOUNT_USAGE = 1, EXIT_MOUNT_FAILED = 32 }; /* as mount(8) has them */

struct helper {
	struct inlay_mount_options options;
	const char *source, *dir;
	bool verbose;
};

static void help(void)
{
	puts("Usage: mount.inlay SERVER[:PORT]/EXPORT DIR [-sfnv] [-o OPTION[,OPTION]...]\n"
	     "The helper of mount(8) for the type inlay; people use \"mount -t inlay\", or \"inlay attach\".\n\nOptions:\n"
	     "  -o OPTIONS  see below\n"
	     "  -s          ignore unknown options\n"
	     "  -f          check everything, attach nothing\n"
	     "  -n          ignored\n"
	     "  -v          say what is done\n"
	     "  -h          show this help\n\nOur options after -o:");
	for (size_t i = 0; inlay_mount_option_names[i]; i++)
		printf("%s%s", i ? ", " : "  ", inlay_mount_option_names[i]);
	puts("");
}

/* The mount point's present flags, by name. */
static unsigned long flags_of(const char *options)
{
	static const struct {
		const char *name;
		unsigned long flag;
	} known[] = {{"ro", MS_RDONLY}, {"nosuid", MS_NOSUID}, {"nodev", MS_NODEV}, {"noexec", MS_NOEXEC},
		{"noatime", MS_NOATIME}, {"nodiratime", MS_NODIRATIME}, {"relatime", MS_RELATIME}};
	unsigned long flags = 0;

	while (*options) {
		size_t len = strcspn(options, ",");

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			if (strlen(known[i].name) == len && memcmp(options, known[i].name, len) == 0)
				flags |= known[i].flag;
		}
		options += len + (options[len] == ',');
	}
	return flags;
}

/* noexec and its like belong to the mount point: changed there, once the file system is mounted. */
static bool apply_flags(const struct helper *h)
{
	const struct inlay_mount_options *o = &h->options;
	const struct inlay_mount *at;
	struct inlay_mounts mounts;
	unsigned long now, wanted;
	char rest[2 * PATH_MAX];
	bool done = false;

	if (!o->set && !o->clear)
		return true;
	if (inlay_mounts_read("self", &mounts) < 0)
		return false;
	at = inlay_mounts_resolve(&mounts, h->dir, rest, sizeof(rest));
	if (at) {
		now = flags_of(at->options);
		wanted = (now | o->set) & ~o->clear;
		done = wanted == now || mount("none", at->dir, NULL, MS_REMOUNT | MS_BIND | wanted, NULL) == 0;
		if (!done) {
			inlay_say("can't set the mount's flags: %s: %s", at->dir, strerror(errno));
			(void)umount2(at->dir, MNT_DETACH);
		}
	}
	inlay_mounts_free(&mounts);
	return done;
}

/* -1, or the exit code when it is over. */
static int parse(struct helper *h, int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	const char *lists[64];
	size_t count = 0;
	char why[1024];
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "sfnvhN:o:t:", longs, NULL)) != -1) {
		if (c == 'h') {
			help();
			return 0;
		}
		if (c == '?' || (c == 'o' && count == sizeof(lists) / sizeof(lists[0]))) {
			inlay_say("unknown option, or too many: %s: see mount.inlay(8)", argv[optind - 1]);
			return EXIT_MOUNT_USAGE;
		}
		h->options.sloppy = h->options.sloppy || c == 's';
		h->options.attach.check_only = h->options.attach.check_only || c == 'f';
		h->verbose = h->verbose || c == 'v';
		if (c == 'o')
			lists[count++] = optarg;
	}
	if (argc - optind != 2) {
		inlay_say("two operands are wanted: SERVER[:PORT]/EXPORT DIR: see mount.inlay(8)");
		return EXIT_MOUNT_USAGE;
	}
	h->source = argv[optind];
	h->dir = argv[optind + 1];
	/* Only now: -s may have come after -o. */
	for (size_t i = 0; i < count; i++) {
		if (inlay_mount_options_add(&h->options, lists[i], why, sizeof(why)) < 0) {
			inlay_say("%s", why);
			return EXIT_MOUNT_USAGE;
		}
	}
	return -1;
}

int inlay_mount_main(int argc, char **argv)
{
	struct helper h = {.verbose = false};
	int code = parse(&h, argc, argv);

	if (code < 0) {
		if (h.verbose)
			printf("mount.inlay: attaching %s to %s\n", h.source, h.dir);
		/* What is buffered must not be written twice, by the process that stays as well. */
		fflush(stdout);
		code = inlay_attach(h.source, h.dir, &h.options.attach);
		if (code == INLAY_EXIT_OK && !h.options.attach.check_only && !apply_flags(&h))
			code = INLAY_EXIT_FAILED;
		code = code == INLAY_EXIT_OK ? 0 : code == INLAY_EXIT_USAGE ? EXIT_MOUNT_USAGE : EXIT_MOUNT_FAILED;
	}
	inlay_mount_options_done(&h.options);
	return code;
}
