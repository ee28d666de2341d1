/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/journal.h"

#include <fcntl.h>

#include "base/cursor.h"
#include "base/io.h"

/* The superblock (fs/ext4/ext4.h), which has a copy of the journal's inode: its block map and size. */
#define SUPERBLOCK       1024
#define SUPERBLOCK_SIZE  1024
#define LOG_BLOCK_SIZE   0x18  /* le32: blocks have 1024 << this bytes */
#define INCOMPATIBLE     0x60  /* le32 */
#define NEEDS_RECOVERY   0x4u  /* of it: the journal has something in it */
#define BACKUP_TYPE      0xfd  /* u8: 1 */
#define BACKUP           0x10c /* le32[17]: i_block, i_size_high, i_size */

/* A tree of extents in the inode (fs/ext4/ext4_extents.h): a header, then entries of 12 bytes. */
#define EXTENT_MAGIC     0xf30a
#define EXTENTS_MAX      4u     /* what the inode has room for */
#define EXTENT_UNWRITTEN 32768u /* lengths above it: not written, which a journal's are not */

/* The journal's own superblock in its first block (include/linux/jbd2.h). */
#define JOURNAL_MAGIC    0xc03b3998u
#define JOURNAL_START    0x1c /* be32: the block where the log begins; 0: it is empty */

/* More than most guests leave in it; where it ends is known only when it has been read. */
#define READ_MAX         (UINT64_C(32) << 20)
#define READ_STEP        (UINT64_C(128) << 10)

struct journal {
	uint32_t block_size;
	uint32_t n;
	struct {
		uint32_t logical, length; /* blocks */
		uint64_t physical;        /* block */
	} extents[EXTENTS_MAX];
};

static struct error *read_extent(struct cursor *c, struct journal *journal)
{
	uint16_t length, high;
	uint32_t logical, low;
	struct error *error = cursor_le32(c, &logical);

	if (!error)
		error = cursor_le16(c, &length);
	if (!error)
		error = cursor_le16(c, &high);
	if (!error)
		error = cursor_le32(c, &low);
	if (error)
		return error;
	if (length > EXTENT_UNWRITTEN)
		return cursor_error(c, "the journal has an extent that is not written");
	journal->extents[journal->n].logical = logical;
	journal->extents[journal->n].length = length;
	journal->extents[journal->n++].physical = (uint64_t)high << 32 | low;
	return NULL;
}

static struct error *read_extents(struct cursor *c, struct journal *journal)
{
	uint16_t magic, n, max, depth;
	struct error *error = cursor_seek(c, BACKUP);

	if (!error)
		error = cursor_le16(c, &magic);
	if (!error)
		error = cursor_le16(c, &n);
	if (!error)
		error = cursor_le16(c, &max);
	if (!error)
		error = cursor_le16(c, &depth);
	if (!error)
		error = cursor_skip(c, 4);
	if (error)
		return error;
	if (magic != EXTENT_MAGIC || depth != 0 || n > EXTENTS_MAX)
		return cursor_error(c, "the journal's blocks are not in the superblock");
	while (!error && n-- > 0)
		error = read_extent(c, journal);
	return error;
}

/* *ret has no extents if there is nothing to replay. */
static struct error *find_journal(int device_fd, const char *path, struct journal *ret)
{
	uint8_t buffer[SUPERBLOCK_SIZE], backup;
	struct cursor c = cursor_init(buffer, sizeof(buffer), path);
	uint32_t shift, features;
	struct error *error = io_pread(device_fd, buffer, sizeof(buffer), SUPERBLOCK, path);

	*ret = (struct journal){0};
	if (!error)
		error = cursor_seek(&c, LOG_BLOCK_SIZE);
	if (!error)
		error = cursor_le32(&c, &shift);
	if (!error)
		error = cursor_seek(&c, INCOMPATIBLE);
	if (!error)
		error = cursor_le32(&c, &features);
	if (!error)
		error = cursor_seek(&c, BACKUP_TYPE);
	if (!error)
		error = cursor_u8(&c, &backup);
	if (error)
		return error;
	if (!(features & NEEDS_RECOVERY) || backup != 1 || shift > 6)
		return NULL;
	ret->block_size = 1024u << shift;
	return read_extents(&c, ret);
}

/* The journal's block where the log begins; it goes round at the end, to the block after the superblock. */
static struct error *find_start(int device_fd, const char *path, const struct journal *journal, uint32_t *ret)
{
	uint8_t buffer[1024];
	struct cursor c = cursor_init(buffer, sizeof(buffer), path);
	uint32_t magic;
	struct error *error =
		io_pread(device_fd, buffer, sizeof(buffer), journal->extents[0].physical * journal->block_size, path);

	if (!error)
		error = cursor_be32(&c, &magic);
	if (!error && magic != JOURNAL_MAGIC)
		error = cursor_error(&c, "the journal has no superblock");
	if (!error)
		error = cursor_seek(&c, JOURNAL_START);
	return error ? error : cursor_be32(&c, ret);
}

/* One request reads no more than the device reads ahead anyhow, whatever its length. */
static void advise(int device_fd, uint64_t offset, uint64_t size)
{
	for (uint64_t done = 0; done < size; done += READ_STEP)
		(void)posix_fadvise(device_fd, (off_t)(offset + done), READ_STEP, POSIX_FADV_WILLNEED);
}

/* The journal's blocks from `start` to `end`, but `bytes` at most; returns what is left of these. */
static uint64_t read_blocks(int device_fd, const struct journal *journal, uint64_t start, uint64_t end, uint64_t bytes)
{
	for (uint32_t i = 0; i < journal->n; i++) {
		uint64_t begin = journal->extents[i].logical, first = begin, last = begin + journal->extents[i].length;
		uint64_t size;

		if (start > first)
			first = start;
		if (end < last)
			last = end;
		if (first >= last)
			continue;
		size = (last - first) * journal->block_size;
		if (size > bytes)
			size = bytes;
		advise(device_fd, (journal->extents[i].physical + first - begin) * journal->block_size, size);
		bytes -= size;
	}
	return bytes;
}

void journal_read_ahead(int device_fd, const char *path)
{
	struct journal journal;
	uint32_t start = 0;
	uint64_t left;
	struct error *error = find_journal(device_fd, path, &journal);

	if (!error && journal.n > 0)
		error = find_start(device_fd, path, &journal, &start);
	if (!error && start > 0) {
		left = read_blocks(device_fd, &journal, start, UINT64_MAX, READ_MAX);
		read_blocks(device_fd, &journal, 0, start, left);
	}
	error_destroy(error);
}
