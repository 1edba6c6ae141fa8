/*
 * The posix store acting as its callers: who may what is the kernel's answer for that user. Needs root; skipped, with
 * a word, otherwise.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "os/identity.h"

#include "store_fixture.h"

#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static uid_t thread_fsuid(void)
{
	return (uid_t)setfsuid((uid_t)-1);
}

static void *fsuid_of_thread(void *arg)
{
	*(uid_t *)arg = thread_fsuid();
	return NULL;
}

static void switches_one_thread(void **state)
{
	struct inlay_cred bad = {(uint32_t)-1, 0, 0, {0}};
	pthread_t thread;
	uid_t other = 1;

	(void)state;
	NEEDS_ROOT();
	assert_int_equal(inlay_identity_enter(&cred_alice), 0);
	assert_int_equal(thread_fsuid(), 1001);
	assert_int_equal(inlay_identity_enter(&cred_bob), 0);
	assert_int_equal(thread_fsuid(), 65534);
	assert_int_equal(inlay_identity_enter(&bad), -INLAY_EPERM);
	assert_int_equal(thread_fsuid(), 0);
	pthread_create(&thread, NULL, fsuid_of_thread, &other);
	pthread_join(thread, NULL);
	assert_int_equal(other, 0);
	assert_int_equal(inlay_identity_enter(&cred_root), 0);
	assert_int_equal(inlay_identity_enter(NULL), 0);
	assert_int_equal(access("/proc/1/environ", R_OK), 0);
}

struct newcomer {
	const struct inlay_cred *as; /* what it becomes */
	uid_t uid;                   /* what it then is, by the host's word */
	int ngroups;
	gid_t groups[INLAY_GROUPS_MAX];
	bool reads_all;
};

static void *newcomer_main(void *arg)
{
	struct newcomer *n = arg;
	int fd;

	if (inlay_identity_enter(n->as) < 0)
		return NULL;
	n->uid = thread_fsuid();
	n->ngroups = (int)syscall(SYS_getgroups, (size_t)INLAY_GROUPS_MAX, n->groups);
	fd = open("/etc/shadow", O_RDONLY | O_CLOEXEC); /* access(2) would look at the real user */
	n->reads_all = fd >= 0;
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* A thread begins as what the one was that started it: it must not take that for the process. */
static void new_threads_know_what_they_are(void **state)
{
	struct inlay_cred plain = {1002, 1002, 0, {0}}; /* in the very groups that the process is in */
	struct newcomer itself = {.uid = 77, .ngroups = -1}, user = {.as = &plain, .uid = 77, .ngroups = -1};
	struct newcomer *each[] = {&itself, &user};
	gid_t own[INLAY_GROUPS_MAX];
	pthread_t thread;

	(void)state;
	NEEDS_ROOT();
	plain.ngroups = (uint32_t)getgroups(INLAY_GROUPS_MAX, own);
	memcpy(plain.groups, own, plain.ngroups * sizeof(own[0]));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(inlay_identity_enter(&cred_alice), 0);
		assert_int_equal(pthread_create(&thread, NULL, newcomer_main, each[i]), 0);
		pthread_join(thread, NULL);
		assert_int_equal(inlay_identity_enter(NULL), 0);
		assert_int_equal(each[i]->ngroups, plain.ngroups);
		assert_memory_equal(each[i]->groups, own, plain.ngroups * sizeof(own[0]));
	}
	assert_int_equal(itself.uid, 0);
	assert_true(itself.reads_all);
	assert_int_equal(user.uid, 1002);
	assert_false(user.reads_all);
}

