/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that count stand still while files are exchanged, and never longer: real cgroups of this machine, below one
 * of our own (freezer_world.h), of both versions.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "fixture.h"
#include "freezer_world.h"

/* Of the points between freeze and thaw the last one: before the second of two files is exchanged. */
static unsigned frozen_point;

static void stand_still_while_files_are_exchanged(void **state)
{
	unsigned n_still = 0, n_before = 0, n_after = 0;
	struct sample sample;

	need_cgroups();
	for (unsigned fault = 1;; fault++) {
		_cleanup_(builder_deinit) struct builder b;
		bool still;

		world_prepare(&b);
		if (!take_sample(fault, LONG_LIMIT, &b, &sample))
			break;
		/* The others took no part in it. */
		assert_int_not_equal(sample.first[CHANNEL], sample.second[CHANNEL]);
		assert_int_not_equal(sample.first[SESSION], sample.second[SESSION]);
		assert_int_equal(sample.first[STOPPED], sample.second[STOPPED]);
		still = sample.frozen;
		assert_int_equal(sample.first[BUSY] == sample.second[BUSY], still);
		assert_int_equal(sample.first[INNER] == sample.second[INNER], still);
		assert_int_equal(sample.first[BESIDE] == sample.second[BESIDE], still);
		assert_int_equal(sample.has_list, still);
		assert_true(frozen_us() >= (still ? 10000 : 1));
		assert_all_run();
		if (!still && n_still)
			n_after++;
		else if (!still)
			n_before++;
		/* In one piece. */
		assert_true(!still || !n_after);
		if (still)
			n_still++, frozen_point = fault;
	}
	print_message("%u points before, %u frozen, %u after\n", n_before, n_still, n_after);
	/* At least one for each file. */
	assert_true(n_before >= 2 && n_still >= 2 && n_after >= 2);
}

static void go_on_if_that_is_wanted(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	struct sample sample;

	need_cgroups();
	assert_int_not_equal(frozen_point, 0);
	world_prepare(&b);
	assert_true(take_sample(frozen_point, "0", &b, &sample));
	assert_int_not_equal(sample.first[BUSY], sample.second[BUSY]);
	assert_int_equal(frozen_us(), 0);
}

static void refuses_what_is_no_limit(void **state)
{
	static const char *const limits[] = {"", "-1", "2s", "60001", "99999999999999999999"};
	_cleanup_(builder_deinit) struct builder b;

	need_cgroups();
	world_prepare(&b);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		assert_int_equal(helper_with(0, NULL, "apply", &b, (const char *[]){"--freeze", limits[i], NULL}), 2);
}

