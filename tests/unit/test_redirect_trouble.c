/*
 * Each operation of the redirector, on sides that answer rubbish, fail or run out of memory.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "failing_memory.h"
#include "redirect_support.h"

#ifdef ALLOCATIONS_FAIL
/* A side is at work. */
static bool is_spared(void)
{
	return w.in_side;
}
#endif

static struct inlay_file *rfile, *rdir, *merged, *lfile;
static struct inlay_node *rnode;

static int op_lookup(void)
{
	struct run *t = begin(w.root, "r");

	inlay_op_lookup(&t->op);
	return drop(t);
}

static int op_lookup_merged(void)
{
	struct run *t = begin(w.root, "m");

	inlay_op_lookup(&t->op);
	return drop(t);
}

static int op_on_node(void (*fn)(struct inlay_op *op))
{
	struct run *t = begin(rnode, "user.x");
	struct inlay_file *f;
	int status;

	t->op.in.xattr.max = 100;
	fn(&t->op);
	f = t->op.opened;
	status = drop(t);
	if (f)
		inlay_redirect_abandon_file(&w.r, 0, f);
	return status;
}

static void set_mode(struct inlay_op *op)
{
	op->in.set = (struct inlay_setattr_req){.valid = INLAY_SET_MODE, .mode = 0600};
	inlay_op_setattr(op);
}

static void get_xattr(struct inlay_op *op)
{
	inlay_op_xattr(op, INLAY_GETXATTR);
}

static void list_xattr(struct inlay_op *op)
{
	inlay_op_xattr(op, INLAY_LISTXATTR);
}

static void set_xattr(struct inlay_op *op)
{
	op->in.xattr.flags = 0;
	op->data = (const uint8_t *)"v";
	op->data_len = 1;
	inlay_op_xattr(op, INLAY_SETXATTR);
}

static void remove_xattr(struct inlay_op *op)
{
	inlay_op_xattr(op, INLAY_REMOVEXATTR);
}

static int op_getattr(void) { return op_on_node(inlay_op_getattr); }
static int op_setattr(void) { return op_on_node(set_mode); }
static int op_access(void) { return op_on_node(inlay_op_access); }
static int op_readlink(void) { return op_on_node(inlay_op_readlink); }
static int op_statfs(void) { return op_on_node(inlay_op_statfs); }
static int op_open(void) { return op_on_node(inlay_op_open); }
static int op_getxattr(void) { return op_on_node(get_xattr); }
static int op_listxattr(void) { return op_on_node(list_xattr); }
static int op_setxattr(void) { return op_on_node(set_xattr); }
static int op_removexattr(void) { return op_on_node(remove_xattr); }

static int op_in_root(void (*fn)(struct inlay_op *op))
{
	struct run *t = begin(w.root, "new");
	struct inlay_file *f;
	int status;

	t->op.in.make.flags = INLAY_O_RDWR;
	t->op.in.make.mode = 0644;
	fn(&t->op);
	f = t->op.opened;
	status = drop(t);
	if (f)
		inlay_redirect_abandon_file(&w.r, 0, f);
	return status;
}

static void make_dir(struct inlay_op *op)
{
	inlay_op_make(op, INLAY_MKDIR);
}

static void make_symlink(struct inlay_op *op)
{
	op->in.make.target = INLAY_STR("t");
	inlay_op_make(op, INLAY_SYMLINK);
}

static void make_node(struct inlay_op *op)
{
	op->in.make.mode = 0010644;
	inlay_op_make(op, INLAY_MKNOD);
}

static void remove_file(struct inlay_op *op)
{
	op->name = INLAY_STR("r");
	inlay_op_remove(op, INLAY_UNLINK);
}

static void remove_merged(struct inlay_op *op)
{
	op->name = INLAY_STR("m");
	inlay_op_remove(op, INLAY_RMDIR);
}

static void rename_remote(struct inlay_op *op)
{
	op->name = INLAY_STR("r");
	op->to = inlay_node_ref(w.root);
	op->to_name = INLAY_STR("r9");
	op->in.make.flags = 0;
	inlay_op_rename(op);
}

