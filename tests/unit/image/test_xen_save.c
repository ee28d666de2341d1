/* SPDX-License-Identifier: Apache-2.0 */
/* Xen's save files, put together by hand: what `xl save` does not write here, too. */
#include "tests/unit/image/made.h"

#define PAGE           4096u
#define CONFIG         "{\"c_info\":{\"name\":\"guest\"}}"

#define TYPE_PINNED_L4 UINT64_C(0xc)
#define TYPE_BROKEN    UINT64_C(0xd)
#define TYPE_XALLOC    UINT64_C(0xe)
#define TYPE_XTAB      UINT64_C(0xf)

enum domain {
	PV = 1,
	HVM = 2,
};

static void put_le16(struct made *m, uint16_t value)
{
	value = htole16(value);
	put(m, &value, sizeof(value));
}

static void put_le64(struct made *m, uint64_t value)
{
	value = htole64(value);
	put(m, &value, sizeof(value));
}

/* A record of `size` zeros. */
static void put_record(struct made *m, uint32_t type, uint32_t size)
{
	put_le32(m, type);
	put_le32(m, size);
	put_fill(m, 0, (size + 7) & ~7u);
}

static void put_xl(struct made *m, const char *config)
{
	uint32_t size = (uint32_t)strlen(config) + 1;

	put(m, "Xen saved domain, xl format\n \0 \r", 32);
	put_le32(m, 0x01020304);
	put_le32(m, 3);
	put_le32(m, 0);
	put_le32(m, size + 4);
	put_le32(m, size);
	put(m, config, size);
}

static void put_libxl(struct made *m)
{
	put(m, "LibxlFmt", 8);
	put_be32(m, 2);
	put_be32(m, 0);
	put_record(m, 4, 13); /* QEMU's state: no memory of the domain's, and no multiple of 8 */
	put_record(m, 1, 0);  /* libxc's stream follows */
}

static void put_libxc(struct made *m, enum domain type)
{
	put_be64(m, UINT64_MAX);
	put(m, "XENF", 4);
	put_be32(m, 3);
	put_be64(m, 0);
	put_le32(m, type);
	put_le16(m, 12);
	put_le16(m, 0);
	put_le32(m, 4);
	put_le32(m, 17);
}

/* All up to the memory. */
static void put_head(struct made *m, enum domain type)
{
	put_xl(m, CONFIG);
	put_libxl(m);
	put_libxc(m, type);
	put_record(m, 0x11, 24);
	put_record(m, 0x12, 16);
	put_record(m, 0x10, 0);
}

/* The domain's end, and the file's. */
static void put_tail(struct made *m)
{
	put_record(m, 9, 100);
	put_record(m, 0, 0);
	put_record(m, 3, 5);
	put_record(m, 0, 0);
}

/* The last frame of a PV domain. */
static void put_frames(struct made *m, uint32_t last)
{
	put_le32(m, 3);
	put_le32(m, 16);
	put_le32(m, 0);
	put_le32(m, last);
	put_le64(m, 77);
}

struct page {
	uint64_t frame, type;
	uint8_t fill; /* of its content */
};

static bool has_content(const struct page *page)
{
	return page->type < TYPE_BROKEN;
}

static void put_pages(struct made *m, const struct page *pages, uint32_t n)
{
	uint32_t contents = 0;

	for (uint32_t i = 0; i < n; i++)
		contents += has_content(&pages[i]);
	put_le32(m, 1);
	put_le32(m, 8 + n * 8 + contents * PAGE);
	put_le32(m, n);
	put_le32(m, 0);
	for (uint32_t i = 0; i < n; i++)
		put_le64(m, pages[i].frame | pages[i].type << 60);
	for (uint32_t i = 0; i < n; i++) {
		if (has_content(&pages[i]))
			put_fill(m, pages[i].fill, PAGE);
	}
}

static void assert_page(struct image *image, uint64_t frame, uint8_t fill)
{
	uint8_t bytes[PAGE];

	assert_ok(image_read(image, (struct gpa){frame * PAGE}, bytes, sizeof(bytes)));
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], fill);
}

static void assert_no_page(struct image *image, uint64_t frame)
{
	uint8_t byte;

	assert_error(image_read(image, (struct gpa){frame * PAGE}, &byte, 1), ERROR_NOT_FOUND);
}

