/* SPDX-License-Identifier: Apache-2.0 */
/* What the steps of coherent_build() share. Private to coherent*.c. */
#ifndef DISK_COHERENT_PRIVATE_H
#define DISK_COHERENT_PRIVATE_H

#include <stdio.h>

#include "disk/coherent.h"
#include "disk/ext4_blocks.h"

/* Inodes of which memory and disk are compared. */
#define SAMPLES 512u

struct builder {
	const char *device;
	int device_fd;
	uint64_t size; /* bytes of the device */
	struct guest *guest;
	const struct guest_file_system *system;
	ext2_filsys fs; /* NULL: not open */
	struct ext4_blocks *blocks;
	struct guest_piece *clean; /* blocks of the device that memory says are as the disk has them */
	size_t n_clean;
	uint64_t *laid; /* numbers of the blocks that memory has otherwise */
	size_t n_laid;
	struct guest_cached_inode *work; /* inodes that memory has otherwise, or has contents of */
	size_t n_work;
	struct guest_cached_inode samples[SAMPLES]; /* of those that are as the disk has them */
	uint64_t n_seen;                            /* from how many the samples were drawn */
	ext2_ino_t *nameless;                       /* inodes in memory that have no name any more */
	size_t n_nameless;
	uint8_t *block;               /* room for one */
	const struct disk_keep *keep; /* borrowed; NULL: nothing is */
	bool has_kept;                /* memory has it in this file system: */
	struct guest_cached_inode kept;
	struct disk_newer newer;
};

/* What libext2fs says, as an error of the device. */
struct error *coherent_error(const struct builder *builder, errcode_t code, const char *what) _must_check_;

/* From the process that works on the file system to ours: all of it as bytes, which are not believed. */
void coherent_print(const struct disk_newer *newer, FILE *out);
struct error *coherent_parse(const char *bytes, size_t size, struct disk_newer *ret) _must_check_;

/* Compares what must be the same on the disk and in memory. ERROR_CONFLICT: it is not. */
struct error *coherent_compare(struct builder *builder) _must_check_;

/* Puts right what the kernel does later: checksums, and the list of files without a name. */
struct error *coherent_mend(struct builder *builder) _must_check_;

/* Writes contents, sizes and times of the inodes of builder->work. */
struct error *coherent_write_inodes(struct builder *builder) _must_check_;

/* Copies the contents of builder->kept, if it has one, as they are after that. */
struct error *coherent_keep(struct builder *builder) _must_check_;

#endif
