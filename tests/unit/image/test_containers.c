/* SPDX-License-Identifier: Apache-2.0 */
/* libvirt's save files and all that is compressed. */
#include <bzlib.h>
#include <lzma.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include "image/lzo.h"
#include "tests/unit/image/made.h"

#define HEADER_SIZE 92u
#define PACKED_ROOM 65536u

/* A whole stream of one page of 0x42. */
static void put_stream(struct made *m)
{
	put_be32(m, 0x5145564d);
	put_be32(m, 3);
	put_u8(m, 1);
	put_be32(m, 2);
	put_name(m, "ram");
	put_be32(m, 0);
	put_be32(m, 4);
	put_be64(m, 4096 | 0x04);
	put_name(m, "pc.ram");
	put_be64(m, 4096);
	put_be64(m, 0x08);
	put_name(m, "pc.ram");
	put_fill(m, 0x42, 4096);
	put_be64(m, 0x10);
	put_u8(m, 3);
	put_be32(m, 2);
	put_be64(m, 0x10);
	put_u8(m, 0);
	put_u8(m, 6);
	put_be32(m, 2);
	put(m, "{}", 2);
}

static void put_header(struct made *m, uint32_t format)
{
	put(m, "LibvirtQemudSave", 16);
	put_le32(m, 2);
	put_le32(m, 9);
	put_le32(m, 1);
	put_le32(m, format);
	put_fill(m, 0, 60);
	put(m, "<domain/>", 9);
}

static void put_gzip(struct made *m, const struct made *plain)
{
	uint8_t out[PACKED_ROOM];
	z_stream z = {
		.next_in = plain->data, .avail_in = (unsigned)plain->size, .next_out = out, .avail_out = sizeof(out)};

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	put(m, out, z.total_out);
	deflateEnd(&z);
}

static void put_bzip2(struct made *m, const struct made *plain)
{
	char out[PACKED_ROOM];
	unsigned size = sizeof(out);

	assert_int_equal(BZ2_bzBuffToBuffCompress(out, &size, (char *)plain->data, (unsigned)plain->size, 1, 0, 0),
			 BZ_OK);
	put(m, out, size);
}

static void put_xz(struct made *m, const struct made *plain)
{
	uint8_t out[PACKED_ROOM];
	size_t size = 0;

	assert_int_equal(
		lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, NULL, plain->data, plain->size, out, &size, sizeof(out)),
		LZMA_OK);
	put(m, out, size);
}

/* One block that is stored as it is; packed ones have their own test below. */
static void put_lzop(struct made *m, const struct made *plain)
{
	_cleanup_(made_deinit) struct made header = {0};

	put(m, "\x89LZO\0\r\n\x1a\n", 9);
	put(&header, "\x10\x40\x20\xa0\x09\x40\x01\x05\x03\0\0\x01", 12);
	put_fill(&header, 0, 13);
	put(m, header.data, header.size);
	put_be32(m, (uint32_t)adler32(1, header.data, (unsigned)header.size));
	put_be32(m, (uint32_t)plain->size);
	put_be32(m, (uint32_t)plain->size);
	put_be32(m, (uint32_t)adler32(1, plain->data, (unsigned)plain->size));
	put(m, plain->data, plain->size);
	put_be32(m, 0);
}

static void put_zstd(struct made *m, const struct made *plain)
{
	uint8_t out[PACKED_ROOM];
	size_t size = ZSTD_compress(out, sizeof(out), plain->data, plain->size, 3);

	assert_false(ZSTD_isError(size));
	put(m, out, size);
}

static const struct {
	uint32_t format; /* libvirt's number */
	void (*put)(struct made *m, const struct made *plain);
} methods[] = {{1, put_gzip}, {2, put_bzip2}, {3, put_xz}, {4, put_lzop}, {5, put_zstd}};

static void assert_is_the_page(struct image *image, const char *format)
{
	uint8_t byte = 0;

	assert_string_equal(image_format(image), format);
	assert_int_equal(image_ram_size(image), 4096);
	assert_ok(image_read(image, (struct gpa){4095}, &byte, 1));
	assert_int_equal(byte, 0x42);
}

static void compressed_saves(void **state)
{
	_cleanup_(made_deinit) struct made stream = {0};

	put_stream(&stream);
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		_cleanup_(made_deinit) struct made m = {0};
		_cleanup_(image_close_ptr) struct image *image = NULL;

		put_header(&m, methods[i].format);
		methods[i].put(&m, &stream);
		assert_ok(open_made(&m, &image));
		assert_is_the_page(image, "libvirt-save");
	}
}

static void compressed_streams(void **state)
{
	_cleanup_(made_deinit) struct made stream = {0};

	put_stream(&stream);
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		_cleanup_(made_deinit) struct made m = {0};
		_cleanup_(image_close_ptr) struct image *image = NULL;

		methods[i].put(&m, &stream);
		put_fill(&m, 0, 700); /* padding, as to the end of a block of a disk */
		assert_ok(open_made(&m, &image));
		assert_is_the_page(image, "qemu-stream");
	}
}

