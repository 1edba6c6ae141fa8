/*
 * mount(8)'s options, rules, and the kernel's list of mounts.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cmd/mount_options.h"

#include "support.h"

#include "base/status.h"
#include "cmd/mounts.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_own_options(void **state)
{
	struct inlay_mount_options o = {.sloppy = false};
	char why[256];

	(void)state;
	assert_int_equal(inlay_mount_options_add(&o, "ro,rule=local *.{a\\,b},timeout=1.5,connections=3", why, sizeof(why)), 0);
	assert_int_equal(inlay_mount_options_add(&o, "insecure,allow_other,no_server_rules,log_file=/x,rule=remote  a\\*b", why,
		sizeof(why)), 0);
	assert_true(o.attach.readonly && o.attach.insecure && o.attach.allow_other && o.attach.no_server_rules);
	assert_int_equal(o.attach.timeout_ms, 1500);
	assert_int_equal(o.attach.connections, 3);
	assert_string_equal(o.attach.log_file, "/x");
	assert_int_equal(o.attach.rules.count, 2);
	assert_string_equal(o.attach.rules.rule[0], "local *.{a,b}");
	assert_string_equal(o.attach.rules.rule[1], "remote a\\*b");
	assert_null(o.attach.rules.rule[2]);
	assert_int_equal(inlay_mount_options_add(&o, "rw", why, sizeof(why)), 0);
	assert_false(o.attach.readonly);
	inlay_mount_options_done(&o);
}

static void test_options_of_mount(void **state)
{
	struct inlay_mount_options o = {.sloppy = false};
	char why[256];

	(void)state;
	assert_int_equal(inlay_mount_options_add(&o, "rw,,defaults,auto,noauto,_netdev,nofail,x-systemd.automount,X-mount.mkdir,"
		"x-a=b,nouser,comment=x", why, sizeof(why)), 0);
	assert_int_equal(o.set | o.clear, 0);
	assert_int_equal(inlay_mount_options_add(&o, "user,exec,noatime", why, sizeof(why)), 0);
	assert_int_equal(o.set, MS_NOSUID | MS_NODEV | MS_NOATIME);
	assert_int_equal(o.clear, MS_NOEXEC);
	assert_int_equal(inlay_mount_options_add(&o, "noexec", why, sizeof(why)), 0);
	assert_int_equal(o.set, MS_NOSUID | MS_NODEV | MS_NOATIME | MS_NOEXEC);
	assert_int_equal(o.clear, 0);
	inlay_mount_options_done(&o);
}

static void test_wrong_options(void **state)
{
	static const struct {
		const char *list, *why;
	} cases[] = {
		{"bogus", "unknown option: -o bogus: see mount.inlay(8)"},
		{"ro,bogus=1", "unknown option: -o bogus: see mount.inlay(8)"},
		{"ro=1", "takes no value: -o ro"},
		{"timeout", "value missing: -o timeout"},
		{"timeout=x", "not a number of seconds from 0 to 1000000: -o timeout=x"},
		{"connections=65", "not a number of connections from 0 to 64: -o connections=65"},
		{"rule=*.o", "a rule is \"local GLOB\" or \"remote GLOB\": -o rule=*.o"},
		{"remount,ro", "can't be remounted: -o remount: detach and attach again"},
	};
	char why[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct inlay_mount_options o = {.sloppy = false};

		assert_true(inlay_mount_options_add(&o, cases[i].list, why, sizeof(why)) < 0);
		assert_string_equal(why, cases[i].why);
		inlay_mount_options_done(&o);
	}
	struct inlay_mount_options sloppy = {.sloppy = true};

	assert_int_equal(inlay_mount_options_add(&sloppy, "bogus,ro", why, sizeof(why)), 0);
	assert_true(sloppy.attach.readonly);
	inlay_mount_options_done(&sloppy);
}

static void test_rules(void **state)
{
	static const char *const wrong[] = {"", " ", "local", "local ", "LOCAL x", "localx y", "remote [a", "remote x\\", "other x"};
	struct inlay_rules r = {NULL, 0};
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		why = NULL;
		assert_int_equal(inlay_rule_check(wrong[i], &why), -INLAY_EINVAL);
		assert_non_null(why);
	}
	assert_int_equal(inlay_rules_add(&r, "\t local \t a b/ \r", &why), 0);
	assert_int_equal(inlay_rules_add(&r, "remote x\\ ", &why), 0);
	assert_string_equal(r.rule[0], "local a b/");
	assert_string_equal(r.rule[1], "remote x\\ ");
	inlay_rules_done(&r);
}

static void write_file(const char *path, const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
}

static void test_rules_file(void **state)
{
	char path[] = "/tmp/inlay-test-rules-XXXXXX", why[256];
	struct inlay_rules r = {NULL, 0};
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_file(path, "# first\n\nlocal a\n  remote b  \n", 30);
	assert_int_equal(inlay_rules_add_file(&r, path, why, sizeof(why)), 0);
	assert_int_equal(r.count, 2);
	assert_string_equal(r.rule[1], "remote b");
	write_file(path, "local a\n\nfoo b\n", 15);
	assert_int_equal(inlay_rules_add_file(&r, path, why, sizeof(why)), -INLAY_EINVAL);
	assert_string_equal(why, "line 3: \"foo b\": a rule is \"local GLOB\" or \"remote GLOB\"");
	write_file(path, "local a\0b\n", 10);
	assert_int_equal(inlay_rules_add_file(&r, path, why, sizeof(why)), -INLAY_EINVAL);
	unlink(path);
	assert_int_equal(inlay_rules_add_file(&r, path, why, sizeof(why)), -INLAY_ENOENT);
	inlay_rules_done(&r);
}

#define LIST \
	"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n" \
	"30 22 0:57 / /mnt/a\\040b rw,nosuid - fuse.inlay host/e\\040x rw,user_id=1000,group_id=7\n" \
	"rubbish\n31 22 - x y\n" \
	"40 22 0:58 / /mnt/c rw shared:2 master:1 - fuse.sshfs host: rw,user_id=0\n" \
	"41 40 0:59 / /mnt/c rw - fuse.inlay  rw\n"

static void test_list_of_mounts(void **state)
{
	struct inlay_mounts m;
	const struct inlay_mount *at;

	(void)state;
	assert_int_equal(inlay_mounts_parse(strdup(LIST), &m), 0);
	assert_int_equal(m.count, 4);
	at = inlay_mounts_at(&m, "/mnt/a b");
	assert_non_null(at);
	assert_true(inlay_mount_is_ours(at));
	assert_int_equal(at->id, 30);
	assert_int_equal(at->parent, 22);
	assert_int_equal(at->minor, 57);
	assert_int_equal(at->owner, 1000);
	assert_string_equal(at->source, "host/e x");
	assert_string_equal(at->options, "rw,nosuid");
	/* The topmost one counts; an empty source is one. */
	at = inlay_mounts_at(&m, "/mnt/c");
	assert_int_equal(at->id, 41);
	assert_string_equal(at->source, "");
	assert_false(inlay_mount_is_ours(inlay_mounts_at(&m, "/")));
	assert_null(inlay_mounts_at(&m, "/mnt"));
	inlay_mounts_free(&m);
}

