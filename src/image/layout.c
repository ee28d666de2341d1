/* SPDX-License-Identifier: Apache-2.0 */
#include "image/layout.h"

#include <string.h>

#include "base/cleanup.h"

#define GIB         (UINT64_C(1) << 30)
#define MIB         (UINT64_C(1) << 20)
#define HIGH_MEMORY (4 * GIB)

/* Blocks that are never the guest's RAM: ROMs, flash, video memory, what a device brings along. */
static bool is_device_block(const char *name)
{
	static const char *const prefixes[] = {"/rom@",    "pc.bios", "pc.rom", "system.flash",
					       "isa-bios", "vga.",    "acpi"};

	if (strchr(name, '/') && strncmp(name, "/objects/", 9) != 0)
		return true; /* "0000:00:02.0/vga.vram" */
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	}
	return false;
}

struct error *layout_find_ram(const struct ram_block *blocks, size_t n, size_t *ret)
{
	size_t found = n;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(blocks[i].name, "pc.ram") == 0 || strcmp(blocks[i].name, "microvm.ram") == 0) {
			*ret = i;
			return NULL;
		}
	}
	/* Memory backends bear the name that the user gave them. */
	for (size_t i = 0; i < n; i++) {
		if (is_device_block(blocks[i].name))
			continue;
		if (found < n)
			return error_create(ERROR_UNSUPPORTED,
					    "the guest's RAM is in several blocks ('%s', '%s'), which cannot be read",
					    blocks[found].name, blocks[i].name);
		found = i;
	}
	if (found == n)
		return error_create(ERROR_FORMAT, "none of its %zu RAM blocks is the RAM of an x86 guest", n);
	*ret = found;
	return NULL;
}

/* Bytes at an offset of the RAM block; false where the file does not hold them. Within one page. */
static bool read_block(const struct image_file *file, const struct image_map *map, uint64_t offset, void *buffer,
		       size_t size)
{
	uint64_t place;
	_cleanup_(error_destroy_ptr) struct error *error = NULL;

	if (offset / IMAGE_PAGE_SIZE >= map->pages.n_pages)
		return false;
	place = page_table_get(&map->pages, offset / IMAGE_PAGE_SIZE);
	if (place == PAGE_PLACE_ABSENT)
		return false;
	if (place & PAGE_PLACE_FILL) {
		memset(buffer, (int)(place & 0xff), size);
		return true;
	}
	error = image_file_read(file, buffer, size, (place & PAGE_PLACE_OFFSET) + offset % IMAGE_PAGE_SIZE);
	return !error;
}

/*
 * The address of the ACPI tables that the firmware left, 0 if there are none. SeaBIOS puts its
 * root pointer into the last 128 KiB of the first MiB, and the tables at the very top of the
 * memory below 4 GiB.
 */
static uint64_t find_acpi_tables(const struct image_file *file, const struct image_map *map)
{
	for (uint64_t page = 0xe0000; page < 0x100000; page += IMAGE_PAGE_SIZE) {
		uint8_t bytes[IMAGE_PAGE_SIZE];

		if (!read_block(file, map, page, bytes, sizeof(bytes)))
			continue;
		for (size_t i = 0; i + 20 <= sizeof(bytes); i += 16) {
			uint8_t sum = 0;
			uint32_t address;

			if (memcmp(bytes + i, "RSD PTR ", 8) != 0)
				continue;
			for (size_t k = 0; k < 20; k++)
				sum += bytes[i + k];
			if (sum != 0)
				continue;
			memcpy(&address, bytes + i + 16, sizeof(address));
			return address;
		}
	}
	return 0;
}

/*
 * Where the machine cuts its RAM by default (hw/i386/pc_q35.c, pc_piix.c, microvm.c): it leaves
 * more room for PCI only if the RAM does not fit below anyway.
 */
static uint64_t default_cut(const char *machine, uint64_t size)
{
	if (strncmp(machine, "pc-q35", 6) == 0)
		return size >= UINT64_C(0xb0000000) ? UINT64_C(0x80000000) : UINT64_C(0xb0000000);
	return size >= UINT64_C(0xe0000000) ? UINT64_C(0xc0000000) : UINT64_C(0xe0000000);
}

/* The cut that the firmware's tables show, or the default where they agree with it or say nothing. */
static uint64_t find_cut(const struct image_file *file, const char *machine, uint64_t size, const struct image_map *map)
{
	uint64_t cut = default_cut(machine, size), top = cut < size ? cut : size;
	uint64_t tables = find_acpi_tables(file, map), probed = (tables + MIB - 1) / MIB * MIB;
	uint8_t signature[4];

	if (tables == 0 || tables >= size || !read_block(file, map, tables, signature, sizeof(signature)))
		return cut;
	if (memcmp(signature, "RSDT", 4) != 0 && memcmp(signature, "XSDT", 4) != 0)
		return cut;
	/* Firmware may keep a little for itself above the tables. */
	if (tables < top && top - tables < 32 * MIB)
		return cut;
	return probed;
}

struct error *layout_split(const struct image_file *file, const char *machine, uint64_t size, struct image_map *map)
{
	uint64_t cut = find_cut(file, machine, size, map);
	struct image_region low = {.size = size < cut ? size : cut, .paged = true};
	struct image_region high = {
		.start = HIGH_MEMORY,
		.size = size - low.size,
		.paged = true,
		.first_page = low.size / IMAGE_PAGE_SIZE,
	};
	struct error *error = image_map_add(map, &low);

	return error ? error : image_map_add(map, &high);
}
