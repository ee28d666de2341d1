/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/ext4_blocks.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The bitmap of a group: bit n is block n of the group, 1 is in use. */
struct group_bitmap {
	uint8_t *bits; /* a block; NULL: not read */
	blk64_t next;  /* where the search goes on: what lies before is in use */
	bool changed;
};

struct ext4_blocks {
	ext2_filsys fs;
	struct group_bitmap *groups; /* one a group */
	dgrp_t last;                 /* where a block was found last */
};

static bool is_used(const struct group_bitmap *bitmap, blk64_t bit)
{
	return bitmap->bits[bit / 8] >> bit % 8 & 1;
}

static void mark_used(struct group_bitmap *bitmap, blk64_t bit, bool used)
{
	uint8_t mask = (uint8_t)(1u << bit % 8);

	bitmap->bits[bit / 8] = (uint8_t)(used ? bitmap->bits[bit / 8] | mask : bitmap->bits[bit / 8] & ~mask);
	bitmap->changed = true;
	if (!used && bit < bitmap->next)
		bitmap->next = bit;
}

/* The blocks from `first` on, so far as they lie in the group. */
static void mark_range(struct ext4_blocks *blocks, dgrp_t group, blk64_t first, blk64_t n)
{
	blk64_t begin = ext2fs_group_first_block2(blocks->fs, group),
		size = ext2fs_group_blocks_count(blocks->fs, group);

	for (blk64_t block = first; first && block < first + n; block++)
		if (block >= begin && block - begin < size)
			mark_used(&blocks->groups[group], block - begin, true);
}

/* A bitmap that was never written: nothing but the group's own metadata is in use. */
static void make_bitmap(struct ext4_blocks *blocks, dgrp_t group)
{
	ext2_filsys fs = blocks->fs;
	blk64_t super, old_descriptors, new_descriptors;

	memset(blocks->groups[group].bits, 0, fs->blocksize);
	ext2fs_super_and_bgd_loc2(fs, group, &super, &old_descriptors, &new_descriptors, NULL);
	if (ext2fs_bg_has_super(fs, (int)group))
		mark_range(blocks, group, super ? super : ext2fs_group_first_block2(fs, group), 1);
	mark_range(blocks, group, old_descriptors, fs->desc_blocks + fs->super->s_reserved_gdt_blocks);
	mark_range(blocks, group, new_descriptors, 1);
	mark_range(blocks, group, ext2fs_block_bitmap_loc(fs, group), 1);
	mark_range(blocks, group, ext2fs_inode_bitmap_loc(fs, group), 1);
	mark_range(blocks, group, ext2fs_inode_table_loc(fs, group), fs->inode_blocks_per_group);
	/* Behind the end of a short group everything counts as in use. */
	for (blk64_t bit = ext2fs_group_blocks_count(fs, group); bit < (blk64_t)fs->blocksize * 8; bit++)
		mark_used(&blocks->groups[group], bit, true);
}

static errcode_t load(struct ext4_blocks *blocks, dgrp_t group)
{
	ext2_filsys fs = blocks->fs;
	struct group_bitmap *bitmap = &blocks->groups[group];
	errcode_t code;

	if (bitmap->bits)
		return 0;
	bitmap->bits = malloc(fs->blocksize);
	if (!bitmap->bits)
		return EXT2_ET_NO_MEMORY;
	if (ext2fs_bg_flags_test(fs, group, EXT2_BG_BLOCK_UNINIT)) {
		make_bitmap(blocks, group);
		return 0;
	}
	code = io_channel_read_blk64(fs->io, ext2fs_block_bitmap_loc(fs, group), 1, bitmap->bits);
	if (!code && !ext2fs_block_bitmap_csum_verify(fs, group, (char *)bitmap->bits,
						      (int)(fs->super->s_clusters_per_group / 8)))
		code = EXT2_ET_BLOCK_BITMAP_CSUM_INVALID;
	if (code)
		free(take_ptr(bitmap->bits));
	return code;
}

