/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents of files that only memory has. Blocks that have no place on the disk yet (delayed allocation) get one, in
 * the throw-away copy alone: where the guest will put them nobody knows, and nobody asks.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "disk/coherent_private.h"

#define NS_PER_S 1000000000u

struct contents {
	struct builder *builder;
	const struct guest_cached_inode *cached;
	struct ext2_inode inode;
	ext2_file_t file; /* of an inode with its contents inside; else NULL */
	uint64_t bytes;   /* written */
	errcode_t code;   /* of libext2fs, if that is what ended it */
};

/* ---- Blocks ---- */

/* Where block `number` of the file lies: it is given a place if it has none. */
static errcode_t find_place(struct contents *contents, blk64_t number, blk64_t *ret)
{
	struct builder *builder = contents->builder;
	ext2_ino_t ino = (ext2_ino_t)contents->cached->number;
	int flags = 0;
	errcode_t code = ext2fs_bmap2(builder->fs, ino, &contents->inode, NULL, 0, number, &flags, ret);

	if (code)
		return code;
	if (*ret == 0) {
		builder->newer.allocated++;
		return ext2fs_bmap2(builder->fs, ino, &contents->inode, NULL, BMAP_ALLOC, number, NULL, ret);
	}
	if (flags & BMAP_RET_UNINIT)
		return ext2fs_bmap2(builder->fs, ino, &contents->inode, NULL, BMAP_SET, number, NULL, ret);
	return 0;
}

static errcode_t write_block(struct contents *contents, uint64_t offset, const uint8_t *data)
{
	ext2_filsys fs = contents->builder->fs;
	blk64_t place = 0;
	errcode_t code = find_place(contents, offset / fs->blocksize, &place);

	return code ? code : io_channel_write_blk64(fs->io, place, 1, data);
}

/* What lies behind the end of a file in its last block reads as zeros once the file grows. */
static uint64_t cut(uint64_t size, uint64_t offset, uint8_t *data, uint64_t n)
{
	uint64_t kept = offset >= size ? 0 : size - offset < n ? size - offset : n;

	memset(data + kept, 0, n - kept);
	return kept;
}

static struct error *visit_piece(struct guest *guest, const struct guest_piece *piece, void *context)
{
	struct contents *contents = context;
	uint32_t block_size = contents->builder->fs->blocksize;
	uint8_t buffer[EXT2_MAX_BLOCK_SIZE];
	uint64_t kept;
	struct error *error;

	if (piece->offset >= contents->cached->size)
		return NULL;
	if (piece->size > sizeof(buffer) || piece->size % block_size || piece->offset % block_size)
		return error_create(ERROR_NOT_FOUND, "memory has a piece of %u bytes at %llu", piece->size,
				    (unsigned long long)piece->offset);
	error = guest_piece_read(guest, piece, buffer);
	if (error)
		return error;
	kept = cut(contents->cached->size, piece->offset, buffer, piece->size);
	if (contents->file) {
		contents->code = ext2fs_file_llseek(contents->file, piece->offset, EXT2_SEEK_SET, NULL);
		if (!contents->code)
			contents->code = ext2fs_file_write(contents->file, buffer, (unsigned)kept, NULL);
	}
	for (uint64_t i = 0; !contents->file && !contents->code && i < kept; i += block_size)
		contents->code = write_block(contents, piece->offset + i, buffer + i);
	contents->bytes += kept;
	return coherent_error(contents->builder, contents->code, "contents of a file");
}

static struct error *write_contents(struct contents *contents)
{
	struct builder *builder = contents->builder;
	ext2_ino_t ino = (ext2_ino_t)contents->cached->number;
	struct error *error;

	if (contents->inode.i_flags & EXT4_INLINE_DATA_FL) {
		contents->code =
			ext2fs_file_open2(builder->fs, ino, &contents->inode, EXT2_FILE_WRITE, &contents->file);
		if (contents->code)
			return coherent_error(builder, contents->code, "contents of a file");
	}
	error = guest_inode_data(builder->guest, contents->cached, visit_piece, contents);
	if (contents->file) {
		contents->code = ext2fs_file_close(contents->file);
		if (!error)
			error = coherent_error(builder, contents->code, "contents of a file");
	}
	return error;
}

/* ---- Attributes ---- */

/* Where an inode has a time: bytes from its beginning. */
struct time_fields {
	size_t s, extra; /* le32 each; `extra`: only in inodes that are large enough */
};
static const struct time_fields atime_fields = {offsetof(struct ext2_inode_large, i_atime),
						offsetof(struct ext2_inode_large, i_atime_extra)};
static const struct time_fields mtime_fields = {offsetof(struct ext2_inode_large, i_mtime),
						offsetof(struct ext2_inode_large, i_mtime_extra)};
static const struct time_fields ctime_fields = {offsetof(struct ext2_inode_large, i_ctime),
						offsetof(struct ext2_inode_large, i_ctime_extra)};

static bool set_word(struct ext2_inode_large *inode, size_t offset, uint32_t value)
{
	uint8_t *place = (uint8_t *)inode + offset;
	bool changed = memcmp(place, &value, sizeof(value)) != 0;

	memcpy(place, &value, sizeof(value));
	return changed;
}

