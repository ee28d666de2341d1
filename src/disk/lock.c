/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/lock.h"

#include <fcntl.h>

/* Permissions a reader cannot live with: BLK_PERM_WRITE and BLK_PERM_RESIZE, as bit numbers. */
static const int unshared[] = {1, 3};

#define USED_BASE     100
#define UNSHARED_BASE 200

static struct flock one_byte(short type, int offset)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = offset, .l_len = 1};
}

static struct error *busy(const char *path)
{
	struct error *error = error_create(ERROR_BUSY, "%s: another process has the disk image open for writing", path);

	return error_remedy(error, "suspend the VM, or end what uses the image, first");
}

/* First say what we do not share, then look who uses it: of two that start at once, one at least sees the other. */
struct error *lock_image(const char *path, int *ret_fd)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_system(errno, path, "open disk image");
	for (size_t i = 0; i < ARRAY_SIZE(unshared); i++) {
		struct flock lock = one_byte(F_RDLCK, UNSHARED_BASE + unshared[i]);

		if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
			return errno == EAGAIN || errno == EACCES ? busy(path)
								  : error_system(errno, path, "lock disk image");
	}
	for (size_t i = 0; i < ARRAY_SIZE(unshared); i++) {
		struct flock lock = one_byte(F_WRLCK, USED_BASE + unshared[i]);

		if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
			return error_system(errno, path, "look for locks on disk image");
		if (lock.l_type != F_UNLCK)
			return busy(path);
	}
	*ret_fd = take_fd(fd);
	return NULL;
}
