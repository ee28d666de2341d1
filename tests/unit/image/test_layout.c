/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/image/made.h"

#include "image/acpi.h"
#include "image/layout.h"

#define PAGE 4096u
#define MIB  (UINT64_C(1) << 20)
#define GIB  (UINT64_C(1) << 30)

/* Where the RAM of a machine is cut, when nothing in it says so. */
static uint64_t cut_of(const char *machine, uint64_t size)
{
	struct image_file file = {.fd = -1};
	struct image_map map = {0};
	struct ram_block block = {.name = "pc.ram", .size = size};
	uint64_t low, pages;

	assert_ok(layout_assign(&block, 1, &pages));
	assert_int_equal(pages, size / PAGE);
	assert_ok(page_table_init(&map.pages, pages));
	assert_ok(layout_place(&file, machine, &block, 1, &map));
	assert_ok(image_map_finish(&map, NULL));
	low = map.regions[0].size;
	if (map.n_regions == 2) {
		assert_int_equal(map.regions[1].start, 4 * GIB);
		assert_int_equal(map.regions[1].size, size - low);
		assert_int_equal(map.regions[1].first_page, low / PAGE);
	}
	image_map_deinit(&map);
	return low;
}

static void machines(void **state)
{
	assert_int_equal(cut_of("pc-q35-7.2", 2 * GIB), 2 * GIB);
	assert_int_equal(cut_of("pc-q35-7.2", 0xb0000000 - MIB), 0xb0000000 - MIB);
	assert_int_equal(cut_of("pc-q35-7.2", 0xb0000000), 0x80000000);
	assert_int_equal(cut_of("pc-q35-7.2", 6 * GIB), 0x80000000);
	assert_int_equal(cut_of("pc-i440fx-7.2", 3 * GIB), 3 * GIB);
	assert_int_equal(cut_of("pc-i440fx-7.2", 0xe0000000), 0xc0000000);
	assert_int_equal(cut_of("pc-i440fx-7.2", 0xe0000000 - MIB), 0xe0000000 - MIB);
	assert_int_equal(cut_of("microvm", 0xe0000000 - MIB), 0xc0000000);
	assert_int_equal(cut_of("microvm", 0xc0000000), 0xc0000000);
	assert_int_equal(cut_of("microvm", 6 * GIB), 0xc0000000);
}

/* The firmware's pointer at 0xf0000, and a table where it points. */
static void put_tables(struct image_map *map, int fd, uint32_t address, const char *signature)
{
	uint8_t page[PAGE] = {0}, sum = 0;

	memcpy(page + 32, "RSD PTR ", 8);
	memcpy(page + 32 + 16, &address, 4);
	for (size_t i = 0; i < 20; i++)
		sum += page[32 + i];
	page[32 + 8] = (uint8_t)-sum;
	assert_int_equal(pwrite(fd, page, PAGE, PAGE), PAGE);
	assert_ok(page_table_set(&map->pages, 0xf0000 / PAGE, PAGE));
	memset(page, 0, PAGE);
	memcpy(page + address % PAGE, signature, 4);
	assert_int_equal(pwrite(fd, page, PAGE, 2 * PAGE), PAGE);
	if (address / PAGE < map->pages.n_pages)
		assert_ok(page_table_set(&map->pages, address / PAGE, 2 * PAGE));
}

static uint64_t probed_cut(uint64_t size, uint32_t address, const char *signature)
{
	_cleanup_(close_fd) int fd = memfd_create("image", MFD_CLOEXEC);
	struct image_file file = {.fd = fd, .size = 3 * PAGE};
	struct image_map map = {0};
	struct ram_block block = {.name = "pc.ram", .size = size};
	uint64_t low, pages;

	assert_ok(layout_assign(&block, 1, &pages));
	assert_ok(page_table_init(&map.pages, pages));
	put_tables(&map, fd, address, signature);
	assert_ok(layout_place(&file, "pc-q35-7.2", &block, 1, &map));
	low = map.regions[0].size;
	image_map_deinit(&map);
	return low;
}

