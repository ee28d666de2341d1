/* SPDX-License-Identifier: Apache-2.0 */
/* What a function in the process without rights still has, and what comes back of it. Needs root. */
#include "disk/confined_call.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "disk/coherent.h"
#include "disk/coherent_private.h"
#include "disk/disk.h"
#include "tests/unit/disk/fixture.h"

static int setup(void **state)
{
	struct error *error = geteuid() == 0 ? disk_private_namespace() : NULL;

	error_destroy(error);
	return error ? -1 : fixture_setup(state);
}

static struct error *call(struct error *(*function)(void *, FILE *), void *context, int fd, char **ret,
			  size_t *ret_size)
{
	const struct confined_call options = {
		.directory = ".", .keep = &fd, .n_keep = 1, .function = function, .context = context};

	return confined_call(&options, ret, ret_size);
}

static struct error *say(void *context, FILE *out)
{
	fprintf(out, "%s, of %u", (const char *)context, geteuid());
	return NULL;
}

static struct error *refuse(void *context, FILE *out)
{
	fprintf(out, "half of it");
	return error_create(ERROR_CONFLICT, "it is %s", (const char *)context);
}

static void a_result_or_an_error_comes_back(void **state)
{
	_cleanup_(free_ptr) char *result = NULL;
	struct error *error;
	size_t size;

	need_root();
	assert_ok(call(say, "as it was told", -1, &result, &size));
	assert_string_equal(result, "as it was told, of 3221225475");
	assert_int_equal(size, strlen(result));
	error = call(refuse, "not so", -1, &result, &size);
	assert_non_null(error);
	assert_int_equal(error->code, ERROR_CONFLICT);
	assert_string_equal(error->message, "it is not so");
	error_destroy(error);
}

/* `context` is the one that stays. */
static struct error *count_descriptors(void *context, FILE *out)
{
	int n = 0;

	for (int fd = 3; fd < 1000; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	fprintf(out, "%d %d", n, fcntl(*(int *)context, F_GETFD) >= 0);
	return NULL;
}

static void no_other_descriptor_stays(void **state)
{
	_cleanup_(free_ptr) char *result = NULL;
	int fds[8];
	size_t size;

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_ok(call(count_descriptors, &fds[4], fds[4], &result, &size));
	/* It, and the pipe. */
	assert_string_equal(result, "2 1");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static struct error *open_a_file(void *context, FILE *out)
{
	fprintf(out, "%d", open("/etc/passwd", O_RDONLY | O_CLOEXEC));
	return NULL;
}

static struct error *make_a_socket(void *context, FILE *out)
{
	fprintf(out, "%d", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	return NULL;
}

static struct error *start_a_program(void *context, FILE *out)
{
	fprintf(out, "%d", execl("/bin/true", "true", NULL));
	return NULL;
}

static struct error *send_a_signal(void *context, FILE *out)
{
	fprintf(out, "%d", kill(getppid(), 0));
	return NULL;
}

static struct error *fork_once(void *context, FILE *out)
{
	fprintf(out, "%ld", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
	return NULL;
}

static void nothing_can_be_reached(void **state)
{
	static struct error *(*const attempts[])(void *, FILE *) = {make_a_socket, start_a_program, send_a_signal,
								    fork_once};
	_cleanup_(free_ptr) char *result = NULL;
	size_t size;

	need_root();
	assert_ok(call(open_a_file, NULL, -1, &result, &size));
	assert_string_equal(result, "-1");
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		assert_error(call(attempts[i], NULL, -1, &result, &size), ERROR_FAILED);
}

static struct error *end_badly(void *context, FILE *out)
{
	_exit(0);
}

static void who_says_nothing_has_failed(void **state)
{
	_cleanup_(free_ptr) char *result = NULL;
	size_t size;

	need_root();
	assert_error(call(end_badly, NULL, -1, &result, &size), ERROR_FAILED);
}

/* ---- What is said of an ext4 that memory was laid over ---- */

static void newer_comes_back_as_it_was(void **state)
{
	struct disk_unknown unknown[] = {{.inode = 12, .path = "/a\nb", .why = "so"}, {.inode = 13, .why = ""}};
	uint64_t inodes[] = {12, UINT64_MAX};
	const struct disk_newer newer = {.blocks = 1,
					 .files = 2,
					 .bytes = UINT64_MAX - 1,
					 .allocated = 4,
					 .compared = 5,
					 .open_changes = 6,
					 .unknown = unknown,
					 .n_unknown = 2,
					 .inodes = inodes,
					 .n_inodes = 2};
	_cleanup_(disk_newer_deinit) struct disk_newer back = {0};
	_cleanup_(free_ptr) char *bytes = NULL;
	size_t size;
	FILE *out = open_memstream(&bytes, &size);

	assert_non_null(out);
	coherent_print(&newer, out);
	fclose(out);
	assert_ok(coherent_parse(bytes, size, &back));
	assert_memory_equal(&back, &newer, offsetof(struct disk_newer, unknown));
	assert_int_equal(back.n_unknown, 2);
	assert_string_equal(back.unknown[0].path, "/a\nb");
	assert_null(back.unknown[1].path);
	assert_string_equal(back.unknown[1].why, "");
	assert_int_equal(back.n_inodes, 2);
	assert_memory_equal(back.inodes, inodes, sizeof(inodes));
	/* Each byte may be missing, or another. */
	for (size_t i = 0; i < size; i++) {
		struct disk_newer damaged = {0};

		assert_error(coherent_parse(bytes, i, &damaged), ERROR_FORMAT);
		bytes[i] = (char)~bytes[i];
		error_destroy(coherent_parse(bytes, size, &damaged));
		disk_newer_deinit(&damaged);
		bytes[i] = (char)~bytes[i];
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_result_or_an_error_comes_back), cmocka_unit_test(no_other_descriptor_stays),
		cmocka_unit_test(nothing_can_be_reached),          cmocka_unit_test(who_says_nothing_has_failed),
		cmocka_unit_test(newer_comes_back_as_it_was),
	};

	return cmocka_run_group_tests(tests, setup, fixture_teardown);
}
