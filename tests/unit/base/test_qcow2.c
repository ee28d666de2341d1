/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <endian.h>

#include "base/qcow2.h"

/* A header of version 3 and the extensions after it. */
struct image {
	uint8_t bytes[4096];
	uint64_t size;
};

static void put32(struct image *image, size_t offset, uint32_t value)
{
	value = htobe32(value);
	memcpy(image->bytes + offset, &value, sizeof(value));
}

static void put64(struct image *image, size_t offset, uint64_t value)
{
	value = htobe64(value);
	memcpy(image->bytes + offset, &value, sizeof(value));
}

static struct image plain(void)
{
	struct image image = {.size = sizeof(image.bytes)};

	put32(&image, 0, QCOW2_MAGIC);
	put32(&image, 4, 3);
	put32(&image, 20, 16);
	put64(&image, 24, 64 << 20);
	put32(&image, 36, 1);
	put64(&image, 40, 0x30000);
	put32(&image, 100, 104);
	return image;
}

static void put_backing(struct image *image, const char *name, uint32_t size, const char *format)
{
	put32(image, 104, 0xe2792aca);
	put32(image, 108, (uint32_t)strlen(format));
	memcpy(image->bytes + 112, format, strlen(format));
	put64(image, 8, 512);
	put32(image, 16, size);
	memcpy(image->bytes + 512, name, strlen(name));
}

static struct error *parse(const struct image *image, struct qcow2_header *header)
{
	return qcow2_parse_header(image->bytes, image->size, "x.qcow2", header);
}

static void plain_header(void **state)
{
	struct image image = plain();
	struct qcow2_header header;

	assert_ok(parse(&image, &header));
	assert_int_equal(header.virtual_size, 64 << 20);
	assert_int_equal(header.l1_offset, 0x30000);
	assert_null(header.backing_file);
	assert_null(header.backing_format);
	qcow2_header_deinit(&header);
}

static void backing_file_and_format(void **state)
{
	struct image image = plain();
	struct qcow2_header header;

	put_backing(&image, "../base.img", 11, "raw");
	assert_ok(parse(&image, &header));
	assert_string_equal(header.backing_file, "../base.img");
	assert_string_equal(header.backing_format, "raw");
	qcow2_header_deinit(&header);
}

static void version_2_has_no_format(void **state)
{
	struct image image = plain();
	struct qcow2_header header;

	put32(&image, 4, 2);
	memset(image.bytes + 72, 0, 200);
	put64(&image, 8, 80);
	put32(&image, 16, 4);
	memcpy(image.bytes + 80, "base", 4);
	assert_ok(parse(&image, &header));
	assert_string_equal(header.backing_file, "base");
	assert_null(header.backing_format);
	qcow2_header_deinit(&header);
}

static void every_shorter_file_is_an_error(void **state)
{
	struct image image = plain();
	struct qcow2_header header;

	put_backing(&image, "base.img", 8, "raw");
	for (image.size = 0; image.size < 520; image.size++)
		assert_error(parse(&image, &header), ERROR_FORMAT);
	assert_ok(parse(&image, &header));
	qcow2_header_deinit(&header);
}

static void what_is_not_supported_says_so(void **state)
{
	static const uint64_t features[] = {1 << 2, 1 << 5, UINT64_C(1) << 63};
	struct qcow2_header header;
	struct image image = plain();

	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		put64(&image, 72, features[i]);
		assert_error(parse(&image, &header), ERROR_UNSUPPORTED);
	}
	image = plain();
	put32(&image, 32, 2); /* LUKS */
	assert_error(parse(&image, &header), ERROR_UNSUPPORTED);
	image = plain();
	put32(&image, 4, 4);
	assert_error(parse(&image, &header), ERROR_UNSUPPORTED);
	/* dirty, zstd and extended L2 entries can be read */
	image = plain();
	put64(&image, 72, 1 | 8 | 16);
	assert_ok(parse(&image, &header));
	assert_true(header.extended_l2);
	assert_false(header.zstd);
	qcow2_header_deinit(&header);
	/* the compression's type is the byte after the first 104 of the header */
	put32(&image, 100, 112);
	image.bytes[104] = 1;
	assert_ok(parse(&image, &header));
	assert_true(header.zstd);
	qcow2_header_deinit(&header);
	image.bytes[104] = 2;
	assert_error(parse(&image, &header), ERROR_UNSUPPORTED);
	put64(&image, 72, 1 | 16);
	image.bytes[104] = 1;
	assert_error(parse(&image, &header), ERROR_UNSUPPORTED);
}

static void nonsense_is_a_format_error(void **state)
{
	static const struct {
		size_t offset;
		uint32_t value;
	} changes[] = {
		{0, 0x12345678}, {20, 8},     {20, 22},          {36, 0x7fffffff},  {44, 0x30001}, {24, 1u << 31},
		{100, 103},      {100, 96},   {100, 1u << 31},   {72 + 4, 2},       {12, 64},      {12, 65537},
		{16, 1024},      {108, 1000}, {108, 0xfffffff9}, {108, 0xffffffff}, {8, 1},
	};
	struct qcow2_header header;

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct image image = plain();

		put_backing(&image, "base.img", 8, "raw");
		put32(&image, changes[i].offset, changes[i].value);
		assert_error(parse(&image, &header), ERROR_FORMAT);
	}
}

static void a_nul_in_the_name_is_an_error(void **state)
{
	struct image image = plain();
	struct qcow2_header header;

	put_backing(&image, "a\0b", 3, "raw");
	assert_error(parse(&image, &header), ERROR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_header),
		cmocka_unit_test(backing_file_and_format),
		cmocka_unit_test(version_2_has_no_format),
		cmocka_unit_test(every_shorter_file_is_an_error),
		cmocka_unit_test(what_is_not_supported_says_so),
		cmocka_unit_test(nonsense_is_a_format_error),
		cmocka_unit_test(a_nul_in_the_name_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
