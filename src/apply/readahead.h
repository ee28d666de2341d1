/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the check will wait for, asked of the disk at once: the blocks of the inodes and directories of a file system,
 * which the host has seen in the image. They come into the cache of the block device, which is that of the file
 * system's metadata. A hint and no more: blocks that have become something else are read in vain.
 */
#ifndef APPLY_READAHEAD_H
#define APPLY_READAHEAD_H

#include <stdbool.h>

/* Whether it is START+SIZE[,START+SIZE...]:TARGET, in KiB from the beginning of the file system that is at TARGET. */
bool readahead_is_valid(const char *text);
/* Returns when all is asked for, not when it has come. Where there is no block device below `root` TARGET: nothing. */
void readahead_begin(const char *root, const char *text);

#endif
