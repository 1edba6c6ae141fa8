/*
 * The redirector's decisions on two sides: lookups by every rule, merged directories, making, removing, renaming.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "redirect_support.h"

/* Both sides: file f, directory d with x; only local: l, ld/; only remote: r, rd/; a file here and a directory there: mix. */
static void make_trees(void)
{
	static const char *const local[] = {"f", "d/", "d/x", "d/lx", "l", "ld/", "ld/x", "mix", NULL};
	static const char *const remote[] = {"f", "d/", "d/x", "d/rx", "r", "rd/", "rd/x", "mix/", "mix/in", NULL};

	for (const char *const *p = local; *p; p++)
		side_make(INLAY_LOCAL, *p);
	for (const char *const *p = remote; *p; p++)
		side_make(INLAY_REMOTE, *p);
}

static void begin_test(const char *const *rules)
{
	start(rules);
	make_trees();
}

/* ---- lookup ---- */

struct shown {
	const char *rules[4];
	const char *path;
	char want;
};

static const struct shown shown[] = {
	/* Without rules: what exists locally is local, directories are merged. */
	{{NULL}, "f", 'l'},
	{{NULL}, "d", 'M'},
	{{NULL}, "d/x", 'l'},
	{{NULL}, "d/lx", 'l'},
	{{NULL}, "d/rx", 'r'},
	{{NULL}, "l", 'l'},
	{{NULL}, "ld", 'L'},
	{{NULL}, "ld/x", 'l'},
	{{NULL}, "r", 'r'},
	{{NULL}, "rd", 'R'},
	{{NULL}, "mix", 'l'},
	{{NULL}, "none", '-'},
	{{NULL}, "d/none", '-'},
	{{NULL}, "ld/none", '-'},
	{{NULL}, "rd/none", '-'},
	/* Rules for names. */
	{{"remote f"}, "f", 'r'},
	{{"local f"}, "f", 'l'},
	{{"local r"}, "r", '-'},
	{{"remote l"}, "l", '-'},
	{{"local rd"}, "rd", '-'},
	{{"remote ld"}, "ld", '-'},
	{{"remote d"}, "d", 'R'},
	{{"local d"}, "d", 'L'},
	/* A rule for something beneath a directory that a later rule sends to the other side. */
	{{"remote rd/x", "local rd"}, "rd/x", 'r'},
	{{"remote rd/x", "local rd"}, "rd", 'R'},
	{{"local ld/x", "remote ld"}, "ld/x", 'l'},
	{{"remote d/rx", "local d"}, "d", 'M'},
	{{"remote d/rx", "local d"}, "d/rx", 'r'},
	{{"remote d/rx", "local d"}, "d/x", 'l'},
	{{"local d/lx", "remote d/"}, "d/lx", 'l'},
	{{"local d/lx", "remote d/"}, "d/x", 'r'},
	{{"local d/", "remote d/rx"}, "d/rx", '-'},
	{{"remote d"}, "d/lx", '-'},
	{{"remote d"}, "d/x", 'r'},
	{{"local d"}, "d/rx", '-'},
	{{"remote d/x"}, "d/x", 'r'},
	{{"remote d/x"}, "d", 'M'},
	/* For directories only. */
	{{"remote mix/"}, "mix", 'l'},
	{{"local mix/"}, "mix", 'l'},
	{{"local mix/", "remote mix"}, "mix", '-'},
	{{"remote mix/", "remote mix"}, "mix", 'R'},
	{{"remote f/"}, "f", 'l'},
	{{"remote d/"}, "d", 'R'},
	{{"local d/"}, "d", 'L'},
	{{"local rd/"}, "rd", '-'},
	{{"local r/"}, "r", 'r'},
	{{"remote ld/"}, "ld", '-'},
	{{"remote l/"}, "l", 'l'},
	/* The first match wins. */
	{{"local f", "remote f"}, "f", 'l'},
	{{"remote f", "local f"}, "f", 'r'},
	{{"remote *", "local f"}, "f", 'r'},
};

static void lookups_follow_rules_and_sides(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
		begin_test(shown[i].rules);
		if (shows(shown[i].path) != shown[i].want)
			fail_msg("row %zu: %s with '%s': %c, wanted %c", i, shown[i].path,
			         shown[i].rules[0] ? shown[i].rules[0] : "", shows(shown[i].path), shown[i].want);
		stop();
	}
}

