/* SPDX-License-Identifier: Apache-2.0 */
/* disk_metadata() of an image without a disk that is open. */
#ifndef DISK_METADATA_H
#define DISK_METADATA_H

#include "disk/disk.h"

/* Of the file system that begins at byte `start` of the raw image. */
struct error *metadata_ranges(const char *image, uint64_t start, const struct disk_inode *inodes, size_t n,
			      struct disk_range **ret, size_t *ret_n) _must_check_;

#endif