static void rename_local(struct inlay_op *op)
{
	rename_remote(op);
}

static void link_remote(struct inlay_op *op)
{
	inlay_node_put(op->node);
	op->node = inlay_node_ref(rnode);
	op->to = inlay_node_ref(w.root);
	op->to_name = INLAY_STR("r8");
	inlay_op_link(op);
}

static void open_merged(struct inlay_op *op)
{
	inlay_op_opendir(op);
}

static int op_create(void) { return op_in_root(inlay_op_create); }
static int op_tmpfile(void) { return op_in_root(inlay_op_tmpfile); }
static int op_mkdir(void) { return op_in_root(make_dir); }
static int op_symlink(void) { return op_in_root(make_symlink); }
static int op_mknod(void) { return op_in_root(make_node); }
static int op_unlink(void) { return op_in_root(remove_file); }
static int op_rmdir(void) { return op_in_root(remove_merged); }
static int op_rename(void) { return op_in_root(rename_remote); }
static int op_rename_local(void) { return op_in_root(rename_local); }
static int op_link(void) { return op_in_root(link_remote); }
static int op_opendir(void) { return op_in_root(open_merged); }

static int op_on_file(struct inlay_file *f, void (*fn)(struct inlay_op *op))
{
	struct run *t = on_file(f);

	t->op.in.io.len = 4096;
	t->op.data = (const uint8_t *)"abc";
	t->op.data_len = 3;
	t->op.file2 = inlay_file_get(&w.r, rfile->number);
	fn(&t->op);
	return drop(t);
}

static void test_lock(struct inlay_op *op)
{
	op->in.lock = (struct inlay_lock_req){.owner = 9, .end = INT64_MAX, .type = INLAY_LOCK_WRITE};
	inlay_op_testlock(op);
}

static void take_lock(struct inlay_op *op)
{
	op->in.lock = (struct inlay_lock_req){.owner = 9, .end = INT64_MAX, .type = INLAY_LOCK_WRITE, .flags = INLAY_LOCK_WAIT};
	inlay_op_lock(op);
}

static int op_read(void) { return op_on_file(rfile, inlay_op_read); }
static int op_write(void) { return op_on_file(rfile, inlay_op_write); }
static int op_commit(void) { return op_on_file(rfile, inlay_op_commit); }
static int op_fallocate(void) { return op_on_file(rfile, inlay_op_fallocate); }
static int op_seek(void) { return op_on_file(rfile, inlay_op_seek); }
static int op_copy(void) { return op_on_file(rfile, inlay_op_copy); }
static int op_copy_across(void) { return op_on_file(lfile, inlay_op_copy); }
static int op_readdir(void) { return op_on_file(rdir, inlay_op_readdir); }
static int op_readdir_merged(void) { return op_on_file(merged, inlay_op_readdir); }
static int op_testlock(void) { return op_on_file(rfile, test_lock); }
static int op_lock(void) { return op_on_file(rfile, take_lock); }
static int op_flush(void) { return op_on_file(rfile, inlay_op_flush); }

/* bodiless: the answer has nothing that must be understood. */
static const struct {
	const char *name;
	int (*run)(void);
	bool bodiless;
} ops[] = {
	{"lookup", op_lookup, false},
	{"lookup merged", op_lookup_merged, false},
	{"getattr", op_getattr, false},
	{"setattr", op_setattr, false},
	{"access", op_access, true},
	{"readlink", op_readlink, false},
	{"statfs", op_statfs, false},
	{"open", op_open, false},
	{"getxattr", op_getxattr, false},
	{"listxattr", op_listxattr, false},
	{"setxattr", op_setxattr, true},
	{"removexattr", op_removexattr, true},
	{"create", op_create, false},
	{"tmpfile", op_tmpfile, false},
	{"mkdir", op_mkdir, false},
	{"symlink", op_symlink, false},
	{"mknod", op_mknod, false},
	{"opendir", op_opendir, false},
	{"link", op_link, false},
	{"read", op_read, false},
	{"write", op_write, false},
	{"commit", op_commit, true},
	{"fallocate", op_fallocate, true},
	{"seek", op_seek, false},
	{"copy", op_copy, false},
	{"readdir", op_readdir, false},
	{"readdir merged", op_readdir_merged, false},
	{"testlock", op_testlock, false},
	{"lock", op_lock, true},
	{"flush", op_flush, true},
	{"copy across", op_copy_across, true},
	{"rename local", op_rename_local, true},
	{"rename", op_rename, true},
	{"rmdir", op_rmdir, true},
	{"unlink", op_unlink, true},
};
#define OPS (sizeof ops / sizeof ops[0])

