/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is inside a dynamic loader, of 64 and of 32 bits: real processes whose loader (stand_still.c) never ends. And
 * which names are loaders. $DIRECTORY has the programs.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "apply/loading.h"
#include "apply/order.h"
#include "base/io.h"
#include "tests/unit/test.h"

/* Of order_loaders(), which nobody calls here. */
const struct change *entry_change(const struct transaction *t, uint32_t entry)
{
	return &t->payload.entries[entry].change;
}

static uint64_t inode_of(const char *name)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", getenv("DIRECTORY"), name);
	struct stat s;

	assert_int_equal(stat(path, &s), 0);
	return s.st_ino;
}

/* Started, and in its loader; 0 if this kernel does not run such programs. */
static pid_t start(const char *name)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", getenv("DIRECTORY"), name);
	_cleanup_(free_ptr) char *syscall_path = NULL;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(path, path, NULL);
		_exit(127);
	}
	syscall_path = string_format("/proc/%d/syscall", pid);
	for (unsigned i = 0; i < 2000; i++) {
		_cleanup_(free_ptr) char *text = NULL, *exe = string_format("/proc/%d/exe", pid);
		char target[4096] = "";
		int status;

		if (waitpid(pid, &status, WNOHANG) == pid)
			return 0;
		assert_ok(io_read_file(syscall_path, 4096, &text, NULL));
		if (readlink(exe, target, sizeof(target) - 1) > 0 && !strcmp(target, path) &&
		    strtol(text, NULL, 10) == (strstr(name, "32") ? 29 : 34))
			return pid;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	fail_msg("%s does not wait in its loader", name);
	return 0;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void sees_who_is_in(const char *program, const char *loader, const char *other)
{
	const uint64_t wanted = inode_of(loader), others = inode_of(other), both[] = {others, wanted};
	const struct freezable nothing = {};
	pid_t pid;

	need_root();
	assert_false(loading_anyone(&nothing, &wanted, 1));
	pid = start(program);
	if (!pid) {
		print_message("skipped: this kernel does not run %s\n", program);
		skip();
	}
	assert_true(loading_anyone(&nothing, &wanted, 1));
	assert_true(loading_anyone(&nothing, both, 2));
	assert_false(loading_anyone(&nothing, &others, 1));
	end(pid);
	assert_false(loading_anyone(&nothing, &wanted, 1));
}

static void of_64_bits(void **state)
{
	sees_who_is_in("program64", "loader64", "loader32");
}

static void of_32_bits(void **state)
{
	sees_who_is_in("program32", "loader32", "loader64");
}

/* One that has no loader is in none, wherever it stands. */
static void without_a_loader(void **state)
{
	static const char *const programs[] = {"static64", "static32"};
	const uint64_t wanted[] = {inode_of("static64"), inode_of("static32")};
	const struct freezable nothing = {};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		pid_t pid = start(programs[i]);

		if (!pid)
			continue;
		assert_false(loading_anyone(&nothing, wanted, 2));
		end(pid);
	}
}

static void knows_loaders_by_name(void **state)
{
	static const char *const loaders[] = {
		"usr/lib64/ld-linux-x86-64.so.2",
		"usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
		"usr/lib32/ld-linux.so.2",
		"usr/lib/i386-linux-gnu/ld-linux.so.2",
		"lib/i386-linux-gnu/ld-2.31.so",
		"usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1",
		"usr/lib/arm-linux-gnueabihf/ld-linux-armhf.so.3",
		"usr/lib/riscv64-linux-gnu/ld-linux-riscv64-lp64d.so.1",
		"usr/lib/powerpc64le-linux-gnu/ld64.so.2",
		"usr/lib/mips64el-linux-gnuabi64/ld.so.1",
	};
	static const char *const others[] = {
		"usr/lib/ld-musl-x86_64.so.1",
		"usr/lib/x86_64-linux-musl/libc.so",
		"usr/lib/x86_64-linux-gnu/libc.so.6",
		"usr/bin/ld",
		"usr/bin/ld.so",
		"etc/ld.so.conf",
		"etc/ld.so.cache",
		"usr/lib/ld-linux/file",
		"ld-linux",
	};

	for (size_t i = 0; i < ARRAY_SIZE(loaders); i++)
		if (!order_is_loader(loaders[i]))
			fail_msg("%s is a loader", loaders[i]);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (order_is_loader(others[i]))
			fail_msg("%s is no loader", others[i]);
}

static void exchanges_a_c_library_in_one_pass(void **state)
{
	static const char *const together[] = {
		"usr/lib/i386-linux-gnu/ld-linux.so.2",
		"usr/lib/i386-linux-gnu/libc.so.6",
		"lib/ld-musl-aarch64.so.1",
		"lib/x86_64-linux-gnu/ld-2.31.so",
		"lib/x86_64-linux-gnu/libc-2.31.so",
		"lib/x86_64-linux-gnu/libpthread-2.31.so",
		"usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(together); i++) {
		struct change change = {.kind = CHANGE_WRITE, .path = (char *)together[i], .before.exists = true};

		assert_int_equal(order_pass(&change), PASS_C_LIBRARY);
		change.before.exists = false;
		assert_int_equal(order_pass(&change), PASS_MOST);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_64_bits),
		cmocka_unit_test(of_32_bits),
		cmocka_unit_test(without_a_loader),
		cmocka_unit_test(knows_loaders_by_name),
		cmocka_unit_test(exchanges_a_c_library_in_one_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
