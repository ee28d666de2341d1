/* SPDX-License-Identifier: Apache-2.0 */
#include "image/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "image/acpi.h"

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

static enum ram_role find_role(const struct ram_block *blocks, size_t n, size_t i)
{
	if (strcmp(blocks[i].name, "/rom@etc/acpi/tables") == 0)
		return ROLE_TABLES;
	if (is_device_block(blocks[i].name))
		return ROLE_DEVICE;
	/* Memory backends bear the name that the user gave them, and so do those of plugged memory. */
	for (size_t k = 0; k < n; k++) {
		if (k != i && (strcmp(blocks[k].name, "pc.ram") == 0 || strcmp(blocks[k].name, "microvm.ram") == 0))
			return ROLE_EXTRA;
	}
	return ROLE_RAM;
}

struct error *layout_assign(struct ram_block *blocks, size_t n, uint64_t *ret)
{
	uint64_t pages = 0;
	size_t n_ram = 0;

	for (size_t i = 0; i < n; i++) {
		struct ram_block *block = &blocks[i];

		block->role = find_role(blocks, n, i);
		n_ram += block->role == ROLE_RAM;
		if (block->role == ROLE_DEVICE || block->mapped)
			continue;
		block->first_page = pages;
		pages += block->size / IMAGE_PAGE_SIZE;
	}
	if (n_ram == 0)
		return error_create(ERROR_FORMAT, "none of its %zu RAM blocks is the RAM of an x86 guest", n);
	*ret = pages;
	return NULL;
}

bool layout_read(const struct image_file *file, const struct image_map *map, const struct ram_block *block,
		 uint64_t offset, void *buffer, size_t size)
{
	struct image_region region = {.size = block->size,
				      .paged = !block->mapped,
				      .first_page = block->mapped ? 0 : block->first_page,
				      .position = block->position,
				      .present = block->present};
	_cleanup_(error_destroy_ptr) struct error *error = NULL;
	uint64_t place;

	if (block->role == ROLE_DEVICE || offset >= block->size)
		return false;
	place = image_map_place(map, &region, offset);
	if (place == PAGE_PLACE_ABSENT)
		return false;
	if (place & PAGE_PLACE_FILL) {
		memset(buffer, (int)(place & 0xff), size);
		return true;
	}
	error = image_file_read(file, buffer, size, place);
	return !error;
}

/*
 * The address of the ACPI tables that the firmware left, 0 if there are none. SeaBIOS puts its
 * root pointer into the last 128 KiB of the first MiB, and the tables at the very top of the
 * memory below 4 GiB.
 */