static void begin_all(void)
{
	int status;

	start(NULL);
	side_make(INLAY_REMOTE, "r");
	side_make(INLAY_REMOTE, "rd/");
	side_make(INLAY_REMOTE, "rd/x");
	side_make(INLAY_LOCAL, "l");
	side_make(INLAY_LOCAL, "m/");
	side_make(INLAY_REMOTE, "m/");
	rnode = walk("r");
	rfile = t_open("r", INLAY_O_RDWR, &status);
	lfile = t_open("l", INLAY_O_RDWR, &status);
	rdir = t_open("rd", 0, &status);
	merged = t_open("", 0, &status);
	assert_true(rfile && lfile && rdir && merged);
}

static void end_all(void)
{
	assert_int_equal(t_close(rfile), 0);
	assert_int_equal(t_close(lfile), 0);
	assert_int_equal(t_close(rdir), 0);
	assert_int_equal(t_close(merged), 0);
	inlay_node_put(rnode);
	stop();
}

static void operations_work(void **state)
{
	static const char *const fail_rightly[] = {"readlink", "getxattr", "removexattr", "fallocate", "seek", "copy across", NULL};

	(void)state;
	for (size_t i = 0; i < OPS; i++) {
		int status;
		bool may_fail = false;

		begin_all();
		for (const char *const *name = fail_rightly; *name; name++)
			may_fail = may_fail || strcmp(*name, ops[i].name) == 0;
		status = ops[i].run();
		if (status < 0 && !may_fail)
			fail_msg("%s: %s", ops[i].name, inlay_status_text(status));
		end_all();
	}
}

static unsigned rubbish; /* which */

static bool answer_rubbish(struct fake_side *f, const struct inlay_call *c, struct inlay_reply *r)
{
	static uint8_t body[4096], data[1u << 20];

	(void)f, (void)c;
	memset(body, rubbish & 1 ? 0xff : 0, sizeof body);
	memset(data, 0xff, sizeof data);
	*r = (struct inlay_reply){.body = body, .data = data};
	r->body_len = rubbish < 2 ? 0 : rubbish < 4 ? 4 : rubbish < 6 ? 12 : 2048;
	r->data_len = rubbish < 6 ? 0 : sizeof data;
	return true;
}

static void rubbish_is_an_io_error(void **state)
{
	(void)state;
	for (rubbish = 0; rubbish < 8; rubbish++) {
		for (size_t i = 0; i < OPS; i++) {
			int status;

			begin_all();
			w.side[INLAY_REMOTE].script = answer_rubbish;
			status = ops[i].run();
			w.side[INLAY_REMOTE].script = NULL;
			if (!ops[i].bodiless && status != -INLAY_EIO)
				fail_msg("%s, rubbish %u: %s", ops[i].name, rubbish, inlay_status_text(status));
			end_all();
		}
	}
}

/* Stale numbers, full stores, lost servers: whatever a side says reaches the program, and nothing is left behind. */
static int fail_all_with;

static bool answer_failure(struct fake_side *f, const struct inlay_call *c, struct inlay_reply *r)
{
	(void)f, (void)c;
	r->status = fail_all_with;
	return true;
}

