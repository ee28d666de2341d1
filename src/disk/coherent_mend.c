/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file system in the middle of its work has otherwise than one that was cut off.
 *
 * Checksums of blocks that were being changed at the suspend: the change comes first, the checksum last. Looked at only
 * where a change was in progress, and only in blocks that memory had; of the file system's own tables, for the owner of
 * another block cannot be told from it.
 */
#include <stdlib.h>

#include "base/array.h"
#include "disk/coherent_private.h"

/* Bytes of an orphan file: mke2fs makes it of 32 to 512 blocks. What claims more keeps us busy, and no guest. */
#define ORPHAN_FILE_MAX (8u << 20)

static bool is_laid(const struct builder *builder, uint64_t block)
{
	return builder->n_laid &&
	       bsearch(&block, builder->laid, builder->n_laid, sizeof(*builder->laid), array_compare_u64);
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
	uint32_t unused = ext2fs_bg_itable_unused(fs, group);
	uint32_t used = unused < fs->super->s_inodes_per_group ? fs->super->s_inodes_per_group - unused : 0;
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

/*
 * Into the list of inodes that e2fsck clears (those without a name) or cuts to their size (the others), in no order:
 * each has the next one where the time of its deletion will be.
 */
static errcode_t list_orphan(ext2_filsys fs, ext2_ino_t ino)
{
	struct ext2_inode inode;
	errcode_t code;

	if (ino > fs->super->s_inodes_count || ino < EXT2_FIRST_INODE(fs->super))
		return 0;
	code = ext2fs_read_inode(fs, ino, &inode);
	if (code || inode.i_mode == 0)
		return code;
	inode.i_dtime = fs->super->s_last_orphan;
	fs->super->s_last_orphan = ino;
	return ext2fs_write_inode(fs, ino, &inode);
}

/* Without a journal nothing lists the files that are open without a name. */
static errcode_t list_nameless(struct builder *builder)
{
	errcode_t code = 0;

	for (size_t i = 0; !code && i < builder->n_nameless; i++) {
		ext2_ino_t ino = builder->nameless[i];
		struct ext2_inode inode = {.i_links_count = 1};

		if (ino >= 1 && ino <= builder->fs->super->s_inodes_count)
			code = ext2fs_read_inode(builder->fs, ino, &inode);
		if (!code && inode.i_links_count == 0 && inode.i_dtime == 0)
			code = list_orphan(builder->fs, ino);
	}
	return code;
}

/* The entries of builder->block, a block of the orphan file at `place`, go to the list. */
static errcode_t empty_orphan_block(struct builder *builder, const struct ext2_inode *inode, blk64_t place)
{
	ext2_filsys fs = builder->fs;
	uint32_t *entries = (uint32_t *)builder->block;
	errcode_t code = io_channel_read_blk64(fs->io, place, 1, builder->block);

	for (int i = 0; !code && i < ext2fs_inodes_per_orphan_block(fs); i++) {
		ext2_ino_t ino = entries[i];

		entries[i] = 0;
		if (ino)
			code = list_orphan(fs, ino);
	}
	if (code)
		return code;
	ext2fs_orphan_block_tail(fs, (char *)builder->block)->ob_checksum = ext2fs_do_orphan_file_block_csum(
		fs, fs->super->s_orphan_file_inum, inode->i_generation, place, (char *)builder->block);
	return io_channel_write_blk64(fs->io, place, 1, builder->block);
}

/*
 * e2fsck 1.47 does not look into the orphan file when it only replays, and no kernel mounts a file system read-only
 * with something in it. Nor have its blocks checksums before they go to the journal (a trigger of jbd2).
 */
static errcode_t empty_orphan_file(struct builder *builder)
{
	ext2_filsys fs = builder->fs;
	ext2_ino_t ino = fs->super->s_orphan_file_inum;
	struct ext2_inode inode;
	errcode_t code = ext2fs_read_inode(fs, ino, &inode);

	if (!code && EXT2_I_SIZE(&inode) > ORPHAN_FILE_MAX)
		return EXT2_ET_FILE_TOO_BIG;
	for (blk64_t i = 0; !code && i < EXT2_I_SIZE(&inode) / fs->blocksize; i++) {
		blk64_t place;

		code = ext2fs_bmap2(fs, ino, &inode, NULL, 0, i, NULL, &place);
		if (!code && place)
			code = empty_orphan_block(builder, &inode, place);
	}
	ext2fs_clear_feature_orphan_present(fs->super);
	return code;
}

struct error *coherent_mend(struct builder *builder)
{
	struct ext2_super_block *super = builder->fs->super;
	errcode_t code = 0;

	if (builder->n_laid)
		qsort(builder->laid, builder->n_laid, sizeof(*builder->laid), array_compare_u64);
	if (!ext2fs_has_feature_journal(super))
		code = list_nameless(builder);
	if (!code && ext2fs_has_feature_orphan_file(super))
		code = empty_orphan_file(builder);
	if (code || !builder->newer.open_changes || !ext2fs_has_feature_metadata_csum(super))
		return coherent_error(builder, code, "files without a name");
	for (dgrp_t i = 0; !code && i < builder->fs->group_desc_count; i++) {
		code = mend_bitmaps(builder, i);
		if (!code)
			code = mend_inodes(builder, i);
	}
	ext2fs_mark_super_dirty(builder->fs);
	return coherent_error(builder, code, "checksums");
}
