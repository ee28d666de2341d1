/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "tests/unit/image/made_stream.h"

static uint8_t byte_at(struct image *image, uint64_t address)
{
	uint8_t byte = 0xee;

	assert_ok(image_read(image, (struct gpa){address}, &byte, 1));
	return byte;
}

/* ---- Tests ---- */

static void last_copy_wins(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;
	static const uint8_t wanted[] = {0x10, 0x21, 0x00, 0x13, 0x24, 0x00, 0x00};
	uint8_t across[2 * PAGE];

	put_whole(&m);
	assert_ok(open_made(&m, &image));
	assert_string_equal(image_format(image), "qemu-stream");
	assert_int_equal(image_ram_size(image), 8 * PAGE);
	for (size_t i = 0; i < sizeof(wanted); i++) {
		assert_int_equal(byte_at(image, i * PAGE), wanted[i]);
		assert_int_equal(byte_at(image, i * PAGE + PAGE - 1), wanted[i]);
	}
	assert_ok(image_read(image, (struct gpa){PAGE / 2}, across, sizeof(across)));
	assert_int_equal(across[0], 0x10);
	assert_int_equal(across[PAGE], 0x21);
	assert_int_equal(across[2 * PAGE - 1], 0x00);
}

static void what_is_not_held(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;
	uint8_t buffer[PAGE];
	struct error *error;

	put_whole(&m);
	assert_ok(open_made(&m, &image));
	assert_error(image_read(image, (struct gpa){7 * PAGE}, buffer, 1), ERROR_NOT_FOUND);
	assert_error(image_read(image, (struct gpa){8 * PAGE}, buffer, 1), ERROR_NOT_FOUND);
	assert_error(image_read(image, (struct gpa){UINT64_MAX}, buffer, 2), ERROR_NOT_FOUND);
	error = image_read(image, (struct gpa){7 * PAGE - 1}, buffer, 2);
	assert_non_null(error);
	assert_int_equal(error->address, 7 * PAGE);
	error_destroy(error);
}

static void ranges_and_search(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;
	struct image_range range;
	struct gpa found;

	put_whole(&m);
	assert_ok(open_made(&m, &image));
	range = image_next_range(image, (struct gpa){PAGE});
	assert_int_equal(range.start.v, 0);
	assert_int_equal(range.size, 8 * PAGE);
	assert_int_equal(image_next_range(image, (struct gpa){8 * PAGE}).size, 0);
	range = image_next_data(image, (struct gpa){100});
	assert_int_equal(range.start.v, 100);
	assert_int_equal(range.size, 2 * PAGE - 100);
	range = image_next_data(image, (struct gpa){2 * PAGE}); /* the page 2 is zero */
	assert_int_equal(range.start.v, 3 * PAGE);
	assert_int_equal(range.size, 2 * PAGE);
	assert_int_equal(image_next_data(image, (struct gpa){5 * PAGE}).size, 0);
	assert_true(image_find_page(image, (struct gpa){0}, "\x24\x24", 2, &found));
	assert_int_equal(found.v, 4 * PAGE);
	assert_false(image_find_page(image, (struct gpa){4 * PAGE + 1}, "\x24\x24", 2, &found));
	assert_true(image_find_page(image, (struct gpa){1}, "\0", 1, &found));
	assert_int_equal(found.v, 2 * PAGE);
}

/* A stream cut anywhere is refused, and the error says where. */
static void cut_at_every_byte(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};

	put_whole(&m);
	/* Without its description it is the stream of a machine that writes none. */
	assert_cuts_refused(&m, m.size - DESCRIPTION_SIZE);
}

/* One record with this header. */
static struct error *open_with_record(uint64_t head)
{
	_cleanup_(made_deinit) struct made m = {0};
	struct image *image = NULL;
	struct error *error;

	put_head(&m);
	put_zero(&m, "pc.ram", 0, 0);
	put_be64(&m, head);
	put_name(&m, "pc.ram");
	put_fill(&m, 0, PAGE);
	put_end(&m);
	error = open_made(&m, &image);
	image_close(image);
	return error;
}