static void local_and_remote_files_have_different_numbers(void **state)
{
	struct run *t;
	uint64_t local, remote;

	(void)state;
	begin_test(NULL);
	t = begin(w.root, "l");
	inlay_op_lookup(&t->op);
	local = t->op.attr.ino;
	assert_int_equal(drop(t), 0);
	t = begin(w.root, "r");
	inlay_op_lookup(&t->op);
	remote = t->op.attr.ino;
	assert_int_equal(drop(t), 0);
	assert_true(local & UINT64_C(1) << 62);
	assert_false(remote & UINT64_C(1) << 62);
	stop();
}

static int lookup_status(const char *path)
{
	int status;
	struct inlay_node *n = walk_status(path, &status);

	inlay_node_put(n);
	return status;
}

static void fail_next(int side, uint16_t type, unsigned at, int status)
{
	w.side[side].fail_type = type;
	w.side[side].fail_at = at;
	w.side[side].fail_status = status;
}

/* A side that can't be asked is not a side that has nothing. */
static void failed_lookups_are_not_absence(void **state)
{
	(void)state;
	begin_test(NULL);
	fail_next(INLAY_LOCAL, INLAY_LOOKUP, 1, -INLAY_EACCES);
	assert_int_equal(lookup_status("r"), -INLAY_EACCES);
	fail_next(INLAY_REMOTE, INLAY_LOOKUP, 1, -INLAY_ETIMEDOUT);
	assert_int_equal(lookup_status("r"), -INLAY_EIO);
	fail_next(INLAY_REMOTE, INLAY_LOOKUP, 1, -INLAY_EIO);
	assert_int_equal(lookup_status("d"), -INLAY_EIO); /* half a directory would be a lie */
	assert_int_equal(lookup_status("d"), 0);
	fail_next(INLAY_REMOTE, INLAY_LOOKUP, 1, -INLAY_EIO);
	assert_int_equal(lookup_status("l"), 0); /* the server is not asked for it */
	w.side[INLAY_REMOTE].fail_at = 0;
	stop();
}

/* Others change the server's half of a merged directory: the kernel gets another node, and new names find their place. */
static void halves_come_and_go(void **state)
{
	struct inlay_node *before, *after;

	(void)state;
	begin_test(NULL);
	side_make(INLAY_LOCAL, "m/");
	assert_int_equal(shows("m"), 'L');
	assert_int_equal(t_touch("m/a"), 0);
	assert_int_equal(side_has(INLAY_LOCAL, "m/a"), 'f');
	before = walk("m");
	side_make(INLAY_REMOTE, "m/");
	assert_int_equal(shows("m"), 'M');
	after = walk("m");
	assert_ptr_equal(before, after); /* it gained a half: the same directory */
	inlay_node_put(before);
	assert_int_equal(t_touch("m/b"), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "m/b"), 'f');
	side_remove(INLAY_REMOTE, "m/b");
	side_remove(INLAY_REMOTE, "m");
	assert_int_equal(shows("m"), 'L');
	assert_int_equal(t_touch("m/c"), 0);
	assert_int_equal(side_has(INLAY_LOCAL, "m/c"), 'f');
	side_make(INLAY_REMOTE, "m/");
	assert_int_equal(shows("m"), 'M');
	before = walk("m");
	side_remove(INLAY_REMOTE, "m");
	side_make(INLAY_REMOTE, "m2/"); /* so that the new one is another inode */
	side_make(INLAY_REMOTE, "m/");
	assert_int_equal(t_touch("m/d"), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "m/d"), 'f');
	inlay_node_put(before);
	inlay_node_put(after);
	stop();
}

/* ---- making ---- */

struct making {
	const char *rules[3];
	const char *path;
	uint16_t kind;       /* 0: create */
	int status;
	char local, remote;  /* side_has afterwards */
};

