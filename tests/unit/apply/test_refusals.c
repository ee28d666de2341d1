/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bad input gets from the helper: hostile payloads, paths that somebody moves under its hands. Each is refused
 * before anything is staged, or undone, and nothing outside the tree is ever touched. $HELPER says which build of it.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "dump.h"
#include "fixture.h"

#define OUTSIDE FIXTURE_SPACE "/outside"

#define A16     "aaaaaaaaaaaaaaaa"
#define A64     A16 A16 A16 A16
#define A256    A64 A64 A64 A64
#define D256    "/" A64 "/" A64 "/" A64 "/" A64
#define D4096   D256 D256 D256 D256 D256 D256 D256 D256 D256 D256 D256 D256 D256 D256 D256 D256

struct attempt {
	enum change_kind kind;
	const char *path;
	uint32_t mode;
	const char *target;
	bool existing;
};

/* Up to two entries that must be refused before anything is made. */
static const struct {
	struct attempt entries[2];
	const char *environment;
} hostile[] = {
	{{{CHANGE_WRITE, "../outside", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_WRITE, "..", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_WRITE, "/etc/absolute", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_WRITE, "etc/../../outside/x", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_WRITE, "etc//x", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_WRITE, "etc/./x", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_WRITE, "etc/x/", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_WRITE, "", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_DELETE, "", S_IFDIR | 0755, "", true}}, NULL},
	/* Names above the limits. */
	{{{CHANGE_WRITE, "etc/" A256, S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_WRITE, "etc" D4096, S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_SYMLINK, "etc/long", S_IFLNK | 0777, D4096, false}}, NULL},
	{{{CHANGE_LINK, "etc/long", S_IFREG | 0644, "etc" D4096, false}}, NULL},
	/* Through a symlink. */
	{{{CHANGE_WRITE, "out/x", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_WRITE, "out/x", S_IFREG | 0644, "", false}}, "OUA_NO_OPENAT2=1"},
	{{{CHANGE_WRITE, "absolute/x", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_WRITE, "inside/x", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_DELETE, "out/victim", S_IFREG | 0644, "", true}}, NULL},
	{{{CHANGE_DELETE, "out/victim", S_IFREG | 0644, "", true}}, "OUA_NO_OPENAT2=1"},
	{{{CHANGE_ATTRIBUTES, "out/victim", S_IFREG | 04777, "", true}}, NULL},
	{{{CHANGE_ATTRIBUTES, "out", S_IFDIR | 0777, "", true}}, NULL},
	{{{CHANGE_SYMLINK, "etc/way", S_IFLNK | 0777, "../../outside", false},
	  {CHANGE_WRITE, "etc/way/x", S_IFREG | 0644, "", false}},
	 NULL},
	{{{CHANGE_DIRECTORY, "etc/way", S_IFDIR | 0755, "", false},
	  {CHANGE_SYMLINK, "etc/way", S_IFLNK | 0777, "../../outside", false}},
	 NULL},
	/* Below what is no directory. */
	{{{CHANGE_WRITE, "etc/conf/x", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_FIFO, "etc/fifo", S_IFIFO | 0644, "", false},
	  {CHANGE_WRITE, "etc/fifo/x", S_IFREG | 0644, "", false}},
	 NULL},
	{{{CHANGE_DELETE, "etc/conf", 0, "", true}, {CHANGE_WRITE, "etc/conf/x", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_WRITE, "missing/file", S_IFREG | 0644, "", false}}, NULL},
	/* Links out of the tree, to what is not there or is something else. */
	{{{CHANGE_LINK, "etc/grab", S_IFREG | 0644, "/etc/shadow", false}}, NULL},
	{{{CHANGE_LINK, "etc/grab", S_IFREG | 0644, "../outside/victim", false}}, NULL},
	{{{CHANGE_LINK, "etc/grab", S_IFREG | 0644, "etc/../../outside/victim", false}}, NULL},
	{{{CHANGE_LINK, "etc/grab", S_IFREG | 0644, "out/victim", false}}, NULL},
	{{{CHANGE_LINK, "etc/grab", S_IFREG | 0644, "out/victim", false}}, "OUA_NO_OPENAT2=1"},
	{{{CHANGE_LINK, "etc/grab", S_IFREG | 0644, "absolute/victim", false}}, NULL},
	{{{CHANGE_LINK, "etc/grab", S_IFREG | 0644, "other/victim", false}}, NULL},
	{{{CHANGE_LINK, "etc/grab", S_IFREG | 0644, "etc/missing", false}}, NULL},
	{{{CHANGE_LINK, "etc/grab", S_IFREG | 0644, "etc/link", false}}, NULL},
	{{{CHANGE_LINK, "etc/grab", S_IFREG | 0644, "odd/null", false}}, NULL},
	{{{CHANGE_LINK, "etc/grab", S_IFDIR | 0755, "usr", false}}, NULL},
	{{{CHANGE_LINK, "etc/grab", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_DELETE, "etc/kept", 0, "", true}, {CHANGE_LINK, "etc/grab", S_IFREG | 0644, "etc/kept", false}},
	 NULL},
	{{{CHANGE_DIRECTORY, "etc/new", S_IFDIR | 0755, "", false},
	  {CHANGE_LINK, "etc/grab", S_IFREG | 0644, "etc/new", false}},
	 NULL},
	/* What is the helper's, or the package manager's lock. */
	{{{CHANGE_LINK, "etc/grab", S_IFREG | 0644, "var/lib/ouassister/report", false}}, NULL},
	{{{CHANGE_WRITE, "var/lib/ouassister/report", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_DELETE, "var/lib/ouassister", S_IFDIR | 0700, "", true}}, NULL},
	{{{CHANGE_WRITE, ".ouassister/0", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_SYMLINK, ".ouassister", S_IFLNK | 0777, "../outside", false}}, NULL},
	{{{CHANGE_WRITE, "etc/.ouassister", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_WRITE, "var/lib/dpkg/lock", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_DELETE, "var/lib/dpkg/lock-frontend", 0, "", true}}, NULL},
	/* Directories that hold what the update does not know; mount points. */
	{{{CHANGE_DELETE, "etc", S_IFDIR | 0755, "", true}}, NULL},
	{{{CHANGE_DIRECTORY, "usr", S_IFDIR | 0755, "", true}}, NULL},
	{{{CHANGE_DELETE, "other", S_IFDIR | 0755, "", true}}, NULL},
	/* Kinds and modes that do not belong together, and devices of other numbers. */
	{{{CHANGE_WRITE, "etc/x", S_IFBLK | 0644, "", false}}, NULL},
	{{{CHANGE_WRITE, "etc/x", S_IFCHR | 0644, "", false}}, NULL},
	{{{CHANGE_DEVICE, "etc/x", S_IFREG | 0644, "", false}}, NULL},
	{{{CHANGE_ATTRIBUTES, "etc/conf", S_IFBLK | 0600, "", true}}, NULL},
	{{{CHANGE_ATTRIBUTES, "etc/missing", S_IFREG | 0600, "", false}}, NULL},
	{{{CHANGE_WRITE, "etc/x", S_IFREG | 0644, "", false}, {CHANGE_WRITE, "etc/x", S_IFREG | 0644, "", false}},
	 NULL},
	{{{CHANGE_DELETE, "etc/conf", 0, "", true}, {CHANGE_DELETE, "etc/conf", 0, "", true}}, NULL},
};