static void firmware_tables(void **state)
{
	/* as computed */
	assert_int_equal(probed_cut(512 * MIB, 512 * MIB - 0x1800, "RSDT"), 512 * MIB);
	assert_int_equal(probed_cut(6 * GIB, 0x80000000 - 0x1800, "RSDT"), 0x80000000);
	/* max-ram-below-4g moved it down, or up */
	assert_int_equal(probed_cut(512 * MIB, 128 * MIB - 0x1800, "RSDT"), 128 * MIB);
	assert_int_equal(probed_cut(6 * GIB, 0xb0000000 - 0x1800, "XSDT"), 0xb0000000);
	/* a pointer to nowhere, or to something else, says nothing */
	assert_int_equal(probed_cut(512 * MIB, 0xfffffff0, "RSDT"), 512 * MIB);
	assert_int_equal(probed_cut(512 * MIB, 128 * MIB - 0x1800, "JUNK"), 512 * MIB);
}

/* ---- QEMU's own tables ---- */

static void put_le64(struct made *m, uint64_t value)
{
	value = htole64(value);
	put(m, &value, sizeof(value));
}

static size_t begin_table(struct made *m, const char *signature)
{
	size_t start = m->size;

	put(m, signature, 4);
	put_le32(m, 0);
	put(m, "\1\0BOCHS BXPC    \0\0\0", 18);
	put_fill(m, 0, 10);
	return start;
}

static void end_table(struct made *m, size_t start)
{
	uint32_t size = htole32((uint32_t)(m->size - start));

	memcpy(m->data + start + 4, &size, sizeof(size));
}

static void put_window(struct made *m, uint32_t start, uint32_t last)
{
	put(m, "\x87\x17\0\0\x0c\1", 6);
	put_le32(m, 0);
	put_le32(m, start);
	put_le32(m, last);
	put_le32(m, 0);
	put_le32(m, last - start + 1);
}

static void put_node(struct made *m, uint8_t node, uint64_t start, uint64_t size, uint8_t flags)
{
	put(m, "\1\x28", 2);
	put_le32(m, node);
	put(m, "\0", 2);
	put_le64(m, start);
	put_le64(m, size);
	put_le32(m, 0);
	put_le32(m, flags);
	put_le64(m, 0);
}

static void tables_of_memory(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};
	struct acpi_memory memory;
	size_t start = begin_table(&m, "DSDT");

	put(&m, "SRAT", 4);               /* a name in AML is no table */
	put_window(&m, 0xa0000, 0xbffff); /* video memory is no hole */
	put_window(&m, 0xc0000000, 0xfebfffff);
	put_window(&m, 0x8000000, 0xafffffff);
	end_table(&m, start);
	acpi_memory_parse(m.data, m.size, &memory);
	assert_int_equal(memory.cut, 128 * MIB);
	assert_int_equal(memory.n_nodes, 0);
	start = begin_table(&m, "SRAT");
	put_fill(&m, 0, 12);
	put(&m, "\0\x10", 2); /* a processor */
	put_fill(&m, 0, 14);
	put_node(&m, 0, 0, 640 * 1024, 1);
	put_node(&m, 0, MIB, 63 * MIB, 1);
	put_node(&m, 1, 64 * MIB, 64 * MIB, 1);
	put_node(&m, 1, 4 * GIB, 32 * MIB, 1);
	put_node(&m, 3, 4 * GIB + 32 * MIB, 8 * MIB, 1);
	put_node(&m, 3, 8 * GIB, GIB, 3); /* room for plugged memory */
	put_node(&m, 4, 0, 0, 0);
	end_table(&m, start);
	acpi_memory_parse(m.data, m.size, &memory);
	assert_int_equal(memory.cut, 128 * MIB);
	assert_int_equal(memory.n_nodes, 3);
	assert_int_equal(memory.node_sizes[0], 64 * MIB);
	assert_int_equal(memory.node_sizes[1], 96 * MIB);
	assert_int_equal(memory.node_sizes[2], 8 * MIB);
	for (size_t size = 0; size < m.size; size++)
		acpi_memory_parse(m.data, size, &memory);
}