static const struct making makings[] = {
	{{NULL}, "new", 0, 0, '-', 'f'},
	{{NULL}, "d/new", 0, 0, '-', 'f'},
	{{NULL}, "ld/new", 0, 0, 'f', '-'},
	{{NULL}, "rd/new", 0, 0, '-', 'f'},
	{{NULL}, "l", 0, 0, 'f', '-'}, /* opened where it is */
	{{NULL}, "d/x", INLAY_MKNOD, -INLAY_EEXIST, 'f', 'f'},
	{{NULL}, "r", INLAY_MKNOD, -INLAY_EEXIST, '-', 'f'},
	{{NULL}, "new", INLAY_MKDIR, 0, '-', 'd'},
	{{NULL}, "ld/new", INLAY_MKDIR, 0, 'd', '-'},
	{{NULL}, "ld", INLAY_MKDIR, -INLAY_EEXIST, 'd', '-'},
	{{NULL}, "rd", INLAY_MKDIR, -INLAY_EEXIST, '-', 'd'},
	{{NULL}, "new", INLAY_SYMLINK, 0, '-', 'f'},
	{{NULL}, "new", INLAY_MKNOD, 0, '-', 'f'},
	{{"local *.o"}, "new.o", 0, 0, 'f', '-'},
	{{"local *.o"}, "new.c", 0, 0, '-', 'f'},
	{{"local *.o"}, "rd/new.o", 0, 0, 'f', '-'},
	{{"local *.o"}, "rd/new.o", INLAY_SYMLINK, 0, 'f', '-'},
	{{"local build/"}, "build", INLAY_MKDIR, 0, 'd', '-'},
	{{"local build/"}, "rd/build", INLAY_MKDIR, 0, 'd', '-'},
	{{"local build/"}, "build", 0, 0, '-', 'f'},
	{{"remote *.log"}, "ld/new.log", 0, 0, '-', 'f'},
	{{"remote keep/", "local *"}, "keep", INLAY_MKDIR, 0, '-', 'd'},
	{{"remote f"}, "f", INLAY_MKNOD, -INLAY_EEXIST, 'f', 'f'},
};

static void new_names_go_where_the_judge_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof makings / sizeof makings[0]; i++) {
		const struct making *m = &makings[i];
		int status;

		begin_test(m->rules);
		status = m->kind ? t_make(m->path, m->kind) : t_touch(m->path);
		if (status != m->status || side_has(INLAY_LOCAL, m->path) != m->local || side_has(INLAY_REMOTE, m->path) != m->remote)
			fail_msg("row %zu: %s: %s, local %c, remote %c", i, m->path, inlay_status_text(status),
			         side_has(INLAY_LOCAL, m->path), side_has(INLAY_REMOTE, m->path));
		if (status == 0)
			assert_true(shows(m->path) != '-');
		stop();
	}
}

/* A rule that needs a directory on the other side has it made, with its parents, and the listing then shows both halves. */
static void missing_directories_are_made(void **state)
{
	static const char *const rules[] = {"local *.o", "remote *.log", NULL};
	char text[512];

	(void)state;
	begin_test(rules);
	side_make(INLAY_REMOTE, "rd/a/");
	side_make(INLAY_REMOTE, "rd/a/b/");
	assert_int_equal(t_touch("rd/a/b/x.o"), 0);
	assert_int_equal(side_has(INLAY_LOCAL, "rd/a/b/x.o"), 'f');
	assert_int_equal(shows("rd/a/b"), 'M');
	assert_int_equal(t_touch("rd/a/b/y.c"), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "rd/a/b/y.c"), 'f');
	assert_int_equal(t_list("rd/a/b", 4096, text), 0);
	assert_string_equal(text, "x.o y.c ");
	assert_int_equal(w.side[INLAY_LOCAL].calls[INLAY_MKDIR], 3);
	assert_int_equal(t_touch("rd/a/b/z.o"), 0);
	assert_int_equal(w.side[INLAY_LOCAL].calls[INLAY_MKDIR], 3);
	side_make(INLAY_LOCAL, "ld/a/");
	assert_int_equal(t_touch("ld/a/x.log"), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "ld/a/x.log"), 'f');
	stop();
}

static bool note_step(struct fake_side *f, const struct inlay_call *c, struct inlay_reply *r)
{
	unsigned *steps = f->arg;

	(void)r;
	if (c->type == INLAY_MKDIR && steps[c->step]++)
		fail_msg("step %u comes twice", c->step);
	return false;
}

