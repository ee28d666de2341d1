/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/io.h"
#include "base/sha256.h"
#include "tests/unit/test.h"

static char directory[] = "/tmp/ouassister-test-io-XXXXXX";

static int setup(void **state)
{
	return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state)
{
	assert_ok(io_remove_tree(directory));
	return access(directory, F_OK) == 0 ? -1 : 0;
}

static char *in_directory(const char *name)
{
	char *path = string_format("%s/%s", directory, name);

	assert_non_null(path);
	return path;
}

static void replaces_atomically_with_the_mode(void **state)
{
	_cleanup_(free_ptr) char *path = in_directory("file");
	_cleanup_(free_ptr) char *text = NULL;
	struct stat st;
	size_t size;

	assert_ok(io_replace_file(path, "one", 3, 0644));
	assert_ok(io_replace_file(path, "two!", 4, 0600));
	assert_ok(io_read_file(path, 100, &text, &size));
	assert_int_equal(size, 4);
	assert_string_equal(text, "two!");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void a_file_over_the_limit_is_refused(void **state)
{
	_cleanup_(free_ptr) char *path = in_directory("large");
	char *text = NULL;

	assert_ok(io_replace_file(path, "0123456789", 10, 0600));
	assert_error(io_read_file(path, 9, &text, NULL), ERROR_FORMAT);
	assert_null(text);
	assert_error(io_read_file("/nonexistent/x", 9, &text, NULL), ERROR_NOT_FOUND);
}

/* Opening a fifo would wait for a writer, and /dev/zero never ends. */
static void what_is_no_ordinary_file_is_refused(void **state)
{
	_cleanup_(free_ptr) char *fifo = in_directory("fifo");
	const char *const cases[] = {fifo, "/dev/zero", "/dev/null", directory};
	char *text = NULL;

	assert_int_equal(mkfifo(fifo, 0600), 0);
	alarm(20);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_error(io_read_file(cases[i], 100, &text, NULL), ERROR_FORMAT);
	alarm(0);
	assert_null(text);
	assert_ok(io_read_file("/proc/self/stat", 4096, &text, NULL));
	free(text);
}

static void makes_and_removes_trees(void **state)
{
	_cleanup_(free_ptr) char *deep = in_directory("a/b/c");
	_cleanup_(free_ptr) char *top = in_directory("a");
	_cleanup_(free_ptr) char *link = in_directory("a/b/outside");
	_cleanup_(free_ptr) char *outside = in_directory("outside");

	assert_ok(io_mkdirs(deep, 0700));
	assert_ok(io_mkdirs(deep, 0700));
	assert_ok(io_replace_file(outside, "x", 1, 0600));
	assert_int_equal(symlink("../../outside", link), 0);
	assert_ok(io_remove_tree(top));
	assert_int_equal(access(top, F_OK), -1);
	assert_int_equal(access(outside, F_OK), 0);
}

static void symlinks_stay_inside_the_root(void **state)
{
	_cleanup_(free_ptr) char *root = in_directory("root");
	_cleanup_(free_ptr) char *etc = in_directory("root/etc");
	_cleanup_(free_ptr) char *link = in_directory("root/passwd");
	_cleanup_(free_ptr) char *up = in_directory("root/up");
	_cleanup_(free_ptr) char *inside = in_directory("root/etc/passwd");
	_cleanup_(free_ptr) char *fifo = in_directory("root/fifo");
	_cleanup_(free_ptr) char *text = NULL;
	_cleanup_(close_fd) int fd = -1;

	assert_ok(io_mkdirs(etc, 0700));
	assert_ok(io_replace_file(inside, "guest", 5, 0600));
	assert_int_equal(symlink("/etc/passwd", link), 0);
	assert_int_equal(symlink("../../../../../etc/shadow", up), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	fd = open(root, O_PATH | O_DIRECTORY);
	assert_true(fd >= 0);
	assert_ok(io_read_in_root(fd, "/passwd", 100, &text, NULL));
	assert_string_equal(text, "guest");
	free(take_ptr(text));
	assert_error(io_read_in_root(fd, "up", 1 << 20, &text, NULL), ERROR_NOT_FOUND);
	assert_error(io_read_in_root(fd, "fifo", 100, &text, NULL), ERROR_FORMAT);
	assert_error(io_read_in_root(fd, "etc", 100, &text, NULL), ERROR_FORMAT);
}

/* The kernel gives such a walk up, with EAGAIN, when anything on the host was renamed meanwhile. */
static void a_busy_host_makes_no_open_fail(void **state)
{
	_cleanup_(free_ptr) char *from = in_directory("from"), *to = in_directory("to"), *link = in_directory("up");
	_cleanup_(free_ptr) char *deep = in_directory("deep"), *busy = NULL;
	_cleanup_(close_fd) int root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	pid_t pid;

	assert_ok(io_mkdirs(deep, 0700));
	assert_ok(io_replace_file(from, "x", 1, 0600));
	busy = string_format("%s/file", deep);
	assert_ok(io_replace_file(busy, "y", 1, 0600));
	assert_int_equal(symlink("deep/../deep/../deep/../deep/../deep/file", link), 0);
	pid = fork();
	while (pid == 0) {
		if (rename(from, to) < 0 || rename(to, from) < 0 || getppid() == 1)
			_exit(1);
	}
	for (int i = 0; i < 20000; i++) {
		_cleanup_(close_fd) int fd = -1;

		assert_ok(io_open_in_root(root, "up", O_RDONLY, &fd));
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* FIPS 180-4's own example. */
static void sha256_of_a_known_text(void **state)
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();
	uint8_t digest[SHA256_SIZE], again[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	sha256_update(hash, "abc", 3);
	sha256_final(hash, digest);
	sha256_to_hex(digest, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_true(sha256_from_hex(hex, again));
	assert_memory_equal(digest, again, SHA256_SIZE);
	hex[3] = 'G';
	assert_false(sha256_from_hex(hex, again));
	assert_false(sha256_from_hex("ba78", again));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_ordinary_file_is_refused),
		cmocka_unit_test(replaces_atomically_with_the_mode),
		cmocka_unit_test(a_file_over_the_limit_is_refused),
		cmocka_unit_test(makes_and_removes_trees),
		cmocka_unit_test(symlinks_stay_inside_the_root),
		cmocka_unit_test(a_busy_host_makes_no_open_fail),
		cmocka_unit_test(sha256_of_a_known_text),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
