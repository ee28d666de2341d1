/* SPDX-License-Identifier: Apache-2.0 */
/* The file system as a whole, and what an inode says of its file. */
#include <linux/fs.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "disk/ext4/reader.h"

/* The kernel's page cache works with blocks of at most a page. */
#define STAT_BLOCK_MAX 4096

int reader_errno(errcode_t code)
{
	if (code == 0)
		return 0;
	return code == EXT2_ET_NO_MEMORY || code == ENOMEM ? ENOMEM : EIO;
}

struct error *reader_create(struct image *image, struct listings *listings, struct reader **ret)
{
	_cleanup_(reader_destroy_ptr) struct reader *reader = calloc(1, sizeof(*reader));
	struct error *error;

	if (!reader)
		return error_no_memory();
	reader->image = image;
	reader->listings = listings;
	error = image_open_ext2(image, &reader->fs);
	if (error)
		return error;
	reader->block = malloc(reader->fs->blocksize);
	if (!reader->block)
		return error_no_memory();
	*ret = take_ptr(reader);
	return NULL;
}

void reader_destroy(struct reader *reader)
{
	if (!reader)
		return;
	if (reader->extents)
		ext2fs_extent_free(reader->extents);
	if (reader->fs)
		ext2fs_free(reader->fs);
	free(reader->block);
	free(reader);
}

/* Those that the file system keeps for itself (journal, quota, ...) are nobody's files, but for the root. */
static bool is_file(const struct reader *reader, uint32_t number)
{
	const struct ext2_super_block *super = reader->fs->super;

	return number == EXT2_ROOT_INO || (number >= EXT2_FIRST_INODE(super) && number <= super->s_inodes_count &&
					   number != super->s_orphan_file_inum);
}

int reader_inode(struct reader *reader, uint32_t number, struct ext2_inode_large *ret)
{
	errcode_t r;

	if (!is_file(reader, number))
		return ESTALE;
	memset(ret, 0, sizeof(*ret));
	r = ext2fs_read_inode_full(reader->fs, number, (struct ext2_inode *)ret, sizeof(*ret));
	if (r)
		return reader_errno(r);
	return ret->i_mode == 0 || ret->i_links_count == 0 ? ESTALE : 0;
}

uint32_t reader_generation(const struct ext2_inode_large *inode)
{
	return inode->i_generation;
}

/* Whether the inode has the field: those behind the first 128 bytes are there as far as i_extra_isize says. */
#define HAS_FIELD(reader, inode, field)                                                                                \
	(EXT2_INODE_SIZE((reader)->fs->super) > EXT2_GOOD_OLD_INODE_SIZE &&                                            \
	 offsetof(struct ext2_inode_large, field) + sizeof((inode)->field) <=                                          \
		 (size_t)EXT2_GOOD_OLD_INODE_SIZE + (inode)->i_extra_isize)

/* Two bits of the extra field go on with the seconds, thirty are nanoseconds (EXT4_DECODE_EXTRA_TIME). */
static struct timespec decode_time(uint32_t seconds, bool has_extra, uint32_t extra)
{
	struct timespec time = {.tv_sec = (int32_t)seconds};

	if (has_extra) {
		time.tv_sec += (time_t)(extra & 3) << 32;
		time.tv_nsec = extra >> 2;
	}
	/* A longer nanosecond is no time; the kernel would take it for one of the seconds that follow. */
	if (time.tv_nsec >= 1000000000)
		time.tv_nsec = 999999999;
	return time;
}

static dev_t decode_device(const struct ext2_inode_large *inode)
{
	uint32_t old = inode->i_block[0], new = inode->i_block[1];

	if (old)
		return makedev(old >> 8 & 0xff, old & 0xff);
	return makedev(new >> 8 & 0xfff, (new & 0xff) | (new >> 12 & 0xfff00));
}

int reader_stat(struct reader *reader, uint32_t number, struct stat *ret)
{
	ext2_filsys fs = reader->fs;
	struct ext2_inode_large inode;
	int r = reader_inode(reader, number, &inode);

	if (r)
		return r;
	*ret = (struct stat){
		.st_ino = number,
		.st_mode = inode.i_mode,
		.st_nlink = inode.i_links_count,
		.st_uid = inode_uid(inode),
		.st_gid = inode_gid(inode),
		.st_size = (off_t)EXT2_I_SIZE(&inode),
		.st_blksize = fs->blocksize < STAT_BLOCK_MAX ? fs->blocksize : STAT_BLOCK_MAX,
		.st_blocks = (blkcnt_t)ext2fs_get_stat_i_blocks(fs, (struct ext2_inode *)&inode),
		.st_atim = decode_time(inode.i_atime, HAS_FIELD(reader, &inode, i_atime_extra), inode.i_atime_extra),
		.st_mtim = decode_time(inode.i_mtime, HAS_FIELD(reader, &inode, i_mtime_extra), inode.i_mtime_extra),
		.st_ctim = decode_time(inode.i_ctime, HAS_FIELD(reader, &inode, i_ctime_extra), inode.i_ctime_extra),
	};
	switch (ret->st_mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
		break;
	case S_IFCHR:
	case S_IFBLK:
		ret->st_rdev = decode_device(&inode);
		break;
	case S_IFIFO:
	case S_IFSOCK:
		break;
	default:
		return EIO;
	}
	if (ret->st_size < 0)
		return EIO;
	/* So that an inline file does not look like one hole (ext4_file_getattr()). */
	if (S_ISREG(ret->st_mode) && inode.i_flags & EXT4_INLINE_DATA_FL)
		ret->st_blocks += (ret->st_size + 511) >> 9;
	return 0;
}