static void cut_at_every_byte(void **state)
{
	_cleanup_(made_deinit) struct made stream = {0};

	put_stream(&stream);
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		_cleanup_(made_deinit) struct made m = {0};

		put_header(&m, methods[i].format);
		methods[i].put(&m, &stream);
		assert_cuts_refused(&m, SIZE_MAX);
	}
}

static void several_members(void **state)
{
	_cleanup_(made_deinit) struct made stream = {0};

	put_stream(&stream);
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		_cleanup_(made_deinit) struct made m = {0};
		_cleanup_(image_close_ptr) struct image *image = NULL;
		struct made first = {.data = stream.data, .size = 1000};
		struct made second = {.data = stream.data + 1000, .size = stream.size - 1000};

		methods[i].put(&m, &first);
		methods[i].put(&m, &second);
		assert_ok(open_made(&m, &image));
		assert_is_the_page(image, "qemu-stream");
	}
}

/* The checksum of the content is the last but few bytes of each; a bit of it makes the file damaged. */
static void damage_is_noticed(void **state)
{
	_cleanup_(made_deinit) struct made stream = {0};

	put_stream(&stream);
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		_cleanup_(made_deinit) struct made m = {0};
		struct image *image = NULL;

		methods[i].put(&m, &stream);
		/* zstd's simple function writes no checksum: its block header instead */
		m.data[methods[i].format == 5 ? 8 : methods[i].format == 4 ? m.size - 100 : m.size - 7] ^= 0xff;
		assert_error(open_made(&m, &image), ERROR_FORMAT);
	}
}

static void rubbish_follows(void **state)
{
	_cleanup_(made_deinit) struct made stream = {0};

	put_stream(&stream);
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		_cleanup_(made_deinit) struct made m = {0};
		struct image *image = NULL;

		methods[i].put(&m, &stream);
		put(&m, "rubbish", 7);
		assert_error(open_made(&m, &image), ERROR_FORMAT);
	}
}

static void no_stream_is_compressed(void **state)
{
	struct made plain = {.data = (uint8_t *)"a text that is long enough to be put in one run", .size = 48};

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		_cleanup_(made_deinit) struct made save = {0};
		_cleanup_(made_deinit) struct made m = {0};
		struct image *image = NULL;

		put_header(&save, methods[i].format);
		methods[i].put(&save, &plain);
		assert_error(open_made(&save, &image), ERROR_FORMAT);
		methods[i].put(&m, &plain);
		assert_error(open_made(&m, &image), ERROR_FORMAT);
	}
}

static void header_of_another_compression(void **state)
{
	_cleanup_(made_deinit) struct made stream = {0};
	_cleanup_(made_deinit) struct made m = {0};
	struct image *image = NULL;

	put_stream(&stream);
	put_header(&m, 1);
	put_zstd(&m, &stream);
	assert_error(open_made(&m, &image), ERROR_FORMAT);
}

static void other_byte_order(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;

	put(&m, "LibvirtQemudSave", 16);
	put_be32(&m, 2);
	put_be32(&m, 9);
	put_be32(&m, 1);
	put_be32(&m, 0);
	put_be32(&m, 95);
	put_fill(&m, 0, 56);
	put(&m, "<domain/>", 9);
	put_stream(&m);
	assert_ok(open_made(&m, &image));
	assert_is_the_page(image, "libvirt-save");
}

static void bad_headers(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};
	struct image *image = NULL;
	struct error *error;

	put_header(&m, 0);
	put_stream(&m);
	memcpy(m.data, "LibvirtQemudPart", 16);
	error = open_made(&m, &image);
	assert_non_null(error);
	assert_int_equal(error->code, ERROR_FORMAT);
	assert_non_null(strstr(error->message, "not finished"));
	error_destroy(error);
	memcpy(m.data, "LibvirtQemudSave", 16);
	m.data[32] = 200; /* the second XML, behind the first */
	assert_error(open_made(&m, &image), ERROR_FORMAT);
}

/* A stream's beginning in zstd, and behind it a hole: blocks of nothing, for as long as the file claims to be. */
static void unpacks_to_nothing(void **state)
{
	static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0, 0x38};
	_cleanup_(made_deinit) struct made stream = {0}, m = {0};
	_cleanup_(close_fd) int fd = memfd_create("input", MFD_CLOEXEC);
	uint32_t block_header;
	struct image *image = NULL;
	struct error *error;
	char path[64];

	put_stream(&stream);
	put(&m, frame, sizeof(frame));
	block_header = htole32((uint32_t)stream.size << 3);
	put(&m, &block_header, 3);
	put(&m, stream.data, stream.size);
	assert_int_equal(write(fd, m.data, m.size), m.size);
	assert_int_equal(ftruncate(fd, INT64_C(1) << 30), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	error = image_open(path, NULL, &image);
	assert_non_null(error);
	assert_int_equal(error->code, ERROR_FORMAT);
	assert_non_null(strstr(error->message, "to nothing"));
	error_destroy(error);
}

