/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs are started all the time while the C library and its loader are exchanged: none has one of each, with the
 * freezer of either version of cgroups (freezer_world.h).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "fixture.h"
#include "freezer_world.h"

/* Of the points between freeze and thaw the last one: before the second of two files is exchanged; and on the way back.
 */
static unsigned frozen_point, frozen_back_point;

static void find_points(void)
{
	for (unsigned fault = 1;; fault++) {
		_cleanup_(builder_deinit) struct builder b;
		struct sample there = {}, back = {};
		bool any;

		world_prepare(&b);
		any = take_sample(fault, LONG_LIMIT, &b, &there);
		any = take_sample_back(fault, &back) || any;
		if (there.frozen)
			frozen_point = fault;
		if (back.frozen)
			frozen_back_point = fault;
		if (!any)
			break;
	}
	assert_int_not_equal(frozen_point, 0);
	assert_int_not_equal(frozen_back_point, 0);
}

#define LOADER  "usr/lib/ld-linux-x86-64.so.2"
#define LIBRARY "usr/lib/libc.so.6"
#define STARTS  FIXTURE_SPACE "/starts"

enum {
	OLD,
	NEW,
	MIXED,
	FAILED,
	STOP,
	OLD_LOADER = 8,
	OLD_LIBRARY
};

/* The same with one byte more, which nobody looks at. */
static void add_longer(struct builder *b, const char *path)
{
	_cleanup_(free_ptr) char *full = string_format("%s/%s", FIXTURE_ROOT, path);
	_cleanup_(free_ptr) char *content = NULL;
	size_t size;

	assert_ok(io_read_file(full, 16 << 20, &content, &size));
	/* io_read_file() has put a NUL behind it. */
	builder_content(builder_add(b, CHANGE_WRITE, path, S_IFREG | 0755), content, size + 1);
}

static uint64_t inode_of(const char *path)
{
	struct stat s;

	assert_int_equal(stat(path, &s), 0);
	return s.st_ino;
}

static volatile uint64_t *prepare_library(struct builder *b)
{
	volatile uint64_t *starts;
	int fd;

	fixture_copy();
	shell("mkdir %s/run && cd %s && cp -L --remove-destination /lib64/ld-linux-x86-64.so.2 " LOADER
	      " && cp -L --remove-destination \"$(ldd /bin/sh | sed -n 's/.*libc.so.6 => \\([^ "
	      "]*\\).*/\\1/p')\" " LIBRARY,
	      FIXTURE_ROOT, FIXTURE_ROOT);
	builder_init(b, FIXTURE_ROOT);
	add_longer(b, LOADER);
	add_longer(b, LIBRARY);
	builder_write(b, FIXTURE_PAYLOAD);
	fd = open(STARTS, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 4096), 0);
	starts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(starts, MAP_FAILED);
	close(fd);
	starts[OLD_LOADER] = inode_of(FIXTURE_ROOT "/" LOADER);
	starts[OLD_LIBRARY] = inode_of(FIXTURE_ROOT "/" LIBRARY);
	return starts;
}

/* Until it is told to stop: killed, it would leave a program behind that counts in the next round. */
_Noreturn static void start_again_and_again(volatile uint64_t *starts)
{
	char *started = getenv("STARTED");

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!starts[STOP]) {
		int status = 0;
		pid_t pid = vfork();

		if (pid == 0) {
			execl(started, started, STARTS, NULL);
			_exit(127);
		}
		if (waitpid(pid, &status, 0) != pid || status != 0)
			starts[FAILED]++;
	}
	_exit(0);
}

static void wait_for_starts(volatile uint64_t *starts, unsigned which)
{
	uint64_t before = starts[which];

	for (unsigned i = 0; i < 2000 && starts[which] < before + 50; i++)
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	if (starts[which] < before + 50)
		fail_msg("starts: %llu old, %llu new, %llu mixed, %llu failed", (unsigned long long)starts[OLD],
			 (unsigned long long)starts[NEW], (unsigned long long)starts[MIXED],
			 (unsigned long long)starts[FAILED]);
}

/* One apply, and one rollback, that rest between loader and library while programs are started. */
static void exchange_library(const char *limit, uint64_t *mixed)
{
	const char *options[] = {"--freeze", limit, NULL};
	_cleanup_(builder_deinit) struct builder b;
	volatile uint64_t *starts = prepare_library(&b);
	pid_t pid = fork();

	if (pid == 0)
		start_again_and_again(starts);
	world_move(BUSY, pid);
	wait_for_starts(starts, OLD);
	setenv("OUA_FAULT_RUN", "sleep 0.05", 1);
	assert_int_equal(helper_with(frozen_point, NULL, "apply", &b, options), 0);
	wait_for_starts(starts, NEW);
	assert_int_equal(helper_with(frozen_back_point, NULL, "rollback", NULL, options), 4);
	unsetenv("OUA_FAULT_RUN");
	wait_for_starts(starts, OLD);
	starts[STOP] = 1;
	waitpid(pid, NULL, 0);
	if (!strcmp(limit, "0"))
		print_message("without the freezer %llu programs saw one of each\n", (unsigned long long)starts[MIXED]);
	else if (starts[MIXED])
		print_message("%s", fixture_output);
	*mixed += starts[MIXED];
	assert_int_equal(starts[FAILED], 0);
	munmap((void *)starts, 4096);
}

static void no_program_sees_half_a_library(void **state)
{
	uint64_t mixed = 0;

	need_cgroups();
	if (access("/lib64/ld-linux-x86-64.so.2", F_OK) < 0) {
		print_message("skipped: another architecture\n");
		skip();
	}
	find_points();
	for (unsigned i = 0; i < 5; i++)
		exchange_library(LONG_LIMIT, &mixed);
	assert_int_equal(mixed, 0);
	/* It can happen. */
	exchange_library("0", &mixed);
	assert_int_not_equal(mixed, 0);
	assert_all_run();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_program_sees_half_a_library),
	};
	int status;

	if (world_is_sampler(argc, argv, &status))
		return status;
	return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