/* What other capabilities write is named, if the header is one that they write. */
static void every_flag(void **state)
{
	static const struct {
		uint64_t head;
		const char *named;
	} foreign[] = {
		{3 * PAGE | 0x40, "XBZRLE"},
		{3 * PAGE | 0x40 | SAME, "XBZRLE"},
		{3 * PAGE | 0x100, "compressed"},
		{3 * PAGE | 0x100 | SAME, "compressed"},
		{0x80, "RDMA"},
		{0x200, "multifd"},
	};

	assert_ok(open_with_record(3 * PAGE | COPY));
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
		struct error *error = open_with_record(foreign[i].head);

		assert_non_null(error);
		assert_int_equal(error->code, ERROR_UNSUPPORTED);
		assert_non_null(strstr(error->message, foreign[i].named));
		error_destroy(error);
	}
}

/* What nobody writes is damage, whatever bits are set, and is said to begin at the record. */
static void damaged_records(void **state)
{
	static const uint64_t heads[] = {
		0,
		SAME,
		FULL,
		SIZES,
		3 * PAGE | 0x40 | COPY,
		3 * PAGE | 0x40 | 0x100,
		3 * PAGE | ZERO | COPY,
		3 * PAGE | 0x400,
		3 * PAGE | 0x800 | COPY,
		3 * PAGE | EOS,
		3 * PAGE | 0x80,
		3 * PAGE | 0x200,
		EOS | COPY,
		8 * PAGE | COPY,
		8 * PAGE | 0x40,
		UINT64_C(0x9f3d6f2a7c15e000) | 0x100 | SAME,
	};

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		struct error *error = open_with_record(heads[i]);

		if (!error || error->code != ERROR_FORMAT || error_exit_status(error->code) != 1)
			fail_msg("0x%llx: %s", (unsigned long long)heads[i], error ? error->message : "succeeded");
		if (heads[i] != SIZES) /* a second list */
			assert_non_null(strstr(error->message, "damaged at byte"));
		error_destroy(error);
	}
}

static void count_warnings(void *data, enum log_level level, const char *text)
{
	unsigned *n = data;

	*n += level == LOG_WARNING && strstr(text, "behind the end of the stream") != NULL;
}

/* A second stream in the file is not read, and that is said. Zeros only fill the last block. */
static void what_follows(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};
	struct image *image = NULL;
	unsigned n = 0;

	log_set(count_warnings, &n);
	put_whole(&m);
	assert_ok(open_made(&m, &image));
	image_close(image);
	assert_int_equal(n, 0);
	put_fill(&m, 0, 300);
	assert_ok(open_made(&m, &image));
	image_close(image);
	assert_int_equal(n, 0);
	put_whole(&m);
	assert_ok(open_made(&m, &image));
	image_close(image);
	assert_int_equal(n, 1);
	log_set(NULL, NULL);
}

typedef void (*make_function)(struct made *m);

static void make_huge_total(struct made *m)
{
	put_start(m, "pc-q35-7.2");
	put_ram_start(m);
	put_be64(m, UINT64_C(0xfffffffffffff000) | SIZES);
	put_name(m, "pc.ram");
	put_be64(m, UINT64_C(0xfffffffffffff000));
}

static void make_block_above_total(struct made *m)
{
	put_start(m, "pc-q35-7.2");
	put_ram_start(m);
	put_be64(m, PAGE | SIZES);
	put_name(m, "pc.ram");
	put_be64(m, 2 * PAGE);
}

static void make_odd_block(struct made *m)
{
	put_start(m, "pc-q35-7.2");
	put_ram_start(m);
	put_be64(m, PAGE | SIZES);
	put_name(m, "pc.ram");
	put_be64(m, 100);
}

static void make_empty_block(struct made *m)
{
	put_start(m, "pc-q35-7.2");
	put_ram_start(m);
	put_be64(m, PAGE | SIZES);
	put_name(m, "pc.ram");
	put_be64(m, 0);
}

static void make_many_blocks(struct made *m)
{
	put_start(m, "pc-q35-7.2");
	put_ram_start(m);
	put_be64(m, 2000 * PAGE | SIZES);
	for (unsigned i = 0; i < 2000; i++) {
		put_name(m, "x");
		put_be64(m, PAGE);
	}
}

static void make_long_machine(struct made *m)
{
	put_be32(m, 0x5145564d);
	put_be32(m, 3);
	put_u8(m, 7);
	put_be32(m, UINT32_MAX);
	put_fill(m, 'x', 1000);
}

static void make_page_outside(struct made *m)
{
	put_head(m);
	put_zero(m, "pc.ram", 8, 0);
	put_end(m);
}

