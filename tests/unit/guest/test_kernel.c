/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/guest/made.h"

static const char text[] = "OSRELEASE=6.1.0-made\n"
			   "BUILD-ID=00\n"
			   "PAGESIZE=4096\n"
			   "SYMBOL(init_top_pgt)=ffffffff82a10000\n"
			   "SYMBOL(_stext)=ffffffff81000000\n"
			   "NUMBER(phys_base)=-316669952\n"
			   "NUMBER(pgtable_l5_enabled)=1\n"
			   "SYMBOL(kallsyms_names)=ffffffff82400000\n";

static struct error *parse(const char *bytes, size_t size, struct kernel_note *ret)
{
	/* A copy of exactly that size, so that the sanitizer sees a read beyond it. */
	char *copy = malloc(size ? size : 1);
	struct error *error;

	assert_non_null(copy);
	memcpy(copy, bytes, size);
	error = kernel_note_parse(copy, size, ret);
	free(copy);
	return error;
}

static void note(void **state)
{
	struct kernel_note note;

	assert_ok(parse(text, strlen(text), &note));
	assert_string_equal(note.release, "6.1.0-made");
	assert_int_equal(note.phys_base, -316669952);
	assert_int_equal(note.init_top_pgt, UINT64_C(0xffffffff82a10000));
	assert_int_equal(note.stext, UINT64_C(0xffffffff81000000));
	assert_int_equal(note.kallsyms_names, UINT64_C(0xffffffff82400000));
	assert_int_equal(note.kallsyms_relative_base, 0);
	assert_true(note.five_levels);
}

static void bad_notes(void **state)
{
	static const char *const bad[] = {
		"",
		"OSRELEASE=6.1\nNUMBER(phys_base)=0\n",
		"OSRELEASE=6.1\nSYMBOL(init_top_pgt)=ffffffff82a10000\n",
		"SYMBOL(init_top_pgt)=ffffffff82a10000\nNUMBER(phys_base)=0\n",
		"OSRELEASE=6.1\nSYMBOL(init_top_pgt)=zzz\nNUMBER(phys_base)=0\n",
		"OSRELEASE=6.1\nSYMBOL(init_top_pgt)=1\nNUMBER(phys_base)=99999999999999999999\n",
		"OSRELEASE=6.1\nSYMBOL(init_top_pgt)=1\nNUMBER(phys_base)=12x\n",
	};
	struct kernel_note note;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_error(parse(bad[i], strlen(bad[i]), &note), ERROR_FORMAT);
	for (size_t size = 0; size < strlen(text); size++)
		error_destroy(parse(text, size, &note));
}

static void put_note(struct made_guest *guest, uint64_t at, uint32_t size)
{
	write_u32(guest, at, 11);
	write_u32(guest, at + 4, size);
	write_u32(guest, at + 8, 0);
	write_at(guest, at + 12, "VMCOREINFO\0", 12);
	write_at(guest, at + 24, text, strlen(text));
}

/* The first three only look like one. */
static void search(void **state)
{
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	struct kernel_note note;
	struct gpa from = {0};

	write_u32(guest, 0x10000, 11);
	put_note(guest, 0x20800, (uint32_t)strlen(text));
	put_note(guest, 0x30000, UINT32_MAX);
	put_note(guest, 0x40000, (uint32_t)strlen(text));
	put_note(guest, 0x50000, (uint32_t)strlen(text));
	made_guest_open(guest);
	assert_true(kernel_next_note(guest->image, &from, &note));
	assert_int_equal(from.v, 0x41000);
	assert_string_equal(note.release, "6.1.0-made");
	assert_true(kernel_next_note(guest->image, &from, &note));
	assert_int_equal(from.v, 0x51000);
	assert_false(kernel_next_note(guest->image, &from, &note));
}

/* A note that leads nowhere, and no note at all. */
static void no_kernel(void **state)
{
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	struct guest *opened = NULL;

	made_guest_open(guest);
	assert_error(guest_open(guest->image, NULL, &opened), ERROR_UNSUPPORTED);
	put_note(guest, 0x40000, (uint32_t)strlen(text));
	made_guest_open(guest);
	assert_error(guest_open(guest->image, NULL, &opened), ERROR_FORMAT);
	assert_null(opened);
}

