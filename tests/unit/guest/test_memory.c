/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/guest/made.h"

#define PAGE UINT64_C(0x1000)

/* Tables for one page each: top → 0x11000 → 0x12000 → 0x13000 → data at 0x20000. */
static void map_small(struct made_guest *guest, uint64_t top, uint64_t address)
{
	write_u64(guest, top + (address >> 39 & 511) * 8, 0x11000 | 3);
	write_u64(guest, 0x11000 + (address >> 30 & 511) * 8, 0x12000 | 3);
	write_u64(guest, 0x12000 + (address >> 21 & 511) * 8, 0x13000 | 3);
	write_u64(guest, 0x13000 + (address >> 12 & 511) * 8, UINT64_C(1) << 63 | 0x20000 | 3);
}

static uint64_t translated(struct made_guest *guest, uint64_t address)
{
	struct gpa physical = {0};

	assert_ok(memory_translate(&guest->memory, (struct gva){address}, &physical));
	return physical.v;
}

static void four_levels(void **state)
{
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	const uint64_t address = UINT64_C(0xffff888012345000);
	struct gpa physical;

	map_small(guest, TOP_TABLE, address);
	made_guest_open(guest);
	assert_int_equal(translated(guest, address + 0x678), 0x20678);
	assert_int_equal(translated(guest, address + 0x679), 0x20679); /* out of the cache */
	assert_int_equal(translated(guest, KERNEL_BASE + 0x12345), 0x12345);
	assert_error(memory_translate(&guest->memory, (struct gva){address + PAGE}, &physical), ERROR_FORMAT);
	assert_error(memory_translate(&guest->memory, (struct gva){0}, &physical), ERROR_FORMAT);
	assert_error(memory_translate(&guest->memory, (struct gva){UINT64_C(1) << 47}, &physical), ERROR_FORMAT);
	assert_error(memory_translate(&guest->memory, (struct gva){UINT64_MAX}, &physical), ERROR_FORMAT);
}

static void five_levels(void **state)
{
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	const uint64_t address = UINT64_C(0xff11000012345000);
	struct gpa physical;

	write_u64(guest, 0x10000 + (address >> 48 & 511) * 8, 0x14000 | 3);
	map_small(guest, 0x14000, address);
	made_guest_open(guest);
	memory_init(&guest->memory, guest->image, (struct gpa){0x10000}, true, 0);
	assert_int_equal(translated(guest, address + 1), 0x20001);
	assert_error(memory_translate(&guest->memory, (struct gva){UINT64_C(1) << 56}, &physical), ERROR_FORMAT);
}

static void large_pages(void **state)
{
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();

	write_u64(guest, TOP_TABLE, 0x11000 | 3);
	write_u64(guest, 0x11000 + 8, UINT64_C(0x40000000) | 0x1000 | 0x80 | 3); /* 1 GiB; PAT bit set */
	write_u64(guest, 0x11000, 0x12000 | 3);
	write_u64(guest, 0x12000 + 8, UINT64_C(0x600000) | 0x80 | 3); /* 2 MiB */
	made_guest_open(guest);
	assert_int_equal(translated(guest, 0x40000000 + 0x12345678), 0x40000000 + 0x12345678);
	assert_int_equal(translated(guest, 0x200000 + 0x1fffff), 0x7fffff);
}

/* With SME one bit of the entries is no address. */
static void encryption_bit(void **state)
{
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	const uint64_t bit = UINT64_C(1) << 47;

	write_u64(guest, TOP_TABLE, bit | 0x11000 | 3);
	write_u64(guest, 0x11000, bit | UINT64_C(0x40000000) | 0x80 | 3);
	made_guest_open(guest);
	memory_init(&guest->memory, guest->image, (struct gpa){TOP_TABLE}, false, bit);
	assert_int_equal(translated(guest, 5), 0x40000005);
}

/* Entries that the processor does not follow, some of pages that are there all the same, with their address inverted.
 */
