/* SPDX-License-Identifier: Apache-2.0 */
/* disk_metadata() of an image without a disk that is open. */
#ifndef DISK_METADATA_H
#define DISK_METADATA_H

#include "disk/disk.h"

/* Of the file system in `size` bytes from `start` on of a raw image, by this process itself. */
struct error *metadata_ranges(int fd, uint64_t start, uint64_t size, const struct disk_inode *inodes, size_t n,
			      struct disk_range **ret, size_t *ret_n) _must_check_;

#endif
