/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper as a program, on a tree of its own: every kind of change, every kind of conflict,
 * full file systems, rollback. $HELPER says which build of it.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "dump.h"
#include "fixture.h"

/* A fresh copy, and an update of every kind computed from it. */
static void prepare(struct builder *b)
{
	fixture_copy();
	builder_init(b, FIXTURE_ROOT);
	fixture_every_kind(b);
	builder_write(b, FIXTURE_PAYLOAD);
}

static void assert_not_kept(void)
{
	assert_int_equal(helper(0, NULL, "forget", NULL), 0);
	assert_int_equal(access(FIXTURE_ROOT "/.ouassister", F_OK), -1);
	assert_int_equal(access(FIXTURE_ROOT "/var/lib/ouassister", F_OK), -1);
	shell("touch -d @1600000000.5 %s/var/lib", FIXTURE_ROOT);
}

static void applies_every_kind(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *after = NULL;

	need_root();
	prepare(&b);
	after = fixture_expected(&b);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_result("applied");
	for (size_t i = 0; i < 7; i++) {
		static const char *const events[] = {"started",   "checked",  "staged", "switched",
						     "restarted", "verified", "end"};
		_cleanup_(free_ptr) char *text = string_format("{\"event\":\"%s\",\"t_ns\":", events[i]);

		assert_non_null(strstr(fixture_output, text));
	}
	assert_int_equal(access(FIXTURE_ROOT "/.ouassister", F_OK), 0);
	assert_not_kept();
	assert_tree(FIXTURE_ROOT, after);
}

/* A copy of sleep(1) that lies in the tree, running. */
static pid_t run_from_tree(const char *path)
{
	pid_t pid;

	shell("cp /bin/sleep %s/%s", FIXTURE_ROOT, path);
	pid = fork();
	if (pid == 0) {
		_cleanup_(free_ptr) char *program = string_format("%s/%s", FIXTURE_ROOT, path);

		execl(program, "sleep", "1000", NULL);
		_exit(127);
	}
	/* Until it has executed it. */
	shell("for i in $(seq 500); do grep -q %s /proc/%d/maps && exit 0; sleep 0.01; done; exit 1", path, (int)pid);
	return pid;
}

static void end_process(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void assert_stale(pid_t pid, const char *file, const char *end)
{
	_cleanup_(free_ptr) char *start = string_format("\"pid\":%d,\"start_ticks\":", (int)pid);
	_cleanup_(free_ptr) char *named = string_format("\"file\":\"%s\",%s}\n", file, end);
	char *line = strstr(fixture_output, start);

	assert_non_null(line);
	assert_non_null(strstr(line, named));
	assert_true(strstr(line, named) < strchr(line, '\n'));
}

static void names_those_who_use_old_files(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *stays = NULL;
	pid_t replaced, deleted, earlier, untouched;

	need_root();
	fixture_copy();
	replaced = run_from_tree("replaced");
	deleted = run_from_tree("deleted");
	earlier = run_from_tree("earlier");
	untouched = run_from_tree("untouched");
	shell("rm %s/earlier", FIXTURE_ROOT);
	builder_init(&b, FIXTURE_ROOT);
	builder_content(builder_add(&b, CHANGE_WRITE, "replaced", 0100755), "new", 3);
	builder_add(&b, CHANGE_DELETE, "deleted", 0);
	builder_add(&b, CHANGE_ATTRIBUTES, "untouched", 0100700);
	builder_write(&b, FIXTURE_PAYLOAD);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_result("applied");
	assert_stale(replaced, "/replaced", "\"files\":1");
	assert_stale(deleted, "/deleted", "\"files\":1");
	assert_stale(earlier, FIXTURE_ROOT "/earlier", "\"files\":1,\"earlier\":1");
	stays = string_format("\"pid\":%d,", (int)untouched);
	assert_null(strstr(fixture_output, stays));
	assert_non_null(strstr(fixture_output, "\"stale\":3}"));
	end_process(replaced);
	end_process(deleted);
	end_process(earlier);
	end_process(untouched);
}

static void repeats_and_shows_the_result(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *first = NULL;

	need_root();
	prepare(&b);
	assert_int_equal(helper(0, NULL, "status", NULL), 6);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	first = strdup(fixture_output);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_string_equal(fixture_output, first);
	assert_int_equal(helper(0, NULL, "status", NULL), 0);
	assert_string_equal(fixture_output, first);
	assert_int_equal(helper(0, NULL, "recover", NULL), 6);
}

static void works_without_new_system_calls(void **state)
{
	static const char *const lacks[] = {"OUA_NO_EXCHANGE=1", "OUA_NO_OPENAT2=1"};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(lacks); i++) {
		_cleanup_(builder_deinit) struct builder b;
		_cleanup_(free_ptr) char *after = NULL;

		prepare(&b);
		after = fixture_expected(&b);
		assert_int_equal(helper(0, lacks[i], "apply", &b), 0);
		assert_not_kept();
		assert_tree(FIXTURE_ROOT, after);
	}
}

