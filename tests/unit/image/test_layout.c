/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/image/made.h"

#include "image/layout.h"

#define PAGE 4096u
#define MIB  (UINT64_C(1) << 20)
#define GIB  (UINT64_C(1) << 30)

/* Where the RAM of a machine is cut, when nothing in it says so. */
static uint64_t cut_of(const char *machine, uint64_t size)
{
	struct image_file file = {.fd = -1};
	struct image_map map = {0};
	uint64_t low;

	assert_ok(page_table_init(&map.pages, size / PAGE));
	assert_ok(layout_split(&file, machine, size, &map));
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
	assert_int_equal(cut_of("microvm", 0xe0000000 - MIB), 0xe0000000 - MIB);
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
	uint64_t low;

	assert_ok(page_table_init(&map.pages, size / PAGE));
	put_tables(&map, fd, address, signature);
	assert_ok(layout_split(&file, "pc-q35-7.2", size, &map));
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
		cmocka_unit_test(overlapping_regions),
	};

	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
