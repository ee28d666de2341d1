/* SPDX-License-Identifier: Apache-2.0 */
/* What a memory says laid over real file systems: e2fsck and debugfs judge. The memory is made up (facts.h). */
#include "disk/coherent.h"

#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/disk/facts.h"
#include "tests/unit/disk/fixture.h"

#define FILE_INODE 12u /* the first of a new file system that is a file's, behind lost+found */
#define IMAGE_SIZE (64u << 20)
#define BEYOND     (1u << 20) /* of the device behind the file system: nobody writes there */
#define BLOCK      4096u
#define HALF       2048u

static const struct guest_file_system file_system = {.id = "vda"};

static void make(const char *options)
{
	shell("rm -rf tree fs.img; mkdir tree; printf hello >tree/file; truncate -s %u fs.img; "
	      "mke2fs -q -t ext4 -b 4096 -d tree %s fs.img %uk; yes guard | head -c %u >>fs.img || true; "
	      "cp --sparse=always fs.img before.img",
	      IMAGE_SIZE, options, IMAGE_SIZE >> 10, BEYOND);
}

/* Builds over the first IMAGE_SIZE bytes of fs.img. */
static struct error *build(struct facts *facts, const struct disk_keep *keep, struct disk_newer *ret)
{
	_cleanup_(close_fd) int fd = open("fs.img", O_RDWR | O_CLOEXEC);
	const struct coherent_options options = {
		.device = "fs.img", .device_fd = fd, .size = IMAGE_SIZE, .directory = ".", .keep = keep};

	assert_true(fd >= 0);
	return coherent_build(&options, facts_guest(facts), &file_system, ret);
}

static void assert_refused(struct facts *facts, enum error_code code)
{
	struct disk_newer newer = {0};
	struct error *error = build(facts, NULL, &newer);

	assert_non_null(error);
	assert_int_equal(error->code, code);
	error_destroy(error);
}

static void assert_guarded(void)
{
	shell("[ $(stat -c %%s fs.img) = %u ]; cmp -i %u fs.img before.img", IMAGE_SIZE + BEYOND, IMAGE_SIZE);
}

static void assert_clean(void)
{
	shell("e2fsck -fn fs.img >fsck.log 2>&1 || { cat fsck.log >&2; false; }");
	assert_guarded();
}

/* The file as the disk has it. */
static struct guest_cached_inode cached_file(void)
{
	struct guest_cached_inode cached = {.number = FILE_INODE};
	struct ext2_inode inode;
	ext2_filsys fs;

	assert_int_equal(ext2fs_open("fs.img", EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs), 0);
	assert_int_equal(ext2fs_read_inode(fs, FILE_INODE, &inode), 0);
	ext2fs_close(fs);
	cached.mode = inode.i_mode;
	cached.links = inode.i_links_count;
	cached.uid = inode_uid(inode);
	cached.gid = inode_gid(inode);
	cached.generation = inode.i_generation;
	cached.size = EXT2_I_SIZE(&inode);
	cached.atime.s = inode.i_atime;
	cached.mtime.s = inode.i_mtime;
	cached.ctime.s = inode.i_ctime;
	return cached;
}

/* A block of the device as it is, and its place. */
static blk64_t journal_block(uint8_t *ret)
{
	blk64_t place;
	ext2_filsys fs;

	assert_int_equal(ext2fs_open("fs.img", EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs), 0);
	assert_int_equal(ext2fs_bmap2(fs, fs->super->s_journal_inum, NULL, NULL, 0, 0, NULL, &place), 0);
	assert_int_equal(io_channel_read_blk64(fs->io, place, 1, ret), 0);
	ext2fs_close(fs);
	return place;
}

/* ---- What it does ---- */

/* Blocks without a place get one, what lies behind the end reads as zeros, size and times are memory's. */
static void contents_and_size(const char *options)
{
	uint8_t bytes[4 * BLOCK];
	struct fact_piece pieces[] = {{0, BLOCK, true, bytes}, {9 * BLOCK, 2 * BLOCK, true, bytes}};
	struct fact_inode inode = {.pieces = pieces, .n = 2};
	struct facts facts = {.inodes = &inode, .n_inodes = 1};
	struct disk_newer newer;

	make(options);
	memset(bytes, 'x', sizeof(bytes));
	inode.inode = cached_file();
	inode.inode.size = 9 * BLOCK + 100;
	inode.inode.mtime = (struct guest_time){1700000000, 123456789};
	inode.inode.data = true;
	assert_ok(build(&facts, NULL, &newer));
	assert_int_equal(newer.files, 1);
	assert_int_equal(newer.bytes, BLOCK + 100);
	assert_int_equal(newer.n_unknown, 0);
	assert_int_equal(newer.inodes[0], FILE_INODE);
	disk_newer_deinit(&newer);
	assert_clean();
	shell("{ head -c 4096 /dev/zero | tr '\\0' x; head -c 32768 /dev/zero; head -c 100 /dev/zero | tr '\\0' x; } "
	      ">want; "
	      "debugfs -R 'dump /file got' fs.img 2>/dev/null; cmp want got; "
	      "debugfs -R 'stat /file' fs.img 2>/dev/null | grep -i 'mtime: 0x6553f100:1d6f3454'");
}

