/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/disk/fixture.h"

#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "base/process.h"
#include "base/sha256.h"

static char directory[] = "/tmp/disk-test.XXXXXX";

int fixture_setup(void **state)
{
	return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

int fixture_teardown(void **state)
{
	struct error *error;

	if (chdir("/") < 0)
		return -1;
	error = io_remove_tree(directory);
	error_destroy(error);
	return error ? -1 : 0;
}

static struct process_result run(const char *script)
{
	const char *argv[] = {"sh", "-ec", script, NULL};
	struct process_result result = {0};

	assert_ok(process_run(&(struct process_options){.argv = argv}, 60000, &result));
	if (result.status)
		fail_msg("%s: status %d: %s", script, result.status, result.errors);
	return result;
}

void shell(const char *format, ...)
{
	struct process_result result;
	va_list arguments;
	char *script;

	va_start(arguments, format);
	assert_true(vasprintf(&script, format, arguments) > 0);
	va_end(arguments);
	result = run(script);
	process_result_deinit(&result);
	free(script);
}

char *digest_of(const char *files)
{
	_cleanup_(free_ptr) char *names = strdup(files);
	char *digests = strdup(""), *rest = names, *name;

	while ((name = strsep(&rest, " "))) {
		_cleanup_(close_fd) int fd = open(name, O_RDONLY | O_CLOEXEC);
		uint8_t digest[SHA256_SIZE];
		char hex[SHA256_HEX_SIZE];
		char *longer;

		assert_ok(sha256_fd(fd, name, digest));
		sha256_to_hex(digest, hex);
		longer = string_format("%s%s %s\n", digests, name, hex);
		free(digests);
		digests = longer;
	}
	return digests;
}

/* How many of the files that match hold the directory's name. The own process, and a zombie, have no say. */
static int count_matches(const char *pattern)
{
	_cleanup_(free_ptr) char *self = string_format("/proc/%d/cmdline", (int)getpid());
	glob_t paths = {0};
	int n = 0;

	if (glob(pattern, 0, NULL, &paths) == 0) {
		for (size_t i = 0; i < paths.gl_pathc; i++) {
			_cleanup_(free_ptr) char *text = NULL;
			size_t size = 0;

			/* what has ended in between is no leftover */
			error_destroy(io_read_file(paths.gl_pathv[i], 1 << 20, &text, &size));
			if (text && strcmp(paths.gl_pathv[i], self) != 0 &&
			    memmem(text, size, directory, strlen(directory))) {
				n++;
				print_message("# left: %s: %.*s\n", paths.gl_pathv[i], (int)size, text);
			}
		}
	}
	globfree(&paths);
	return n;
}

int count_leftovers(void)
{
	return count_matches("/sys/block/loop*/loop/backing_file") + count_matches("/proc/[0-9]*/cmdline");
}