/* A successor of the process, which may know some of the directories already, must not take one's call for another's. */
static void each_directory_made_is_a_step_of_its_own(void **state)
{
	static const char *const rules[] = {"local new/", NULL};
	unsigned steps[8] = {0};

	(void)state;
	begin_test(rules);
	side_make(INLAY_REMOTE, "rd/a/");
	side_make(INLAY_REMOTE, "rd/a/b/");
	w.side[INLAY_LOCAL].arg = steps;
	w.side[INLAY_LOCAL].script = note_step;
	assert_int_equal(t_make("rd/a/b/new", INLAY_MKDIR), 0);
	assert_int_equal(side_has(INLAY_LOCAL, "rd/a/b/new"), 'd');
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(steps[i], 1);
	stop();
}

static void making_directories_meets_trouble(void **state)
{
	static const char *const rules[] = {"local *.o", NULL};

	(void)state;
	begin_test(rules);
	side_make(INLAY_LOCAL, "rd"); /* a file where the directory is wanted, made behind our back... */
	side_remove(INLAY_LOCAL, "rd");
	struct inlay_node *rd = walk("rd");
	side_make(INLAY_LOCAL, "rd"); /* ...after we looked */
	{
		struct run *t = begin(rd, "x.o");

		inlay_op_create(&t->op);
		assert_int_equal(drop(t), -INLAY_ENOTDIR);
	}
	inlay_node_put(rd);
	side_make(INLAY_REMOTE, "rd2/");
	fail_next(INLAY_LOCAL, INLAY_MKDIR, 1, -INLAY_ENOSPC);
	assert_int_equal(t_touch("rd2/x.o"), -INLAY_ENOSPC);
	rd = walk("rd2");
	side_make(INLAY_LOCAL, "rd2/"); /* somebody else made it meanwhile: that will do */
	{
		struct run *t = begin(rd, "x.o");

		inlay_op_create(&t->op);
		assert_int_equal(t_close(t->op.opened), 0);
		assert_int_equal(drop(t), 0);
	}
	inlay_node_put(rd);
	w.side[INLAY_LOCAL].port.present = false;
	side_make(INLAY_REMOTE, "rd3/");
	rd = walk("rd3");
	{
		struct run *t = begin(rd, "x.o");

		inlay_op_create(&t->op);
		assert_int_equal(drop(t), -INLAY_EROFS);
	}
	inlay_node_put(rd);
	stop();
}

/* The directory that is wanted is known under another node already: that must end, and not go round for ever. */
static void a_directory_known_twice_is_stale(void **state)
{
	static const char *const rules[] = {"local *.o", NULL};
	struct inlay_node *r, *l;
	struct run *t;

	(void)state;
	begin_test(rules);
	r = walk("rd");                    /* on the server only */
	side_make(INLAY_LOCAL, "other/");
	l = walk("other");                 /* local only */
	{
		struct inlay_lookup_rep from;
		uint8_t mem[1024];
		struct inlay_writer b = inlay_writer(mem, sizeof mem);
		struct inlay_request rq;

		assert_int_equal(side_find(INLAY_LOCAL, "", &from), 0);
		inlay_put_rename_req(&b, &(struct inlay_rename_req){.from_dir = from.node, .to_dir = from.node,
		                                                    .from = INLAY_STR("other"), .to = INLAY_STR("rd")});
		assert_int_equal(side_call(&w.side[INLAY_LOCAL], INLAY_RENAME, &b, mem, &rq), 0);
		inlay_request_done(&rq);
	}
	t = begin(r, "x.o");
	inlay_op_create(&t->op);
	assert_int_equal(drop(t), -INLAY_ESTALE);
	inlay_node_put(r);
	inlay_node_put(l);
	stop();
}