static void contents(void **state)
{
	contents_and_size("");
	contents_and_size("-O ^has_journal");
	contents_and_size("-O ^extents,^64bit");
	contents_and_size("-O ^metadata_csum");
}

/* A file that is open without a name: gone from the view, and its contents aside. */
static void a_nameless_file(void **state)
{
	uint8_t bytes[BLOCK];
	struct fact_piece piece = {2 * BLOCK, BLOCK, true, bytes};
	struct fact_inode inode = {.pieces = &piece, .n = 1};
	struct facts facts = {.inodes = &inode, .n_inodes = 1};
	struct disk_keep keep = {.inode_address = 1};
	struct disk_newer newer;

	make("-O ^has_journal");
	shell("debugfs -w -R 'sif /file links_count 0' fs.img 2>/dev/null; debugfs -w -R 'unlink /file' fs.img "
	      "2>/dev/null");
	memset(bytes, 'y', sizeof(bytes));
	inode.inode = cached_file();
	inode.inode.links = 0;
	inode.inode.data = true;
	inode.inode.size = 3 * BLOCK - 1;
	keep.fd = open("kept", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_ok(build(&facts, &keep, &newer));
	assert_true(newer.kept);
	disk_newer_deinit(&newer);
	close(keep.fd);
	shell("{ printf hello; head -c 8187 /dev/zero; head -c 4095 /dev/zero | tr '\\0' y; } | cmp - kept; "
	      "e2fsck -p fs.img >fsck.log || [ $? = 1 ]");
	assert_clean();
	shell("! debugfs -R 'stat <12>' fs.img 2>/dev/null | grep 'Links: 1'");
}

/* ---- What it does not know ---- */

static void assert_unknown(struct guest_cached_inode cached, struct fact_piece *piece, const char *why)
{
	struct fact_inode inode = {.inode = cached, .pieces = piece, .n = 1};
	struct facts facts = {.inodes = &inode, .n_inodes = 1};
	struct disk_newer newer;

	assert_ok(build(&facts, NULL, &newer));
	assert_int_equal(newer.n_unknown, 1);
	assert_int_equal(newer.unknown[0].inode, FILE_INODE);
	assert_non_null(strstr(newer.unknown[0].why, why));
	disk_newer_deinit(&newer);
	assert_clean();
	shell("debugfs -R 'cat /file' fs.img 2>/dev/null | grep -qx hello");
}

static void what_is_unknown(void **state)
{
	uint8_t bytes[BLOCK] = "other";
	struct fact_piece piece = {0, BLOCK, true, bytes}, missing = {0, BLOCK, true, NULL},
			  uneven = {0, 512, true, bytes};
	struct guest_cached_inode file;

	make("");
	file = cached_file();
	file.data = true;
	assert_unknown(file, &missing, "not in the image");
	assert_unknown(file, &uneven, "a piece of 512 bytes");
	file.encrypted = true;
	assert_unknown(file, &piece, "encrypted");
	file.encrypted = false;
	file.mode = S_IFDIR | 0755;
	assert_unknown(file, &piece, "something else");
}

/* ---- What does not belong together ---- */

static void another_journal(void **state)
{
	uint8_t block[BLOCK];
	struct fact_piece piece = {.size = BLOCK, .bytes = block};
	struct facts facts = {.blocks = &piece, .n_blocks = 1};
	struct disk_newer newer;

	make("");
	piece.offset = journal_block(block) * BLOCK;
	assert_ok(build(&facts, NULL, &newer));
	disk_newer_deinit(&newer);
	assert_clean();
	/* The build itself has moved it on. */
	assert_refused(&facts, ERROR_CONFLICT);
	/* Being written: it is as memory has it. */
	piece.newer = true;
	assert_ok(build(&facts, NULL, &newer));
	disk_newer_deinit(&newer);
	assert_clean();
}

/* The log goes on where memory has nothing to go on from. */
static void a_later_log(void **state)
{
	struct facts facts = {.journal = {.known = true, .head = 5, .first = 1, .end = 1024, .committed = 3}};
	struct disk_newer newer;
	ext2_filsys fs;
	uint8_t block[BLOCK] = {0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 1, 0, 0, 0, 3};
	blk64_t place;

	make("");
	assert_int_equal(ext2fs_open("fs.img", EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs), 0);
	assert_int_equal(ext2fs_bmap2(fs, fs->super->s_journal_inum, NULL, NULL, 0, 6, NULL, &place), 0);
	assert_int_equal(io_channel_write_blk64(fs->io, place, 1, block), 0);
	ext2fs_close(fs);
	assert_ok(build(&facts, NULL, &newer));
	disk_newer_deinit(&newer);
	facts.journal.committed = 2;
	assert_refused(&facts, ERROR_CONFLICT);
}

static void other_inodes(void **state)
{
	struct fact_inode inodes[8] = {0};
	struct facts facts = {.inodes = inodes, .n_inodes = 8};
	struct disk_newer newer;

	make("");
	for (size_t i = 0; i < facts.n_inodes; i++)
		inodes[i].inode = cached_file();
	assert_ok(build(&facts, NULL, &newer));
	assert_int_equal(newer.compared, 8);
	disk_newer_deinit(&newer);
	for (size_t i = 0; i < 3; i++)
		inodes[i].inode.size++;
	assert_refused(&facts, ERROR_CONFLICT);
	/* Somebody was in the middle of a change. */
	facts.open_changes = 1;
	assert_ok(build(&facts, NULL, &newer));
	disk_newer_deinit(&newer);
	assert_clean();
}

/* ---- What no kernel says ---- */

static void hostile_places(void **state)
{
	static const uint64_t offsets[] = {IMAGE_SIZE, IMAGE_SIZE - HALF, UINT64_MAX - HALF + 1, (uint64_t)INT64_MAX};
	uint8_t bytes[BLOCK] = "hostile";
	struct fact_piece piece = {.size = BLOCK, .newer = true, .bytes = bytes};
	struct facts facts = {.blocks = &piece, .n_blocks = 1};

	make("");
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		piece.offset = offsets[i];
		assert_refused(&facts, ERROR_FORMAT);
		shell("cmp fs.img before.img");
	}
}

