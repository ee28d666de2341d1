/* SPDX-License-Identifier: Apache-2.0 */
#include "update/locked.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/io.h"

/* What is not there, or on a file system without such flags, is not locked. */
static struct error *refuse_one(int root_fd, const char *path, int flags, const char *changed)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error = io_open_in_root(root_fd, *path ? path : ".", flags | O_RDONLY | O_NOFOLLOW, &fd);
	unsigned attributes = 0;

	if (error && (error->code == ERROR_NOT_FOUND || error->errnum == ENOTDIR || error->errnum == ELOOP)) {
		error_destroy(error);
		return NULL;
	}
	if (error || ioctl(fd, FS_IOC_GETFLAGS, &attributes) < 0 || !(attributes & (FS_IMMUTABLE_FL | FS_APPEND_FL)))
		return error;
	return error_remedy(error_create(ERROR_CONFLICT,
					 "the update changes /%s, but in the guest /%s is immutable or append-only",
					 changed, path),
			    "let the guest take the mark away (chattr -i -a /%s), or leave its package as it is", path);
}

struct error *locked_refuse(int root_fd, const struct change_list *changes)
{
	_cleanup_(free_ptr) char *parent = NULL;

	for (size_t i = 0; i < changes->n; i++) {
		const struct change *change = &changes->items[i];
		const char *slash = strrchr(change->path, '/');
		size_t length = slash ? (size_t)(slash - change->path) : 0;
		mode_t type = change->before.exists ? change->before.attributes.mode & S_IFMT : 0;
		struct error *error = NULL;

		/* They come in the order of their paths: most have the parent of the one before. */
		if (!parent || strlen(parent) != length || memcmp(parent, change->path, length) != 0) {
			free(parent);
			parent = strndup(change->path, length);
			if (!parent)
				return error_no_memory();
			error = refuse_one(root_fd, parent, O_DIRECTORY, change->path);
		}
		if (!error && (S_ISREG(type) || S_ISDIR(type)))
			error = refuse_one(root_fd, change->path, S_ISDIR(type) ? O_DIRECTORY : 0, change->path);
		if (error)
			return error;
	}
	return NULL;
}