static void make_page_of_unknown_block(struct made *m)
{
	put_head(m);
	put_zero(m, "pc.rom", 0, 0);
	put_end(m);
}

static void make_same_block_first(struct made *m)
{
	put_head(m);
	put_zero(m, NULL, 0, 0);
	put_end(m);
}

static void make_second_list(struct made *m)
{
	put_head(m);
	put_sizes(m, "pc.ram", PAGE, NULL, 0);
	put_end(m);
}

static void make_page_before_list(struct made *m)
{
	put_start(m, "pc-q35-7.2");
	put_ram_start(m);
	put_zero(m, "pc.ram", 0, 0);
	put_end(m);
}

static void make_no_list(struct made *m)
{
	put_start(m, "pc-q35-7.2");
	put_ram_start(m);
	put_end(m);
}

static void make_wrong_footer(struct made *m)
{
	put_head(m);
	put_be64(m, EOS);
	put_footer(m, 9);
}

static void make_part_of_other_section(struct made *m)
{
	put_head(m);
	put_section_end(m);
	put_u8(m, 2);
	put_be32(m, 17);
	put_section_end(m);
}

static void make_part_first(struct made *m)
{
	put_start(m, "pc-q35-7.2");
	put_section(m, 2);
	put_section_end(m);
}

static void make_unknown_section(struct made *m)
{
	put_head(m);
	put_section_end(m);
	put_u8(m, 0x33);
}

static void make_end_before_ram(struct made *m)
{
	put_start(m, "pc-q35-7.2");
	put_u8(m, 0);
}

static void make_only_roms(struct made *m)
{
	put_start(m, "pc-q35-7.2");
	put_ram_start(m);
	put_sizes(m, "pc.bios", PAGE, "0000:00:02.0/vga.vram", PAGE);
	put_end(m);
}

static void make_bad_page_bits(struct made *m)
{
	put_start(m, "virt-7.2");
	put_u8(m, 5);
	put_name(m, "configuration/target-page-bits");
	put_be32(m, 1);
	put_be32(m, 16);
	put_ram_start(m);
}

static void malformed(void **state)
{
	static const make_function makers[] = {
		make_huge_total,      make_block_above_total,     make_odd_block,
		make_empty_block,     make_many_blocks,           make_long_machine,
		make_page_outside,    make_page_of_unknown_block, make_same_block_first,
		make_second_list,     make_page_before_list,      make_no_list,
		make_wrong_footer,    make_part_of_other_section, make_part_first,
		make_unknown_section, make_end_before_ram,        make_only_roms,
		make_bad_page_bits,
	};

	for (size_t i = 0; i < ARRAY_SIZE(makers); i++) {
		_cleanup_(made_deinit) struct made m = {0};
		struct image *image = NULL;
		struct error *error;

		makers[i](&m);
		error = open_made(&m, &image);
		if (!error || error->code != ERROR_FORMAT)
			fail_msg("case %zu: %s", i, error ? error->message : "succeeded");
		error_destroy(error);
	}
}

static void make_capability(struct made *m)
{
	put_start(m, "pc-q35-9.2");
	put_u8(m, 5);
	put_name(m, "configuration/capabilities");
	put_be32(m, 1);
	put_be32(m, 1);
	put_name(m, "x-ignore-shared");
}

/* The RAM of a multifd migration travels through other channels. */
static void make_no_pages(struct made *m)
{
	put_head(m);
	put_page(m, "vga.vram", 0, 0x77);
	put_end(m);
}

/* virtio-mem sends its state before RAM. */
static void make_early_device(struct made *m)
{
	put_start(m, "pc-q35-9.2");
	put_u8(m, 4);
	put_be32(m, 1);
	put_name(m, "virtio-mem-device-early");
	put_be32(m, 0);
	put_be32(m, 1);
}

static void make_unknown_configuration(struct made *m)
{
	put_start(m, "pc-q35-9.2");
	put_u8(m, 5);
	put_name(m, "configuration/future");
	put_be32(m, 1);
}

static void make_postcopy(struct made *m)
{
	put_start(m, "pc-q35-9.2");
	put_u8(m, 8);
	put_be16(m, 3);
	put_be16(m, 0);
}

static void make_other_section(struct made *m)
{
	put_start(m, "pc-q35-9.2");
	put_u8(m, 1);
	put_be32(m, 1);
	put_name(m, "dirty-bitmap");
	put_be32(m, 0);
	put_be32(m, 1);
}

