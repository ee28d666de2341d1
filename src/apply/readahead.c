/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/readahead.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/io.h"

/* One request reads no more than the device reads ahead anyhow, whatever its length. */
#define STEP    (UINT64_C(128) << 10)
#define KIB_MAX (UINT64_C(1) << 50)

/* The next range; what is behind it in *text. False: there is none, or it is none. */
static bool next_range(const char **text, uint64_t *start_kib, uint64_t *size_kib)
{
	char *rest;

	if (**text < '0' || **text > '9')
		return false;
	*start_kib = strtoull(*text, &rest, 10);
	if (*rest != '+' || rest[1] < '0' || rest[1] > '9')
		return false;
	*size_kib = strtoull(rest + 1, &rest, 10);
	if ((*rest != ':' && (*rest != ',' || rest[1] < '0' || rest[1] > '9')) || *start_kib > KIB_MAX ||
	    *size_kib > KIB_MAX)
		return false;
	*text = *rest == ',' ? rest + 1 : rest;
	return true;
}

bool readahead_is_valid(const char *text)
{
	uint64_t start_kib, size_kib;
	bool any = false;

	while (next_range(&text, &start_kib, &size_kib))
		any = true;
	return any && text[0] == ':' && text[1] == '/';
}

/* Of the file system that has this directory: its block device, -1 if it has none of its own (btrfs, tmpfs). */
static int open_device(const char *directory)
{
	char path[PATH_MAX], target[PATH_MAX];
	_cleanup_(close_fd) int fd = -1;
	const char *name;
	struct stat s, device;
	ssize_t n;

	if (stat(directory, &s) < 0)
		return -1;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(s.st_dev), minor(s.st_dev));
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -1;
	target[n] = '\0';
	name = strrchr(target, '/');
	snprintf(path, sizeof(path), "/dev/%.255s", name ? name + 1 : target);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &device) < 0 || !S_ISBLK(device.st_mode) || device.st_rdev != s.st_dev)
		return -1;
	return take_fd(fd);
}

void readahead_begin(const char *root, const char *text)
{
	const char *target = strchr(text, ':');
	_cleanup_(free_ptr) char *directory =
		target ? string_format("%s%s", strcmp(root, "/") ? root : "", target + 1) : NULL;
	_cleanup_(close_fd) int fd = directory ? open_device(directory) : -1;
	uint64_t start_kib, size_kib;

	while (fd >= 0 && next_range(&text, &start_kib, &size_kib))
		for (uint64_t done = 0; done < size_kib << 10; done += STEP) {
			uint64_t left = (size_kib << 10) - done;

			(void)posix_fadvise(fd, (off_t)((start_kib << 10) + done), (off_t)(left < STEP ? left : STEP),
					    POSIX_FADV_WILLNEED);
		}
}