/* True: *ret is a free block of the group, at `from` or as near behind it as there is one. */
static bool find_free(struct ext4_blocks *blocks, dgrp_t group, blk64_t from, blk64_t *ret)
{
	struct group_bitmap *bitmap = &blocks->groups[group];
	blk64_t size = ext2fs_group_blocks_count(blocks->fs, group);

	if (size > (blk64_t)blocks->fs->blocksize * 8)
		size = (blk64_t)blocks->fs->blocksize * 8;
	if (from < bitmap->next)
		from = bitmap->next;
	for (blk64_t bit = from; bit < size; bit++) {
		if (is_used(bitmap, bit))
			continue;
		*ret = ext2fs_group_first_block2(blocks->fs, group) + bit;
		return true;
	}
	if (from == bitmap->next)
		bitmap->next = size;
	return false;
}

static errcode_t search_group(struct ext4_blocks *blocks, dgrp_t group, blk64_t goal, blk64_t *ret, bool *ret_found)
{
	blk64_t first = ext2fs_group_first_block2(blocks->fs, group);
	errcode_t code;

	*ret_found = false;
	if (ext2fs_bg_free_blocks_count(blocks->fs, group) == 0)
		return 0;
	code = load(blocks, group);
	if (code)
		return code;
	*ret_found = goal > first && find_free(blocks, group, goal - first, ret);
	if (!*ret_found)
		*ret_found = find_free(blocks, group, 0, ret);
	return 0;
}

static errcode_t allocate(ext2_filsys fs, blk64_t goal, blk64_t *ret, struct blk_alloc_ctx *context)
{
	struct ext4_blocks *blocks = fs->priv_data;
	dgrp_t group = blocks->last;
	bool found = false;

	(void)context;
	if (EXT2FS_CLUSTER_RATIO(fs) > 1)
		return EXT2_ET_UNIMPLEMENTED;
	if (goal >= fs->super->s_first_data_block && goal < ext2fs_blocks_count(fs->super))
		group = ext2fs_group_of_blk2(fs, goal);
	for (dgrp_t i = 0; i < fs->group_desc_count; i++, group++) {
		errcode_t code;

		group %= fs->group_desc_count;
		code = search_group(blocks, group, i ? 0 : goal, ret, &found);
		if (code)
			return code;
		if (found) {
			blocks->last = group;
			return 0;
		}
	}
	return EXT2_ET_BLOCK_ALLOC_FAIL;
}

/* Called by the library for each block that it takes or gives back. */
static void account(ext2_filsys fs, blk64_t block, int in_use)
{
	struct ext4_blocks *blocks = fs->priv_data;
	dgrp_t group = ext2fs_group_of_blk2(fs, block);

	if (group < fs->group_desc_count && load(blocks, group) == 0)
		mark_used(&blocks->groups[group], block - ext2fs_group_first_block2(fs, group), in_use > 0);
}

struct error *ext4_blocks_create(ext2_filsys fs, struct ext4_blocks **ret)
{
	struct ext4_blocks *blocks = calloc(1, sizeof(*blocks));

	if (!blocks)
		return error_no_memory();
	blocks->groups = calloc(fs->group_desc_count, sizeof(*blocks->groups));
	if (!blocks->groups) {
		free(blocks);
		return error_no_memory();
	}
	blocks->fs = fs;
	fs->priv_data = blocks;
	ext2fs_set_alloc_block_callback(fs, NULL, NULL);
	fs->get_alloc_block2 = allocate;
	ext2fs_set_block_alloc_stats_callback(fs, account, NULL);
	*ret = blocks;
	return NULL;
}

errcode_t ext4_blocks_write(struct ext4_blocks *blocks)
{
	ext2_filsys fs = blocks->fs;
	errcode_t code = 0;

	for (dgrp_t i = 0; !code && i < fs->group_desc_count; i++) {
		struct group_bitmap *bitmap = &blocks->groups[i];

		if (!bitmap->changed)
			continue;
		code = ext2fs_block_bitmap_csum_set(fs, i, (char *)bitmap->bits,
						    (int)(fs->super->s_clusters_per_group / 8));
		ext2fs_group_desc_csum_set(fs, i);
		if (!code)
			code = io_channel_write_blk64(fs->io, ext2fs_block_bitmap_loc(fs, i), 1, bitmap->bits);
		bitmap->changed = false;
	}
	return code;
}

void ext4_blocks_destroy(struct ext4_blocks *blocks)
{
	if (!blocks)
		return;
	for (dgrp_t i = 0; i < blocks->fs->group_desc_count; i++)
		free(blocks->groups[i].bits);
	free(blocks->groups);
	free(blocks);
}
