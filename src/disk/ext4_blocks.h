/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Free blocks of an ext4 file system that is open in libext2fs. The library would read the bitmaps of the whole disk
 * first; here only those of the groups that blocks are taken from are read.
 */
#ifndef DISK_EXT4_BLOCKS_H
#define DISK_EXT4_BLOCKS_H

#include <et/com_err.h>
#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

#include "base/error.h"

struct ext4_blocks;

/* From now on `fs` takes and gives back its blocks here. `fs` is borrowed, its priv_data used. */
struct error *ext4_blocks_create(ext2_filsys fs, struct ext4_blocks **ret) _must_check_;

/* Writes the bitmaps that changed. The group descriptors are written when `fs` is closed. */
errcode_t ext4_blocks_write(struct ext4_blocks *blocks);

void ext4_blocks_destroy(struct ext4_blocks *blocks);
DEFINE_CLEANUP(struct ext4_blocks *, ext4_blocks_destroy)

#endif