/* The made guest's own tables lie below 1 MiB, where a kernel keeps such for waking processors. */
static void trampolines(void **state)
{
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	struct kernel_image image;
	struct gpa from = {0};

	write_u64(guest, THIRD_TABLE + 3 * 8, 0x600000 | 0x81 | UINT64_C(1) << 63); /* to be read only */
	write_u64(guest, THIRD_TABLE + 4 * 8, 0x800000 | 0x81 | UINT64_C(1) << 63);
	write_u64(guest, THIRD_TABLE + 300 * 8, 0x4000 | 3); /* modules */
	made_guest_open(guest);
	assert_true(kernel_next_trampoline(guest->image, &from, &image));
	assert_int_equal(from.v, TOP_TABLE + PAGE_SIZE);
	assert_int_equal(image.top.v, TOP_TABLE);
	assert_false(image.five_levels);
	assert_int_equal(image.start.v, KERNEL_BASE);
	assert_int_equal(image.end.v, KERNEL_BASE + 0xa00000);
	assert_int_equal(image.read_only.v, KERNEL_BASE + 0x600000);
	assert_int_equal(image.read_only_end.v, KERNEL_BASE + 0xa00000);
	assert_false(kernel_next_trampoline(guest->image, &from, &image));
}

static void trampoline_of_five_levels(void **state)
{
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	struct kernel_image image;
	struct gpa from = {TOP_TABLE + PAGE_SIZE};

	write_u64(guest, 0x9c000 + 511 * 8, TOP_TABLE | 3);
	made_guest_open(guest);
	assert_true(kernel_next_trampoline(guest->image, &from, &image));
	assert_int_equal(image.top.v, 0x9c000);
	assert_true(image.five_levels);
}

/* Large pages of a kernel's image lie one behind the other. */
static void scattered_image(void **state)
{
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	struct kernel_image image;

	write_u64(guest, THIRD_TABLE + 8, 0x600000 | 0x83);
	made_guest_open(guest);
	assert_false(kernel_image_of(guest->image, (struct gpa){TOP_TABLE}, false, 0, &image));
	assert_false(kernel_image_of(guest->image, (struct gpa){RAM_SIZE}, false, 0, &image));
}

/* A 32-bit kernel's note has no phys_base. */
static void foreign_note(void **state)
{
	static const char other[] = "OSRELEASE=6.1.0-made-686\nSYMBOL(swapper_pg_dir)=c1a10000\n";
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	struct error *error;

	put_note(guest, 0x40000, sizeof(other));
	memset(guest->ram + 0x40000 + 24, 0, 1024);
	write_at(guest, 0x40000 + 24, other, sizeof(other));
	made_guest_open(guest);
	error = kernel_missing(guest->image);
	assert_int_equal(error->code, ERROR_UNSUPPORTED);
	assert_non_null(strstr(error->message, "6.1.0-made-686"));
	error_destroy(error);
}

/* What is missing is said as what is there instead. */
static void other_memory(void **state)
{
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	struct error *error;
	uint32_t random = 1;

	write_at(guest, 0x80000, "MZ@\xfa", 4);
	write_at(guest, 0x80000 + 56, "ARM\x64", 4);
	made_guest_open(guest);
	error = kernel_missing(guest->image);
	assert_int_equal(error->code, ERROR_UNSUPPORTED);
	assert_non_null(strstr(error->message, "aarch64"));
	error_destroy(error);
	for (size_t i = 0; i < RAM_SIZE; i++) {
		random = random * 1664525 + 1013904223;
		guest->ram[i] = (uint8_t)(random >> 24);
	}
	made_guest_open(guest);
	error = kernel_missing(guest->image);
	assert_non_null(strstr(error->message, "encrypted"));
	error_destroy(error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(note),
		cmocka_unit_test(bad_notes),
		cmocka_unit_test(search),
		cmocka_unit_test(no_kernel),
		cmocka_unit_test(trampolines),
		cmocka_unit_test(trampoline_of_five_levels),
		cmocka_unit_test(scattered_image),
		cmocka_unit_test(foreign_note),
		cmocka_unit_test(other_memory),
	};

	return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}