static void nameless_files_go_to_the_server(void **state)
{
	struct run *t;

	(void)state;
	begin_test(NULL);
	t = begin(w.root, NULL);
	t->op.in.make.flags = INLAY_O_RDWR;
	t->op.in.make.mode = 0600;
	inlay_op_tmpfile(&t->op);
	assert_int_equal(t->status, 0);
	assert_int_equal(t->op.side, INLAY_REMOTE);
	assert_int_equal(t_close(t->op.opened), 0);
	drop(t);
	t = begin(NULL, NULL);
	t->op.node = walk("ld");
	t->op.in.make.flags = INLAY_O_RDWR;
	inlay_op_tmpfile(&t->op);
	assert_int_equal(t->op.side, INLAY_LOCAL);
	assert_int_equal(t_close(t->op.opened), 0);
	drop(t);
	stop();
}

/* ---- removing ---- */

static void names_are_removed_where_they_are(void **state)
{
	(void)state;
	begin_test(NULL);
	assert_int_equal(t_remove("l", INLAY_UNLINK), 0);
	assert_int_equal(t_remove("l", INLAY_UNLINK), -INLAY_ENOENT);
	assert_int_equal(t_remove("r", INLAY_UNLINK), 0);
	assert_int_equal(t_remove("r", INLAY_UNLINK), -INLAY_ENOENT);
	assert_int_equal(t_remove("f", INLAY_UNLINK), 0); /* the local one, and the server's comes to light */
	assert_int_equal(side_has(INLAY_REMOTE, "f"), 'f');
	assert_int_equal(shows("f"), 'r');
	assert_int_equal(t_remove("ld", INLAY_RMDIR), -INLAY_ENOTEMPTY);
	assert_int_equal(t_remove("ld/x", INLAY_UNLINK), 0);
	assert_int_equal(t_remove("ld", INLAY_RMDIR), 0);
	assert_int_equal(shows("ld"), '-');
	stop();
}

static void hidden_files_are_not_removed(void **state)
{
	static const char *const rules[] = {"local r", "remote l", NULL};

	(void)state;
	begin_test(rules);
	assert_int_equal(t_remove("r", INLAY_UNLINK), -INLAY_ENOENT);
	assert_int_equal(side_has(INLAY_REMOTE, "r"), 'f');
	assert_int_equal(t_remove("l", INLAY_UNLINK), -INLAY_ENOENT);
	assert_int_equal(side_has(INLAY_LOCAL, "l"), 'f');
	stop();
}

static void merged_directories_go_as_one(void **state)
{
	(void)state;
	begin_test(NULL);
	assert_int_equal(t_remove("d", INLAY_RMDIR), -INLAY_ENOTEMPTY);
	side_remove(INLAY_REMOTE, "d/x");
	side_remove(INLAY_REMOTE, "d/rx");
	assert_int_equal(t_remove("d", INLAY_RMDIR), -INLAY_ENOTEMPTY); /* the local half is not empty */
	assert_int_equal(side_has(INLAY_REMOTE, "d"), 'd');            /* and the other is there again */
	assert_int_equal(side_has(INLAY_LOCAL, "d"), 'd');
	side_remove(INLAY_LOCAL, "d/x");
	side_remove(INLAY_LOCAL, "d/lx");
	fail_next(INLAY_REMOTE, INLAY_RMDIR, 1, -INLAY_EACCES);
	assert_int_equal(t_remove("d", INLAY_RMDIR), -INLAY_EACCES);
	assert_int_equal(side_has(INLAY_LOCAL, "d"), 'd');
	fail_next(INLAY_LOCAL, INLAY_RMDIR, 1, -INLAY_EBUSY);
	assert_int_equal(t_remove("d", INLAY_RMDIR), -INLAY_EBUSY);
	assert_int_equal(side_has(INLAY_REMOTE, "d"), 'd');
	assert_int_equal(t_remove("d", INLAY_RMDIR), 0);
	assert_int_equal(side_has(INLAY_LOCAL, "d"), '-');
	assert_int_equal(side_has(INLAY_REMOTE, "d"), '-');
	stop();
}

/* What the local file hides must not go when rmdir is asked of a name that is no directory by now. */
static void a_hidden_directory_stays(void **state)
{
	(void)state;
	begin_test(NULL);
	side_remove(INLAY_REMOTE, "mix/in");
	assert_int_equal(t_remove("mix", INLAY_RMDIR), -INLAY_ENOTDIR);
	assert_int_equal(side_has(INLAY_REMOTE, "mix"), 'd');
	assert_int_equal(w.side[INLAY_REMOTE].calls[INLAY_RMDIR], 0);
	stop();
}