/* Two blocks of these names and sizes beside QEMU's tables for nodes of these sizes; in address order, or why not. */
static struct error *place_nodes(const char *first, uint64_t first_size, const char *second, uint64_t second_size,
				 uint64_t node0, uint64_t node1, const char **ret)
{
	_cleanup_(close_fd) int fd = memfd_create("image", MFD_CLOEXEC);
	_cleanup_(made_deinit) struct made m = {0};
	struct image_file file = {.fd = fd, .path = "made"};
	struct ram_block blocks[3] = {{.size = first_size}, {.size = second_size}, {.size = PAGE}};
	_cleanup_(image_map_deinit) struct image_map map = {0};
	struct error *error;
	uint64_t pages;
	size_t start;

	strcpy(blocks[0].name, first);
	strcpy(blocks[1].name, second);
	strcpy(blocks[2].name, "/rom@etc/acpi/tables");
	put_fill(&m, 0, PAGE);
	start = begin_table(&m, "SRAT");
	put_fill(&m, 0, 12);
	put_node(&m, 0, 0, 640 * 1024, 1);
	put_node(&m, 0, MIB, node0 - MIB, 1);
	if (node1)
		put_node(&m, 1, node0, node1, 1);
	end_table(&m, start);
	put_fill(&m, 0, 2 * PAGE - m.size);
	assert_int_equal(write(fd, m.data, m.size), (ssize_t)m.size);
	file.size = m.size;
	assert_ok(layout_assign(blocks, 3, &pages));
	assert_ok(page_table_init(&map.pages, pages));
	assert_ok(page_table_set(&map.pages, blocks[2].first_page, page_place(PAGE, 0)));
	error = layout_place(&file, "pc-q35-9.2", blocks, 3, &map);
	if (error)
		return error;
	assert_int_equal(map.regions[0].start, 0);
	*ret = map.regions[0].first_page == blocks[0].first_page ? first : second;
	assert_true(!map.unplaced == (node1 != 0));
	return NULL;
}

static void several_nodes(void **state)
{
	const char *low = "";

	/* by size */
	assert_ok(place_nodes("b", 64 * MIB, "a", 32 * MIB, 32 * MIB, 64 * MIB, &low));
	assert_string_equal(low, "a");
	/* by number: QEMU lists blocks of one size as they were created */
	assert_ok(place_nodes("ram-node0", 32 * MIB, "ram-node1", 32 * MIB, 32 * MIB, 32 * MIB, &low));
	assert_string_equal(low, "ram-node0");
	assert_ok(place_nodes("m1", 32 * MIB, "m0", 32 * MIB, 32 * MIB, 32 * MIB, &low));
	assert_string_equal(low, "m0");
	assert_error(place_nodes("b", 32 * MIB, "a", 32 * MIB, 32 * MIB, 32 * MIB, &low), ERROR_UNSUPPORTED);
	/* sizes that are not the nodes' */
	assert_error(place_nodes("m0", 32 * MIB, "m1", 32 * MIB, 32 * MIB, 64 * MIB, &low), ERROR_UNSUPPORTED);
	/* the other is plugged memory */
	assert_ok(place_nodes("m1", 64 * MIB, "m0", 32 * MIB, 64 * MIB, 0, &low));
	assert_string_equal(low, "m1");
	assert_error(place_nodes("m1", 32 * MIB, "m0", 32 * MIB, 32 * MIB, 0, &low), ERROR_UNSUPPORTED);
}

static void overlapping_regions(void **state)
{
	struct image_map map = {0};

	assert_ok(image_map_add(&map, &(struct image_region){.start = 0x2000, .size = 0x1000}));
	assert_ok(image_map_add(&map, &(struct image_region){.start = 0x1000, .size = 0x1001}));
	assert_error(image_map_finish(&map, "made"), ERROR_FORMAT);
	assert_error(image_map_add(&map, &(struct image_region){.start = UINT64_MAX, .size = 2}), ERROR_FORMAT);
	image_map_deinit(&map);
	assert_error(image_map_finish(&map, "made"), ERROR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machines),
		cmocka_unit_test(firmware_tables),
		cmocka_unit_test(tables_of_memory),
		cmocka_unit_test(several_nodes),
		cmocka_unit_test(overlapping_regions),
	};

	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