static void owns_what_it_makes(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_node *d, *n;
	struct inlay_store_file *file;
	struct inlay_attr attr;

	NEEDS_ROOT();
	assert_int_equal(try_mkdir(f->root, &cred_alice, "no", 0700), -INLAY_EACCES);
	assert_int_equal(try_mkdir(f->root, NULL, "shared", 07777), 0);
	d = lookup(f->root, "shared");
	assert_int_equal(change(d, NULL,
				 (struct inlay_store_attr_change){
					 .valid = INLAY_SET_MODE | INLAY_SET_GID, .mode = 07777, .gid = 2000},
				 &attr),
		0);
	file = create(d, &cred_alice, "f", 0600);
	attr = attr_of(file->node);
	assert_int_equal(attr.uid, 1001);
	assert_int_equal(attr.gid, 2000); /* the directory's, which has its set-group-id bit */
	/* Sticky: another user can't remove it, nor read it, nor link it away. */
	assert_int_equal(f->store->ops->unlink(d, &cred_bob, inlay_str("f")), -INLAY_EPERM);
	assert_int_equal(try_open(file->node, &cred_bob, INLAY_O_RDONLY), -INLAY_EACCES);
	assert_int_equal(try_open(file->node, &cred_alice, INLAY_O_RDWR), 0);
	assert_int_equal(f->store->ops->access(file->node, &cred_bob, INLAY_ACCESS_R), -INLAY_EACCES);
	assert_int_equal(f->store->ops->access(file->node, &cred_alice, INLAY_ACCESS_R | INLAY_ACCESS_W), 0);
	assert_int_equal(f->store->ops->access(file->node, &cred_alice, INLAY_ACCESS_X), -INLAY_EACCES);
	assert_int_equal(f->store->ops->unlink(d, &cred_alice, inlay_str("f")), 0);
	file_close(file);
	/* Supplementary groups count. */
	file = create(d, NULL, "g", 0660);
	n = file->node;
	assert_int_equal(try_open(n, &cred_alice, INLAY_O_RDWR), 0);
	assert_int_equal(try_open(n, &cred_bob, INLAY_O_RDWR), -INLAY_EACCES);
	file_close(file);
	unref(d);
}

static void searching_needs_permission(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_node *d;
	struct inlay_store_file *file;

	NEEDS_ROOT();
	assert_int_equal(try_mkdir(f->root, NULL, "closed", 0700), 0);
	d = lookup(f->root, "closed");
	file_close(create(d, NULL, "f", 0666));
	/* Cached or not: the second look-up finds the node in the cache. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(try_lookup(d, &cred_alice, "f"), -INLAY_EACCES);
		assert_int_equal(try_lookup(d, NULL, "f"), 0);
	}
	assert_int_equal(f->store->ops->opendir(d, &cred_alice, &file), -INLAY_EACCES);
	assert_int_equal(f->store->ops->opendir(d, NULL, &file), 0);
	file_close(file);
	unref(d);
}

static void executing_needs_no_reading(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_file *file, *exec;
	struct inlay_attr attr;
	char buf[4];

	NEEDS_ROOT();
	file = create(f->root, NULL, "program", 0711);
	put(file, 0, "code");
	assert_int_equal(try_open(file->node, &cred_alice, INLAY_O_RDONLY), -INLAY_EACCES);
	assert_int_equal(f->store->ops->open(file->node, &cred_alice, INLAY_O_EXEC, &exec, &attr), 0);
	assert_int_equal(f->store->ops->read(exec, 0, buf, 4, 0), 4);
	file_close(exec);
	assert_int_equal(try_open(file->node, &cred_alice, INLAY_O_EXEC | INLAY_O_WRONLY), -INLAY_EINVAL);
	assert_int_equal(change(file->node, NULL,
				 (struct inlay_store_attr_change){.valid = INLAY_SET_MODE, .mode = 0744}, &attr),
		0);
	assert_int_equal(try_open(file->node, &cred_alice, INLAY_O_EXEC), -INLAY_EACCES);
	file_close(file);
}

static void changing_attributes_needs_the_owner(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_attr_change chown_ = {.valid = INLAY_SET_UID, .uid = 65534};
	struct inlay_store_attr_change chmod_ = {.valid = INLAY_SET_MODE, .mode = 02770};
	struct inlay_store_attr_change size = {.valid = INLAY_SET_SIZE, .size = 1};
	struct inlay_store_attr_change times = {.valid = INLAY_SET_MTIME, .mtime = {.sec = 1}};
	struct inlay_store_attr_change now = {.valid = INLAY_SET_MTIME_NOW | INLAY_SET_ATIME_NOW};
	struct inlay_store_file *file;
	struct inlay_attr attr;

	NEEDS_ROOT();
	file = create(f->root, NULL, "f", 0666);
	assert_int_equal(change(file->node, NULL,
				 (struct inlay_store_attr_change){
					 .valid = INLAY_SET_UID | INLAY_SET_GID, .uid = 1001, .gid = 3000},
				 &attr),
		0);
	assert_int_equal(change(file->node, &cred_bob, chmod_, &attr), -INLAY_EPERM);
	assert_int_equal(change(file->node, &cred_bob, times, &attr), -INLAY_EPERM);
	assert_int_equal(change(file->node, &cred_bob, now, &attr), 0); /* may write */
	assert_int_equal(change(file->node, &cred_alice, chown_, &attr), -INLAY_EPERM);
	assert_int_equal(change(file->node, &cred_alice, times, &attr), 0);
	assert_int_equal(change(file->node, &cred_alice, chmod_, &attr), 0);
	assert_int_equal(attr.mode & 07777, 0770); /* not in group 3000: no set-group-id */
	assert_int_equal(change(file->node, &cred_bob, size, &attr), -INLAY_EACCES);
	/* With a file open for writing the permission was checked when it was opened. */
	assert_int_equal(f->store->ops->setattr(file->node, file, &cred_bob, &size, &attr), 0);
	assert_int_equal(attr.size, 1);
	assert_int_equal(change(file->node, NULL, chown_, &attr), 0);
	assert_int_equal(attr.uid, 65534);
	file_close(file);
}

