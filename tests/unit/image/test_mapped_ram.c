/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of the capability mapped-ram: pages at fixed places. */
#include "tests/unit/image/made_stream.h"

#define MIB   (1024u * 1024)
#define PAGES 70u /* more than a word of the bitmap */

/* How a made file differs from a good one. */
struct twist {
	uint32_t version;
	uint64_t page_size;
	int64_t bitmap_by, pages_by; /* bytes that these offsets are off by */
	bool record;                 /* a page among the records */
	bool flush;                  /* multifd's mark */
};

static const struct twist good = {.version = 1, .page_size = PAGE};

static void put_mapped_start(struct made *m)
{
	put_start(m, "pc-q35-10.0");
	put_u8(m, 5);
	put_name(m, "configuration/capabilities");
	put_be32(m, 1);
	put_be32(m, 1);
	put_name(m, "mapped-ram");
	put_ram_start(m);
	put_be64(m, (PAGES + 1) * PAGE | SIZES);
}

/* A block whose bitmap has the pages of `bits`; content i + 1 in every page, also in those without a bit. */
static void put_mapped_block(struct made *m, const char *name, uint64_t n, const uint8_t *bits,
			     const struct twist *twist)
{
	uint64_t bitmap, pages;

	put_name(m, name);
	put_be64(m, n * PAGE);
	bitmap = m->size + 28;
	pages = (bitmap + 16 + MIB - 1) / MIB * MIB;
	put_be32(m, twist->version);
	put_be64(m, twist->page_size);
	put_be64(m, bitmap + (uint64_t)twist->bitmap_by);
	put_be64(m, pages + (uint64_t)twist->pages_by);
	put(m, bits, 16);
	put_fill(m, 0xee, pages - m->size);
	for (uint64_t i = 0; i < n; i++)
		put_fill(m, (uint8_t)(i + 1), PAGE);
}

static void put_mapped(struct made *m, const struct twist *twist)
{
	static const uint8_t bits[16] = {0x05, [8] = 0x20}; /* pages 0, 2 and 69 */

	put_mapped_start(m);
	put_mapped_block(m, "pc.ram", PAGES, bits, twist);
	put_mapped_block(m, "vga.vram", 1, bits, &good);
	if (twist->flush)
		put_be64(m, 0x200);
	if (twist->record)
		put_page(m, "pc.ram", 1, 0x55);
	put_end(m);
}

static uint8_t byte_at(struct image *image, uint64_t address)
{
	uint8_t byte = 0xee;

	assert_ok(image_read(image, (struct gpa){address}, &byte, 1));
	return byte;
}

static void pages_at_their_places(void **state)
{
	static const struct twist multifd = {.version = 1, .page_size = PAGE, .flush = true};
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;
	_cleanup_(free_ptr) uint8_t *all = calloc(PAGES, PAGE);
	struct gpa found;

	put_mapped(&m, &multifd);
	assert_ok(open_made(&m, &image));
	assert_string_equal(image_format(image), "qemu-stream");
	assert_int_equal(image_ram_size(image), PAGES * PAGE);
	assert_int_equal(byte_at(image, 0), 1);
	assert_int_equal(byte_at(image, PAGE), 0); /* what the file has there is an older copy */
	assert_int_equal(byte_at(image, 3 * PAGE - 1), 3);
	assert_int_equal(byte_at(image, 69 * PAGE), 70);
	assert_ok(image_read(image, (struct gpa){1}, all, PAGES * PAGE - 1));
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(all[i * PAGE], i == 0 || i == 2 || i == 69 ? i + 1 : 0);
	/* the search finds what is there, and nothing that is not */
	assert_true(image_find_page(image, (struct gpa){0}, "\x46\x46\x46\x46", 4, &found));
	assert_int_equal(found.v, 69 * PAGE);
	assert_false(image_find_page(image, (struct gpa){0}, "\2\2\2\2", 4, &found));
	assert_true(image_find_page(image, (struct gpa){2 * PAGE + 1}, "\0\0\0\0", 4, &found));
	assert_int_equal(found.v, 3 * PAGE);
}

static void malformed(void **state)
{
	static const struct {
		struct twist twist;
		enum error_code code;
	} cases[] = {
		{{.version = 2, .page_size = PAGE}, ERROR_UNSUPPORTED},
		{{.version = 1, .page_size = 2 * PAGE}, ERROR_FORMAT},
		{{.version = 1, .page_size = PAGE, .bitmap_by = -1}, ERROR_FORMAT},
		{{.version = 1, .page_size = PAGE, .bitmap_by = MIB}, ERROR_FORMAT},
		{{.version = 1, .page_size = PAGE, .bitmap_by = INT64_MAX}, ERROR_FORMAT},
		{{.version = 1, .page_size = PAGE, .pages_by = -(int64_t)MIB}, ERROR_FORMAT},
		{{.version = 1, .page_size = PAGE, .pages_by = 8 * MIB}, ERROR_FORMAT},
		{{.version = 1, .page_size = PAGE, .pages_by = INT64_MAX}, ERROR_FORMAT},
		{{.version = 1, .page_size = PAGE, .record = true}, ERROR_FORMAT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(made_deinit) struct made m = {0};
		struct image *image = NULL;
		struct error *error;

		put_mapped(&m, &cases[i].twist);
		error = open_made(&m, &image);
		if (!error || error->code != cases[i].code)
			fail_msg("case %zu: %s", i, error ? error->message : "succeeded");
		error_destroy(error);
	}
}

/* Cut in the header, the bitmap, the pages and behind them. */
static void cut(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};

	put_mapped(&m, &good);
	for (size_t size = 1; size < m.size; size += size < 300 || size > m.size - 300 ? 1 : 4096 - 7) {
		struct image *image = NULL;
		struct error *error;

		if (size == m.size - DESCRIPTION_SIZE)
			continue;
		error = open_bytes(m.data, size, &image);
		if (!error || error->code != ERROR_FORMAT)
			fail_msg("%zu of %zu bytes: %s", size, m.size, error ? error->message : "taken for whole");
		error_destroy(error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_at_their_places),
		cmocka_unit_test(malformed),
		cmocka_unit_test(cut),
	};

	return cmocka_run_group_tests_name("mapped-ram", tests, NULL, NULL);
}