static void make_outside(void)
{
	shell("cd %s; rm -rf outside; mkdir outside; echo v > outside/victim; ln -s ../outside root/out; "
	      "ln -s %s root/absolute; ln -s etc root/inside; mkdir root/other",
	      FIXTURE_SPACE, OUTSIDE);
	assert_int_equal(mount("other", FIXTURE_ROOT "/other", "tmpfs", 0, "size=1m"), 0);
	shell("echo v > %s/other/victim", FIXTURE_ROOT);
}

static void drop_outside(void)
{
	assert_int_equal(umount2(FIXTURE_ROOT "/other", MNT_DETACH), 0);
}

static void add_attempt(struct builder *b, const struct attempt *a)
{
	struct builder_entry *e = a->existing ? builder_add(b, a->kind, a->path, a->mode)
					      : builder_add_fresh(b, a->kind, a->path, a->mode);

	builder_target(e, a->target);
	if (a->kind == CHANGE_WRITE)
		builder_content(e, "x", 1);
}

/* When something was made or removed in the directory last: staging makes a directory there. */
static struct timespec touched(const char *path)
{
	struct stat s;

	assert_int_equal(stat(path, &s), 0);
	return s.st_ctim;
}

static void refuse_one(size_t i)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *before = NULL, *outside = NULL;
	const struct attempt *last = &hostile[i].entries[0];
	struct timespec then, now;

	fixture_copy();
	make_outside();
	builder_init(&b, FIXTURE_ROOT);
	for (size_t k = 0; k < 2 && hostile[i].entries[k].path; k++)
		add_attempt(&b, last = &hostile[i].entries[k]);
	builder_write(&b, FIXTURE_PAYLOAD);
	before = dump_tree(FIXTURE_ROOT);
	outside = dump_tree(OUTSIDE);
	then = touched(FIXTURE_ROOT);
	if (helper(0, hostile[i].environment, "apply", &b) == 0)
		fail_msg("applied: %.80s %.80s", last->path, last->target);
	now = touched(FIXTURE_ROOT);
	if (then.tv_sec != now.tv_sec || then.tv_nsec != now.tv_nsec)
		fail_msg("staged before it was refused: %.80s %.80s", last->path, last->target);
	assert_tree(FIXTURE_ROOT, before);
	assert_tree(OUTSIDE, outside);
	drop_outside();
}

