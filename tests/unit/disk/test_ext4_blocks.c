/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks taken from real file systems: e2fsck judges. */
#include "disk/ext4_blocks.h"

#include "tests/unit/disk/fixture.h"

#define FILE_INODE 12u /* the first of a new file system that is a file's, behind lost+found */

static void open_fs(ext2_filsys *fs, struct ext4_blocks **blocks)
{
	assert_int_equal(ext2fs_open("fs.img", EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0, unix_io_manager, fs), 0);
	assert_ok(ext4_blocks_create(*fs, blocks));
}

static void close_fs(ext2_filsys fs, struct ext4_blocks *blocks)
{
	assert_int_equal(ext4_blocks_write(blocks), 0);
	ext4_blocks_destroy(blocks);
	assert_int_equal(ext2fs_close(fs), 0);
}

/* Gives the file `n` blocks, each `step` behind the last; returns the first failure. */
static errcode_t grow(ext2_filsys fs, unsigned n, unsigned step)
{
	struct ext2_inode inode;
	errcode_t code = ext2fs_read_inode(fs, FILE_INODE, &inode);
	blk64_t place;

	assert_int_equal(code, 0);
	assert_true(LINUX_S_ISREG(inode.i_mode));
	for (unsigned i = 0; !code && i < n; i++)
		code = ext2fs_bmap2(fs, FILE_INODE, &inode, NULL, BMAP_ALLOC, (blk64_t)i * step, NULL, &place);
	if (code)
		return code;
	assert_int_equal(ext2fs_inode_size_set(fs, &inode, (ext2_off64_t)n * step * fs->blocksize), 0);
	assert_int_equal(ext2fs_write_inode(fs, FILE_INODE, &inode), 0);
	return 0;
}

static void make(const char *options)
{
	shell("rm -rf tree fs.img; mkdir tree; : > tree/file; truncate -s 256M fs.img; mke2fs -q -t ext4 -d tree %s "
	      "fs.img",
	      options);
}

static void try(const char *options, unsigned n, unsigned step)
{
	struct ext4_blocks *blocks;
	ext2_filsys fs;

	make(options);
	open_fs(&fs, &blocks);
	assert_int_equal(grow(fs, n, step), 0);
	close_fs(fs, blocks);
	shell("e2fsck -fn fs.img >fsck.log 2>&1 || { cat fsck.log; false; }");
}

/* More than one group has, so that some are taken that were never written to. */
static void many_blocks(void **state)
{
	try("", 40000, 1);
	try("-b 1024", 100000, 1);
	try("-O ^flex_bg", 40000, 1);
	try("-O ^metadata_csum,^uninit_bg", 40000, 1);
}

/* An extent each: the tree of extents takes blocks as well. */
static void scattered(void **state)
{
	try("", 3000, 7);
	try("-b 1024", 3000, 7);
	try("-O ^extents,^64bit", 3000, 7);
}

static void a_full_disk(void **state)
{
	struct ext4_blocks *blocks;
	ext2_filsys fs;

	make("-b 1024");
	open_fs(&fs, &blocks);
	assert_int_equal(grow(fs, 400000, 1), EXT2_ET_BLOCK_ALLOC_FAIL);
	ext4_blocks_destroy(blocks);
	ext2fs_free(fs);
}

/* Clusters of several blocks are counted otherwise: refused, not guessed. */
static void clusters(void **state)
{
	struct ext4_blocks *blocks;
	ext2_filsys fs;

	make("-O bigalloc");
	open_fs(&fs, &blocks);
	assert_int_equal(grow(fs, 1, 1), EXT2_ET_UNIMPLEMENTED);
	ext4_blocks_destroy(blocks);
	ext2fs_free(fs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_blocks),
		cmocka_unit_test(scattered),
		cmocka_unit_test(a_full_disk),
		cmocka_unit_test(clusters),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
