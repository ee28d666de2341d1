/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checksums of blocks that were being changed at the suspend: the change comes first, the checksum last. Looked at only
 * where a change was in progress, and only in blocks that memory had; of the file system's own tables, for the owner of
 * another block cannot be told from it.
 */
#include <stdlib.h>

#include "disk/coherent_private.h"

static int compare_blocks(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool is_laid(const struct builder *builder, uint64_t block)
{
	return builder->n_laid &&
	       bsearch(&block, builder->laid, builder->n_laid, sizeof(*builder->laid), compare_blocks);
}

static errcode_t mend_bitmaps(struct builder *builder, dgrp_t group)
{
	ext2_filsys fs = builder->fs;
	int blocks_size = (int)(fs->super->s_clusters_per_group / 8),
	    inodes_size = (int)(fs->super->s_inodes_per_group / 8);
	errcode_t code = 0;

	if (is_laid(builder, ext2fs_block_bitmap_loc(fs, group)) &&
	    !ext2fs_bg_flags_test(fs, group, EXT2_BG_BLOCK_UNINIT)) {
		code = io_channel_read_blk64(fs->io, ext2fs_block_bitmap_loc(fs, group), 1, builder->block);
		if (!code)
			code = ext2fs_block_bitmap_csum_set(fs, group, (char *)builder->block, blocks_size);
	}
	if (!code && is_laid(builder, ext2fs_inode_bitmap_loc(fs, group)) &&
	    !ext2fs_bg_flags_test(fs, group, EXT2_BG_INODE_UNINIT)) {
		code = io_channel_read_blk64(fs->io, ext2fs_inode_bitmap_loc(fs, group), 1, builder->block);
		if (!code)
			code = ext2fs_inode_bitmap_csum_set(fs, group, (char *)builder->block, inodes_size);
	}
	ext2fs_group_desc_csum_set(fs, group);
	return code;
}

/* As it is, with the checksum of what it is. */
static errcode_t mend_inode(struct builder *builder, ext2_ino_t ino)
{
	ext2_filsys fs = builder->fs;
	int size = EXT2_INODE_SIZE(fs->super);
	struct ext2_inode *inode = (struct ext2_inode *)builder->block;
	errcode_t code = ext2fs_read_inode_full(fs, ino, inode, size);

	if (code != EXT2_ET_INODE_CSUM_INVALID)
		return code;
	fs->flags |= EXT2_FLAG_IGNORE_CSUM_ERRORS;
	code = ext2fs_read_inode_full(fs, ino, inode, size);
	fs->flags &= ~EXT2_FLAG_IGNORE_CSUM_ERRORS;
	return code ? code : ext2fs_write_inode_full(fs, ino, inode, size);
}

static errcode_t mend_inodes(struct builder *builder, dgrp_t group)
{
	ext2_filsys fs = builder->fs;
	uint32_t each = fs->blocksize / EXT2_INODE_SIZE(fs->super);
	uint32_t used = fs->super->s_inodes_per_group - ext2fs_bg_itable_unused(fs, group);
	errcode_t code = 0;

	for (uint32_t i = 0; !code && i < used; i++) {
		if (i % each == 0 && !is_laid(builder, ext2fs_inode_table_loc(fs, group) + i / each)) {
			i += each - 1;
			continue;
		}
		code = mend_inode(builder, group * fs->super->s_inodes_per_group + i + 1);
	}
	return code;
}

struct error *coherent_mend(struct builder *builder)
{
	errcode_t code = 0;

	if (!builder->newer.open_changes || !ext2fs_has_feature_metadata_csum(builder->fs->super))
		return NULL;
	if (builder->n_laid)
		qsort(builder->laid, builder->n_laid, sizeof(*builder->laid), compare_blocks);
	for (dgrp_t i = 0; !code && i < builder->fs->group_desc_count; i++) {
		code = mend_bitmaps(builder, i);
		if (!code)
			code = mend_inodes(builder, i);
	}
	ext2fs_mark_super_dirty(builder->fs);
	return coherent_error(builder, code, "checksums");
}