static void refuses_hostile_payloads(void **state)
{
	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++)
		refuse_one(i);
}

/* The same, of what is right: the table above would be worth nothing if the helper refused everything. */
static void takes_the_like_that_is_right(void **state)
{
	static const struct attempt right[] = {
		{CHANGE_WRITE, "etc/x", S_IFREG | 0644, "", false},
		{CHANGE_WRITE, "other/x", S_IFREG | 0644, "", false},
		{CHANGE_LINK, "etc/grab", S_IFREG | 0644, "etc/kept", false},
		{CHANGE_LINK, "etc/grab-symlink", S_IFLNK | 0777, "etc/link", false},
		{CHANGE_SYMLINK, "etc/way", S_IFLNK | 0777, "../../outside", false},
		{CHANGE_ATTRIBUTES, "out", S_IFLNK | 0777, "", true},
		{CHANGE_DELETE, "inside", 0, "", true},
	};
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *outside = NULL;
	struct timespec then, now;

	need_root();
	fixture_copy();
	make_outside();
	builder_init(&b, FIXTURE_ROOT);
	for (size_t i = 0; i < ARRAY_SIZE(right); i++)
		add_attempt(&b, &right[i]);
	builder_write(&b, FIXTURE_PAYLOAD);
	outside = dump_tree(OUTSIDE);
	then = touched(FIXTURE_ROOT);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	now = touched(FIXTURE_ROOT);
	assert_true(then.tv_sec != now.tv_sec || then.tv_nsec != now.tv_nsec);
	assert_tree(OUTSIDE, outside);
	assert_int_equal(helper(0, NULL, "forget", NULL), 0);
	drop_outside();
}

/* Every byte of the header and every seventh of the index: known before anything is made, by the hash from the host. */
static void refuses_every_forged_byte(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *before = NULL;
	struct timespec then, now;

	need_root();
	fixture_copy();
	builder_init(&b, FIXTURE_ROOT);
	builder_content(builder_add(&b, CHANGE_WRITE, "etc/conf", S_IFREG | 0644), "new", 3);
	builder_write(&b, FIXTURE_PAYLOAD);
	before = dump_tree(FIXTURE_ROOT);
	then = touched(FIXTURE_ROOT);
	for (size_t i = 0; i < b.content_start && (i < PAYLOAD_HEADER_SIZE || b.bytes[i] || i % 2);
	     i += i < PAYLOAD_HEADER_SIZE ? 1 : 7) {
		b.bytes[i] ^= 0x10;
		assert_ok(io_replace_file(FIXTURE_PAYLOAD, b.bytes, b.size, 0600));
		if (helper(0, NULL, "apply", &b) == 0)
			fail_msg("applied with byte %zu forged", i);
		b.bytes[i] ^= 0x10;
	}
	now = touched(FIXTURE_ROOT);
	assert_true(then.tv_sec == now.tv_sec && then.tv_nsec == now.tv_nsec);
	assert_tree(FIXTURE_ROOT, before);
}