static void pv_domain(void **state)
{
	static const struct page first[] = {
		{0, 0, 1},         {1, TYPE_PINNED_L4, 2}, {2, 1, 3},           {3, 9, 4},
		{4, TYPE_XTAB, 0}, {5, TYPE_BROKEN, 0},    {6, TYPE_XALLOC, 0}, {9, 0, 5},
	};
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;
	struct image_range range;
	struct gpa found;

	put_head(&m, PV);
	put_record(&m, 2, 8);
	put_frames(&m, 9);
	put_pages(&m, first, ARRAY_SIZE(first));
	put_record(&m, 7, PAGE);
	put_record(&m, 4, 0x1438);
	put_tail(&m);
	assert_ok(open_made(&m, &image));
	assert_string_equal(image_format(image), "xen-save");
	/* Gaps that small are in the region, but no RAM. */
	assert_int_equal(image_ram_size(image), 5 * PAGE);
	range = image_next_range(image, (struct gpa){0});
	assert_int_equal(range.size, 10 * PAGE);
	for (uint64_t frame = 0; frame < 4; frame++)
		assert_page(image, frame, (uint8_t)(frame + 1));
	for (uint64_t frame = 4; frame < 9; frame++)
		assert_no_page(image, frame);
	assert_page(image, 9, 5);
	assert_no_page(image, 10);
	assert_true(image_find_page(image, (struct gpa){PAGE}, "\5\5\5\5", 4, &found));
	assert_int_equal(found.v, 9 * PAGE);
	range = image_next_data(image, (struct gpa){4 * PAGE});
	assert_int_equal(range.start.v, 9 * PAGE);
}

