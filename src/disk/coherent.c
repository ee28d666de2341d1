/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/coherent.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/io.h"
#include "disk/coherent_private.h"
#include "disk/confined_call.h"
#include "disk/device.h"

/* The superblock on the device, and in it (fs/ext4/ext4.h): */
#define SUPER_OFFSET     1024u
#define SUPER_SIZE       1024u
#define SUPER_RO_COMPAT  0x64u  /* le32 */
#define SUPER_CHECKSUM   0x3fcu /* le32, of all before it */
#define METADATA_CSUM    0x400u

/* The journal's superblock in its first block (include/linux/jbd2.h). */
#define JOURNAL_SIZE     1024u
#define JOURNAL_MAGIC    0xc03b3998u
#define JOURNAL_NUMBER   0x08u /* be32, of every block with a header: of its transaction */
#define JOURNAL_SEQUENCE 0x18u /* be32: of the first transaction in the log */
#define JOURNAL_START    0x1cu /* be32: where the log begins; 0: it is empty */
#define JOURNAL_FEATURES 0x28u /* be32, incompatible ones */
#define JOURNAL_CSUM     0x18u /* of them: checksums of version 2 or 3 */
#define JOURNAL_CHECKSUM 0xfcu /* be32, of all JOURNAL_SIZE bytes with 0 here */

/* Blocks behind the log's head that are looked at: more than the rest of a commit that was being written. */
#define LOG_AHEAD        64u

struct error *coherent_error(const struct builder *builder, errcode_t code, const char *what)
{
	if (code == 0)
		return NULL;
	if (code == EXT2_ET_NO_MEMORY || code == ENOMEM)
		return error_no_memory();
	return error_create(ERROR_FORMAT, "%s on %s: %s", what, builder->device, error_message(code));
}

/* ---- Blocks ---- */

static struct error *visit_block(struct guest *guest, const struct guest_piece *piece, void *context)
{
	struct builder *builder = context;
	uint8_t buffer[EXT2_MAX_BLOCK_SIZE];
	struct error *error;

	if (!piece->newer) {
		error = array_room(&builder->clean, builder->n_clean, sizeof(*builder->clean));
		if (!error)
			builder->clean[builder->n_clean++] = *piece;
		return error;
	}
	if (piece->size > sizeof(buffer) || piece->offset > builder->size ||
	    piece->size > builder->size - piece->offset)
		return error_create(ERROR_FORMAT, "memory has a block at byte %llu of a file system of %llu",
				    (unsigned long long)piece->offset, (unsigned long long)builder->size);
	error = array_room(&builder->laid, builder->n_laid, sizeof(*builder->laid));
	if (!error)
		error = guest_piece_read(guest, piece, buffer);
	if (!error)
		builder->laid[builder->n_laid++] = piece->offset / piece->size;
	if (!error && pwrite(builder->device_fd, buffer, piece->size, (off_t)piece->offset) != (ssize_t)piece->size)
		error = error_system(errno, builder->device, "write to the throw-away disk");
	builder->newer.blocks += !error;
	return error;
}

/* The kernel mends it only when it writes the superblock. */
static struct error *mend_super(const struct builder *builder)
{
	uint8_t super[SUPER_SIZE];
	struct error *error = io_pread(builder->device_fd, super, sizeof(super), SUPER_OFFSET, builder->device);
	uint32_t sum;

	if (error || !(le32_at(super + SUPER_RO_COMPAT) & METADATA_CSUM))
		return error;
	sum = ext2fs_crc32c_le(UINT32_MAX, super, SUPER_CHECKSUM);
	for (unsigned i = 0; i < 4; i++)
		super[SUPER_CHECKSUM + i] = (uint8_t)(sum >> 8 * i);
	if (pwrite(builder->device_fd, super, sizeof(super), SUPER_OFFSET) != (ssize_t)sizeof(super))
		return error_system(errno, builder->device, "write to the throw-away disk");
	return NULL;
}

/* ---- Inodes ---- */

/* Algorithm R, with the position as the source of chance: nothing here has to be unpredictable. */
static void draw_sample(struct builder *builder, const struct guest_cached_inode *inode)
{
	uint64_t seen = builder->n_seen++, random = seen * UINT64_C(0x9e3779b97f4a7c15);

	if (seen >= SAMPLES)
		seen = (random >> 20) % (seen + 1);
	if (seen < SAMPLES)
		builder->samples[seen] = *inode;
}

static struct error *visit_inode(struct guest *guest, const struct guest_cached_inode *inode, void *context)
{
	struct builder *builder = context;
	struct error *error;