static void set_id_bits_are_dropped(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_attr_change suid = {.valid = INLAY_SET_MODE, .mode = 06777};
	struct inlay_store_attr_change kill = {.valid = INLAY_SET_SIZE | INLAY_SET_KILL_PRIV, .size = 3};
	const struct inlay_store_ops *ops = f->store->ops;
	struct inlay_store_file *file, *alice;
	struct inlay_attr attr;
	uint64_t size;

	NEEDS_ROOT();
	file = create(f->root, NULL, "f", 0666);
	assert_int_equal(ops->open(file->node, &cred_alice, INLAY_O_RDWR, &alice, &attr), 0);
	assert_int_equal(change(file->node, NULL, suid, &attr), 0);
	assert_int_equal(attr.mode & 07777, 06777);
	/* Root keeps them, unless told otherwise; an ordinary user's write drops them always. */
	assert_int_equal(ops->write(file, 0, "x", 1, 0, &size), 1);
	assert_int_equal(attr_of(file->node).mode & 07777, 06777);
	assert_int_equal(ops->write(file, 0, "x", 1, INLAY_WRITE_KILL_PRIV, &size), 1);
	assert_int_equal(attr_of(file->node).mode & 07777, 0777);
	assert_int_equal(change(file->node, NULL, suid, &attr), 0);
	assert_int_equal(ops->write(alice, 0, "x", 1, 0, &size), 1);
	assert_int_equal(attr_of(file->node).mode & 07777, 0777);
	assert_int_equal(change(file->node, NULL, suid, &attr), 0);
	assert_int_equal(try_open(file->node, NULL, INLAY_O_WRONLY | INLAY_O_TRUNC), 0);
	assert_int_equal(attr_of(file->node).mode & 07777, 06777);
	assert_int_equal(try_open(file->node, NULL, INLAY_O_WRONLY | INLAY_O_TRUNC | INLAY_O_KILL_PRIV), 0);
	assert_int_equal(attr_of(file->node).mode & 07777, 0777);
	assert_int_equal(change(file->node, NULL, suid, &attr), 0);
	assert_int_equal(change(file->node, NULL, kill, &attr), 0);
	assert_int_equal(attr.mode & 07777, 0777);
	/* Set-group-id without group execution is a mark for locking, not a privilege. */
	suid.mode = 02666;
	assert_int_equal(change(file->node, NULL, suid, &attr), 0);
	assert_int_equal(ops->write(file, 0, "x", 1, INLAY_WRITE_KILL_PRIV, &size), 1);
	assert_int_equal(attr_of(file->node).mode & 07777, 02666);
	file_close(alice);
	file_close(file);
}