/* Memory, a hole, and the pages of devices below 4 GiB; above, more memory. */
static void hvm_domain(void **state)
{
	static const struct page pages[] = {
		{0, 0, 1}, {0x9f, 0, 2}, {0xfeff8, 0, 3}, {0x100000, 0, 4}, {0x3fffffff, 0, 5}};
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;

	put_head(&m, HVM);
	put_pages(&m, pages, ARRAY_SIZE(pages));
	put_tail(&m);
	assert_ok(open_made(&m, &image));
	assert_int_equal(image_ram_size(image), ARRAY_SIZE(pages) * PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		assert_page(image, pages[i].frame, pages[i].fill);
	assert_no_page(image, 0x9e);
	assert_int_equal(image_next_range(image, (struct gpa){0x1000000}).start.v, UINT64_C(0xfeff8) * PAGE);
	assert_int_equal(image_next_range(image, (struct gpa){UINT64_C(0x100001) * PAGE}).start.v,
			 UINT64_C(0x3fffffff) * PAGE);
}

/* The last copy of a page counts, and one that was given back is gone. */
static void saved_while_running(void **state)
{
	static const struct page first[] = {{1, 0, 1}, {2, 0, 2}, {3, TYPE_XTAB, 0}, {4, 0, 4}};
	static const struct page second[] = {
		{1, TYPE_PINNED_L4, 11}, {2, TYPE_XTAB, 0}, {3, 0, 13}, {4, 0, 14}, {4, 0, 15}};
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;

	put_head(&m, PV);
	put_frames(&m, 4);
	put_pages(&m, first, ARRAY_SIZE(first));
	put_record(&m, 0xd, 0); /* VERIFY */
	put_pages(&m, NULL, 0);
	put_pages(&m, second, ARRAY_SIZE(second));
	put_tail(&m);
	assert_ok(open_made(&m, &image));
	assert_page(image, 1, 11);
	assert_no_page(image, 2);
	assert_page(image, 3, 13);
	assert_page(image, 4, 15);
	assert_int_equal(image_ram_size(image), 3 * PAGE);
}

static void other_records(void **state)
{
	static const struct page page = {7, 0, 7};
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;

	put_head(&m, HVM);
	put_record(&m, 0x80000013, 3); /* may be ignored */
	put_pages(&m, &page, 1);
	for (uint32_t type = 4; type <= 0xc; type++)
		put_record(&m, type, type);
	put_tail(&m);
	put_fill(&m, 0, 512); /* a block device's rest */
	assert_ok(open_made(&m, &image));
	assert_page(image, 7, 7);
}

static void cut_at_every_byte(void **state)
{
	static const struct page pages[] = {{0, 0, 1}, {1, TYPE_XTAB, 0}};
	_cleanup_(made_deinit) struct made m = {0};

	put_head(&m, PV);
	put_frames(&m, 9);
	put_pages(&m, pages, ARRAY_SIZE(pages));
	put_tail(&m);
	assert_cuts_refused(&m, m.size);
}

/* A file with the bytes at `offset` replaced. */
static void assert_altered(const struct made *m, size_t offset, const void *bytes, size_t size, enum error_code code)
{
	_cleanup_(made_deinit) struct made altered = {0};
	struct image *image = NULL;
	struct error *error;

	put(&altered, m->data, m->size);
	memcpy(altered.data + offset, bytes, size);
	error = open_made(&altered, &image);
	assert_non_null(error);
	assert_int_equal(error->code, code);
	error_destroy(error);
	assert_null(image);
}

/* Every field of the headers that has to be right. */
static void headers(void **state)
{
	static const struct page page = {0, 0, 1};
	const size_t libxl = 48 + 4 + sizeof(CONFIG), libxc = libxl + 16 + 24 + 8;
	const struct {
		size_t offset;
		const char *bytes;
		size_t size;
		enum error_code code;
	} cases[] = {
		{28, "x", 1, ERROR_FORMAT},                        /* the end of xl's magic */
		{32, "\1\2\3\4", 4, ERROR_UNSUPPORTED},            /* byte order */
		{36, "\7\0\0\0", 4, ERROR_UNSUPPORTED},            /* a flag that must be known */
		{36, "\2\0\0\0", 4, ERROR_UNSUPPORTED},            /* no JSON */
		{36, "\1\0\0\0", 4, ERROR_UNSUPPORTED},            /* no libxl stream */
		{44, "\0\0\0\0", 4, ERROR_FORMAT},                 /* no room for a configuration */
		{44, "\xff\xff\xff\xff", 4, ERROR_FORMAT},         /* one beyond the file */
		{48, "\xff\xff\xff\xff", 4, ERROR_FORMAT},         /* the same, inside */
		{libxl, "l", 1, ERROR_FORMAT},                     /* magic */
		{libxl + 11, "\1", 1, ERROR_UNSUPPORTED},          /* version */
		{libxl + 15, "\1", 1, ERROR_UNSUPPORTED},          /* byte order */
		{libxl + 16 + 24 + 4, "\1", 1, ERROR_FORMAT},      /* libxc's record with a length */
		{libxc, "\0", 1, ERROR_FORMAT},                    /* marker */
		{libxc + 8, "x", 1, ERROR_FORMAT},                 /* id */
		{libxc + 15, "\4", 1, ERROR_UNSUPPORTED},          /* version */
		{libxc + 17, "\1", 1, ERROR_UNSUPPORTED},          /* byte order */
		{libxc + 24, "\3", 1, ERROR_UNSUPPORTED},          /* ARM */
		{libxc + 28, "\x10", 1, ERROR_UNSUPPORTED},        /* pages of 64 KiB */
		{libxc + 40, "\x13", 1, ERROR_UNSUPPORTED},        /* a record of a later Xen */
		{libxc + 40, "\x0e", 1, ERROR_UNSUPPORTED},        /* a checkpoint */
		{libxc + 44, "\xff\xff\xff\x7f", 4, ERROR_FORMAT}, /* a record beyond all bounds */
	};
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;

	put_head(&m, HVM);
	put_pages(&m, &page, 1);
	put_tail(&m);
	assert_ok(open_made(&m, &image));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_altered(&m, cases[i].offset, cases[i].bytes, cases[i].size, cases[i].code);
}

/* One record with pages, altered. */
static void hostile_pages(void **state)
{
	static const struct page pages[] = {{0, 0, 1}, {1, 0, 2}};
	_cleanup_(made_deinit) struct made m = {0};
	size_t record;

	put_head(&m, PV);
	put_frames(&m, 1);
	record = m.size;
	put_pages(&m, pages, ARRAY_SIZE(pages));
	put_tail(&m);
	/* The count: too small, too large, larger than anything. */
	assert_altered(&m, record + 8, "\1", 1, ERROR_FORMAT);
	assert_altered(&m, record + 8, "\3", 1, ERROR_FORMAT);
	assert_altered(&m, record + 8, "\xff\xff\xff\xff", 4, ERROR_FORMAT);
	/* A frame beyond the domain's last, beyond any guest's, with bits that there are not, and of types that there
	 * are not. */
	assert_altered(&m, record + 16, "\2", 1, ERROR_FORMAT);
	assert_altered(&m, record + 20, "\xff\xff\x0f", 3, ERROR_FORMAT);
	assert_altered(&m, record + 22, "\x10", 1, ERROR_FORMAT);
	assert_altered(&m, record + 23, "\x50", 1, ERROR_FORMAT);
	assert_altered(&m, record + 23, "\x80", 1, ERROR_FORMAT);
	/* Two pages of content, but only one entry that has any. */
	assert_altered(&m, record + 23, "\xf0", 1, ERROR_FORMAT);
	/* A table of frames that ends before it begins, and one of more memory than there is. */
	assert_altered(&m, record - 16, "\2", 1, ERROR_FORMAT);
	assert_altered(&m, record - 12, "\xff\xff\xff\xff", 4, ERROR_FORMAT);
	assert_altered(&m, record - 20, "\4", 1, ERROR_FORMAT);
}

/* Frames of an HVM domain are bounded, too, and a file without any content holds no memory. */
static void bounds(void **state)
{
	static const struct page beyond = {UINT64_C(4) << 28, 0, 1}, none = {3, TYPE_XTAB, 0};
	_cleanup_(made_deinit) struct made first = {0}, second = {0}, third = {0};
	struct image *image = NULL;

	put_head(&first, HVM);
	put_pages(&first, &beyond, 1);
	put_tail(&first);
	assert_error(open_made(&first, &image), ERROR_FORMAT);
	put_head(&second, HVM);
	put_pages(&second, &none, 1);
	put_tail(&second);
	assert_error(open_made(&second, &image), ERROR_FORMAT);
	put_xl(&third, CONFIG);
	put(&third, "LibxlFmt\0\0\0\2\0\0\0\0", 16);
	put_record(&third, 0, 0);
	assert_error(open_made(&third, &image), ERROR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pv_domain),           cmocka_unit_test(hvm_domain),
		cmocka_unit_test(saved_while_running), cmocka_unit_test(other_records),
		cmocka_unit_test(cut_at_every_byte),   cmocka_unit_test(headers),
		cmocka_unit_test(hostile_pages),       cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
