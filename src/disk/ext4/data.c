/* SPDX-License-Identifier: Apache-2.0 */
/* Where the blocks of a file are, and what is in them. */
#include <string.h>
#include <unistd.h>

#include "disk/ext4/reader.h"

/*
 * Runs that one SEEK_DATA or SEEK_HOLE looks at: beyond, what is there is called data. Of a table of block numbers a
 * run is no more than TABLE_BLOCKS, each looked up by itself, and a hole of terabytes takes the guest no room at all.
 */
#define SEEK_RUNS_MAX   4096
#define SEEK_TABLE_MAX  64
/* Blocks that one look at a table of block numbers takes together. */
#define TABLE_BLOCKS    256u
/* What is stored in the inode itself, with the rest in its attributes: far below a block. */
#define INLINE_SIZE_MAX 65536

/* ---- Which blocks ---- */

static int find_extents(struct reader *reader, uint32_t number, struct ext2_inode_large *inode)
{
	errcode_t r;

	if (reader->extents && reader->extents_inode == number)
		return 0;
	if (reader->extents)
		ext2fs_extent_free(reader->extents);
	reader->extents = NULL;
	r = ext2fs_extent_open2(reader->fs, number, (struct ext2_inode *)inode, &reader->extents);
	if (r)
		reader->extents = NULL;
	reader->extents_inode = number;
	return reader_errno(r);
}

/* Where the extent behind a hole begins; UINT64_MAX: there is none. The handle stands near the hole. */
static int find_next(ext2_extent_handle_t extents, uint64_t logical, uint64_t *ret)
{
	struct ext2fs_extent extent;
	errcode_t r = ext2fs_extent_get(extents, EXT2_EXTENT_CURRENT, &extent);

	if (r == 0 && extent.e_lblk <= logical)
		r = ext2fs_extent_get(extents, EXT2_EXTENT_NEXT_LEAF, &extent);
	*ret = UINT64_MAX;
	if (r == EXT2_ET_EXTENT_NO_NEXT || r == EXT2_ET_NO_CURRENT_NODE)
		return 0;
	if (r)
		return reader_errno(r);
	/* Out of order: the next look at a block of it says what is there. */
	*ret = extent.e_lblk > logical ? extent.e_lblk : logical + 1;
	return 0;
}

static int map_extents(struct reader *reader, uint32_t number, struct ext2_inode_large *inode, uint64_t logical,
		       struct run *ret)
{
	struct ext2fs_extent extent;
	uint64_t next;
	errcode_t r;
	int e = find_extents(reader, number, inode);

	if (e)
		return e;
	r = ext2fs_extent_goto2(reader->extents, 0, logical);
	if (r == EXT2_ET_EXTENT_NOT_FOUND) {
		e = find_next(reader->extents, logical, &next);
		*ret = (struct run){.blocks = next - logical};
		return e;
	}
	if (r == 0)
		r = ext2fs_extent_get(reader->extents, EXT2_EXTENT_CURRENT, &extent);
	if (r)
		return reader_errno(r);
	if (logical < extent.e_lblk || logical - extent.e_lblk >= extent.e_len)
		return EIO;
	ret->blocks = extent.e_len - (logical - extent.e_lblk);
	ret->physical = extent.e_flags & EXT2_EXTENT_FLAGS_UNINIT ? 0 : extent.e_pblk + (logical - extent.e_lblk);
	return ret->physical || extent.e_flags & EXT2_EXTENT_FLAGS_UNINIT ? 0 : EIO;
}

static int map_table(struct reader *reader, uint32_t number, struct ext2_inode_large *inode, uint64_t logical,
		     uint64_t most, struct run *ret)
{
	*ret = (struct run){0};
	for (uint64_t i = 0; i < most && i < TABLE_BLOCKS; i++) {
		blk64_t block = 0;
		errcode_t r = ext2fs_bmap2(reader->fs, number, (struct ext2_inode *)inode, NULL, 0, logical + i, NULL,
					   &block);

		if (r)
			return i > 0 ? 0 : reader_errno(r);
		if (i == 0)
			ret->physical = block;
		else if (block != (ret->physical ? ret->physical + i : 0))
			break;
		ret->blocks = i + 1;
	}
	return 0;
}

int reader_map(struct reader *reader, uint32_t number, struct ext2_inode_large *inode, uint64_t logical, uint64_t most,
	       struct run *ret)
{
	const struct ext2_super_block *super = reader->fs->super;
	struct run run = {0};
	int r;

	if (inode->i_flags & EXT4_EXTENTS_FL)
		r = map_extents(reader, number, inode, logical, &run);
	else
		r = map_table(reader, number, inode, logical, most, &run);
	if (r)
		return r;
	if (run.blocks > most)
		run.blocks = most;
	/* The reads are bounded, too; this names damage as such where the numbers leave the file system. */
	if (run.physical &&
	    (run.physical <= super->s_first_data_block || run.physical >= ext2fs_blocks_count(reader->fs->super) ||
	     run.blocks > ext2fs_blocks_count(reader->fs->super) - run.physical))
		return EIO;
	*ret = run;
	return 0;
}