static void devices_are_roots(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_make make = {.mode = S_IFCHR | 0666, .rdev_major = 1, .rdev_minor = 3};
	struct inlay_store_node *n;
	struct inlay_attr attr;

	NEEDS_ROOT();
	assert_int_equal(fchmod(f->top, 0777), 0);
	assert_int_equal(f->store->ops->mknod(f->root, &cred_alice, inlay_str("null"), &make, &n, &attr), -INLAY_EPERM);
	assert_int_equal(f->store->ops->mknod(f->root, &cred_root, inlay_str("null"), &make, &n, &attr), 0);
	assert_int_equal(attr.rdev_major, 1);
	assert_int_equal(attr.rdev_minor, 3);
	assert_int_equal(try_open(n, NULL, INLAY_O_RDWR), -INLAY_ENXIO);
	unref(n);
}

/* CAP_CHOWN, permitted: the kernel refuses malformed ones before it looks at who asks. */
static const uint8_t capability[20] = {[3] = 2, [4] = 1};

static void privileged_attributes_are_roots(void **state)
{
	struct fixture *f = *state;
	const struct inlay_store_ops *ops = f->store->ops;
	struct inlay_store_file *file;
	struct inlay_store_node *n;
	char buf[256];
	int64_t len;

	NEEDS_ROOT();
	file = create(f->root, NULL, "f", 0666);
	n = file->node;
	assert_int_equal(fchown(ops->file_fd(file), 1001, 1001), 0);
	assert_int_equal(ops->setxattr(n, NULL, "trusted.secret", "s", 1, 0), 0);
	assert_int_equal(ops->getxattr(n, &cred_root, "trusted.secret", buf, sizeof(buf)), 1);
	assert_int_equal(ops->getxattr(n, &cred_alice, "trusted.secret", buf, sizeof(buf)), -INLAY_ENODATA);
	assert_int_equal(ops->setxattr(n, &cred_alice, "trusted.secret", "t", 1, 0), -INLAY_EPERM);
	assert_int_equal(ops->removexattr(n, &cred_alice, "trusted.secret"), -INLAY_EPERM);
	assert_int_equal(
		ops->setxattr(n, &cred_alice, "security.capability", capability, sizeof(capability), 0), -INLAY_EPERM);
	assert_int_equal(ops->setxattr(n, NULL, "security.capability", capability, sizeof(capability), 0), 0);
	len = ops->listxattr(n, NULL, buf, sizeof(buf));
	assert_true(len > 0 && memmem(buf, (size_t)len, "trusted.secret", 15));
	len = ops->listxattr(n, &cred_alice, buf, sizeof(buf));
	assert_true(len >= 0 && !memmem(buf, (size_t)len, "trusted.secret", 15));
	assert_int_equal(ops->setxattr(n, &cred_alice, "user.mine", "m", 1, 0), 0);
	file_close(file);
}

/* An ACL: owner rw, user 65534 rwx, group r, mask rwx, others none. */
static const uint8_t acl[] = {
	2,
	0,
	0,
	0,
	0x01,
	0,
	6,
	0,
	0xff,
	0xff,
	0xff,
	0xff,
	0x02,
	0,
	7,
	0,
	0xfe,
	0xff,
	0,
	0,
	0x04,
	0,
	4,
	0,
	0xff,
	0xff,
	0xff,
	0xff,
	0x10,
	0,
	7,
	0,
	0xff,
	0xff,
	0xff,
	0xff,
	0x20,
	0,
	0,
	0,
	0xff,
	0xff,
	0xff,
	0xff,
};