static void rolls_back_to_the_same_inodes(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *before = NULL;
	struct stat old, back;

	need_root();
	prepare(&b);
	before = dump_tree(FIXTURE_ROOT);
	assert_int_equal(stat(FIXTURE_ROOT "/usr/bin/one", &old), 0);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	assert_result("rolled-back");
	assert_tree(FIXTURE_ROOT, before);
	assert_int_equal(stat(FIXTURE_ROOT "/usr/bin/one", &back), 0);
	assert_int_equal(old.st_ino, back.st_ino);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 6);
	/* The pre-images still hold. */
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
}

static void rollback_refuses_later_changes(void **state)
{
	static const char *const changes[] = {
		"echo other > etc/conf",
		"rm usr/bin/ping; echo ping > usr/bin/ping",
		"echo came-later > gone",
		"chmod 755 todir/inner",
	};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		_cleanup_(builder_deinit) struct builder b;
		_cleanup_(free_ptr) char *after = NULL;

		prepare(&b);
		assert_int_equal(helper(0, NULL, "apply", &b), 0);
		shell("cd %s && %s", FIXTURE_ROOT, changes[i]);
		after = dump_tree(FIXTURE_ROOT);
		assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
		assert_result("conflict");
		assert_tree(FIXTURE_ROOT, after);
	}
}

/* What a guest may have done since the update was computed, and the path it is blamed on. */
static const struct {
	const char *command, *path;
} conflicts[] = {
	{"echo conf3 > etc/conf", "etc/conf"},
	{"printf 'cont\\n' > etc/conf; touch -d @1600000000.5 etc/conf", "etc/conf"},
	{"touch etc/conf", "etc/conf"},
	{"chmod 640 etc/conf", "etc/conf"},
	{"chown 7 usr/bin/one", "usr/bin/one"},
	{"chgrp 7 usr/bin/one", "usr/bin/one"},
	{"rm etc/conf", "etc/conf"},
	{"rm etc/conf; mkdir etc/conf", "etc/conf"},
	{"ln -sfn elsewhere etc/link; touch -h -d @1600000000.5 etc/link", "etc/link"},
	{"echo new > usr/bin/ping", "usr/bin/ping"},
	{"mkdir new", "new"},
	{"echo new > gone/deep/another", "gone/deep/another"},
	{"rm odd/null; mknod odd/null c 1 9; touch -d @1600000000.5 odd/null", "odd/null"},
	{"setfattr -n user.old -v 2 etc/rewritten", "etc/rewritten"},
	{"setfattr -n user.more -v 2 etc/rewritten", "etc/rewritten"},
	{"mv usr other; ln -s other usr", "usr/lib"},
	{"rm -r usr/lib", "usr/lib"},
};

static void conflicts_change_nothing(void **state)
{
	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(conflicts); i++) {
		_cleanup_(builder_deinit) struct builder b;
		_cleanup_(free_ptr) char *before = NULL;
		_cleanup_(free_ptr) char *blame = string_format("\"path\":\"%s", conflicts[i].path);

		prepare(&b);
		shell("cd %s && %s", FIXTURE_ROOT, conflicts[i].command);
		before = dump_tree(FIXTURE_ROOT);
		if (helper(0, NULL, "apply", &b) != 4)
			fail_msg("no conflict after: %s\n%s", conflicts[i].command, fixture_output);
		assert_result("conflict");
		if (!strstr(fixture_output, blame))
			fail_msg("no %s in: %s", blame, fixture_output);
		assert_tree(FIXTURE_ROOT, before);
	}
}