	(void)guest;
	if (builder->keep && inode->address == builder->keep->inode_address) {
		builder->kept = *inode;
		builder->has_kept = true;
	}
	/* Those without a name are gone when the guest ends: nobody can look at them but by what has them open. */
	if (inode->links == 0) {
		error = array_room(&builder->nameless, builder->n_nameless, sizeof(*builder->nameless));
		if (!error)
			builder->nameless[builder->n_nameless++] = (ext2_ino_t)inode->number;
		if (error || !builder->has_kept || builder->kept.address != inode->address)
			return error;
	}
	if (!inode->data && !inode->changed) {
		draw_sample(builder, inode);
		return NULL;
	}
	error = array_room(&builder->work, builder->n_work, sizeof(*builder->work));
	if (!error)
		builder->work[builder->n_work++] = *inode;
	return error;
}

/* ---- Journal ---- */

static void put_be32(uint8_t *bytes, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

static struct error *find_journal(struct builder *builder, blk64_t *ret)
{
	ext2_filsys fs = builder->fs;
	errcode_t code = ext2fs_bmap2(fs, fs->super->s_journal_inum, NULL, NULL, 0, 0, NULL, ret);

	if (!code)
		code = io_channel_read_blk64(fs->io, *ret, 1, builder->block);
	if (!code && be32_at(builder->block) != JOURNAL_MAGIC)
		return error_create(ERROR_FORMAT, "the journal on %s has no superblock", builder->device);
	return coherent_error(builder, code, "the journal");
}

/*
 * The journal's superblock changes with each log that is begun or taken up: on a disk that went on without this memory
 * it is another one. In memory it is the same as on disk unless it is just being written.
 */
static struct error *compare_journal(struct builder *builder, blk64_t place)
{
	uint8_t memory[EXT2_MAX_BLOCK_SIZE];
	struct error *error;

	for (size_t i = 0; i < builder->n_clean; i++) {
		const struct guest_piece *piece = &builder->clean[i];

		if (piece->offset != place * builder->fs->blocksize || piece->size != builder->fs->blocksize)
			continue;
		error = guest_piece_read(builder->guest, piece, memory);
		if (error)
			return error;
		if (memcmp(memory + JOURNAL_SEQUENCE, builder->block + JOURNAL_SEQUENCE, 8) == 0)
			return NULL;
		return error_create(ERROR_CONFLICT,
				    "the journal on the disk begins with transaction %u at block %u, in memory with "
				    "%u at %u: the disk has changed since the suspend",
				    be32_at(builder->block + JOURNAL_SEQUENCE), be32_at(builder->block + JOURNAL_START),
				    be32_at(memory + JOURNAL_SEQUENCE), be32_at(memory + JOURNAL_START));
	}
	return NULL;
}

/*
 * Behind its head the log has what an earlier turn left there, of transactions that are long done. On a disk that went
 * on the next ones are there: what was being committed first, so that some blocks may have no header of their own.
 */
static struct error *compare_log(struct builder *builder)
{
	ext2_filsys fs = builder->fs;
	struct guest_journal journal;
	struct error *error = guest_journal(builder->guest, builder->system, &journal);

	if (error || !journal.known || journal.end <= journal.first)
		return error;
	for (uint64_t i = 0, block = journal.head; i < LOG_AHEAD && i < journal.end - journal.first; i++, block++) {
		blk64_t place;
		errcode_t code;

		block = block >= journal.end || block < journal.first ? journal.first : block;
		code = ext2fs_bmap2(fs, fs->super->s_journal_inum, NULL, NULL, 0, block, NULL, &place);
		if (!code)
			code = io_channel_read_blk64(fs->io, place, 1, builder->block);
		if (code)
			return coherent_error(builder, code, "the journal");
		if (be32_at(builder->block) == JOURNAL_MAGIC &&
		    (int32_t)(be32_at(builder->block + JOURNAL_NUMBER) - journal.committed) > 0)
			return error_create(ERROR_CONFLICT,
					    "the journal on the disk has transaction %u, in memory %u is the last: the "
					    "disk has changed since the suspend",
					    be32_at(builder->block + JOURNAL_NUMBER), journal.committed);
	}
	return NULL;
}

/* Replayed after this it would bring back what the blocks of memory have overtaken. */
static struct error *retire_journal(struct builder *builder)
{
	ext2_filsys fs = builder->fs;
	blk64_t place;
	struct error *error;

	if (!ext2fs_has_feature_journal(fs->super))
		return NULL;
	error = compare_log(builder);
	if (!error)
		error = find_journal(builder, &place);
	if (!error)
		error = compare_journal(builder, place);
	if (error)
		return error;
	put_be32(builder->block + JOURNAL_START, 0);
	put_be32(builder->block + JOURNAL_SEQUENCE, be32_at(builder->block + JOURNAL_SEQUENCE) + 1);
	if (be32_at(builder->block + JOURNAL_FEATURES) & JOURNAL_CSUM) {
		put_be32(builder->block + JOURNAL_CHECKSUM, 0);
		put_be32(builder->block + JOURNAL_CHECKSUM, ext2fs_crc32c_le(UINT32_MAX, builder->block, JOURNAL_SIZE));
	}
	ext2fs_clear_feature_journal_needs_recovery(fs->super);
	ext2fs_mark_super_dirty(fs);
	return coherent_error(builder, io_channel_write_blk64(fs->io, place, 1, builder->block), "the journal");
}

/* The kernel keeps the sums apart, and in the superblock only now and then. */
static void count_free(ext2_filsys fs)
{
	blk64_t blocks = 0;
	uint32_t inodes = 0;

	for (dgrp_t i = 0; i < fs->group_desc_count; i++) {
		blocks += ext2fs_bg_free_blocks_count(fs, i);
		inodes += ext2fs_bg_free_inodes_count(fs, i);
	}
	ext2fs_free_blocks_count_set(fs->super, blocks * (blk64_t)EXT2FS_CLUSTER_RATIO(fs));
	fs->super->s_free_inodes_count = inodes;
	ext2fs_mark_super_dirty(fs);
}

/* ---- All of it ---- */

static struct error *open_fs(struct builder *builder)
{
	errcode_t code = device_open(builder->device_fd, 0, builder->size,
				     EXT2_FLAG_RW | EXT2_FLAG_64BITS | EXT2_FLAG_SKIP_MMP, &builder->fs);

	if (code)
		return coherent_error(builder, code, "ext4");
	builder->fs->flags |= EXT2_FLAG_MASTER_SB_ONLY;
	builder->block = malloc(builder->fs->blocksize);
	return builder->block ? ext4_blocks_create(builder->fs, &builder->blocks) : error_no_memory();
}

static struct error *run_steps(struct builder *builder)
{
	struct error *error = guest_open_changes(builder->guest, &builder->newer.open_changes);

	if (!error)
		error = guest_device_blocks(builder->guest, builder->system, visit_block, builder);
	if (!error)
		error = guest_cached_inodes(builder->guest, builder->system, visit_inode, builder);
	if (!error)
		error = mend_super(builder);
	if (!error)
		error = open_fs(builder);
	if (!error)
		error = retire_journal(builder);
	if (!error)
		error = coherent_compare(builder);
	if (error)
		return error;
	count_free(builder->fs);
	error = coherent_mend(builder);
	if (!error)
		error = coherent_write_inodes(builder);
	return error ? error : coherent_keep(builder);
}

static void builder_destroy(struct builder *builder)
{
	ext4_blocks_destroy(builder->blocks);
	if (builder->fs)
		ext2fs_free(builder->fs);
	free(builder->clean);
	free(builder->laid);
	free(builder->nameless);
	free(builder->work);
	free(builder->block);
	disk_newer_deinit(&builder->newer);
	free(builder);
}
DEFINE_CLEANUP(struct builder *, builder_destroy)

static struct error *build(struct builder *builder)
{
	struct error *error;

	initialize_ext2_error_table();
	error = run_steps(builder);
	if (!error) {
		/* Closing frees it, and the bitmaps' destructor needs it still. */
		error = coherent_error(builder, ext4_blocks_write(builder->blocks), "block bitmaps");
		ext4_blocks_destroy(take_ptr(builder->blocks));
	}
	if (!error)
		error = coherent_error(builder, ext2fs_close_free(&builder->fs), "closing ext4");
	/* Others read the exported file, not the device. */
	if (!error && fsync(builder->device_fd) < 0)
		error = error_system(errno, builder->device, "write to the throw-away disk");
	return error;
}

/* In the process without rights. */
static struct error *build_confined(void *context, FILE *out)
{
	struct builder *builder = context;
	struct error *error = build(builder);

	if (!error)
		coherent_print(&builder->newer, out);
	return error;
}

struct error *coherent_build(const struct coherent_options *options, struct guest *guest,
			     const struct guest_file_system *system, struct disk_newer *ret)
{
	_cleanup_(builder_destroy_ptr) struct builder *builder = calloc(1, sizeof(*builder));
	const int keep[] = {options->device_fd, guest_descriptor(guest), options->keep ? options->keep->fd : -1};
	const struct confined_call call = {.directory = options->directory,
					   .keep = keep,
					   .n_keep = ARRAY_SIZE(keep),
					   .file_max = options->size, /* of the kept file */
					   .function = build_confined,
					   .context = builder};
	_cleanup_(free_ptr) char *result = NULL;
	struct error *error;
	size_t size;

	if (!builder)
		return error_no_memory();
	builder->device = options->device;
	builder->device_fd = options->device_fd;
	builder->size = options->size;
	builder->guest = guest;
	builder->system = system;
	builder->keep = options->keep;
	error = confined_call(&call, &result, &size);
	if (!error)
		error = coherent_parse(result, size, ret);
	if (error)
		return error_remedy(error_wrap(error, "bring %s up to what memory has of it", system->id),
				    "--disk-alone shows the disk without what the guest's memory has of it");
	return NULL;
}

void disk_newer_deinit(struct disk_newer *newer)
{
	for (size_t i = 0; i < newer->n_unknown; i++) {
		free(newer->unknown[i].path);
		free(newer->unknown[i].why);
	}
	free(newer->unknown);
	free(newer->inodes);
	*newer = (struct disk_newer){0};
}
