/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/metadata.h"

#include <ext2fs/ext2fs.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/io.h"

/* Reading so much that nobody asked for is cheaper than another request. */
#define GAP_MAX       (UINT64_C(32) << 10)
/* A directory of more blocks is not read whole for the few names that are looked up in it. */
#define DIRECTORY_MAX 64

struct blocks {
	uint64_t *items; /* numbers of blocks */
	size_t n;
	unsigned of_directory; /* so far */
	struct error *error;
};

static bool append(struct blocks *blocks, blk64_t block)
{
	if (!blocks->error)
		blocks->error = array_room(&blocks->items, blocks->n, sizeof(*blocks->items));
	if (blocks->error)
		return false;
	blocks->items[blocks->n++] = block;
	return true;
}

static int append_block(ext2_filsys fs, blk64_t *block, e2_blkcnt_t number, blk64_t ref_block, int ref_offset,
			void *data)
{
	struct blocks *blocks = data;

	(void)fs, (void)number, (void)ref_block, (void)ref_offset;
	if (++blocks->of_directory > DIRECTORY_MAX || !append(blocks, *block))
		return BLOCK_ABORT;
	return 0;
}

static void append_inode(ext2_filsys fs, const struct disk_inode *inode, struct blocks *blocks)
{
	uint32_t per_group = EXT2_INODES_PER_GROUP(fs->super), index;
	blk64_t table;

	if (inode->number == 0 || inode->number > fs->super->s_inodes_count)
		return;
	index = (uint32_t)(inode->number - 1);
	table = ext2fs_inode_table_loc(fs, index / per_group);
	append(blocks, table + (uint64_t)(index % per_group) * EXT2_INODE_SIZE(fs->super) / fs->blocksize);
	if (!inode->directory)
		return;
	blocks->of_directory = 0;
	/* What it has read until an error is right. */
	(void)ext2fs_block_iterate3(fs, (ext2_ino_t)inode->number, BLOCK_FLAG_READ_ONLY, NULL, append_block, blocks);
}

static struct error *make_ranges(struct blocks *blocks, uint64_t block_size, struct disk_range **ret, size_t *ret_n)
{
	struct disk_range *ranges = calloc(blocks->n + 1, sizeof(*ranges)), *last = NULL;

	if (!ranges)
		return error_no_memory();
	if (blocks->n)
		qsort(blocks->items, blocks->n, sizeof(*blocks->items), array_compare_u64);
	*ret_n = 0;
	for (size_t i = 0; i < blocks->n; i++) {
		uint64_t start = blocks->items[i] * block_size;

		if (last && start <= last->start + last->size + GAP_MAX) {
			last->size = start + block_size - last->start;
			continue;
		}
		last = &ranges[(*ret_n)++];
		*last = (struct disk_range){.start = start, .size = block_size};
	}
	*ret = ranges;
	return NULL;
}

struct error *metadata_ranges(const char *image, uint64_t start, const struct disk_inode *inodes, size_t n,
			      struct disk_range **ret, size_t *ret_n)
{
	struct blocks blocks = {0};
	struct error *error;
	char offset[40];
	ext2_filsys fs;
	errcode_t code;

	snprintf(offset, sizeof(offset), "offset=%" PRIu64, start);
	code = ext2fs_open2(image, offset, EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES, 0, 0, unix_io_manager, &fs);
	if (code)
		return error_create(ERROR_UNSUPPORTED, "%s: no ext4 that can be read at byte %" PRIu64 " (%ld)", image,
				    start, (long)code);
	for (size_t i = 0; i < n && !blocks.error; i++)
		append_inode(fs, &inodes[i], &blocks);
	error = blocks.error ? blocks.error : make_ranges(&blocks, fs->blocksize, ret, ret_n);
	free(blocks.items);
	ext2fs_close_free(&fs);
	return error;
}

struct error *disk_metadata(const struct disk *disk, const struct disk_mount *mount, const struct disk_inode *inodes,
			    size_t n, struct disk_range **ret, size_t *ret_n)
{
	return metadata_ranges(disk_image(disk), mount->start, inodes, n, ret, ret_n);
}