static void failures_reach_the_program(void **state)
{
	static const int failures[] = {-INLAY_ESTALE, -INLAY_EIO, -INLAY_ENOSPC, -INLAY_EACCES, -INLAY_ECANCELED, -INLAY_EINTR,
	                               -INLAY_EUNKNOWN};

	(void)state;
	for (size_t n = 0; n < sizeof failures / sizeof failures[0]; n++) {
		for (size_t i = 0; i < OPS; i++) {
			int status;

			begin_all();
			fail_all_with = failures[n];
			w.side[INLAY_REMOTE].script = answer_failure;
			status = ops[i].run();
			w.side[INLAY_REMOTE].script = NULL;
			if (status != failures[n] && strcmp(ops[i].name, "copy across") != 0 && strcmp(ops[i].name, "flush") != 0)
				fail_msg("%s: %s, wanted %s", ops[i].name, inlay_status_text(status), inlay_status_text(failures[n]));
			end_all();
		}
	}
}

#ifdef ALLOCATIONS_FAIL
static void failed_allocations_are_survived(void **state)
{
	unsigned failures = 0;

	(void)state;
	for (size_t i = 0; i < OPS; i++) {
		for (unsigned at = 1; at < 100; at++) {
			int status;

			begin_all();
			w.lossy = true;
			failed = false;
			fail_at = at + 1; /* the first is the test's own */
			status = ops[i].run();
			fail_at = 0;
			end_all();
			failures += failed;
			if (!failed)
				break;
			(void)status;
		}
	}
	if (failures <= 20)
		fail_msg("only %u allocations failed", failures);
}
#define FAILED_ALLOCATIONS , cmocka_unit_test(failed_allocations_are_survived)
#else
#define FAILED_ALLOCATIONS
#endif

/* More than asked for, and names that lie about their length. */
static uint32_t listing_count, listing_eof, listing_bytes;

static bool answer_listing(struct fake_side *f, const struct inlay_call *c, struct inlay_reply *r)
{
	static uint8_t body[8], data[1u << 20];
	struct inlay_writer b = inlay_writer(body, sizeof body), d = inlay_writer(data, sizeof data);

	(void)f;
	if (c->type != INLAY_READDIR)
		return false;
	for (uint64_t i = 1; i <= 100; i++)
		inlay_put_dirent(&d, &(struct inlay_dirent){.ino = i, .cookie = i, .type = 0100000, .name = INLAY_STR("same")}, 0);
	inlay_put_readdir_rep(&b, &(struct inlay_readdir_rep){.count = listing_count, .eof = listing_eof});
	*r = (struct inlay_reply){.body = body, .body_len = 8, .data = data, .data_len = listing_bytes};
	return true;
}

static void lying_listings_do_no_harm(void **state)
{
	struct run *t;

	(void)state;
	begin_all();
	listing_eof = 1;
	w.side[INLAY_REMOTE].script = answer_listing;
	for (listing_bytes = 0; listing_bytes < 200; listing_bytes += 3) {
		listing_count = 1000; /* more than there are */
		assert_int_equal(op_readdir_merged(), -INLAY_EIO);
		listing_count = 0;
		assert_int_equal(op_readdir_merged(), 0);
	}
	listing_bytes = 3200;
	listing_count = 100;
	assert_int_equal(op_readdir_merged(), 0); /* one name a hundred times is one name */
	listing_eof = 0; /* it never ends */
	w.side[INLAY_REMOTE].hold = true;
	t = on_file(merged);
	t->op.in.io.len = 4096;
	inlay_op_readdir(&t->op);
	while (fake_release(&w.side[INLAY_REMOTE]))
		;
	assert_int_equal(drop(t), -INLAY_EOVERFLOW);
	w.side[INLAY_REMOTE].hold = false;
	w.side[INLAY_REMOTE].script = NULL;
	end_all();
}

RUN_TESTS(cmocka_unit_test(operations_work), cmocka_unit_test(rubbish_is_an_io_error),
          cmocka_unit_test(failures_reach_the_program), cmocka_unit_test(lying_listings_do_no_harm) FAILED_ALLOCATIONS)
