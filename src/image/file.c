/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "image/ops.h"

/* The last extent that begins at or before `offset`; the first one begins at 0. */
static size_t find_extent(const struct image_file *file, uint64_t offset)
{
	size_t low = 0, high = file->n_extents;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (file->extents[middle].start <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static struct error *read_extents(const struct image_file *file, uint8_t *out, size_t size, uint64_t offset)
{
	size_t i = find_extent(file, offset);

	for (; size > 0; i++) {
		const struct file_extent *extent = &file->extents[i];
		uint64_t end = i + 1 < file->n_extents ? extent[1].start : file->size;
		size_t n = end - offset < size ? end - offset : size;
		struct error *error = NULL;

		if (extent->position == FILE_EXTENT_ZERO)
			memset(out, 0, n);
		else
			error = io_pread(file->fd, out, n, extent->position + (offset - extent->start), file->path);
		if (error)
			return error;
		out += n;
		offset += n;
		size -= n;
	}
	return NULL;
}

struct error *image_file_read(const struct image_file *file, void *buffer, size_t size, uint64_t offset)
{
	if (offset > file->size || size > file->size - offset)
		return error_format(file->path, offset, "it ends at byte %llu, %zu bytes at byte %llu were expected",
				    (unsigned long long)file->size, size, (unsigned long long)offset);
	if (!file->extents)
		return io_pread(file->fd, buffer, size, offset, file->path);
	return size == 0 ? NULL : read_extents(file, buffer, size, offset);
}

/* Whether an extent at `position` only goes on where the last one ends. */
static bool goes_on(const struct file_extent *last, uint64_t start, uint64_t position)
{
	if (last->position == FILE_EXTENT_ZERO || position == FILE_EXTENT_ZERO)
		return last->position == position;
	return position == last->position + (start - last->start);
}

struct error *image_file_add_extent(struct image_file *file, uint64_t start, uint64_t position)
{
	struct error *error;

	if (file->n_extents > 0 && goes_on(&file->extents[file->n_extents - 1], start, position))
		return NULL;
	error = array_room(&file->extents, file->n_extents, sizeof(*file->extents));
	if (error)
		return error;
	file->extents[file->n_extents++] = (struct file_extent){.start = start, .position = position};
	return NULL;
}

void image_file_deinit(struct image_file *file)
{
	close_fd(&file->fd);
	free(file->path);
	free(file->extents);
	*file = (struct image_file){.fd = -1};
}