/* Between the check and the switch: the payload's content comes through a pipe and waits. */
static void sees_what_changes_while_it_stages(void **state)
{
	static const char *const changes[] = {"echo other > etc/conf",
					      "mv usr/bin/one x; cp -a x usr/bin/one; touch -d @1600000000.5 usr/bin",
					      "echo x > usr/bin/ping; touch -d @1600000000.5 usr/bin",
					      "echo x > gone/deep/more; touch -d @1600000000.5 gone/deep"};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		_cleanup_(builder_deinit) struct builder b;
		_cleanup_(free_ptr) char *before = NULL;
		_cleanup_(close_fd) int in = -1;
		pid_t pid;

		prepare(&b);
		pid = helper_start(&b, &in);
		assert_ok(io_write(in, b.bytes, b.content_start, NULL));
		wait_for_report("checked");
		shell("cd %s && %s", FIXTURE_ROOT, changes[i]);
		shell("cd %s; rm -rf reference; cp -a root reference; rm -rf reference/.ouassister", FIXTURE_SPACE);
		before = dump_tree(FIXTURE_SPACE "/reference");
		assert_ok(io_write(in, b.bytes + b.content_start, b.size - b.content_start, NULL));
		assert_int_equal(helper_wait(pid), 4);
		assert_tree(FIXTURE_ROOT, before);
	}
}

static void survives_its_channel(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *after = NULL;
	_cleanup_(close_fd) int in = -1;
	pid_t first, second;
	int other;

	need_root();
	prepare(&b);
	after = fixture_expected(&b);
	first = helper_start(&b, &in);
	assert_ok(io_write(in, b.bytes, b.content_start, NULL));
	wait_for_report("checked");
	kill(first, SIGKILL);
	waitpid(first, NULL, 0);
	second = helper_start(&b, &other);
	close(other);
	assert_ok(io_write(in, b.bytes + b.content_start, b.size - b.content_start, NULL));
	assert_int_equal(helper_wait(second), 0);
	assert_not_kept();
	assert_tree(FIXTURE_ROOT, after);
}

/* The channel of the first is cut in the middle of the payload; the second has all of it, and comes before the first is
 * gone. */
static void outlives_one_with_a_cut_payload(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *after = NULL;
	pid_t first, second;
	int cut, whole;

	need_root();
	prepare(&b);
	after = fixture_expected(&b);
	first = helper_start(&b, &cut);
	assert_ok(io_write(cut, b.bytes, b.content_start, NULL));
	wait_for_report("checked");
	kill(first, SIGKILL);
	waitpid(first, NULL, 0);
	second = helper_start(&b, &whole);
	/* Time to find the other at work; if that is too short, nothing is shown, and nothing is wrong. */
	usleep(200000);
	close(cut);
	assert_ok(io_write(whole, b.bytes, b.size, NULL));
	close(whole);
	assert_int_equal(helper_wait(second), 0);
	assert_not_kept();
	assert_tree(FIXTURE_ROOT, after);
}

/* One that came by a stream is where it belongs as soon as it works; one that cannot go there says so by its status. */
static void goes_where_it_belongs(void **state)
{
	static const char arrival[] = FIXTURE_ROOT "/var/lib/ouassister-helper";
	static const char home[] = FIXTURE_ROOT "/var/lib/ouassister/helper";
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *before = NULL, *after = NULL, *original = strdup(getenv("HELPER"));
	_cleanup_(free_ptr) char *program = NULL;
	struct stat came, is;
	size_t size;

	need_root();
	assert_ok(io_read_file(original, 64 << 20, &program, &size));
	/* Under an emulator the running program is that. */
	if (!memcmp(program, "#!", 2))
		skip();
	prepare(&b);
	before = dump_tree(FIXTURE_ROOT);
	after = fixture_expected(&b);
	for (int round = 0; round < 2; round++) {
		fixture_copy();
		shell("mkdir -p " FIXTURE_ROOT "/var/lib/ouassister && cp %s %s", original, arrival);
		if (round)
			shell("echo old >%s", home);
		assert_int_equal(stat(arrival, &came), 0);
		setenv("HELPER", arrival, 1);
		assert_int_equal(helper(0, NULL, "apply", &b), 0);
		setenv("HELPER", original, 1);
		assert_int_equal(lstat(home, &is), 0);
		assert_int_equal(is.st_ino, came.st_ino);
		assert_int_equal(lstat(arrival, &is), -1);
		assert_not_kept();
		assert_tree(FIXTURE_ROOT, after);
	}
	fixture_copy();
	shell("mkdir -p %s/x && cp %s %s", home, original, arrival);
	setenv("HELPER", arrival, 1);
	assert_int_equal(helper(0, NULL, "apply", &b), 121);
	setenv("HELPER", original, 1);
	assert_string_equal(fixture_output, "");
	assert_not_kept();
	assert_int_equal(lstat(arrival, &is), -1);
	assert_tree(FIXTURE_ROOT, before);
}

