/* SPDX-License-Identifier: Apache-2.0 */
/* What a path of the caller names. */
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/answer.h"

bool answer_path_of(int fd, char ret[PATH_MAX])
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, ret, PATH_MAX - 1);
	if (n <= 0 || ret[0] != '/')
		return false;
	ret[n] = '\0';
	/* Files of the kernel's own mounts look like paths. */
	return strncmp(ret, "/memfd:", 7) != 0 && strncmp(ret, "/SYSV", 5) != 0 &&
	       strcmp(ret, "/dev/zero (deleted)") != 0;
}

/* The directory that a relative path begins at. */
static int open_base(struct answer_call *call, int directory)
{
	char name[32] = "cwd";

	if (directory != AT_FDCWD)
		snprintf(name, sizeof(name), "fd/%d", directory);
	return answer_open_proc(call, name, O_PATH | O_DIRECTORY);
}

/* Links are the guest's, and lead where they would lead it; never to what we could reach ourselves. */
static int open_below(int root, const char *path, int flags)
{
	path += strspn(path, "/");
	return io_openat2(root, path[0] ? path : ".", O_PATH | flags,
			  DEFENCE("caller's root") ? RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS : 0);
}

static bool is_below_proc(const char *path)
{
	return strncmp(path + strspn(path, "/"), "proc/", 5) == 0;
}

static int open_path(struct answer_call *call, int directory, const char *path, int flags, bool with_proc)
{
	_cleanup_(close_fd) int root = answer_open_proc(call, "root", O_PATH | O_DIRECTORY), base = -1;
	char base_path[PATH_MAX], root_path[PATH_MAX];
	_cleanup_(free_ptr) char *whole = NULL;

	if (root < 0 || !path[0])
		return -1;
	if (path[0] == '/')
		return with_proc || !is_below_proc(path) ? open_below(root, path, flags) : -1;
	/* A directory that is not below the caller's root is left to the kernel. */
	base = open_base(call, directory);
	if (base < 0 || !answer_path_of(base, base_path) || !answer_path_of(root, root_path) ||
	    !guest_path_below(base_path, root_path))
		return -1;
	whole = string_format("%s/%s", root_path[1] ? base_path + strlen(root_path) : base_path, path);
	return whole && (with_proc || !is_below_proc(whole)) ? open_below(root, whole, flags) : -1;
}

int answer_open_path(struct answer_call *call, int directory, const char *path)
{
	return open_path(call, directory, path, 0, true);
}

int answer_look_path(struct answer_call *call, int directory, const char *path, int flags)
{
	return open_path(call, directory, path, flags, false);
}

int answer_look_device(struct answer_call *call, const char *path)
{
	_cleanup_(close_fd) int root = answer_open_proc(call, "root", O_PATH | O_DIRECTORY), dev = -1;
	const char *name = path + strlen("/dev/");

	name += strspn(name, "/");
	if (root < 0 || !name[0])
		return -1;
	dev = io_openat2(root, "dev", O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
	return dev < 0 ? -1 : io_openat2(dev, name, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}