/* ---- renaming and linking ---- */

struct moving {
	const char *rules[3];
	const char *from, *to;
	uint32_t flags;
	int status;
	char local, remote; /* of `to` afterwards, on success */
};

static const struct moving moves[] = {
	{{NULL}, "l", "l2", 0, 0, 'f', '-'},
	{{NULL}, "r", "r2", 0, 0, '-', 'f'},
	{{NULL}, "l", "ld/y", 0, 0, 'f', '-'},
	{{NULL}, "r", "rd/y", 0, 0, '-', 'f'},
	{{NULL}, "l", "rd/y", 0, -INLAY_EXDEV, 0, 0},
	{{NULL}, "r", "ld/y", 0, -INLAY_EXDEV, 0, 0},
	{{NULL}, "l", "d/y", 0, 0, 'f', '-'},
	{{NULL}, "r", "d/y", 0, 0, '-', 'f'},
	{{NULL}, "d/lx", "d/x", 0, 0, 'f', 'f'},
	{{NULL}, "d/rx", "d/lx", 0, -INLAY_EXDEV, 0, 0}, /* a local file would hide it */
	{{NULL}, "l", "r", 0, -INLAY_EXDEV, 0, 0},       /* it would hide the server's */
	{{NULL}, "r", "l", 0, -INLAY_EXDEV, 0, 0},
	{{NULL}, "ld", "ld2", 0, 0, 'd', '-'},
	{{NULL}, "rd", "rd2", 0, 0, '-', 'd'},
	{{NULL}, "d", "d2", 0, -INLAY_EXDEV, 0, 0},      /* merged: can't move as one */
	{{NULL}, "none", "y", 0, -INLAY_ENOENT, 0, 0},
	{{NULL}, "l", "f", INLAY_RENAME_EXCHANGE, 0, 'f', 'f'},
	{{NULL}, "l", "r", INLAY_RENAME_EXCHANGE, -INLAY_EXDEV, 0, 0},
	{{NULL}, "l", "f", INLAY_RENAME_NOREPLACE, -INLAY_EEXIST, 0, 0},
	{{NULL}, "mix", "l", 0, 0, 'f', '-'},            /* the local file; what it hid comes to light */
	{{"local *.o"}, "l", "l.o", 0, 0, 'f', '-'},
	{{"local *.o"}, "r", "r.o", 0, -INLAY_EXDEV, 0, 0},
	{{"local *.o"}, "l", "rd/l.o", 0, 0, 'f', '-'},  /* rd is made locally for it */
	{{"remote *.c"}, "r", "ld/r.c", 0, 0, '-', 'f'},
	{{"remote *.c"}, "l", "l.c", 0, -INLAY_EXDEV, 0, 0},
	/* Rules for directories only: what counts is what moves. */
	{{"local build/"}, "rd", "build", 0, -INLAY_EXDEV, 0, 0},
	{{"local build/"}, "r", "build", 0, 0, '-', 'f'},
	{{"local build/"}, "ld", "build", 0, 0, 'd', '-'},
	{{"remote out/"}, "ld", "out", 0, -INLAY_EXDEV, 0, 0},
	{{"remote out/"}, "l", "out", 0, 0, 'f', '-'},
	{{"local build/", "remote build"}, "rd", "build", 0, -INLAY_EXDEV, 0, 0},
	{{"local build/", "remote build"}, "r", "build", 0, 0, '-', 'f'},
	{{"local build/", "remote build"}, "l", "build", 0, -INLAY_EXDEV, 0, 0},
};

static void renames_stay_on_their_side(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
		const struct moving *m = &moves[i];
		int status;

		begin_test(m->rules);
		status = t_rename(m->from, m->to, m->flags);
		if (status != m->status || (status == 0 && (side_has(INLAY_LOCAL, m->to) != m->local ||
		                                            side_has(INLAY_REMOTE, m->to) != m->remote)))
			fail_msg("row %zu: %s to %s: %s, local %c, remote %c", i, m->from, m->to, inlay_status_text(status),
			         side_has(INLAY_LOCAL, m->to), side_has(INLAY_REMOTE, m->to));
		if (status == 0)
			assert_true(shows(m->to) != '-');
		stop();
	}
}