/* An update that was applied, overtaken by another, and comes again. */
static void refuses_an_older_update(void **state)
{
	_cleanup_(builder_deinit) struct builder old, new;
	_cleanup_(free_ptr) char *before = NULL;

	need_root();
	fixture_copy();
	builder_init(&old, FIXTURE_ROOT);
	builder_content(builder_add(&old, CHANGE_WRITE, "etc/conf", S_IFREG | 0644), "old", 3);
	builder_write(&old, FIXTURE_PAYLOAD);
	assert_int_equal(helper(0, NULL, "apply", &old), 0);
	assert_int_equal(helper(0, NULL, "forget", NULL), 0);
	builder_init(&new, FIXTURE_ROOT);
	builder_content(builder_add(&new, CHANGE_WRITE, "etc/conf", S_IFREG | 0644), "new", 3);
	builder_write(&new, FIXTURE_PAYLOAD);
	assert_int_equal(helper(0, NULL, "apply", &new), 0);
	assert_int_equal(helper(0, NULL, "forget", NULL), 0);
	/* Its own directory comes and goes there. */
	shell("touch -d @1600000000.5 %s/var/lib", FIXTURE_ROOT);
	before = dump_tree(FIXTURE_ROOT);
	builder_write(&old, FIXTURE_PAYLOAD);
	assert_int_equal(helper(0, NULL, "apply", &old), 4);
	assert_result("conflict");
	shell("touch -d @1600000000.5 %s/var/lib", FIXTURE_ROOT);
	assert_tree(FIXTURE_ROOT, before);
}

/* --- a path that somebody moves while the helper works --- */

#define RACE_FILES     20
#define RACE_ROUNDS    40

#define RACE_DIRECTORY FIXTURE_ROOT "/race/d"
#define RACE_SYMLINK   FIXTURE_ROOT "/race/way"
#define RACE_AWAY      FIXTURE_ROOT "/race/away"

static void move_away(bool away)
{
	if (away)
		rename(RACE_DIRECTORY, RACE_AWAY);
	else
		renameat2(AT_FDCWD, RACE_DIRECTORY, AT_FDCWD, RACE_SYMLINK, RENAME_EXCHANGE);
}

static void move_back(bool away)
{
	if (away)
		rename(RACE_AWAY, RACE_DIRECTORY);
	else
		renameat2(AT_FDCWD, RACE_DIRECTORY, AT_FDCWD, RACE_SYMLINK, RENAME_EXCHANGE);
}

/*
 * For moments, at moments nobody knows, a symlink to the outside stands where the directory was, or, of seeds that are
 * a multiple of 5, nothing.
 */
static pid_t start_swapping(unsigned seed)
{
	bool away = seed % 5 == 0;

	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	srandom(seed);
	for (;;) {
		struct timespec pause = {.tv_nsec = random() % 1500000};

		nanosleep(&pause, NULL);
		move_away(away);
		if (random() % 4 == 0)
			nanosleep(&pause, NULL);
		move_back(away);
	}
}

/*
 * Times that do not count: that of the directory of the swaps; of the one that moves, because a helper that finds
 * another in its place while it goes back leaves it alone; of the symlink, which a time alone may meet by name; of
 * the one where the helper's own directory comes and goes.
 */
static void set_times(const char *root)
{
	shell("touch -hd @1600000000.5 %s/race %s/race/d %s/race/way %s/var/lib", root, root, root, root);
}

/* The directory stands where it belongs. */
static void stop_swapping(pid_t pid)
{
	struct stat s;

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (lstat(RACE_DIRECTORY, &s) < 0)
		move_back(true);
	else if (S_ISLNK(s.st_mode))
		move_back(false);
	assert_int_equal(lstat(RACE_DIRECTORY, &s), 0);
	assert_true(S_ISDIR(s.st_mode));
}

