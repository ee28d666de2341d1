/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/arrival.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "apply/report.h"
#include "base/io.h"

static char *below(const char *root, const char *path)
{
	return string_format("%s%s", strcmp(root, "/") ? root : "", path);
}

static bool is_running(const char *path)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe));

	return n == (ssize_t)strlen(path) && !memcmp(exe, path, n);
}

struct error *arrival_settle(const char *root)
{
	_cleanup_(free_ptr) char *from = below(root, HELPER_ARRIVAL);
	_cleanup_(free_ptr) char *to = below(root, HELPER_PATH);
	_cleanup_(close_fd) int fd = -1;

	if (!from || !to)
		return error_no_memory();
	if (!is_running(from))
		return NULL;
	fd = open(from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	/* The one that is there may be what the next boot finishes an update with. */
	if (fd < 0 || (access(to, F_OK) == 0 && fsync(fd) < 0))
		return error_system(errno, from, "cannot make durable");
	if (rename(from, to) < 0)
		return error_system(errno, to, "cannot put the helper there");
	return NULL;
}

void arrival_forget(const char *root)
{
	_cleanup_(free_ptr) char *from = below(root, HELPER_ARRIVAL);

	if (from)
		unlink(from);
}
