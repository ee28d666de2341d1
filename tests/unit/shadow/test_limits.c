/* SPDX-License-Identifier: Apache-2.0 */
/* What programs of the shadow may use of the host, and what is left there after those that want more. Needs root. */
#include "tests/unit/shadow/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/internal.h"

#define MIB (UINT64_C(1) << 20)

static char *traces_before; /* the host's, of the test that runs */

/*
 * What may be left behind: mounts of this namespace, control groups, loop devices with a file, names in the work
 * directory. Of whatever else goes on on this host only what is ours.
 */
static char *traces_of_host(const struct fixture *f)
{
	_cleanup_(free_ptr) char *command = string_format(
		"grep -c . /proc/self/mountinfo; grep %s /proc/self/mountinfo; find /sys/fs/cgroup -name "
		"'ouassister-%d-*'; "
		"grep -ls %s /sys/block/loop*/loop/backing_file; find %s -mindepth 1 | grep -v ^%s/root/ | sort; true",
		f->dir, (int)getpid(), f->dir, f->dir, f->dir);
	char *text = NULL;
	FILE *out = popen(command, "re");

	assert_non_null(out);
	assert_ok(io_read_all(fileno(out), 1 << 20, "traces", &text, NULL));
	pclose(out);
	return text;
}

static int setup(void **state)
{
	struct fixture *f;

	if (fixture_create("/tmp/test-limits.XXXXXX", state) < 0)
		return -1;
	f = *state;
	if (!f->root)
		return 0;
	make_root(f->root);
	traces_before = traces_of_host(f);
	return 0;
}

static int teardown(void **state)
{
	free(take_ptr(traces_before));
	return fixture_teardown(state);
}

static void create(struct fixture *f, struct shadow_limits limits)
{
	struct shadow_tree tree = {.target = "/", .lower = f->root};
	struct shadow_options options = {.layers_dir = f->layers, .run_dir = f->run, .limits = limits};

	assert_ok(shadow_create_from(&tree, 1, NULL, &options, &f->shadow));
}

/* Nothing of the shadow is left but the directories that were given to it. */
static void assert_gone(struct fixture *f)
{
	_cleanup_(free_ptr) char *after = NULL;

	shadow_destroy(f->shadow);
	f->shadow = NULL;
	shell("rm -rf %s/root %s/run/*", f->run, f->run);
	after = traces_of_host(f);
	assert_string_equal(after, traces_before);
}

static void test_defaults(void **state)
{
	struct fixture *f = *state;

	need_root();
	create(f, (struct shadow_limits){0});
	assert_true(f->shadow->limits.memory_bytes >= 4096 * MIB);
	assert_int_equal(f->shadow->limits.disk_bytes, 65536 * MIB);
	assert_int_equal(f->shadow->limits.open_files, 524288);
	assert_says(f->shadow, "ulimit -n", "1024");
	assert_gone(f);
}

/* A full disk is an error of the program that fills it, and takes nothing more of the host. */
static void test_disk(void **state)
{
	struct fixture *f = *state;
	struct statvfs before, after;

	need_root();
	assert_int_equal(statvfs(f->dir, &before), 0);
	create(f, (struct shadow_limits){.disk_bytes = 64 * MIB});
	assert_true(f->shadow->store_size <= 64 * MIB);
	assert_int_equal(status_of(f->shadow, "busybox dd if=/dev/zero of=/data/full bs=1M count=200 2>/data/said; "
					      "busybox grep -q 'No space left' /data/said"),
			 0);
	/* Room again, and a second file as long as the first could be. */
	assert_int_equal(status_of(f->shadow, "rm /data/full && busybox dd if=/dev/zero of=/data/part bs=1M count=40"),
			 0);
	assert_ok(shadow_settle(f->shadow));
	assert_int_equal(status_of(f->shadow, "i=0; while [ $i -lt 100000 ]; do echo >/data/dir/$i || exit 9; "
					      "i=$((i + 1)); done"),
			 9);
	assert_gone(f);
	assert_int_equal(statvfs(f->dir, &after), 0);
	assert_true(after.f_bavail * after.f_frsize + 1024 * MIB > before.f_bavail * before.f_frsize);
}