static void a_cut_payload_changes_nothing(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *before = NULL;
	size_t cuts[4];

	need_root();
	prepare(&b);
	before = dump_tree(FIXTURE_ROOT);
	memcpy(cuts, (size_t[]){0, 79, b.content_start - PAYLOAD_ALIGNMENT, b.size - PAYLOAD_ALIGNMENT}, sizeof(cuts));
	for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
		assert_ok(io_replace_file(FIXTURE_PAYLOAD, b.bytes, cuts[i], 0600));
		assert_int_equal(helper(0, NULL, "apply", &b), 1);
		assert_result("failed");
		assert_tree(FIXTURE_ROOT, before);
	}
	for (size_t at = 8; at < b.size; at += b.size / 37) {
		b.bytes[at] ^= 1;
		assert_ok(io_replace_file(FIXTURE_PAYLOAD, b.bytes, b.size, 0600));
		b.bytes[at] ^= 1;
		/* What is altered in the padding is nobody's content. */
		if (helper(0, NULL, "apply", &b) == 0) {
			assert_true(at >= b.content_start - PAYLOAD_ALIGNMENT);
			assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
		}
		assert_tree(FIXTURE_ROOT, before);
	}
}

static void refuses_a_stage_of_somebody_else(void **state)
{
	static const char *const stages[] = {"mkdir -m 777 .ouassister",
					     "mkdir -m 700 .ouassister; chown 5 .ouassister", "ln -s etc .ouassister",
					     "touch .ouassister"};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		_cleanup_(builder_deinit) struct builder b;
		_cleanup_(free_ptr) char *before = NULL;

		prepare(&b);
		shell("cd %s; %s", FIXTURE_ROOT, stages[i]);
		before = dump_tree(FIXTURE_ROOT);
		assert_int_not_equal(helper(0, NULL, "apply", &b), 0);
		assert_tree(FIXTURE_ROOT, before);
	}
}

/* /usr/lib on another file system, of `options`. */
static void mount_on_lib(const char *options)
{
	shell("cd %s; cp -a usr/lib lib.keep; mount -t tmpfs -o %s,mode=755 none usr/lib; cp -a lib.keep/. usr/lib; "
	      "rm -r lib.keep",
	      FIXTURE_ROOT, options);
}

static void stages_on_each_file_system(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *before = NULL;

	need_root();
	fixture_copy();
	mount_on_lib("size=32m");
	builder_init(&b, FIXTURE_ROOT);
	fixture_every_kind(&b);
	builder_write(&b, FIXTURE_PAYLOAD);
	before = dump_tree(FIXTURE_ROOT);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_int_equal(access(FIXTURE_ROOT "/usr/lib/.ouassister/4", F_OK), 0);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	assert_int_equal(access(FIXTURE_ROOT "/usr/lib/.ouassister", F_OK), -1);
	shell("touch -d @1600000000.5 %s/usr/lib", FIXTURE_ROOT);
	free(take_ptr(before));
	shell("umount %s/usr/lib", FIXTURE_ROOT);
}