/* In a folder of its own, by a list that says that something is attached there. */
static void test_paths_lead_into_attachments(void **state)
{
	char base[] = "/tmp/inlay-test-mounts-XXXXXX", text[4096], path[4096], rest[2 * PATH_MAX];
	const struct inlay_mount *at;
	struct inlay_mounts m;

	(void)state;
	assert_non_null(mkdtemp(base));
	snprintf(path, sizeof(path), "%s/dir", base);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/link", base);
	assert_int_equal(symlink("dir", path), 0);
	snprintf(text, sizeof(text), "30 22 0:57 / %s/dir rw - fuse.inlay h/e rw\n31 30 0:58 / %s/dir/in rw - fuse.inlay h/f rw\n",
		base, base);
	assert_int_equal(inlay_mounts_parse(strdup(text), &m), 0);

	snprintf(path, sizeof(path), "%s/link/./a//b/../c/", base);
	at = inlay_mounts_resolve(&m, path, rest, sizeof(rest));
	assert_ptr_equal(at, &m.mount[0]);
	assert_string_equal(rest, "a/c");
	snprintf(path, sizeof(path), "%s//dir/", base);
	assert_ptr_equal(inlay_mounts_resolve(&m, path, rest, sizeof(rest)), &m.mount[0]);
	assert_string_equal(rest, "");
	snprintf(path, sizeof(path), "%s/dir/in/x", base);
	assert_ptr_equal(inlay_mounts_resolve(&m, path, rest, sizeof(rest)), &m.mount[1]);
	assert_string_equal(rest, "x");
	snprintf(path, sizeof(path), "%s/dir/inner", base);
	assert_ptr_equal(inlay_mounts_resolve(&m, path, rest, sizeof(rest)), &m.mount[0]);
	assert_null(inlay_mounts_resolve(&m, base, rest, sizeof(rest)));
	snprintf(path, sizeof(path), "%s/nowhere/x", base);
	assert_null(inlay_mounts_resolve(&m, path, rest, sizeof(rest)));

	inlay_mounts_free(&m);
	snprintf(path, sizeof(path), "%s/link", base);
	unlink(path);
	snprintf(path, sizeof(path), "%s/dir", base);
	rmdir(path);
	rmdir(base);
}

RUN_TESTS(
	cmocka_unit_test(test_own_options), cmocka_unit_test(test_options_of_mount), cmocka_unit_test(test_wrong_options),
	cmocka_unit_test(test_rules), cmocka_unit_test(test_rules_file), cmocka_unit_test(test_list_of_mounts),
	cmocka_unit_test(test_paths_lead_into_attachments))