/* ---- Contents ---- */

int reader_inline(struct reader *reader, uint32_t number, struct ext2_inode_large *inode, char **ret, size_t *ret_size)
{
	_cleanup_(free_ptr) char *buffer = NULL;
	size_t size = 0;
	errcode_t r = ext2fs_inline_data_size(reader->fs, number, &size);

	if (r == 0 && size > INLINE_SIZE_MAX)
		return EIO;
	if (r == 0) {
		buffer = calloc(1, size + 1);
		if (!buffer)
			return ENOMEM;
		r = ext2fs_inline_data_get(reader->fs, number, (struct ext2_inode *)inode, buffer, &size);
	}
	if (r)
		return reader_errno(r);
	*ret = take_ptr(buffer);
	*ret_size = size;
	return 0;
}

static int read_inline(struct reader *reader, uint32_t number, struct ext2_inode_large *inode, uint64_t offset,
		       void *buffer, size_t size)
{
	_cleanup_(free_ptr) char *content = NULL;
	size_t length, n;
	int r = reader_inline(reader, number, inode, &content, &length);

	if (r)
		return r;
	n = offset < length ? length - (size_t)offset : 0;
	if (n > size)
		n = size;
	if (n > 0)
		memcpy(buffer, content + offset, n);
	memset((char *)buffer + n, 0, size - n);
	return 0;
}

/* `size` bytes that are all in the file. */
static int read_blocks(struct reader *reader, uint32_t number, struct ext2_inode_large *inode, uint64_t offset,
		       char *buffer, size_t size)
{
	unsigned block_size = reader->fs->blocksize;

	while (size > 0) {
		size_t from = (size_t)(offset % block_size), n;
		uint64_t most = ((uint64_t)from + size + block_size - 1) / block_size;
		struct run run;
		int r = reader_map(reader, number, inode, offset / block_size, most, &run);

		if (r)
			return r;
		n = (size_t)run.blocks * block_size - from;
		if (n > size)
			n = size;
		if (run.physical)
			r = image_read_data(reader->image, run.physical * block_size + from, buffer, n);
		else
			memset(buffer, 0, n);
		if (r)
			return r;
		buffer += n;
		offset += n;
		size -= n;
	}
	return 0;
}

int reader_read(struct reader *reader, uint32_t number, uint64_t offset, void *buffer, size_t size, size_t *ret)
{
	struct ext2_inode_large inode;
	int r = reader_inode(reader, number, &inode);
	uint64_t end;

	if (r)
		return r;
	if (!LINUX_S_ISREG(inode.i_mode) && !LINUX_S_ISLNK(inode.i_mode))
		return EINVAL;
	if (inode.i_flags & EXT4_ENCRYPT_FL)
		return ENOKEY;
	end = EXT2_I_SIZE(&inode);
	if (offset >= end)
		size = 0;
	else if (size > end - offset)
		size = (size_t)(end - offset);
	if (inode.i_flags & EXT4_INLINE_DATA_FL)
		r = read_inline(reader, number, &inode, offset, buffer, size);
	else
		r = read_blocks(reader, number, &inode, offset, buffer, size);
	if (r == 0)
		*ret = size;
	return r;
}

int reader_seek(struct reader *reader, uint32_t number, uint64_t offset, int whence, uint64_t *ret)
{
	unsigned block_size = reader->fs->blocksize;
	struct ext2_inode_large inode;
	int r = reader_inode(reader, number, &inode);
	unsigned most;
	uint64_t end;

	if (r)
		return r;
	end = EXT2_I_SIZE(&inode);
	most = inode.i_flags & EXT4_EXTENTS_FL ? SEEK_RUNS_MAX : SEEK_TABLE_MAX;
	if (!LINUX_S_ISREG(inode.i_mode) || (whence != SEEK_DATA && whence != SEEK_HOLE))
		return EINVAL;
	if (offset >= end)
		return ENXIO;
	for (unsigned i = 0; i < most && offset < end; i++) {
		uint64_t block = offset / block_size;
		struct run run = {.blocks = end / block_size + 1 - block, .physical = 1};

		if (!(inode.i_flags & EXT4_INLINE_DATA_FL))
			r = reader_map(reader, number, &inode, block, run.blocks, &run);
		if (r)
			return r;
		if (!run.physical == (whence == SEEK_HOLE)) {
			*ret = offset;
			return 0;
		}
		offset = (block + run.blocks) * block_size;
	}
	/* The end of the file is a hole. What was not looked at is data to who asks for that, and no hole else. */
	if (whence == SEEK_DATA && offset >= end)
		return ENXIO;
	*ret = whence == SEEK_HOLE ? end : offset;
	return 0;
}
