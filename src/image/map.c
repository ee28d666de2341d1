/* SPDX-License-Identifier: Apache-2.0 */
#include "image/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

struct error *page_table_init(struct page_table *table, uint64_t n_pages)
{
	uint64_t n_chunks = n_pages / PAGE_TABLE_CHUNK + 1;
	uint64_t **chunks;

	if (n_pages > IMAGE_RAM_MAX / IMAGE_PAGE_SIZE)
		return error_create(ERROR_FORMAT, "%llu pages of RAM are more than any guest has",
				    (unsigned long long)n_pages);
	chunks = calloc(n_chunks, sizeof(*chunks));
	if (!chunks)
		return error_no_memory();
	*table = (struct page_table){.n_pages = n_pages, .chunks = chunks};
	return NULL;
}

struct error *page_table_grow(struct page_table *table, uint64_t n_pages)
{
	uint64_t n_chunks = table->n_pages / PAGE_TABLE_CHUNK + 1, more = n_pages / PAGE_TABLE_CHUNK + 2;
	uint64_t **chunks;

	if (n_pages <= table->n_pages)
		return NULL;
	if (n_pages > IMAGE_RAM_MAX / IMAGE_PAGE_SIZE)
		return error_create(ERROR_FORMAT, "%llu pages of RAM are more than any guest has",
				    (unsigned long long)n_pages);
	/* By doubling, or each page that is one further would move the table. */
	more = more > 2 * n_chunks ? more : 2 * n_chunks;
	chunks = reallocarray(table->chunks, more, sizeof(*chunks));
	if (!chunks)
		return error_no_memory();
	memset(chunks + n_chunks, 0, (more - n_chunks) * sizeof(*chunks));
	table->chunks = chunks;
	table->n_pages = (more - 1) * PAGE_TABLE_CHUNK;
	return NULL;
}

struct error *page_table_set(struct page_table *table, uint64_t page, uint64_t place)
{
	uint64_t **chunk = &table->chunks[page / PAGE_TABLE_CHUNK];

	if (!*chunk) {
		*chunk = calloc(PAGE_TABLE_CHUNK, sizeof(**chunk));
		if (!*chunk)
			return error_no_memory();
	}
	(*chunk)[page % PAGE_TABLE_CHUNK] = place;
	return NULL;
}

uint64_t page_table_get(const struct page_table *table, uint64_t page)
{
	const uint64_t *chunk = table->chunks[page / PAGE_TABLE_CHUNK];

	return chunk ? chunk[page % PAGE_TABLE_CHUNK] : PAGE_PLACE_ABSENT;
}

void page_table_deinit(struct page_table *table)
{
	if (!table->chunks)
		return;
	for (uint64_t i = 0; i <= table->n_pages / PAGE_TABLE_CHUNK; i++)
		free(table->chunks[i]);
	free(table->chunks);
	*table = (struct page_table){0};
}

struct error *image_map_add(struct image_map *map, const struct image_region *region)
{
	struct error *error;

	if (region->size == 0)
		return NULL;
	if (region->start + region->size < region->start)
		return error_create(ERROR_FORMAT, "RAM at 0x%llx of 0x%llx bytes wraps around",
				    (unsigned long long)region->start, (unsigned long long)region->size);
	if (map->n_regions >= IMAGE_REGIONS_MAX)
		return error_create(ERROR_FORMAT, "more than %u pieces of RAM", IMAGE_REGIONS_MAX);
	error = array_room(&map->regions, map->n_regions, sizeof(*map->regions));
	if (!error)
		map->regions[map->n_regions++] = *region;
	return error;
}

static int compare_regions(const void *a, const void *b)
{
	const struct image_region *left = a, *right = b;

	return (left->start > right->start) - (left->start < right->start);
}

struct error *image_map_finish(struct image_map *map, const char *path)
{
	if (map->n_regions == 0)
		return error_format(path, ERROR_NO_ADDRESS, "it describes no RAM");
	qsort(map->regions, map->n_regions, sizeof(*map->regions), compare_regions);
	for (size_t i = 1; i < map->n_regions; i++) {
		const struct image_region *previous = &map->regions[i - 1];

		if (previous->start + previous->size > map->regions[i].start)
			return error_format(path, ERROR_NO_ADDRESS, "two pieces of RAM overlap at 0x%llx",
					    (unsigned long long)map->regions[i].start);
	}
	return NULL;
}

void image_map_trim(struct image_map *map)
{
	size_t n = 0;

	if (map->n_regions == 0)
		return;
	qsort(map->regions, map->n_regions, sizeof(*map->regions), compare_regions);
	for (size_t i = 1; i < map->n_regions; i++) {
		struct image_region *last = &map->regions[n], region = map->regions[i];
		uint64_t end = last->start + last->size;

		if (region.start < end) {
			uint64_t covered = end - region.start;

			if (region.size <= covered)
				continue;
			region.start += covered;
			region.position += covered;
			region.size -= covered;
		}
		if (region.start == end && region.position == last->position + last->size)
			last->size += region.size;
		else
			map->regions[++n] = region;
	}
	map->n_regions = n + 1;
}

const struct image_region *image_map_find(const struct image_map *map, uint64_t address)
{
	size_t low = 0, high = map->n_regions;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct image_region *region = &map->regions[middle];

		/* The region's last byte, so that one that ends at 2^64 does not wrap. */
		if (region->start + (region->size - 1) < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < map->n_regions ? &map->regions[low] : NULL;
}

struct error *image_map_keep(struct image_map *map, uint8_t *bitmap)
{
	uint8_t **bitmaps = reallocarray(map->bitmaps, map->n_bitmaps + 1, sizeof(*bitmaps));

	if (!bitmaps) {
		free(bitmap);
		return error_no_memory();
	}
	map->bitmaps = bitmaps;
	map->bitmaps[map->n_bitmaps++] = bitmap;
	return NULL;
}

static bool is_present(const struct image_region *region, uint64_t page)
{
	page += region->first_page;
	return !region->present || region->present[page / 8] >> page % 8 & 1;
}

uint64_t image_map_place(const struct image_map *map, const struct image_region *region, uint64_t address)
{
	uint64_t offset = address - region->start, place;

	if (!region->paged)
		return is_present(region, offset / IMAGE_PAGE_SIZE) ? region->position + offset : PAGE_PLACE_FILL;
	place = page_table_get(&map->pages, region->first_page + offset / IMAGE_PAGE_SIZE);
	if (place == PAGE_PLACE_ABSENT || place & PAGE_PLACE_FILL)
		return place;
	return (place & PAGE_PLACE_OFFSET) + offset % IMAGE_PAGE_SIZE;
}

uint64_t image_map_run(const struct image_region *region, uint64_t address)
{
	uint64_t offset = address - region->start;
	uint64_t left = region->size - offset;
	uint64_t page_left = IMAGE_PAGE_SIZE - offset % IMAGE_PAGE_SIZE;

	return (region->paged || region->present) && page_left < left ? page_left : left;
}

void image_map_deinit(struct image_map *map)
{
	for (size_t i = 0; i < map->n_bitmaps; i++)
		free(map->bitmaps[i]);
	free(map->bitmaps);
	free(map->regions);
	free(map->unplaced);
	page_table_deinit(&map->pages);
	*map = (struct image_map){0};
}