static void not_present(void **state)
{
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	const uint64_t address = UINT64_C(0x12345000), protection_none = 0x100, large = 0x80;
	const uint64_t inverted = ~UINT64_C(0x20000) & UINT64_C(0x000ffffffffff000);
	struct gpa physical;

	map_small(guest, TOP_TABLE, address);
	write_u64(guest, 0x13000 + (address >> 12 & 511) * 8, inverted | protection_none);
	write_u64(guest, 0x13000 + ((address >> 12 & 511) + 1) * 8, UINT64_C(0x0fffffffffffe000));
	write_u64(guest, 0x12000, (~UINT64_C(0x600000) & UINT64_C(0x000fffffffe00000)) | large);
	write_u64(guest, 0x12000 + 8, UINT64_C(0x0fffffffffffe002)); /* a large page that is being moved */
	made_guest_open(guest);
	assert_int_equal(translated(guest, address + 5), 0x20005);
	assert_int_equal(translated(guest, (address & ~UINT64_C(0x3fffffff)) + 0x12345), 0x612345);
	assert_error(memory_translate(&guest->memory, (struct gva){address + PAGE}, &physical), ERROR_NOT_FOUND);
	assert_error(memory_translate(&guest->memory, (struct gva){0x200000}, &physical), ERROR_NOT_FOUND);
	assert_error(memory_translate(&guest->memory, (struct gva){address + 2 * PAGE}, &physical), ERROR_FORMAT);
}

static void tables_outside(void **state)
{
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	struct gpa physical;

	write_u64(guest, TOP_TABLE, UINT64_C(0x7ffffffff000) | 3);
	made_guest_open(guest);
	assert_error(memory_translate(&guest->memory, (struct gva){0}, &physical), ERROR_NOT_FOUND);
}

static void reads(void **state)
{
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	const uint64_t address = UINT64_C(0xffff888012345000);
	char text[16];
	uint64_t value = 0;

	/* Two pages that lie the other way round. */
	map_small(guest, TOP_TABLE, address);
	write_u64(guest, 0x13000 + ((address >> 12 & 511) + 1) * 8, 0x1f000 | 3);
	write_at(guest, 0x20ffc, "abcd", 4);
	write_at(guest, 0x1f000, "efgh", 5);
	made_guest_open(guest);
	assert_ok(memory_read_u64(&guest->memory, (struct gva){address + 0xffc}, &value));
	assert_memory_equal(&value, "abcdefgh", 8);
	assert_ok(memory_read_string(&guest->memory, (struct gva){address + 0xffc}, text, sizeof(text)));
	assert_string_equal(text, "abcdefgh");
	assert_ok(memory_read_string(&guest->memory, (struct gva){address + 0xffc}, text, 4));
	assert_string_equal(text, "abc");
	/* Beyond the last mapped page. */
	value = 7;
	assert_error(memory_read_u64(&guest->memory, (struct gva){address + 0x1ffc}, &value), ERROR_FORMAT);
	assert_int_equal(value, 7);
}

static void loops_end(void **state)
{
	struct loop_guard guard = {0};
	uint64_t steps = 0;

	/* Ten places, then a circle of a thousand. */
	while (loop_guard_step(&guard, steps < 10 ? steps : 10 + (steps - 10) % 1000))
		assert_true(++steps < 10000);
	guard = (struct loop_guard){0};
	for (uint64_t place = 1; place < 100000; place++)
		assert_true(loop_guard_step(&guard, place));
	guard = (struct loop_guard){0};
	assert_true(loop_guard_step(&guard, 5));
	assert_false(loop_guard_step(&guard, 5) && loop_guard_step(&guard, 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_levels),    cmocka_unit_test(five_levels),    cmocka_unit_test(large_pages),
		cmocka_unit_test(encryption_bit), cmocka_unit_test(tables_outside), cmocka_unit_test(reads),
		cmocka_unit_test(loops_end),      cmocka_unit_test(not_present),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
