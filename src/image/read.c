/* SPDX-License-Identifier: Apache-2.0 */
#include "image/read.h"

#include <string.h>
#include <sys/uio.h>

/* The records between pages: a header, a block's name at most, the zero pages. */
#define GAP_MAX   512u
#define PARTS_MAX 256u

/* Pieces of the file that lie close together, and where they go. */
struct batch {
	const struct image_file *file;
	uint64_t start, end; /* file offsets */
	int n;
	struct iovec parts[PARTS_MAX];
};

static uint8_t waste[GAP_MAX]; /* written by everybody, read by nobody */

/* Reads the pieces one by one: that fails with the right offset. */
static struct error *read_parts(struct batch *batch)
{
	uint64_t offset = batch->start;
	struct error *error = NULL;

	for (int i = 0; !error && i < batch->n; i++) {
		const struct iovec *part = &batch->parts[i];

		if (part->iov_base != waste)
			error = image_file_read(batch->file, part->iov_base, part->iov_len, offset);
		offset += part->iov_len;
	}
	return error;
}

static struct error *flush(struct batch *batch)
{
	struct error *error = NULL;

	if (batch->n < 2 || batch->file->extents ||
	    preadv(batch->file->fd, batch->parts, batch->n, (off_t)batch->start) !=
		    (ssize_t)(batch->end - batch->start))
		error = read_parts(batch);
	batch->n = 0;
	return error;
}

static void add_part(struct batch *batch, void *out, size_t size)
{
	batch->parts[batch->n++] = (struct iovec){.iov_base = out, .iov_len = size};
	batch->end += size;
}

/* Adds `size` bytes at the file's `offset`, after it read what they do not lie close to. */
static struct error *add(struct batch *batch, void *out, size_t size, uint64_t offset)
{
	if (batch->n > 0 && (offset < batch->end || offset - batch->end > GAP_MAX || batch->n + 2 > (int)PARTS_MAX)) {
		struct error *error = flush(batch);

		if (error)
			return error;
	}
	if (batch->n == 0)
		batch->start = batch->end = offset;
	if (offset > batch->end)
		add_part(batch, waste, offset - batch->end);
	add_part(batch, out, size);
	return NULL;
}

static struct error *not_held(const struct image_file *file, const struct image_map *map, uint64_t address)
{
	struct error *error = error_create(ERROR_NOT_FOUND, "%s: it does not hold guest-physical address 0x%llx",
					   file->path, (unsigned long long)address);

	error->address = address;
	if (map->unplaced)
		error = error_remedy(error,
				     "The guest has plugged memory (%s), and a migration stream does not say where; an "
				     "ELF core does: dump-guest-memory",
				     map->unplaced);
	return error;
}

struct error *read_memory(const struct image_file *file, const struct image_map *map, uint64_t address, void *buffer,
			  size_t size)
{
	struct batch batch; /* a few KiB that most reads need little of: not cleared */
	uint8_t *out = buffer;

	batch.file = file;
	batch.start = batch.end = 0;
	batch.n = 0;
	while (size > 0) {
		const struct image_region *region = image_map_find(map, address);
		uint64_t place, n;
		struct error *error = NULL;

		if (!region || address < region->start)
			return not_held(file, map, address);
		place = image_map_place(map, region, address);
		/* A linear region may begin at the file's very first byte: a raw dump. */
		if (region->paged && place == PAGE_PLACE_ABSENT)
			return not_held(file, map, address);
		n = image_map_run(region, address);
		if (n > size)
			n = size;
		if (place & PAGE_PLACE_FILL)
			memset(out, (int)(place & 0xff), n);
		else
			error = add(&batch, out, n, place);
		if (error)
			return error;
		out += n;
		size -= n;
		address += n;
		if (address == 0 && size > 0)
			return not_held(file, map, UINT64_MAX);
	}
	return flush(&batch);
}
