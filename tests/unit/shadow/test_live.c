/* SPDX-License-Identifier: Apache-2.0 */
/* Files that the sleeping processes hold open: who writes to them, and takes names from them, and who does not. */
#include "tests/unit/shadow/fixture.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/internal.h"

static int setup(void **state)
{
	struct fixture *f;

	/* The guest's mounts must not be seen outside. */
	if (geteuid() == 0 && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
		return -1;
	if (fixture_create("/var/tmp/test-live.XXXXXX", state) < 0)
		return -1;
	f = *state;
	if (!f->root)
		return 0;
	make_root(f->root);
	shell("mkdir -p %s/mnt %s/other; cp %s/data/file %s/other/file", f->root, f->root, f->root, f->root);
	fixture_open_guest(f, KERNEL);
	assert_ok(guest_uts(f->guest, &f->uts));
	assert_ok(guest_clock(f->guest, &f->clock));
	return 0;
}

static void make_shadow(struct fixture *f, const struct shadow_live_file *live, bool watch_names)
{
	const struct shadow_tree tree = {.target = "/", .lower = f->root};
	const struct shadow_options options = {.layers_dir = f->layers,
					       .run_dir = f->run,
					       .uts = &f->uts,
					       .clock = &f->clock,
					       .guest = f->guest,
					       .live = live,
					       .n_live = live ? 1 : 0,
					       .watch_names = watch_names};

	shadow_destroy(f->shadow);
	f->shadow = NULL;
	shell("rm -rf %s %s; mkdir -m 700 %s %s", f->layers, f->run, f->layers, f->run);
	assert_ok(shadow_create_from(&tree, 1, NULL, &options, &f->shadow));
}

static struct shadow_live_file make_live(const struct fixture *f)
{
	_cleanup_(free_ptr) char *path = string_format("%s/data/file", f->root);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (struct shadow_live_file){"/data/file", st.st_ino, "mariadbd (process 7)", "/"};
}

/* What the only need says; "": there is none. */
static const char *need_of(const struct fixture *f)
{
	size_t n;
	const struct shadow_need *needs = shadow_needs(f->shadow, &n);

	assert_in_range(n, 0, 1);
	if (!n)
		return "";
	assert_int_equal(needs[0].kind, SHADOW_NEED_LIVE);
	assert_string_equal(needs[0].path, "/data/file");
	return needs[0].why;
}

#define HOLDS " /data/file, which mariadbd (process 7) holds open for writing"

static void check(struct fixture *f, bool watch_names, const char *script, const char *expected)
{
	const struct shadow_live_file live = make_live(f);

	make_shadow(f, &live, watch_names);
	assert_int_equal(status_of(f->shadow, script), 0);
	assert_string_equal(need_of(f), expected);
}

static void test_writes(void **state)
{
	struct fixture *f = *state;

	need_root();
	check(f, false, "echo x >>/data/file", "writes" HOLDS);
	check(f, false, "cat /data/file; echo x >/data/dir/file; echo x >/other/file; echo x >/run/file", "");
	check(f, false, "probe openat2 w /data/file", "writes" HOLDS);
	check(f, false, "probe openat2 root /data/file", "writes" HOLDS);
	check(f, false, "cd /data; probe openat2 w file", "writes" HOLDS);
	check(f, false, "probe openat2 r /data/file; probe openat2 w /other/file; ! probe openat2 w /data/none", "");
	/* Another name of it, which only its number tells. */
	check(f, false, "probe openat2 w /data/link", "");
	check(f, true, "probe openat2 w /data/link", "writes" HOLDS);
}

static void test_names(void **state)
{
	struct fixture *f = *state;

	need_root();
	check(f, true, "mv /data/file /data/renamed", "renames" HOLDS);
	check(f, true, "ln /data/file /data/third", "gives another name to" HOLDS);
	check(f, true, "rm /data/link", "removes" HOLDS);
	check(f, true, "mv /data/gone /data/renamed; rm /other/file", "");
	check(f, false, "mv /data/file /data/renamed", "");
}

/* A file of a tmpfs gets the number that the live file has on its disk. */
static void test_other_file_system(void **state)
{
	static const char script[] = "mkdir -p /run/d; echo x >/run/d/file; stat -c %i /run/d/file; mv /run/d/file "
				     "/run/d/moved; echo x >>/run/d/moved";
	const char *const argv[] = {"sh", "-c", script, NULL};
	struct fixture *f = *state;
	struct shadow_live_file live;
	int status;

	need_root();
	make_shadow(f, NULL, true);
	live = (struct shadow_live_file){"/data/file", strtoull(output_of(f->shadow, argv, false, &status), NULL, 10),
					 "mariadbd (process 7)", "/"};
	assert_int_equal(status, 0);
	assert_true(live.inode > 0);
	make_shadow(f, &live, true);
	assert_int_equal(strtoull(output_of(f->shadow, argv, false, &status), NULL, 10), live.inode);
	assert_int_equal(status, 0);
	assert_string_equal(need_of(f), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_writes, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_other_file_system, setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