int reader_flags(struct reader *reader, uint32_t number, uint32_t *ret)
{
	struct ext2_inode_large inode;
	int r = reader_inode(reader, number, &inode);

	if (r == 0)
		*ret = inode.i_flags & EXT2_FL_USER_VISIBLE;
	return r;
}

/* What of the blocks can never hold a file (ext4_calculate_overhead()). */
static uint64_t overhead(ext2_filsys fs)
{
	uint64_t blocks = fs->super->s_first_data_block;
	struct ext2_inode_large journal = {0};

	if (fs->super->s_overhead_clusters)
		return (uint64_t)fs->super->s_overhead_clusters * EXT2FS_CLUSTER_RATIO(fs);
	for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
		blk64_t super, old_desc, new_desc;
		blk_t used = 0;

		if (ext2fs_super_and_bgd_loc2(fs, group, &super, &old_desc, &new_desc, &used) == 0)
			blocks += used;
		blocks += 2 + fs->inode_blocks_per_group;
	}
	if (fs->super->s_journal_inum && !ext2fs_has_feature_journal_dev(fs->super) &&
	    ext2fs_read_inode_full(fs, fs->super->s_journal_inum, (struct ext2_inode *)&journal, sizeof(journal)) == 0)
		blocks += EXT2_I_SIZE(&journal) / fs->blocksize;
	return blocks;
}

/* What the kernel keeps for the tables of extents of delayed writes (ext4_calculate_resv_clusters()). */
static uint64_t kept_for_tables(ext2_filsys fs)
{
	uint64_t clusters = ext2fs_blocks_count(fs->super) / EXT2FS_CLUSTER_RATIO(fs) / 50;

	if (!ext2fs_has_feature_extents(fs->super))
		return 0;
	return (clusters < 4096 ? clusters : 4096) * EXT2FS_CLUSTER_RATIO(fs);
}

void reader_statfs(const struct reader *reader, struct statvfs *ret)
{
	ext2_filsys fs = reader->fs;
	uint64_t blocks = ext2fs_blocks_count(fs->super), used = overhead(fs), free = 0, files_free = 0;
	uint64_t reserved = ext2fs_r_blocks_count(fs->super) + kept_for_tables(fs);

	for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
		free += ext2fs_bg_free_blocks_count(fs, group);
		files_free += ext2fs_bg_free_inodes_count(fs, group);
	}
	free *= EXT2FS_CLUSTER_RATIO(fs);
	*ret = (struct statvfs){
		.f_bsize = fs->blocksize,
		.f_frsize = fs->blocksize,
		.f_blocks = blocks > used ? blocks - used : 0,
		.f_bfree = free,
		.f_bavail = free > reserved ? free - reserved : 0,
		.f_files = fs->super->s_inodes_count,
		.f_ffree = files_free,
		.f_favail = files_free,
		.f_namemax = EXT2_NAME_LEN,
	};
}

int reader_readlink(struct reader *reader, uint32_t number, char *buffer, size_t size)
{
	struct ext2_inode_large inode;
	uint64_t length;
	size_t n = 0;
	int r = reader_inode(reader, number, &inode);

	if (r)
		return r;
	if (!LINUX_S_ISLNK(inode.i_mode))
		return EINVAL;
	length = EXT2_I_SIZE(&inode);
	/* Nor can a name be read of one that is encrypted. */
	if (length == 0 || length >= size || inode.i_flags & EXT4_ENCRYPT_FL)
		return EIO;
	if (ext2fs_is_fast_symlink((struct ext2_inode *)&inode)) {
		if (length >= sizeof(inode.i_block))
			return EIO;
		memcpy(buffer, inode.i_block, length);
		n = length;
	} else {
		r = reader_read(reader, number, 0, buffer, length, &n);
	}
	if (r)
		return r;
	buffer[n] = 0;
	return n == length && strlen(buffer) == n ? 0 : EIO;
}