/* What is deleted gives its space back to the host, whose file system may be one that overlayfs cannot use. */
static void test_disk_returned(void **state)
{
	struct fixture *f = *state;
	struct statvfs full, empty;
	int host;

	need_root();
	assert_int_equal(mount("tmpfs", f->layers, "tmpfs", 0, "size=512m"), 0);
	host = open(f->layers, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	create(f, (struct shadow_limits){.disk_bytes = 256 * MIB});
	assert_int_equal(status_of(f->shadow, "busybox dd if=/dev/zero of=/data/full bs=1M count=100"), 0);
	assert_ok(shadow_settle(f->shadow));
	assert_int_equal(fstatvfs(host, &full), 0);
	assert_in_range((full.f_blocks - full.f_bfree) * full.f_frsize, 100 * MIB, 110 * MIB);
	assert_int_equal(status_of(f->shadow, "rm /data/full"), 0);
	assert_ok(shadow_settle(f->shadow));
	assert_int_equal(fstatvfs(host, &empty), 0);
	assert_in_range((empty.f_blocks - empty.f_bfree) * empty.f_frsize, 1, 10 * MIB);
	shadow_destroy(f->shadow);
	f->shadow = NULL;
	/* The loop device lets go of its file a moment later. */
	for (int i = 0; i < 100 && fstatvfs(host, &empty) == 0 && empty.f_bfree < empty.f_blocks; i++)
		usleep(20000);
	assert_int_equal(empty.f_bfree, empty.f_blocks);
	close(host);
	assert_int_equal(umount(f->layers), 0);
	assert_gone(f);
}

static void test_memory(void **state)
{
	static const char *const argv[] = {"probe", "memory", "400", NULL}, *const small[] = {"probe", "memory", "50",
											      NULL};
	struct fixture *f = *state;
	struct shadow_run_options options = {.argv = argv, .env = shadow_env, .timeout_s = 60};
	struct error *error;
	int status;

	need_root();
	create(f, (struct shadow_limits){.memory_bytes = 128 * MIB});
	if (!f->shadow->cgroup.memory) {
		print_message("skipped: no control group for memory can be made here\n");
		skip();
	}
	error = shadow_run(f->shadow, &options, &status);
	assert_non_null(error);
	assert_non_null(strstr(error->message, "killed: memory limit (128 MiB)"));
	error_destroy(error);
	/* The next run is not held to account for it. */
	options.argv = small;
	assert_ok(shadow_run(f->shadow, &options, &status));
	assert_int_equal(status, 0);
	/* Files in memory are memory; those on the disk are not, however often they are read. */
	options.argv = (const char *const[]){"sh", "-c", "busybox dd if=/dev/zero of=/tmp/x bs=1M count=300", NULL};
	error = shadow_run(f->shadow, &options, &status);
	assert_true(error || status != 0);
	error_destroy(error);
	assert_int_equal(
		status_of(f->shadow, "busybox dd if=/dev/zero of=/data/x bs=1M count=300 && cat /data/x >/dev/null"),
		0);
	assert_gone(f);
}

static void test_open_files(void **state)
{
	static const char *const argv[] = {"sh", "-c", "ulimit -n $(ulimit -Hn); probe files 100000", NULL};
	struct fixture *f = *state;
	int status;

	need_root();
	create(f, (struct shadow_limits){.open_files = 2000});
	assert_in_range(atol(output_of(f->shadow, argv, false, &status)), 1900, 2000);
	assert_gone(f);
}

/* What the kernel counts for a user it does not count for the host's root, who would go without. */
static void test_watches(void **state)
{
	static const char *const argv[] = {"probe", "watches", "100000", NULL};
	struct fixture *f = *state;
	int status, ours[20];
	long theirs;

	need_root();
	create(f, (struct shadow_limits){0});
	theirs = atol(output_of(f->shadow, argv, false, &status));
	assert_in_range(theirs, 1, 100000);
	/* All of them while the guest holds all of its own. */
	if (fork() == 0) {
		const char *const hold[] = {"sh", "-c", "probe watches 100000; sleep 5", NULL};
		struct shadow_run_options options = {.argv = hold, .env = shadow_env, .timeout_s = 60};

		error_destroy(shadow_run(f->shadow, &options, &status));
		_exit(0);
	}
	usleep(500000);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		ours[i] = inotify_init1(IN_CLOEXEC);
		assert_true(ours[i] >= 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		close(ours[i]);
	while (wait(NULL) > 0)
		;
	assert_gone(f);
}

static void test_output(void **state)
{
	static const char *const argv[] = {"yes", NULL};
	struct fixture *f = *state;
	_cleanup_(free_ptr) char *path = string_format("%s/output", f->dir);
	struct shadow_run_options options = {.argv = argv, .env = shadow_env, .output_max = 8 * MIB, .timeout_s = 60};
	struct stat st;
	int status;

	need_root();
	create(f, (struct shadow_limits){0});
	options.output_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(options.output_fd >= 0);
	assert_error(shadow_run(f->shadow, &options, &status), ERROR_FAILED);
	assert_int_equal(fstat(options.output_fd, &st), 0);
	assert_true(st.st_size >= (off_t)(8 * MIB));
	close(options.output_fd);
	unlink(path);
	assert_gone(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_returned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watches, setup, teardown),
		cmocka_unit_test_setup_teardown(test_output, setup, teardown),
	};

	if (!fixture_private_mounts())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
