/* SPDX-License-Identifier: Apache-2.0 */
/* The contents of one file, for whoever has it open in the guest: without a name nothing leads to it in the view. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "disk/coherent_private.h"

#define PIECE 65536u

/* Zeros are left out, so that a file of holes stays one. */
static struct error *keep_piece(const struct builder *builder, const uint8_t *buffer, size_t n, uint64_t offset)
{
	if (buffer[0] == 0 && memcmp(buffer, buffer + 1, n - 1) == 0)
		return NULL;
	return io_pwrite(builder->keep->fd, buffer, n, offset, "the contents that are kept");
}

static struct error *keep_contents(struct builder *builder, ext2_file_t file)
{
	_cleanup_(free_ptr) uint8_t *buffer = malloc(PIECE);
	uint64_t offset = 0;
	unsigned n = 1;

	if (!buffer)
		return error_no_memory();
	while (n > 0) {
		struct error *error =
			coherent_error(builder, ext2fs_file_read(file, buffer, PIECE, &n), "an open file");

		if (!error && n > 0)
			error = keep_piece(builder, buffer, n, offset);
		if (error)
			return error;
		offset += n;
	}
	return NULL;
}

static struct error *keep_end(const struct builder *builder)
{
	uint64_t last = builder->kept.size - 1;
	uint8_t byte = 0;

	if (pread(builder->keep->fd, &byte, 1, (off_t)last) == 1)
		return NULL;
	return io_pwrite(builder->keep->fd, &byte, 1, last, "the contents that are kept");
}

struct error *coherent_keep(struct builder *builder)
{
	const struct guest_cached_inode *inode = &builder->kept;
	ext2_file_t file;
	struct error *error;

	if (!builder->has_kept)
		return NULL;
	for (size_t i = 0; i < builder->newer.n_unknown; i++)
		if (builder->newer.unknown[i].inode == inode->number)
			return error_create(ERROR_NOT_FOUND, "what the guest sees of the open file is not known: %s",
					    builder->newer.unknown[i].why);
	/* What is larger has holes for the most part, and reading them would not end. */
	if (inode->size > builder->size)
		return error_create(ERROR_UNSUPPORTED, "the open file claims %llu bytes, more than its file system has",
				    (unsigned long long)inode->size);
	if (inode->number == 0 || inode->number > builder->fs->super->s_inodes_count)
		return error_create(ERROR_FORMAT, "memory has an inode %llu", (unsigned long long)inode->number);
	error = coherent_error(builder, ext2fs_file_open(builder->fs, (ext2_ino_t)inode->number, 0, &file),
			       "an open file");
	if (error)
		return error;
	error = keep_contents(builder, file);
	ext2fs_file_close(file);
	/* The last byte makes its size, if it is in a hole; to cut a file is not among what this process may do. */
	if (!error && inode->size)
		error = keep_end(builder);
	builder->newer.kept = !error;
	return error;
}
