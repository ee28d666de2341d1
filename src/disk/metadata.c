/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/metadata.h"

#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/io.h"
#include "disk/confined_call.h"
#include "disk/device.h"
#include "disk/private.h"

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

struct error *metadata_ranges(int fd, uint64_t start, uint64_t size, const struct disk_inode *inodes, size_t n,
			      struct disk_range **ret, size_t *ret_n)
{
	struct blocks blocks = {0};
	struct error *error;
	ext2_filsys fs;
	errcode_t code = device_open(fd, start, size, EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES, &fs);

	if (code)
		return error_create(ERROR_UNSUPPORTED, "no ext4 that can be read at byte %" PRIu64 " (%ld)", start,
				    (long)code);
	for (size_t i = 0; i < n && !blocks.error; i++)
		append_inode(fs, &inodes[i], &blocks);
	error = blocks.error ? blocks.error : make_ranges(&blocks, fs->blocksize, ret, ret_n);
	free(blocks.items);
	ext2fs_close_free(&fs);
	return error;
}

struct question {
	int fd;
	const struct partition *partition;
	const struct disk_inode *inodes;
	size_t n;
};

/* In the process without rights. */
static struct error *answer(void *context, FILE *out)
{
	const struct question *question = context;
	_cleanup_(free_ptr) struct disk_range *ranges = NULL;
	struct error *error;
	size_t n;

	error = metadata_ranges(question->fd, question->partition->start, question->partition->size, question->inodes,
				question->n, &ranges, &n);
	if (!error)
		fwrite(ranges, sizeof(*ranges), n, out);
	return error;
}

/* Whether they are what is promised, whoever wrote them. */
static bool are_ranges(const struct disk_range *ranges, size_t n, uint64_t size)
{
	uint64_t end = 0;

	for (size_t i = 0; i < n; i++) {
		if (ranges[i].size == 0 || ranges[i].start < end || ranges[i].start > size ||
		    ranges[i].size > size - ranges[i].start)
			return false;
		end = ranges[i].start + ranges[i].size;
	}
	return true;
}

struct error *disk_metadata(const struct disk *disk, const struct disk_mount *mount, const struct disk_inode *inodes,
			    size_t n, struct disk_range **ret, size_t *ret_n)
{
	_cleanup_(close_fd) int fd = open(disk_image(disk), O_RDONLY | O_CLOEXEC);
	struct question question = {.fd = fd, .inodes = inodes, .n = n};
	const struct confined_call call = {
		.directory = disk->run_dir, .keep = &fd, .n_keep = 1, .function = answer, .context = &question};
	_cleanup_(free_ptr) char *result = NULL;
	struct error *error;
	size_t size;

	if (fd < 0)
		return error_system(errno, disk_image(disk), "open the exported disk");
	for (size_t i = 0; i < disk->n_volumes; i++)
		if (disk->volumes[i].fs.partition->start == mount->start)
			question.partition = disk->volumes[i].fs.partition;
	if (!question.partition)
		return error_create(ERROR_UNSUPPORTED, "%s: it is on no partition of the disk", mount->target);
	error = confined_call(&call, &result, &size);
	if (error)
		return error;
	if (size % sizeof(**ret) ||
	    !are_ranges((struct disk_range *)result, size / sizeof(**ret), question.partition->size))
		return error_create(ERROR_FORMAT, "blocks of inodes are said to be where none can be");
	*ret_n = size / sizeof(**ret);
	*ret = (struct disk_range *)take_ptr(result);
	return NULL;
}
