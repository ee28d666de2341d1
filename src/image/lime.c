/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LiME (https://github.com/504ensicsLabs/LiME, src/lime.h): memory taken from inside the guest.
 * Ranges, each a header of 32 bytes (little-endian magic, version 1, first and last address,
 * 8 bytes reserved) and its bytes.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "image/ops.h"

#define LIME_HEADER_SIZE 32u
#define LIME_VERSION     1u

static bool lime_probe(const uint8_t *head, size_t size)
{
	return size >= 4 && memcmp(head, "EMiL", 4) == 0;
}

static struct error *cut_off(const struct image_file *file, uint64_t offset, const char *what)
{
	return error_remedy(error_format(file->path, offset, "the file ends at byte %llu, inside %s",
					 (unsigned long long)file->size, what),
			    "The dump is incomplete: take it again");
}

static struct error *read_range(const struct image_file *file, uint64_t offset, uint64_t *start, uint64_t *last)
{
	uint8_t bytes[LIME_HEADER_SIZE];
	uint32_t version;
	struct cursor c = cursor_init(bytes, sizeof(bytes), file->path);
	struct error *error;

	if (file->size - offset < sizeof(bytes))
		return cut_off(file, offset, "a range's header");
	error = image_file_read(file, bytes, sizeof(bytes), offset);
	c.base = offset;
	if (!error && !lime_probe(bytes, sizeof(bytes)))
		return cursor_error(&c, "no LiME range begins here");
	if (!error)
		error = cursor_skip(&c, 4);
	if (!error)
		error = cursor_le32(&c, &version);
	if (!error)
		error = cursor_le64(&c, start);
	if (!error)
		error = cursor_le64(&c, last);
	if (!error && version != LIME_VERSION)
		return error_recode(cursor_error(&c, "version %u of LiME; known is %u", version, LIME_VERSION),
				    ERROR_UNSUPPORTED);
	if (!error && *last < *start)
		return cursor_error(&c, "a range that ends at 0x%llx, before it begins", (unsigned long long)*last);
	return error;
}

static struct error *lime_open(struct image_file *file, struct image_map *map)
{
	uint64_t offset = 0;

	while (offset < file->size) {
		uint64_t start = 0, last = 0;
		struct image_region region;
		struct error *error = read_range(file, offset, &start, &last);

		if (error)
			return error;
		offset += LIME_HEADER_SIZE;
		if (last - start >= file->size - offset)
			return cut_off(file, offset, "its memory");
		region = (struct image_region){.start = start, .size = last - start + 1, .position = offset};
		error = image_map_add(map, &region);
		if (error)
			return error;
		offset += region.size;
	}
	return NULL;
}

const struct image_ops lime_ops = {
	.name = "lime",
	.probe = lime_probe,
	.open = lime_open,
};