/*
 * `size`: bytes of the inode that are in use. Bits 0 and 1 of the second word are bits 32 and 33 of the seconds, the
 * others the nanoseconds.
 */
static bool set_time(struct ext2_inode_large *inode, size_t size, struct time_fields fields, struct guest_time time)
{
	uint32_t extra = (uint32_t)((uint64_t)(time.s - (int32_t)time.s) >> 32 & 3) | time.ns << 2;
	bool changed;

	if (time.ns >= NS_PER_S)
		return false;
	changed = set_word(inode, fields.s, (uint32_t)time.s);
	if (fields.extra + sizeof(extra) <= size)
		changed |= set_word(inode, fields.extra, extra);
	return changed;
}

static bool set_times(struct ext2_inode_large *inode, size_t size, const struct guest_cached_inode *cached)
{
	bool changed;

	if (size > EXT2_GOOD_OLD_INODE_SIZE && size > (size_t)EXT2_GOOD_OLD_INODE_SIZE + inode->i_extra_isize)
		size = (size_t)EXT2_GOOD_OLD_INODE_SIZE + inode->i_extra_isize;
	changed = set_time(inode, size, atime_fields, cached->atime);
	changed |= set_time(inode, size, mtime_fields, cached->mtime);
	return changed | set_time(inode, size, ctime_fields, cached->ctime);
}

/* The size on disk follows the contents only when they are written, the times with `lazytime` only after a day. */
static errcode_t write_attributes(struct builder *builder, const struct guest_cached_inode *cached)
{
	size_t size = EXT2_INODE_SIZE(builder->fs->super);
	_cleanup_(free_ptr) struct ext2_inode_large *inode = calloc(1, size > sizeof(*inode) ? size : sizeof(*inode));
	ext2_ino_t ino = (ext2_ino_t)cached->number;
	bool changed = false;
	errcode_t code;

	if (!inode)
		return EXT2_ET_NO_MEMORY;
	code = ext2fs_read_inode_full(builder->fs, ino, (struct ext2_inode *)inode, (int)size);
	if (code)
		return code;
	if (S_ISREG(cached->mode) && EXT2_I_SIZE(inode) != cached->size) {
		code = ext2fs_inode_size_set(builder->fs, (struct ext2_inode *)inode, (ext2_off64_t)cached->size);
		changed = true;
	}
	changed |= set_times(inode, size, cached);
	if (code || !changed)
		return code;
	return ext2fs_write_inode_full(builder->fs, ino, (struct ext2_inode *)inode, (int)size);
}

/* ---- Inodes ---- */

static struct error *note_unknown(struct builder *builder, const struct guest_cached_inode *cached, const char *why)
{
	struct disk_newer *newer = &builder->newer;
	struct disk_unknown unknown = {.inode = cached->number, .why = strdup(why)};
	struct error *error =
		unknown.why ? array_room(&newer->unknown, newer->n_unknown, sizeof(unknown)) : error_no_memory();

	/* A path that cannot be read leaves its number. */
	if (!error)
		error_destroy(guest_inode_path(builder->guest, cached->address, &unknown.path));
	if (error) {
		free(unknown.why);
		return error;
	}
	newer->unknown[newer->n_unknown++] = unknown;
	return NULL;
}

static struct error *count_contents(struct builder *builder, const struct contents *contents)
{
	struct disk_newer *newer = &builder->newer;
	struct error *error = array_room(&newer->inodes, newer->n_inodes, sizeof(*newer->inodes));

	if (error)
		return error;
	newer->inodes[newer->n_inodes++] = contents->cached->number;
	newer->files++;
	newer->bytes += contents->bytes;
	return NULL;
}

/* What cannot be settled of one file does not keep the others from being seen. */
static struct error *write_inode(struct builder *builder, const struct guest_cached_inode *cached)
{
	struct contents contents = {.builder = builder, .cached = cached};
	struct error *error = NULL;
	errcode_t code;

	if (cached->number == 0 || cached->number > builder->fs->super->s_inodes_count)
		return error_create(ERROR_FORMAT, "memory has an inode %llu", (unsigned long long)cached->number);
	code = ext2fs_read_inode(builder->fs, (ext2_ino_t)cached->number, &contents.inode);
	if (!code && (contents.inode.i_mode & S_IFMT) != (cached->mode & S_IFMT))
		return note_unknown(builder, cached, "the disk has something else in its place");
	if (!code && cached->data && cached->encrypted)
		return note_unknown(builder, cached, "it is encrypted, and memory has it in the clear");
	if (!code && cached->data && (S_ISREG(cached->mode) || S_ISLNK(cached->mode)))
		error = write_contents(&contents);
	if (!error && !code)
		code = write_attributes(builder, cached);
	if (!error)
		error = coherent_error(builder, code, "an inode");
	if (!error)
		return contents.bytes ? count_contents(builder, &contents) : NULL;
	if (error->code != ERROR_NO_MEMORY) {
		struct error *noted = note_unknown(builder, cached, error->message);

		error_destroy(error);
		return noted;
	}
	return error;
}

struct error *coherent_write_inodes(struct builder *builder)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < builder->n_work; i++)
		error = write_inode(builder, &builder->work[i]);
	if (builder->newer.n_inodes)
		qsort(builder->newer.inodes, builder->newer.n_inodes, sizeof(uint64_t), array_compare_u64);
	return error;
}