static void wait_for_watchdog(void)
{
	for (unsigned i = 0; i < 200 && access(FREEZER_LIST_PATH, F_OK) == 0; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

static void a_killed_helper_leaves_nobody_frozen(void **state)
{
	_cleanup_(builder_deinit) struct builder b;

	need_cgroups();
	world_prepare(&b);
	assert_int_not_equal(helper(frozen_point, NULL, "apply", &b), 0);
	wait_for_watchdog();
	assert_all_run();
	assert_int_equal(helper(0, NULL, "recover", NULL), 4);
	assert_result("rolled-back");
}

/* With the watchdog dead, too, they stay frozen until the next helper comes, whatever it is called for. */
static void the_next_helper_thaws(void **state)
{
	static const char *const verbs[] = {"recover", "apply", "forget"};

	need_cgroups();
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		_cleanup_(builder_deinit) struct builder b;

		world_prepare(&b);
		setenv("OUA_FAULT_RUN", "for p in $(pgrep -P $PPID); do [ $p = $$ ] || kill -9 $p; done; false", 1);
		assert_int_not_equal(helper(frozen_point, NULL, "apply", &b), 0);
		unsetenv("OUA_FAULT_RUN");
		assert_int_equal(access(FREEZER_LIST_PATH, F_OK), 0);
		assert_false(moves_within(BUSY, 300));
		helper(0, NULL, verbs[i], strcmp(verbs[i], "apply") ? NULL : &b);
		assert_all_run();
	}
}

/* The helper takes its time; processes do not wait for it, and the update is applied all the same. */
static void never_longer_than_the_limit(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	struct sample sample;

	need_cgroups();
	world_prepare(&b);
	setenv("OUA_FAULT_RUN", sampler(true), 1);
	assert_int_equal(helper_with(frozen_point, NULL, "apply", &b, (const char *const[]){"--freeze", "100", NULL}),
			 0);
	unsetenv("OUA_FAULT_RUN");
	assert_true(read_sample(&sample));
	assert_int_not_equal(sample.first[BUSY], sample.second[BUSY]);
	assert_int_not_equal(sample.first[BESIDE], sample.second[BESIDE]);
	assert_int_equal(frozen_us(), 100000);
	assert_non_null(strstr(fixture_output, "the limit"));
	assert_result("applied");
	assert_all_run();
}

static void wait_until_hung(pid_t pid)
{
	_cleanup_(free_ptr) char *path = string_format("/proc/%d/stat", pid);

	for (unsigned i = 0; i < 1000; i++) {
		_cleanup_(free_ptr) char *text = NULL;

		assert_ok(io_read_file(path, 4096, &text, NULL));
		if (strstr(text, ") D "))
			return;
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	fail_msg("the process does not hang");
}

/* A process that hangs in the kernel: it writes to a file system that somebody has frozen. */
static void does_not_wait_for_what_cannot_be_frozen(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(close_fd) int fd = -1;
	bool noted;
	pid_t pid;

	need_cgroups();
	if (system("truncate -s 8M " FIXTURE_SPACE "/disk && mkfs.ext4 -q -F " FIXTURE_SPACE "/disk && "
		   "mkdir -p " FIXTURE_SPACE "/hung && mount -o loop " FIXTURE_SPACE "/disk " FIXTURE_SPACE
		   "/hung 2>/dev/null") != 0) {
		print_message("skipped: no loop device\n");
		skip();
	}
	world_prepare(&b);
	fd = open(FIXTURE_SPACE "/hung", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ioctl(fd, FIFREEZE, 0), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(open(FIXTURE_SPACE "/hung/file", O_WRONLY | O_CREAT, 0600) < 0);
	}
	world_move(BUSY, pid);
	wait_until_hung(pid);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_int_equal(ioctl(fd, FITHAW, 0), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close_fd(&fd);
	shell("umount %s/hung", FIXTURE_SPACE);
	assert_result("applied");
	/* The kernel does not always count such a process as still running; if it does, it is an eighth of the limit.
	 */
	noted = strstr(fixture_output, "cannot be frozen now");
	print_message("the kernel calls it %s\n", noted ? "running" : "frozen");
	assert_true(frozen_us() >= (noted ? 250000 : 1) && frozen_us() < 1500000);
	assert_all_run();
}

/* Going back is as little seen as going forward. */
static void stand_still_while_files_go_back(void **state)
{
	unsigned n_still = 0;

	need_cgroups();
	for (unsigned fault = 1;; fault++) {
		_cleanup_(builder_deinit) struct builder b;
		struct sample sample;

		world_prepare(&b);
		assert_int_equal(helper(0, NULL, "apply", &b), 0);
		if (!take_sample_back(fault, &sample)) {
			assert_all_run();
			break;
		}
		assert_all_run();
		if (sample.first[BUSY] == sample.second[BUSY])
			n_still++;
	}
	assert_true(n_still >= 2);
}

/* Without the list nobody would know what to thaw. */
static void freezes_nothing_without_a_list(void **state)
{
	_cleanup_(builder_deinit) struct builder b;

	need_cgroups();
	world_prepare(&b);
	shell("rmdir %s/run", FIXTURE_ROOT);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_int_equal(frozen_us(), 0);
	assert_non_null(strstr(fixture_output, "processes go on while files are exchanged"));
	assert_all_run();
}

/* A list that somebody else wrote: only cgroups are written to. */
static void a_forged_list_harms_nothing(void **state)
{
	_cleanup_(builder_deinit) struct builder b;

	need_cgroups();
	world_prepare(&b);
	shell("cd %s && mkdir victim && echo 1 >victim/cgroup.freeze && "
	      "printf '%%s\\n' %s/victim relative /nowhere '' %s/busy >run/.ouassister-frozen",
	      FIXTURE_ROOT, FIXTURE_ROOT, world.top);
	assert_int_equal(helper(0, NULL, "recover", NULL), 6);
	shell("grep -qx 1 %s/victim/cgroup.freeze", FIXTURE_ROOT);
	assert_all_run();
}

/* Also when it failed: the next one goes where a mount would show something else. */
static int mount_again(void **state)
{
	_cleanup_(free_ptr) char *mounted = NULL;

	if (!world.top || !world.is_version_one || access(world.top, F_OK) == 0)
		return 0;
	mounted = strndup(world.top, (size_t)(strrchr(world.top, '/') - world.top));
	setenv("OUA_CGROUP", world.top, 1);
	return umount2("/run", MNT_DETACH) < 0 ? -1 : mount("cgroup", mounted, "cgroup", 0, "freezer");
}

/* The helper mounts the hierarchy itself where nobody has, and leaves no mount behind, killed or not. */
static void mounts_what_nobody_has_mounted(void **state)
{
	static const char mount_point[] = "/run/.ouassister-freezer";
	_cleanup_(free_ptr) char *there = NULL, *usual = NULL, *mounted = NULL;
	_cleanup_(builder_deinit) struct builder b;
	struct sample sample;

	need_cgroups();
	if (!world.is_version_one) {
		print_message("skipped: the other version\n");
		skip();
	}
	usual = strdup(world.top);
	mounted = strndup(usual, (size_t)(strrchr(usual, '/') - usual));
	there = string_format("%s%s", mount_point, strrchr(usual, '/'));
	/* Another test that runs now has a /run of its own, too: to remove a directory would unmount what it has there.
	 */
	assert_int_equal(mount("test-run", "/run", "tmpfs", 0, NULL), 0);
	assert_int_equal(umount2(mounted, MNT_DETACH), 0);
	world_prepare(&b);
	setenv("OUA_CGROUP", there, 1);
	assert_true(take_sample(frozen_point, LONG_LIMIT, &b, &sample));
	assert_true(sample.frozen);
	assert_int_equal(access(mount_point, F_OK), -1);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	setenv("OUA_FAULT_RUN", "for p in $(pgrep -P $PPID); do [ $p = $$ ] || kill -9 $p; done; false", 1);
	assert_int_not_equal(helper(frozen_point, NULL, "apply", &b), 0);
	unsetenv("OUA_FAULT_RUN");
	assert_false(moves_within(BUSY, 300));
	assert_int_equal(helper(0, NULL, "recover", NULL), 4);
	assert_int_equal(access(mount_point, F_OK), -1);
	/* The watchdog by itself. */
	assert_int_not_equal(helper(frozen_point, NULL, "apply", &b), 0);
	wait_for_watchdog();
	assert_int_equal(access(mount_point, F_OK), -1);
	assert_int_equal(helper(0, NULL, "recover", NULL), 4);
	assert_int_equal(mount_again(state), 0);
	assert_all_run();
}

/* The last test, as there is no way back: names of cgroups are other ones from here. */
static void freezes_nothing_in_a_cgroup_namespace(void **state)
{
	_cleanup_(builder_deinit) struct builder b;

	need_cgroups();
	world_prepare(&b);
	assert_int_equal(unshare(CLONE_NEWCGROUP), 0);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_int_equal(frozen_us(), 0);
	assert_non_null(strstr(fixture_output, "which cgroup is whose"));
	assert_all_run();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stand_still_while_files_are_exchanged),
		cmocka_unit_test(go_on_if_that_is_wanted),
		cmocka_unit_test(refuses_what_is_no_limit),
		cmocka_unit_test(a_killed_helper_leaves_nobody_frozen),
		cmocka_unit_test(the_next_helper_thaws),
		cmocka_unit_test(never_longer_than_the_limit),
		cmocka_unit_test(does_not_wait_for_what_cannot_be_frozen),
		cmocka_unit_test(stand_still_while_files_go_back),
		cmocka_unit_test(freezes_nothing_without_a_list),
		cmocka_unit_test(a_forged_list_harms_nothing),
		cmocka_unit_test_teardown(mounts_what_nobody_has_mounted, mount_again),
		cmocka_unit_test(freezes_nothing_in_a_cgroup_namespace),
	};
	int status;

	if (world_is_sampler(argc, argv, &status))
		return status;
	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
