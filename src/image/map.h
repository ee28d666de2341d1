/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of an image: guest-physical memory → place in the file. Private to image/.
 *
 * Two kinds of regions: linear ones (ELF, raw) and paged ones, whose pages lie anywhere in the
 * file (streams). A paged region costs 8 bytes a page, in chunks made when first touched, so a
 * hostile header that claims terabytes costs next to nothing.
 */
#ifndef IMAGE_MAP_H
#define IMAGE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define IMAGE_PAGE_SIZE   4096u

/* More RAM than any guest this is meant for; bounds the tables' first level to 16 MiB. */
#define IMAGE_RAM_MAX     (UINT64_C(4) << 40)

/* Pages of a chunk: 2 MiB of guest memory, 4 KiB of index. */
#define PAGE_TABLE_CHUNK  512u

/*
 * One page's place. 0: the file does not hold it. Bit 63 set: every byte of it is the low byte.
 * Otherwise: the file offset of its content (which is never 0, a header comes first) in 48 bits,
 * and above it a digest of the page's first four bytes, so that a search for a page need not read
 * every page a second time.
 */
#define PAGE_PLACE_ABSENT UINT64_C(0)
#define PAGE_PLACE_FILL   (UINT64_C(1) << 63)
#define PAGE_PLACE_OFFSET ((UINT64_C(1) << 48) - 1)

/* The place of a page whose content begins with `head` and lies at `offset` <= PAGE_PLACE_OFFSET. */
static inline uint64_t page_place(uint64_t offset, uint32_t head)
{
	return offset | (uint64_t)(head * 0x9e3779b1u >> 17) << 48;
}

struct page_table {
	uint64_t n_pages;
	uint64_t **chunks; /* NULL: nothing in these 512 pages */
};

struct error *page_table_init(struct page_table *table, uint64_t n_pages) _must_check_;
/* Gives it at least `n_pages`: for formats that do not say at their beginning how many there are. */
struct error *page_table_grow(struct page_table *table, uint64_t n_pages) _must_check_;
/* `page` < n_pages. The last call for a page wins. */
struct error *page_table_set(struct page_table *table, uint64_t page, uint64_t place) _must_check_;
/* `page` < n_pages. */
uint64_t page_table_get(const struct page_table *table, uint64_t page);
void page_table_deinit(struct page_table *table);

struct image_region {
	uint64_t start; /* guest-physical */
	uint64_t size;  /* bytes */
	bool paged;
	uint64_t position;      /* linear: file offset of the first byte */
	uint64_t first_page;    /* paged: index into the map's table; else into `present` */
	const uint8_t *present; /* linear: a bit a page, lowest first; those without are all zero. NULL: all present */
};

/* A core by virtual address has a piece for each run of pages that are mapped one after the other. */
#define IMAGE_REGIONS_MAX (256u * 1024)

struct image_map {
	struct image_region *regions; /* sorted by start and disjoint, once finished */
	size_t n_regions;
	struct page_table pages; /* what paged regions index */
	uint8_t **bitmaps;       /* what linear regions look into; owned */
	size_t n_bitmaps;
	uint64_t given_back; /* bytes in the regions that are not RAM: a guest gave its memory there back */
	char *unplaced;      /* names of RAM that the file has, but not where it is; NULL: none. Owned */
};

/* Adds a region; zero-sized ones are dropped, one that wraps around is ERROR_FORMAT. */
struct error *image_map_add(struct image_map *map, const struct image_region *region) _must_check_;
/* Sorts and checks: overlapping regions are ERROR_FORMAT. */
struct error *image_map_finish(struct image_map *map, const char *path) _must_check_;
/* Sorts, and cuts off of each linear region what lies in one before it: the file has some memory twice. */
void image_map_trim(struct image_map *map);
/* The first region that ends above `address`, or NULL. */
const struct image_region *image_map_find(const struct image_map *map, uint64_t address);
/* Makes `bitmap` the map's own, also on failure. */
struct error *image_map_keep(struct image_map *map, uint8_t *bitmap) _must_check_;
/* The place of the byte at `address` of the region: absent, all of one byte, or else its file offset. */
uint64_t image_map_place(const struct image_map *map, const struct image_region *region, uint64_t address);
/* How many bytes from `address` of the region on have their places one after the other. */
uint64_t image_map_run(const struct image_region *region, uint64_t address);
void image_map_deinit(struct image_map *map);

#endif
