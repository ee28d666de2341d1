/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ext2, ext3 or ext4 file system, read by libext2fs. It refuses to write, and to follow what its image says out of
 * the image: damage is EIO on the file concerned. Every loop is bounded by numbers of our own, for the image is the
 * guest's.
 *
 * One `struct reader` belongs to one thread; what they share is in `struct image` and `struct listings`. Functions
 * that return int return 0 or an errno.
 */
#ifndef DISK_EXT4_READER_H
#define DISK_EXT4_READER_H

#include <ext2fs/ext2fs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/error.h"
#include "disk/ext4/image.h"

/* ---- Directories, as a whole ---- */

/* More than any real one; the kernel's own limits are higher. */
#define LISTING_ENTRIES_MAX (16u << 20)
#define LISTING_BLOCKS_MAX  (4u << 20)

struct listed {
	uint32_t inode;
	uint32_t name;  /* where it begins in listing.names */
	uint8_t length; /* of the name, without the NUL behind it */
	uint8_t type;   /* EXT2_FT_…, 0: not said */
};

/* Names are neither empty nor "." or "..", and without "/" and NUL. */
struct listing {
	uint32_t inode, parent;
	struct listed *entries;
	char *names;
	uint32_t n, names_size;
	uint32_t *buckets; /* index + 1 of an entry; 0: empty */
	uint32_t mask;     /* buckets, a power of two, less one */
	/* Of listings: */
	unsigned references;
	uint64_t used;
};

struct listings;

struct error *listings_create(struct listings **ret) _must_check_;
void listings_destroy(struct listings *listings);
DEFINE_CLEANUP(struct listings *, listings_destroy)

/* ---- The file system ---- */

struct reader {
	struct image *image;
	struct listings *listings;
	ext2_filsys fs;
	/* The extents of the file that was read last: the next read is of the same, as a rule. */
	uint32_t extents_inode;
	ext2_extent_handle_t extents;
	char *block; /* of the file system, for what is read by blocks */
};

struct error *reader_create(struct image *image, struct listings *listings, struct reader **ret) _must_check_;
void reader_destroy(struct reader *reader);
DEFINE_CLEANUP(struct reader *, reader_destroy)

/* The inode as it is: EIO where its checksum is wrong, ESTALE where there is none of that number or it is unused. */
int reader_inode(struct reader *reader, uint32_t inode, struct ext2_inode_large *ret);

/* As the kernel's stat(2) of ext4; st_dev is 0. */
int reader_stat(struct reader *reader, uint32_t inode, struct stat *ret);
uint32_t reader_generation(const struct ext2_inode_large *inode);

void reader_statfs(const struct reader *reader, struct statvfs *ret);

/* FS_IOC_GETFLAGS. */
int reader_flags(struct reader *reader, uint32_t inode, uint32_t *ret);

/* NUL-terminated; `size` is that of the buffer. */
int reader_readlink(struct reader *reader, uint32_t inode, char *buffer, size_t size);

/* ENOENT; ENOTDIR. */
int reader_lookup(struct reader *reader, uint32_t directory, const char *name, uint32_t *ret);

/* To be given back. */
int reader_list(struct reader *reader, uint32_t directory, struct listing **ret);
void reader_unlist(struct reader *reader, struct listing *listing);

/* Up to `size` bytes from `offset` on; *ret is less at the end of the file only. */
int reader_read(struct reader *reader, uint32_t inode, uint64_t offset, void *buffer, size_t size, size_t *ret);

/* SEEK_DATA and SEEK_HOLE. ENXIO: `offset` is not in the file, or there is no more data. */
int reader_seek(struct reader *reader, uint32_t inode, uint64_t offset, int whence, uint64_t *ret);

/* *ret is malloc'd. ENODATA: it has no such attribute. */
int reader_get_attribute(struct reader *reader, uint32_t inode, const char *name, void **ret, size_t *ret_size);
/* The names, each with its NUL, one after the other. */
int reader_list_attributes(struct reader *reader, uint32_t inode, char **ret, size_t *ret_size);

/* ---- Between the files of the room ---- */

/* `blocks` of a file that lie together on the disk from `physical` on; physical 0: nothing is stored there, zeros. */
struct run {
	uint64_t blocks; /* at least 1 */
	uint64_t physical;
};

/* From block `logical` on, at most `most` of them. */
int reader_map(struct reader *reader, uint32_t number, struct ext2_inode_large *inode, uint64_t logical, uint64_t most,
	       struct run *ret);

/* All of an inline file or directory, *size bytes; to be freed. */
int reader_inline(struct reader *reader, uint32_t number, struct ext2_inode_large *inode, char **ret, size_t *ret_size);

/* What an error of libext2fs is for the kernel. */
int reader_errno(errcode_t code);

#endif