static void make_race(void)
{
	fixture_copy();
	shell("cd %s; rm -rf outside; mkdir -p outside root/race/d; ln -s ../../outside root/race/way; "
	      "for i in $(seq 0 %d); do echo v$i > outside/f$i; cp -p outside/f$i root/race/d; done; cp -a outside/f0 "
	      "root/race/d/gone; cp -a outside/f0 outside/gone",
	      FIXTURE_SPACE, RACE_FILES - 1);
	set_times(FIXTURE_ROOT);
}

static void race_update(struct builder *b)
{
	builder_init(b, FIXTURE_ROOT);
	for (int i = 0; i < RACE_FILES; i++) {
		_cleanup_(free_ptr) char *path = string_format("race/d/f%d", i);

		/* Between those of the directory other entries, so that it is looked up anew each time. */
		if (i % 2)
			builder_add(b, CHANGE_ATTRIBUTES, path, S_IFREG | 04755);
		else
			builder_content(builder_add(b, CHANGE_WRITE, path, S_IFREG | 0644), "new", 3);
		free(path);
		path = string_format("etc/other%d", i);
		builder_content(builder_add(b, CHANGE_WRITE, path, S_IFREG | 0644), "x", 1);
	}
	builder_add(b, CHANGE_DELETE, "race/d/gone", 0);
	builder_add(b, CHANGE_DIRECTORY, "race/d/new", S_IFDIR | 0755);
	builder_target(builder_add(b, CHANGE_LINK, "etc/linked", S_IFREG | 0644), "race/d/f2");
	builder_add(b, CHANGE_ATTRIBUTES, "etc", S_IFDIR | 0755);
	builder_add(b, CHANGE_ATTRIBUTES, "race/d", S_IFDIR | 0755);
	builder_write(b, FIXTURE_PAYLOAD);
}

/* That the swaps are a danger: who opens by name ends up outside. */
static void assert_race_is_real(void)
{
	pid_t pid = start_swapping(1);
	bool escaped = false;

	for (unsigned i = 0; i < 2000000 && !escaped; i++) {
		int fd = open(FIXTURE_ROOT "/race/d/escaped", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		if (fd >= 0)
			close(fd);
		escaped = access(OUTSIDE "/escaped", F_OK) == 0;
	}
	stop_swapping(pid);
	assert_true(escaped);
}

static void never_leaves_a_tree_that_moves(void **state)
{
	unsigned applied = 0, refused = 0;

	need_root();
	make_race();
	assert_race_is_real();
	for (unsigned i = 0; i < RACE_ROUNDS; i++) {
		_cleanup_(builder_deinit) struct builder b;
		_cleanup_(free_ptr) char *outside = NULL, *before = NULL, *after = NULL;
		pid_t pid;
		int status;

		make_race();
		race_update(&b);
		outside = dump_tree(OUTSIDE);
		before = dump_tree(FIXTURE_ROOT);
		shell("cd %s; rm -rf reference; cp -a root reference", FIXTURE_SPACE);
		builder_reference(&b, FIXTURE_SPACE "/reference");
		set_times(FIXTURE_SPACE "/reference");
		after = dump_tree(FIXTURE_SPACE "/reference");
		pid = start_swapping(i);
		status = helper(0, i % 3 ? NULL : "OUA_NO_OPENAT2=1", "apply", &b);
		if (status == 0 && i % 2)
			helper(0, NULL, "rollback", NULL);
		stop_swapping(pid);
		assert_tree(OUTSIDE, outside);
		/* What could not be put back while it moved is put back now. */
		helper(0, NULL, "recover", NULL);
		helper(0, NULL, "forget", NULL);
		set_times(FIXTURE_ROOT);
		status == 0 ? applied++ : refused++;
		assert_tree(OUTSIDE, outside);
		if (access(FIXTURE_ROOT "/etc/linked", F_OK) == 0)
			assert_tree(FIXTURE_ROOT, after);
		else
			assert_tree(FIXTURE_ROOT, before);
	}
	print_message("applied %u times, refused %u times\n", applied, refused);
	assert_true(refused > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_hostile_payloads),       cmocka_unit_test(takes_the_like_that_is_right),
		cmocka_unit_test(refuses_every_forged_byte),      cmocka_unit_test(refuses_an_older_update),
		cmocka_unit_test(never_leaves_a_tree_that_moves),
	};

	/* A helper that refuses a payload does not read it to its end. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
