/* SPDX-License-Identifier: Apache-2.0 */
#include "update/preseed.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/progress.h"
#include "update/apt.h"

/* debconf has some thousand questions; each answer is a line. */
#define FILE_MAX (1024 * 1024)

/* A fifo or a device would make us wait, or never end. */
static struct error *open_file(const char *path, int *ret)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_recode(error_system(errno, path, "cannot open the answers for debconf"), ERROR_USAGE);
	if (!S_ISREG(st.st_mode))
		return error_create(ERROR_USAGE, "%s: the answers for debconf are in no ordinary file", path);
	if (st.st_size > FILE_MAX)
		return error_create(ERROR_USAGE, "%s: %llu bytes are no answers for debconf, %d are the most", path,
				    (unsigned long long)st.st_size, FILE_MAX);
	*ret = take_fd(fd);
	return NULL;
}

struct error *preseed_check(const char *path)
{
	_cleanup_(close_fd) int fd = -1;

	return path ? open_file(path, &fd) : NULL;
}

struct error *preseed(const struct package_run *run)
{
	const char *path = run->options->preseed ? run->options->preseed : run->file->preseed;
	static const char *const argv[] = {"debconf-set-selections", NULL};
	_cleanup_(close_fd) int fd = -1;
	_cleanup_(free_ptr) char *output = NULL;
	struct shadow_run_options options = {.argv = argv, .env = apt_environment, .timeout_s = 600};
	struct error *error;
	int status;

	if (!path)
		return NULL;
	error = open_file(path, &fd);
	if (error)
		return error;
	progress_step("preseed", "giving debconf its answers");
	options.stdin_fd = fd;
	error = shadow_capture(run->shadow, &options, &status, &output);
	if (error)
		return error_wrap(error, "debconf-set-selections");
	if (status == 127)
		return error_create(ERROR_UNSUPPORTED, "the guest has no debconf that could be given answers");
	/* It goes on after a line it does not understand, and says so. */
	if (status != 0 || !strncmp(output, "error: ", 7) || strstr(output, "\nerror: "))
		return error_create(ERROR_USAGE, "%s: debconf-set-selections: %.*s", path, (int)strcspn(output, "\n"),
				    output);
	return NULL;
}