static void hostile_inodes(void **state)
{
	static const uint64_t numbers[] = {0, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 32 | FILE_INODE};
	struct fact_inode inode = {0};
	struct facts facts = {.inodes = &inode, .n_inodes = 1};

	make("");
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		inode.inode = cached_file();
		inode.inode.number = numbers[i];
		inode.inode.changed = true;
		assert_refused(&facts, ERROR_FORMAT);
		assert_guarded();
	}
}

/* An orphan file that claims to be endless, and a group with more unused inodes than it has. */
static void hostile_loops(void **state)
{
	struct facts facts = {.open_changes = 1};
	uint8_t block[BLOCK];
	struct fact_piece piece = {.size = BLOCK, .newer = true, .bytes = block};
	struct disk_newer newer = {0};
	ext2_filsys fs;

	make("-O orphan_file");
	assert_int_equal(ext2fs_open("fs.img", EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs), 0);
	/* So that a block of inodes is looked at. */
	piece.offset = ext2fs_inode_table_loc(fs, 0) * BLOCK;
	assert_int_equal(io_channel_read_blk64(fs->io, ext2fs_inode_table_loc(fs, 0), 1, block), 0);
	facts.blocks = &piece;
	facts.n_blocks = 1;
	ext2fs_bg_itable_unused_set(fs, 0, fs->super->s_inodes_per_group + 1);
	ext2fs_group_desc_csum_set(fs, 0);
	ext2fs_mark_super_dirty(fs);
	ext2fs_close(fs);
	shell("debugfs -R 'show_super_stats -h' fs.img 2>/dev/null | sed -n 's/^Orphan file inode: *//p' >ino; "
	      "debugfs -w -R \"sif <$(cat ino)> size 0x7ffffffffffff000\" fs.img 2>/dev/null");
	error_destroy(build(&facts, NULL, &newer));
	disk_newer_deinit(&newer);
	assert_guarded();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contents),        cmocka_unit_test(a_nameless_file), cmocka_unit_test(what_is_unknown),
		cmocka_unit_test(another_journal), cmocka_unit_test(a_later_log),     cmocka_unit_test(other_inodes),
		cmocka_unit_test(hostile_places),  cmocka_unit_test(hostile_inodes),  cmocka_unit_test(hostile_loops),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
