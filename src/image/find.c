/* SPDX-License-Identifier: Apache-2.0 */
#include "image/find.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#define PIECE_SIZE (128u * 1024)

/* One search: what is looked for, and room to read into. */
struct search {
	const struct image_file *file;
	const struct image_map *map;
	const void *bytes;
	size_t size;
	bool zeros;     /* every byte looked for is 0: holes match */
	uint8_t *piece; /* PIECE_SIZE bytes, made when first needed */
};

/* Part of a region: whole pages, by their offsets from the region's start. */
struct span {
	const struct image_region *region;
	uint64_t start, end;
};

static bool try_read(const struct search *s, void *buffer, size_t size, uint64_t offset)
{
	_cleanup_(error_destroy_ptr) struct error *error = NULL;

	error = image_file_read(s->file, buffer, size, offset);
	return !error;
}

static bool filled_begins(const struct search *s, uint8_t fill)
{
	const uint8_t *bytes = s->bytes;

	for (size_t i = 0; i < s->size; i++) {
		if (bytes[i] != fill)
			return false;
	}
	return true;
}

/* Whether the page whose first byte has this place begins with the bytes. */
static bool place_begins(const struct search *s, uint64_t place)
{
	uint8_t head[IMAGE_FIND_MAX];

	if (place == PAGE_PLACE_ABSENT)
		return false;
	if (place & PAGE_PLACE_FILL)
		return filled_begins(s, (uint8_t)place);
	return try_read(s, head, s->size, place & PAGE_PLACE_OFFSET) && memcmp(head, s->bytes, s->size) == 0;
}

/* Looks at the index; only pages whose first four bytes can be the right ones are read. */
static bool search_paged(const struct search *s, const struct span *span, uint64_t *ret)
{
	uint64_t first = span->region->first_page + span->start / IMAGE_PAGE_SIZE;
	uint64_t end = span->region->first_page + span->end / IMAGE_PAGE_SIZE, digest = 0;
	bool has_digest = s->size >= sizeof(uint32_t);
	uint32_t head = 0;

	memcpy(&head, s->bytes, has_digest ? sizeof(head) : 0);
	digest = page_place(0, head);
	for (uint64_t page = first; page < end; page++) {
		uint64_t place;

		if (page % PAGE_TABLE_CHUNK == 0 && !s->map->pages.chunks[page / PAGE_TABLE_CHUNK]) {
			page += PAGE_TABLE_CHUNK - 1;
			continue;
		}
		place = page_table_get(&s->map->pages, page);
		if (has_digest && !(place & PAGE_PLACE_FILL) && (place & ~PAGE_PLACE_OFFSET) != digest)
			continue;
		if (!place_begins(s, place))
			continue;
		*ret = span->start + (page - first) * IMAGE_PAGE_SIZE;
		return true;
	}
	return false;
}

/* Looks at pages [start, end) of a region that lie together in the file, at most PIECE_SIZE. */
static bool search_piece(const struct search *s, const struct span *piece, uint64_t *ret)
{
	uint64_t position = piece->region->position + piece->start;
	size_t size = piece->end - piece->start;
	bool whole = try_read(s, s->piece, size, position);

	for (size_t at = 0; at < size; at += IMAGE_PAGE_SIZE) {
		/* Where one page cannot be read, the others still can. */
		if (!whole && !try_read(s, s->piece + at, s->size, position + at))
			continue;
		if (memcmp(s->piece + at, s->bytes, s->size) != 0)
			continue;
		*ret = piece->start + at;
		return true;
	}
	return false;
}