static void access_lists(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_attr_change sgid = {.valid = INLAY_SET_MODE, .mode = 02670};
	const struct inlay_store_ops *ops = f->store->ops;
	struct inlay_store_file *file;
	struct inlay_store_node *n, *d;
	struct inlay_attr attr;

	NEEDS_ROOT();
	file = create(f->root, NULL, "f", 0600);
	n = file->node;
	assert_int_equal(fchown(ops->file_fd(file), 1001, 3000), 0);
	assert_int_equal(try_open(n, &cred_bob, INLAY_O_RDWR), -INLAY_EACCES);
	assert_int_equal(ops->setxattr(n, &cred_bob, "system.posix_acl_access", acl, sizeof(acl), 0), -INLAY_EPERM);
	assert_int_equal(ops->setxattr(n, &cred_alice, "system.posix_acl_access", acl, sizeof(acl), 0), 0);
	assert_int_equal(try_open(n, &cred_bob, INLAY_O_RDWR), 0);
	/* Set-group-id goes when its setter is no member, root excepted unless the caller says so. */
	assert_int_equal(change(n, NULL, sgid, &attr), 0);
	assert_int_equal(ops->setxattr(n, NULL, "system.posix_acl_access", acl, sizeof(acl), 0), 0);
	assert_int_equal(attr_of(n).mode & 07000, 02000);
	assert_int_equal(ops->setxattr(n, NULL, "system.posix_acl_access", acl, sizeof(acl), INLAY_XATTR_KILL_SGID), 0);
	assert_int_equal(attr_of(n).mode & 07000, 0);
	assert_int_equal(change(n, NULL, sgid, &attr), 0);
	assert_int_equal(ops->setxattr(n, &cred_alice, "system.posix_acl_access", acl, sizeof(acl), 0), 0);
	assert_int_equal(attr_of(n).mode & 07000, 0);
	file_close(file);
	/* A default ACL takes the umask's place. */
	assert_int_equal(try_mkdir(f->root, NULL, "d", 0700), 0);
	d = lookup(f->root, "d");
	assert_int_equal(try_create(d, NULL, "masked", INLAY_O_RDWR, 0666, 077, &file), 0);
	assert_int_equal(attr_of(file->node).mode & 0777, 0600);
	file_close(file);
	assert_int_equal(ops->setxattr(d, NULL, "system.posix_acl_default", acl, sizeof(acl), 0), 0);
	assert_int_equal(try_create(d, NULL, "by-acl", INLAY_O_RDWR, 0666, 077, &file), 0);
	assert_int_equal(attr_of(file->node).mode & 0777, 0660);
	file_close(file);
	unref(d);
}

static void linking_others_files_is_the_hosts_choice(void **state)
{
	struct fixture *f = *state;
	struct inlay_store_file *file;
	struct inlay_attr attr;
	FILE *choice;
	int guarded;

	NEEDS_ROOT();
	choice = fopen("/proc/sys/fs/protected_hardlinks", "r");
	guarded = choice && fgetc(choice) == '1';
	if (choice)
		fclose(choice);
	assert_int_equal(fchmod(f->top, 0777), 0);
	file = create(f->root, &cred_alice, "f", 0600);
	assert_int_equal(f->store->ops->link(file->node, NULL, f->root, &cred_alice, inlay_str("mine"), &attr), 0);
	assert_int_equal(f->store->ops->link(file->node, NULL, f->root, &cred_bob, inlay_str("theirs"), &attr),
		guarded ? -INLAY_EPERM : 0);
	file_close(file);
}

RUN_TESTS(STORE_TEST(switches_one_thread), STORE_TEST(new_threads_know_what_they_are), STORE_TEST(owns_what_it_makes), STORE_TEST(searching_needs_permission),
	STORE_TEST(executing_needs_no_reading), STORE_TEST(changing_attributes_needs_the_owner),
	STORE_TEST(set_id_bits_are_dropped), STORE_TEST(devices_are_roots), STORE_TEST(privileged_attributes_are_roots),
	STORE_TEST(access_lists), STORE_TEST(linking_others_files_is_the_hosts_choice))