static uint64_t find_root_tables(const struct image_file *file, const struct image_map *map,
				 const struct ram_block *low)
{
	for (uint64_t page = 0xe0000; page < 0x100000; page += IMAGE_PAGE_SIZE) {
		uint8_t bytes[IMAGE_PAGE_SIZE];

		if (!layout_read(file, map, low, page, bytes, sizeof(bytes)))
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
 * Where the machine cuts its RAM by default (hw/i386/pc_q35.c, pc_piix.c, microvm.c): PCs leave more room for PCI
 * only if the RAM does not fit below anyway.
 */
static uint64_t default_cut(const char *machine, uint64_t size)
{
	if (strncmp(machine, "microvm", 7) == 0)
		return UINT64_C(0xc0000000);
	if (strncmp(machine, "pc-q35", 6) == 0)
		return size >= UINT64_C(0xb0000000) ? UINT64_C(0x80000000) : UINT64_C(0xb0000000);
	return size >= UINT64_C(0xe0000000) ? UINT64_C(0xc0000000) : UINT64_C(0xe0000000);
}

/* What is known of the RAM as a whole. */
struct plan {
	const struct image_file *file;
	const char *machine;
	struct image_map *map;
	struct acpi_memory tables;
	struct ram_block *ram[ACPI_NODES_MAX]; /* the blocks of ROLE_RAM; in address order, once arranged */
	size_t n_ram;
	uint64_t size; /* bytes of all of them */
};

#define TABLES_MAX (2u * 1024 * 1024) /* ACPI_BUILD_TABLE_MAX_SIZE */

static struct error *read_tables(struct plan *plan, const struct ram_block *block)
{
	_cleanup_(free_ptr) uint8_t *bytes = NULL;

	if (block->size > TABLES_MAX)
		return NULL;
	bytes = calloc(1, block->size);
	if (!bytes)
		return error_no_memory();
	for (uint64_t offset = 0; offset < block->size; offset += IMAGE_PAGE_SIZE)
		(void)layout_read(plan->file, plan->map, block, offset, bytes + offset, IMAGE_PAGE_SIZE);
	acpi_memory_parse(bytes, block->size, &plan->tables);
	return NULL;
}

/* The cut that SeaBIOS's tables show, 0 if they say nothing: they end at the top of the memory below 4 GiB. */
static uint64_t firmware_cut(const struct plan *plan, uint64_t expected)
{
	const struct ram_block *low = plan->ram[0];
	uint64_t tables = find_root_tables(plan->file, plan->map, low), top = expected;
	uint8_t signature[4];

	if (plan->size < top)
		top = plan->size;
	if (tables == 0 || tables >= low->size ||
	    !layout_read(plan->file, plan->map, low, tables, signature, sizeof(signature)))
		return 0;
	if (memcmp(signature, "RSDT", 4) != 0 && memcmp(signature, "XSDT", 4) != 0)
		return 0;
	/* Firmware may keep a little for itself above the tables. */
	if (tables < top && top - tables < 32 * MIB)
		return 0;
	return (tables + MIB - 1) / MIB * MIB;
}

static uint64_t find_cut(const struct plan *plan)
{
	uint64_t cut = default_cut(plan->machine, plan->size), probed;

	if (plan->tables.cut >= MIB)
		return plan->tables.cut;
	probed = firmware_cut(plan, cut);
	return probed ? probed : cut;
}

/* The number that a backend's name ends in ("ram-node1"), -1 if none. */
static long name_number(const char *name)
{
	size_t end = strlen(name), start = end;

	while (start > 0 && end - start < 9 && name[start - 1] >= '0' && name[start - 1] <= '9')
		start--;
	return start < end ? strtol(name + start, NULL, 10) : -1;
}

/* Whether the block holds the guest's first megabyte: the firmware's root table or the BIOS's data, at 1 KiB. */
static bool is_lowest(const struct plan *plan, const struct ram_block *block)
{
	uint8_t kib[2];

	if (find_root_tables(plan->file, plan->map, block) != 0)
		return true;
	return layout_read(plan->file, plan->map, block, 0x413, kib, sizeof(kib)) && (kib[0] | kib[1] << 8) >= 512 &&
	       (kib[0] | kib[1] << 8) <= 640;
}

static struct error *unknown_order(const struct plan *plan)
{
	return error_remedy(error_create(ERROR_UNSUPPORTED,
					 "the guest's RAM is in several blocks ('%s', '%s'), and nothing tells which "
					 "comes first",
					 plan->ram[0]->name, plan->ram[1]->name),
			    "Give the guest one memory backend, or name those of its NUMA nodes in their order "
			    "(ram-node0, ram-node1), or take an ELF core: dump-guest-memory");
}

/* Whether there are more blocks of the node's size than nodes: one of them is plugged memory. */
static bool has_surplus(const struct plan *plan, size_t node)
{
	size_t blocks = 0, nodes = 0;

	for (size_t i = 0; i < plan->n_ram; i++)
		blocks += plan->ram[i]->size == plan->tables.node_sizes[node];
	for (size_t i = 0; i < plan->tables.n_nodes; i++)
		nodes += plan->tables.node_sizes[i] == plan->tables.node_sizes[node];
	return blocks > nodes;
}

/*
 * Puts the block of the node's size to ram[node], out of those from there on. Of several the lowest number is
 * taken that their names end in; QEMU lists them as they were created, which need not be the nodes' order.
 */
static struct error *take_block(struct plan *plan, size_t node)
{
	struct ram_block **ram = plan->ram, *taken;
	size_t best = plan->n_ram;

	for (size_t i = node; i < plan->n_ram; i++) {
		if (ram[i]->size != plan->tables.node_sizes[node])
			continue;
		if (best == plan->n_ram) {
			best = i;
			continue;
		}
		if (node == 0 && is_lowest(plan, ram[i]) != is_lowest(plan, ram[best])) {
			best = is_lowest(plan, ram[i]) ? i : best;
			continue;
		}
		if (has_surplus(plan, node) || name_number(ram[i]->name) < 0 ||
		    name_number(ram[i]->name) == name_number(ram[best]->name))
			return unknown_order(plan);
		if (name_number(ram[i]->name) < name_number(ram[best]->name))
			best = i;
	}
	if (best == plan->n_ram)
		return unknown_order(plan);
	taken = ram[best];
	ram[best] = ram[node];
	ram[node] = taken;
	return NULL;
}

/* Brings the blocks into address order; those that no node has are plugged memory. */
static struct error *arrange(struct plan *plan)
{
	struct error *error = NULL;

	if (plan->n_ram == 1)
		return NULL;
	if (plan->tables.n_nodes == 0)
		return unknown_order(plan);
	for (size_t node = 0; !error && node < plan->tables.n_nodes; node++)
		error = take_block(plan, node);
	for (; plan->n_ram > plan->tables.n_nodes; plan->n_ram--)
		plan->ram[plan->n_ram - 1]->role = ROLE_EXTRA;
	return error;
}

/* Names what the stream holds without saying where in memory it is. */
static struct error *name_unplaced(struct plan *plan, const struct ram_block *block)
{
	char *old = plan->map->unplaced;

	plan->map->unplaced = string_format("%s%s'%s'", old ? old : "", old ? ", " : "", block->name);
	free(old);
	return plan->map->unplaced ? NULL : error_no_memory();
}

/* Adds the part [from, to) of a block, which begins at `start`. */
static struct error *add_part(struct plan *plan, const struct ram_block *block, uint64_t from, uint64_t to,
			      uint64_t start)
{
	struct image_region region = {
		.start = start,
		.size = to - from,
		.paged = !block->mapped,
		.first_page = (block->mapped ? 0 : block->first_page) + from / IMAGE_PAGE_SIZE,
		.position = block->position + from,
		.present = block->present,
	};

	return image_map_add(plan->map, &region);
}

static struct error *add_blocks(struct plan *plan)
{
	uint64_t cut = find_cut(plan), offset = 0;
	struct error *error = NULL;

	for (size_t i = 0; !error && i < plan->n_ram; i++) {
		const struct ram_block *block = plan->ram[i];
		uint64_t low = offset >= cut ? 0 : cut - offset < block->size ? cut - offset : block->size;

		error = add_part(plan, block, 0, low, offset);
		if (!error)
			error = add_part(plan, block, low, block->size, HIGH_MEMORY + (offset + low - cut));
		offset += block->size;
	}
	return error;
}

struct error *layout_place(const struct image_file *file, const char *machine, struct ram_block *blocks, size_t n,
			   struct image_map *map)
{
	struct plan plan = {.file = file, .machine = machine, .map = map};
	struct error *error = NULL;

	for (size_t i = 0; !error && i < n; i++) {
		if (blocks[i].role == ROLE_TABLES)
			error = read_tables(&plan, &blocks[i]);
		if (blocks[i].role != ROLE_RAM)
			continue;
		if (plan.n_ram == ACPI_NODES_MAX)
			return error_create(ERROR_UNSUPPORTED, "more than %u blocks of RAM", ACPI_NODES_MAX);
		plan.ram[plan.n_ram++] = &blocks[i];
	}
	if (!error)
		error = arrange(&plan);
	for (size_t i = 0; i < plan.n_ram; i++)
		plan.size += plan.ram[i]->size;
	if (!error)
		error = add_blocks(&plan);
	for (size_t i = 0; !error && i < n; i++) {
		if (blocks[i].role == ROLE_EXTRA)
			error = name_unplaced(&plan, &blocks[i]);
	}
	return error;
}