/* Narrows the span to the next pages that the file has content for; false: there are none. */
static bool next_data(const struct search *s, struct span *span)
{
	uint64_t position = span->region->position;
	off_t data, hole;

	if (s->zeros || s->file->extents)
		return true;
	data = lseek(s->file->fd, (off_t)(position + span->start), SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return false; /* a hole up to the file's end */
	hole = data < 0 ? -1 : lseek(s->file->fd, data, SEEK_HOLE);
	if (hole < 0)
		return true; /* a file system that does not know */
	/* A hole can begin and end inside a page of the guest. */
	if ((uint64_t)data > position + span->start)
		span->start = ((uint64_t)data - position) / IMAGE_PAGE_SIZE * IMAGE_PAGE_SIZE;
	if ((uint64_t)hole < position + span->end)
		span->end = ((uint64_t)hole - position + IMAGE_PAGE_SIZE - 1) / IMAGE_PAGE_SIZE * IMAGE_PAGE_SIZE;
	return span->start < span->end;
}

/* Looks at pages that the file has content for. */
static bool search_data(const struct search *s, const struct span *span, uint64_t *ret)
{
	struct span piece = *span;

	for (; piece.start < span->end; piece.start = piece.end) {
		piece.end = span->end - piece.start < PIECE_SIZE ? span->end : piece.start + PIECE_SIZE;
		if (search_piece(s, &piece, ret))
			return true;
	}
	return false;
}

static bool search_linear(const struct search *s, const struct span *span, uint64_t *ret)
{
	struct span data = *span;

	for (; data.start < span->end; data.start = data.end) {
		data.end = span->end;
		if (!next_data(s, &data))
			return false;
		if (search_data(s, &data, ret))
			return true;
	}
	return false;
}

static bool has_bit(const uint8_t *bitmap, uint64_t i)
{
	return bitmap[i / 8] >> i % 8 & 1;
}

/* Looks at the pages that the bitmap of a linear region has; the others are zero. */
static bool search_bitmap(const struct search *s, const struct span *span, uint64_t *ret)
{
	const struct image_region *region = span->region;
	uint64_t page = region->first_page + span->start / IMAGE_PAGE_SIZE;
	const uint64_t end = region->first_page + span->end / IMAGE_PAGE_SIZE;

	while (page < end) {
		uint64_t first = page;
		bool present = has_bit(region->present, first);
		struct span run = {.region = region, .start = (first - region->first_page) * IMAGE_PAGE_SIZE};

		while (page < end && has_bit(region->present, page) == present)
			page += !present && page % 8 == 0 && region->present[page / 8] == 0 ? 8 : 1;
		if (page > end)
			page = end;
		run.end = (page - region->first_page) * IMAGE_PAGE_SIZE;
		if (present && search_linear(s, &run, ret))
			return true;
		if (!present && s->zeros) {
			*ret = run.start;
			return true;
		}
	}
	return false;
}

/* The whole pages of a region at or above `from`; false: there is none. */
static bool pages_from(const struct image_region *region, uint64_t from, struct span *ret)
{
	const uint64_t mask = IMAGE_PAGE_SIZE - 1;
	uint64_t offset = from > region->start ? from - region->start : 0;

	/* Pages are aligned in the guest's memory, which a region need not be. */
	if (region->size <= offset || region->size - offset < IMAGE_PAGE_SIZE)
		return false;
	offset += -(region->start + offset) & mask;
	if (region->size < offset)
		return false;
	*ret = (struct span){region, offset, offset + ((region->size - offset) & ~mask)};
	return ret->start < ret->end;
}

static bool search_regions(const struct search *s, uint64_t from, uint64_t *ret)
{
	const struct image_region *region = image_map_find(s->map, from);

	for (; region && region < s->map->regions + s->map->n_regions; region++) {
		uint64_t offset;
		struct span span;
		bool found;

		if (!pages_from(region, from, &span))
			continue;
		if (region->paged)
			found = search_paged(s, &span, &offset);
		else if (region->present)
			found = search_bitmap(s, &span, &offset);
		else
			found = search_linear(s, &span, &offset);
		if (!found)
			continue;
		*ret = region->start + offset;
		return true;
	}
	return false;
}

bool find_page(const struct image_file *file, const struct image_map *map, uint64_t from, const void *bytes,
	       size_t size, uint64_t *ret)
{
	_cleanup_(free_ptr) uint8_t *piece = malloc(PIECE_SIZE);
	struct search s = {.file = file, .map = map, .bytes = bytes, .size = size, .piece = piece};

	if (!piece)
		return false;
	s.zeros = filled_begins(&s, 0);
	return search_regions(&s, from, ret);
}

/* ---- Content ---- */

static bool has_content(const struct image_map *map, uint64_t page)
{
	uint64_t place = page_table_get(&map->pages, page);

	return place != PAGE_PLACE_ABSENT && !(place & PAGE_PLACE_FILL);
}

/* Narrows the span to the first run of pages that `present` has or, without it, the map's table. */
static bool next_pages(const struct image_map *map, struct span *span)
{
	const struct image_region *region = span->region;
	const uint8_t *present = region->present;
	uint64_t page = region->first_page + span->start / IMAGE_PAGE_SIZE, first;
	const uint64_t end = region->first_page + (span->end + IMAGE_PAGE_SIZE - 1) / IMAGE_PAGE_SIZE;

	while (page < end && !(present ? has_bit(present, page) : has_content(map, page))) {
		bool none = present ? page % 8 == 0 && present[page / 8] == 0
				    : page % PAGE_TABLE_CHUNK == 0 && !map->pages.chunks[page / PAGE_TABLE_CHUNK];

		page += !none ? 1 : present ? 8 : PAGE_TABLE_CHUNK;
	}
	if (page >= end)
		return false;
	for (first = page; page < end && (present ? has_bit(present, page) : has_content(map, page));)
		page++;
	first = (first - region->first_page) * IMAGE_PAGE_SIZE;
	page = (page - region->first_page) * IMAGE_PAGE_SIZE;
	span->start = first > span->start ? first : span->start;
	span->end = page < span->end ? page : span->end;
	return true;
}

/* Narrows the span, a region from some offset on, to the first run that the file has content for. */
static bool narrow_to_data(const struct search *s, struct span *span)
{
	const struct image_region *region = span->region;
	const uint64_t end = span->end;

	for (; span->start < end; span->start = span->end, span->end = end) {
		struct span data = *span;

		/* Holes first: a bitmap can name any number of pages in one. */
		if (!region->paged && !next_data(s, &data))
			return false;
		/* next_data() goes by whole pages, up and down. */
		span->start = data.start > span->start ? data.start : span->start;
		span->end = data.end < span->end ? data.end : span->end;
		if ((!region->paged && !region->present) || next_pages(s->map, span))
			return true;
	}
	return false;
}

bool find_data(const struct image_file *file, const struct image_map *map, uint64_t from, uint64_t *start,
	       uint64_t *size)
{
	const struct image_region *region = image_map_find(map, from);
	const struct search s = {.file = file, .map = map};

	for (; region && region < map->regions + map->n_regions; region++) {
		struct span span = {region, from > region->start ? from - region->start : 0, region->size};

		if (!narrow_to_data(&s, &span))
			continue;
		*start = region->start + span.start;
		*size = span.end - span.start;
		return true;
	}
	return false;
}