/* Identical content comes once, and on xfs it is there once: the second file costs no room. */
static void shares_content(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *random = NULL;
	struct builder_entry *carrier;
	struct statvfs before, after;
	size_t size = 0;

	need_root();
	fixture_copy();
	shell("truncate -s 400M " FIXTURE_SPACE "/xfs && mkfs.xfs -q -m reflink=1 " FIXTURE_SPACE "/xfs && "
	      "mount -o loop " FIXTURE_SPACE "/xfs " FIXTURE_ROOT "/usr/lib");
	shell("head -c 8M /dev/urandom > " FIXTURE_SPACE "/random");
	assert_ok(io_read_file(FIXTURE_SPACE "/random", 8 << 20, &random, &size));
	builder_init(&b, FIXTURE_ROOT);
	carrier = builder_add(&b, CHANGE_WRITE, "usr/lib/one", S_IFREG | 0644);
	builder_content(carrier, random, size);
	builder_share(&b, builder_add(&b, CHANGE_WRITE, "usr/lib/two", S_IFREG | 0600), carrier);
	builder_share(&b, builder_add(&b, CHANGE_WRITE, "etc/three", S_IFREG | 0644), carrier);
	builder_write(&b, FIXTURE_PAYLOAD);
	assert_true(b.size < size + (1 << 20));
	assert_int_equal(statvfs(FIXTURE_ROOT "/usr/lib", &before), 0);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_int_equal(statvfs(FIXTURE_ROOT "/usr/lib", &after), 0);
	shell("cd " FIXTURE_ROOT "; for f in usr/lib/one usr/lib/two etc/three; do cmp " FIXTURE_SPACE
	      "/random $f; done");
	assert_true((before.f_bfree - after.f_bfree) * after.f_frsize < size + size / 2);
	/* They are files of their own. */
	shell("cd " FIXTURE_ROOT "; printf x >> usr/lib/one; cmp " FIXTURE_SPACE "/random usr/lib/two; umount usr/lib");
}

/* The payload's last byte is of a content that others share: none of them stays. */
static void a_damaged_shared_content_changes_nothing(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *before = NULL;
	struct builder_entry *carrier;

	need_root();
	fixture_copy();
	before = dump_tree(FIXTURE_ROOT);
	builder_init(&b, FIXTURE_ROOT);
	carrier = builder_add(&b, CHANGE_WRITE, "etc/new", S_IFREG | 0644);
	builder_content(carrier, "content", 7);
	builder_share(&b, builder_add(&b, CHANGE_WRITE, "etc/new-too", S_IFREG | 0644), carrier);
	builder_write(&b, NULL);
	b.bytes[b.content_start] ^= 1;
	assert_ok(io_replace_file(FIXTURE_PAYLOAD, b.bytes, b.size, 0600));
	assert_int_equal(helper(0, NULL, "apply", &b), 1);
	assert_tree(FIXTURE_ROOT, before);
}

static void says_when_there_is_no_space(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *big = calloc(1, 3 << 20);
	_cleanup_(free_ptr) char *before = NULL;
	_cleanup_(close_fd) int in = -1;
	pid_t pid;

	need_root();
	fixture_copy();
	mount_on_lib("size=4m");
	builder_init(&b, FIXTURE_ROOT);
	builder_content(builder_add(&b, CHANGE_WRITE, "usr/lib/big", S_IFREG | 0644), big, 3 << 20);
	builder_content(builder_add(&b, CHANGE_WRITE, "etc/conf", S_IFREG | 0644), "x", 1);
	builder_write(&b, FIXTURE_PAYLOAD);
	shell("head -c 1M /dev/zero > %s/usr/lib/filler", FIXTURE_ROOT);
	before = dump_tree(FIXTURE_ROOT);
	assert_int_equal(helper(0, NULL, "apply", &b), 1);
	assert_result("no-space");
	assert_tree(FIXTURE_ROOT, before);

	/* Filled by somebody else after the check. */
	shell("rm %s/usr/lib/filler", FIXTURE_ROOT);
	pid = helper_start(&b, &in);
	assert_ok(io_write(in, b.bytes, b.content_start, NULL));
	wait_for_report("checked");
	shell("head -c 1M /dev/zero > %s/usr/lib/filler", FIXTURE_ROOT);
	/* It need not read all of it. */
	error_destroy(io_write(in, b.bytes + b.content_start, b.size - b.content_start, NULL));
	assert_int_equal(helper_wait(pid), 1);
	wait_for_report("\"result\":\"no-space\"");
	assert_int_equal(access(FIXTURE_ROOT "/usr/lib/.ouassister", F_OK), -1);
	shell("umount %s/usr/lib", FIXTURE_ROOT);
}