/* A local directory takes no merged one's place, however empty its local half is. */
static void a_merged_target_is_not_replaced(void **state)
{
	(void)state;
	begin_test(NULL);
	side_make(INLAY_LOCAL, "t/");
	side_make(INLAY_REMOTE, "t/");
	side_make(INLAY_REMOTE, "t/in");
	assert_int_equal(t_rename("ld", "t", 0), -INLAY_EXDEV);
	side_remove(INLAY_REMOTE, "t/in");
	side_remove(INLAY_REMOTE, "t");
	assert_int_equal(t_rename("ld", "t", 0), 0);
	assert_int_equal(shows("t"), 'L');
	stop();
}

static void renames_with_a_lost_side_fail(void **state)
{
	(void)state;
	begin_test(NULL);
	/* Whether ld is merged can't be told: its local half must not move alone. */
	fail_next(INLAY_REMOTE, INLAY_LOOKUP, 1, -INLAY_ETIMEDOUT);
	{
		struct run *t = begin(w.root, "ld");

		t->op.to = inlay_node_ref(w.root);
		t->op.to_name = INLAY_STR("ld2");
		inlay_op_rename(&t->op);
		assert_int_equal(drop(t), -INLAY_EIO);
	}
	assert_int_equal(side_has(INLAY_LOCAL, "ld"), 'd');
	fail_next(INLAY_REMOTE, INLAY_LOOKUP, 2, -INLAY_EIO);
	{
		struct run *t = begin(w.root, "ld");

		t->op.to = inlay_node_ref(w.root);
		t->op.to_name = INLAY_STR("ld2");
		inlay_op_rename(&t->op);
		assert_int_equal(drop(t), -INLAY_EIO);
	}
	assert_int_equal(side_has(INLAY_LOCAL, "ld"), 'd');
	stop();
}

static void links_stay_on_their_side(void **state)
{
	static const char *const rules[] = {"local *.o", NULL};

	(void)state;
	begin_test(rules);
	assert_int_equal(t_link("l", "l2"), 0);
	assert_int_equal(side_has(INLAY_LOCAL, "l2"), 'f');
	assert_int_equal(t_link("r", "r2"), 0);
	assert_int_equal(side_has(INLAY_REMOTE, "r2"), 'f');
	assert_int_equal(t_link("l", "rd/y"), -INLAY_EXDEV);
	assert_int_equal(t_link("r", "ld/y"), -INLAY_EXDEV);
	assert_int_equal(t_link("r", "x.o"), -INLAY_EXDEV);
	assert_int_equal(t_link("l", "rd/y.o"), 0);
	assert_int_equal(side_has(INLAY_LOCAL, "rd/y.o"), 'f');
	assert_int_equal(t_link("l", "l2"), -INLAY_EEXIST);
	{
		struct inlay_node *a = walk("r"), *b = walk("r2");

		assert_ptr_equal(a, b); /* one file, one node */
		inlay_node_put(a);
		inlay_node_put(b);
	}
	stop();
}

RUN_TESTS(cmocka_unit_test(lookups_follow_rules_and_sides), cmocka_unit_test(local_and_remote_files_have_different_numbers),
          cmocka_unit_test(failed_lookups_are_not_absence), cmocka_unit_test(halves_come_and_go),
          cmocka_unit_test(new_names_go_where_the_judge_says), cmocka_unit_test(missing_directories_are_made),
          cmocka_unit_test(each_directory_made_is_a_step_of_its_own),
          cmocka_unit_test(making_directories_meets_trouble), cmocka_unit_test(a_directory_known_twice_is_stale),
          cmocka_unit_test(nameless_files_go_to_the_server), cmocka_unit_test(names_are_removed_where_they_are),
          cmocka_unit_test(hidden_files_are_not_removed), cmocka_unit_test(merged_directories_go_as_one),
          cmocka_unit_test(a_hidden_directory_stays), cmocka_unit_test(renames_stay_on_their_side),
          cmocka_unit_test(a_merged_target_is_not_replaced), cmocka_unit_test(renames_with_a_lost_side_fail),
          cmocka_unit_test(links_stay_on_their_side))
