/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a file is one of the live ones. Their numbers tell them apart in one file system alone, and stat(2) does not
 * say which that is: for a file of an overlay it has a number of the overlay's own making, which is another for each
 * file system below. The mount that a descriptor is on tells: its caller's table has the overlay's own number.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/io.h"
#include "shadow/answer.h"
#include "shadow/need.h"

/* A table has some kilobytes; a hostile one is bounded by the mounts that a shadow may have. */
#define TABLE_MAX (4u << 20)

/* "36 35 98:0 /root /target …": the mount, its parent, the device. */
static bool find_device(const char *table, uint64_t mount, dev_t *ret)
{
	for (const char *line = table; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		unsigned long long id;
		unsigned major, minor;

		if (sscanf(line, "%llu %*u %u:%u ", &id, &major, &minor) == 3 && id == mount) {
			*ret = makedev(major, minor);
			return true;
		}
	}
	return false;
}

/* False: it cannot be told here (statx knows mounts since Linux 5.8). */
static bool device_of(struct answer_call *call, int fd, dev_t *ret)
{
	_cleanup_(close_fd) int table_fd = -1;
	_cleanup_(free_ptr) char *table = NULL;
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0 || !(stx.stx_mask & STATX_MNT_ID))
		return false;
	table_fd = answer_open_proc(call, "mountinfo", O_RDONLY);
	if (table_fd < 0)
		return false;
	error_destroy(io_read_all(table_fd, TABLE_MAX, "mountinfo", &table, NULL));
	return table && find_device(table, stx.stx_mnt_id, ret);
}

/* The disk's mount that the overlay is for; NULL: it is none of ours. */
static const char *mount_of(const struct shadow *shadow, dev_t device)
{
	for (size_t i = 0; i < shadow->n_layers; i++)
		if (shadow->layers[i].overlay == device)
			return shadow->layers[i].target;
	return NULL;
}

const struct shadow_live_file *answer_live(struct answer_call *call, int fd, const char *name)
{
	const struct shadow_live_file *file;
	const char *mount;
	struct stat st;
	dev_t device;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	file = live_find(call->shadow, name, st.st_ino, NULL);
	if (!file || !device_of(call, fd, &device))
		return file;
	mount = mount_of(call->shadow, device);
	return mount ? live_find(call->shadow, name, st.st_ino, mount) : NULL;
}