static void refuses_read_only_and_immutable(void **state)
{
	_cleanup_(builder_deinit) struct builder b;

	need_root();
	fixture_copy();
	mount_on_lib("size=32m");
	builder_init(&b, FIXTURE_ROOT);
	fixture_every_kind(&b);
	builder_write(&b, FIXTURE_PAYLOAD);
	shell("mount -o remount,ro %s/usr/lib", FIXTURE_ROOT);
	assert_int_equal(helper(0, NULL, "apply", &b), 4);
	assert_result("conflict");
	shell("umount %s/usr/lib", FIXTURE_ROOT);
	fixture_copy();
	if (system("chattr +i " FIXTURE_ROOT "/etc/conf 2>/dev/null") != 0)
		skip();
	assert_int_equal(helper(0, NULL, "apply", &b), 4);
	shell("chattr -i %s/etc/conf", FIXTURE_ROOT);
}

static void waits_for_the_package_manager(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	_cleanup_(close_fd) int lock = -1, in = -1;
	pid_t pid;

	need_root();
	prepare(&b);
	lock = open(FIXTURE_ROOT "/var/lib/dpkg/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	assert_int_equal(fcntl(lock, F_SETLK, &whole), 0);
	pid = helper_start(&b, &in);
	assert_ok(io_write(in, b.bytes, b.content_start, NULL));
	wait_for_report("started");
	usleep(300000);
	assert_int_equal(system("grep -q checked " FIXTURE_ROOT "/var/lib/ouassister/report"), 256);
	close_fd(&lock);
	assert_ok(io_write(in, b.bytes + b.content_start, b.size - b.content_start, NULL));
	assert_int_equal(helper_wait(pid), 0);
}

static void applies_many_small_files(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	uint64_t start;

	need_root();
	fixture_copy();
	builder_init(&b, FIXTURE_ROOT);
	builder_add(&b, CHANGE_DIRECTORY, "many", S_IFDIR | 0755);
	for (unsigned i = 0; i < 10000; i++) {
		char path[64], content[64];

		if (i % 100 == 0) {
			snprintf(path, sizeof(path), "many/%u", i / 100);
			builder_add(&b, CHANGE_DIRECTORY, path, S_IFDIR | 0755);
		}
		snprintf(path, sizeof(path), "many/%u/%u", i / 100, i);
		snprintf(content, sizeof(content), "content of %u\n", i);
		builder_content(builder_add(&b, CHANGE_WRITE, path, S_IFREG | 0644), content, strlen(content));
	}
	builder_write(&b, FIXTURE_PAYLOAD);
	start = clock_monotonic_ns();
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	print_message("10,000 small files in %llu ms\n", (unsigned long long)(clock_monotonic_ns() - start) / 1000000);
	assert_non_null(strstr(fixture_output, "\"files\":10000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(applies_every_kind),
		cmocka_unit_test(names_those_who_use_old_files),
		cmocka_unit_test(repeats_and_shows_the_result),
		cmocka_unit_test(works_without_new_system_calls),
		cmocka_unit_test(rolls_back_to_the_same_inodes),
		cmocka_unit_test(rollback_refuses_later_changes),
		cmocka_unit_test(conflicts_change_nothing),
		cmocka_unit_test(sees_what_changes_while_it_stages),
		cmocka_unit_test(survives_its_channel),
		cmocka_unit_test(outlives_one_with_a_cut_payload),
		cmocka_unit_test(goes_where_it_belongs),
		cmocka_unit_test(a_cut_payload_changes_nothing),
		cmocka_unit_test(refuses_a_stage_of_somebody_else),
		cmocka_unit_test(stages_on_each_file_system),
		cmocka_unit_test(shares_content),
		cmocka_unit_test(a_damaged_shared_content_changes_nothing),
		cmocka_unit_test(says_when_there_is_no_space),
		cmocka_unit_test(refuses_read_only_and_immutable),
		cmocka_unit_test(waits_for_the_package_manager),
		cmocka_unit_test(applies_many_small_files),
	};

	/* A helper that refuses a payload does not read it to its end. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