/* Files may not be as large as what is unpacked: an error, not a signal. */
static void no_room_to_unpack(void **state)
{
	_cleanup_(made_deinit) struct made stream = {0}, m = {0};
	struct image *image = NULL;
	struct rlimit limit, small;
	struct error *error;

	put_stream(&stream);
	put_fill(&stream, 0, 65536); /* what follows does not matter here */
	put_gzip(&m, &stream);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = (struct rlimit){.rlim_cur = 8192, .rlim_max = limit.rlim_max};
	assert_true(m.size < small.rlim_cur && stream.size > small.rlim_cur);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	error = open_made(&m, &image);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_non_null(error);
	assert_int_equal(error->errnum, EFBIG);
	assert_non_null(strstr(error->message, "no room for the unpacked memory"));
	assert_non_null(strstr(error->remedy, "ulimit"));
	error_destroy(error);
}

static void no_place_to_unpack(void **state)
{
	_cleanup_(made_deinit) struct made stream = {0};
	_cleanup_(made_deinit) struct made m = {0};
	struct image *image = NULL;

	put_stream(&stream);
	put_gzip(&m, &stream);
	setenv("TMPDIR", "/nonexistent/directory", 1);
	assert_error(open_made(&m, &image), ERROR_SYSTEM);
	unsetenv("TMPDIR");
}

/* ---- LZO1X ---- */

struct bits {
	const char *packed;
	size_t size;
	const char *plain; /* NULL: malformed */
};

static void lzo_instructions(void **state)
{
	static const struct bits cases[] = {
		{"\x15"
		 "abcd"
		 "\x11\0\0",
		 8, "abcd"},
		/* a run of 4 and more after nothing: 3 + 1 literals */
		{"\x01"
		 "abcd"
		 "\x11\0\0",
		 8, "abcd"},
		/* one literal first, then 2 bytes within 1 KiB, one literal after them */
		{"\x12"
		 "a"
		 "\x01\0"
		 "b"
		 "\x11\0\0",
		 8, "aaab"},
		/* 3 to 4 bytes within 2 KiB; overlapping */
		{"\x13"
		 "ab"
		 "\x64\0"
		 "\x11\0\0",
		 8, "ababab"},
		{"\x13"
		 "ab"
		 "\x44\0"
		 "\x11\0\0",
		 8, "ababa"},
		/* 5 to 8 bytes */
		{"\x13"
		 "ab"
		 "\x84\0"
		 "\x11\0\0",
		 8, "abababa"},
		/* within 16 KiB, with a long length: 2 + 31 + 2 */
		{"\x12"
		 "a"
		 "\x20\x02\0\0"
		 "\x11\0\0",
		 9, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		/* nothing at all */
		{"\x11\0\0", 3, ""},
		/* before the beginning */
		{"\x12"
		 "a"
		 "\x44\0"
		 "\x11\0\0",
		 7, NULL},
		{"\x12"
		 "a"
		 "\x18\x04\0"
		 "\x11\0\0",
		 8, NULL},
		/* something after the end */
		{"\x11\0\0x", 4, NULL},
		/* no end */
		{"\x15"
		 "abcd",
		 5, NULL},
		{"", 0, NULL},
		/* a run longer than what there is */
		{"\x00\x00\x00\x00", 4, NULL},
		{"\xff"
		 "a",
		 2, NULL},
		/* more than there is room for */
		{"\x12"
		 "a"
		 "\x20\0\0\x01\0\0"
		 "\x11\0\0",
		 11, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t out[64];
		size_t size = 0;
		bool done = lzo1x_unpack((const uint8_t *)cases[i].packed, cases[i].size, out, sizeof(out), &size);

		if (done != (cases[i].plain != NULL))
			fail_msg("case %zu: %s", i, done ? "unpacked" : "refused");
		if (!done)
			continue;
		assert_int_equal(size, strlen(cases[i].plain));
		assert_memory_equal(out, cases[i].plain, size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compressed_saves),        cmocka_unit_test(compressed_streams),
		cmocka_unit_test(cut_at_every_byte),       cmocka_unit_test(several_members),
		cmocka_unit_test(damage_is_noticed),       cmocka_unit_test(rubbish_follows),
		cmocka_unit_test(no_stream_is_compressed), cmocka_unit_test(header_of_another_compression),
		cmocka_unit_test(other_byte_order),        cmocka_unit_test(bad_headers),
		cmocka_unit_test(no_room_to_unpack),       cmocka_unit_test(no_place_to_unpack),
		cmocka_unit_test(lzo_instructions),        cmocka_unit_test(unpacks_to_nothing),
	};

	return cmocka_run_group_tests_name("containers", tests, NULL, NULL);
}
