/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths as the sleeping guest's first process would follow them: over its disk, and where that is not what is mounted,
 * through its memory. Private to the room.
 */
#ifndef UPDATE_VIEW_H
#define UPDATE_VIEW_H

#include <sys/stat.h>

#include "base/error.h"
#include "base/names.h"
#include "disk/disk.h"
#include "guest/guest.h"
#include "update/sleeping.h"

struct view_file {
	char *path;         /* absolute, without links (but it may be one itself), "." and ".."; owned */
	struct stat status; /* as the guest's lstat(2); of a file in memory without times but that of its contents */
	char *link;         /* target of a symbolic link; owned; NULL: it is none */
	bool in_memory;     /* not on the disk: */
	struct guest_file memory;           /* owned */
	int fd;                             /* else O_PATH; owned; -1: none */
	const struct disk_unknown *unknown; /* why that is perhaps not what the guest sees; NULL: it is; borrowed */
};

/*
 * `path` is absolute. Links on the way are followed, and that at its end if `follow`. ERROR_NOT_FOUND: the guest has no
 * such file, or it is on a file system that neither disk nor memory tells of.
 */
struct error *view_find(const struct sleeping *sleeping, const char *path, bool follow, struct view_file *ret)
	_must_check_;
void view_file_deinit(struct view_file *file);

/* The names of a directory, sorted, without "." and "..". ERROR_UNSUPPORTED: they are made when they are read. */
struct error *view_list(const struct sleeping *sleeping, const struct view_file *directory, struct names *ret)
	_must_check_;

/*
 * Reads at most `size` bytes of a regular file at `offset`; less only at its end. ERROR_NOT_FOUND: what the guest sees
 * there is not known.
 */
struct error *view_read(const struct sleeping *sleeping, const struct view_file *file, uint64_t offset, void *buffer,
			size_t size, size_t *ret) _must_check_;

#endif