static void make_new_ram_version(struct made *m)
{
	put_start(m, "pc-q35-9.2");
	put_u8(m, 1);
	put_be32(m, 1);
	put_name(m, "ram");
	put_be32(m, 0);
	put_be32(m, 5);
}

static void make_two_backends(struct made *m)
{
	put_start(m, "pc-q35-9.2");
	put_ram_start(m);
	put_sizes(m, "ram-node0", PAGE, "ram-node1", PAGE);
	put_page(m, "ram-node0", 0, 1);
	put_end(m);
}

static void make_old_stream(struct made *m)
{
	put_be32(m, 0x5145564d);
	put_be32(m, 2);
}

static void unsupported(void **state)
{
	static const make_function makers[] = {
		make_capability,      make_unknown_configuration, make_postcopy,   make_other_section,
		make_new_ram_version, make_two_backends,          make_old_stream, make_no_pages,
		make_early_device,
	};

	for (size_t i = 0; i < ARRAY_SIZE(makers); i++) {
		_cleanup_(made_deinit) struct made m = {0};
		struct image *image = NULL;
		struct error *error;

		makers[i](&m);
		error = open_made(&m, &image);
		if (!error || error->code != ERROR_UNSUPPORTED)
			fail_msg("case %zu: %s", i, error ? error->message : "succeeded");
		error_destroy(error);
	}
}

/* What QEMU may also write: no footers, harmless commands, known parts of the configuration, a memory backend. */
static void variants(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;
	static const uint8_t uuid[16] = {1};

	put_start(&m, "microvm");
	put_u8(&m, 5);
	put_name(&m, "configuration/target-page-bits");
	put_be32(&m, 1);
	put_be32(&m, 12);
	put_u8(&m, 5);
	put_name(&m, "configuration/uuid");
	put_be32(&m, 1);
	put(&m, uuid, sizeof(uuid));
	put_u8(&m, 5);
	put_name(&m, "configuration/capabilities");
	put_be32(&m, 1);
	put_be32(&m, 1);
	put_name(&m, "return-path");
	put_u8(&m, 8);
	put_be16(&m, 2);
	put_be16(&m, 4);
	put_be32(&m, 1);
	put_ram_start(&m);
	put_sizes(&m, "mem0", 2 * PAGE, "/rom@etc/acpi/tables", PAGE);
	put_page(&m, "mem0", 0, 0x5a);
	put_be64(&m, EOS);
	put_section(&m, 3);
	put_be64(&m, EOS);
	put_rest(&m);
	assert_ok(open_made(&m, &image));
	assert_int_equal(byte_at(image, 100), 0x5a);
}

/* Where a machine with suppress-vmdesc=on ends its stream; and where it does not. */
static void no_description(void **state)
{
	static const struct {
		uint32_t id, size;
		bool padded;
	} cases[] = {{3, 8, false}, {0x100, 8, false}, {3, 8, true}, {0x100, 8, true}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(made_deinit) struct made m = {0};
		_cleanup_(image_close_ptr) struct image *image = NULL;
		struct image *none = NULL;

		put_head(&m);
		put_page(&m, "pc.ram", 0, 1);
		put_section_end(&m);
		put_section(&m, 3);
		put_section_end(&m);
		put_u8(&m, 4);
		put_be32(&m, cases[i].id);
		put_name(&m, "timer");
		put_be32(&m, 0);
		put_be32(&m, 2);
		put_fill(&m, 0x7e, cases[i].size);
		assert_error(open_made(&m, &none), ERROR_FORMAT);
		put_footer(&m, cases[i].id);
		assert_error(open_bytes(m.data, m.size - 1, &none), ERROR_FORMAT);
		put_u8(&m, 0);
		if (cases[i].padded)
			put_fill(&m, 0, 500);
		assert_ok(open_made(&m, &image));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(last_copy_wins),    cmocka_unit_test(what_is_not_held),
		cmocka_unit_test(ranges_and_search), cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test(every_flag),        cmocka_unit_test(damaged_records),
		cmocka_unit_test(what_follows),      cmocka_unit_test(malformed),
		cmocka_unit_test(unsupported),       cmocka_unit_test(variants),
		cmocka_unit_test(no_description),
	};

	return cmocka_run_group_tests_name("qemu-stream", tests, NULL, NULL);
}
