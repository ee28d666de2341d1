/* SPDX-License-Identifier: Apache-2.0 */
/* The packed form of a payload: what is written reads back, what is not as described is refused. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "base/bytes.h"
#include "base/io.h"
#include "bundle/bundle.h"
#include "bundle/packed.h"

/* A file of `size` bytes, the first half easy to compress, the other not. */
static char *make_file(const char *path, size_t size)
{
	char *bytes = malloc(size + 1);
	uint64_t random = 88172645463325252ull;

	assert_non_null(bytes);
	for (size_t i = 0; i < size; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		bytes[i] = i < size / 2 ? "some text "[i % 10] : (char)random;
	}
	assert_ok(io_replace_file(path, bytes, size, 0600));
	return bytes;
}

/* Unpacks all of `packed`; the pieces' number. */
static unsigned unpack(const uint8_t *packed, size_t size, char *to, size_t to_size)
{
	_cleanup_(unpacker_destroy_ptr) struct unpacker *unpacker = unpacker_create();
	size_t at = PACKED_HEADER_SIZE, out = 0;
	unsigned n = 0;

	assert_non_null(unpacker);
	assert_ok(packed_parse_header(packed));
	for (; at < size; n++) {
		struct packed_piece piece;

		assert_true(size - at > PACKED_PIECE_HEADER_SIZE);
		assert_ok(packed_parse_piece(packed + at, &piece));
		at += PACKED_PIECE_HEADER_SIZE;
		assert_true(piece.packed_size <= size - at && piece.size <= to_size - out);
		assert_ok(unpacker_run(unpacker, &piece, packed + at, NULL, (uint8_t *)to + out));
		at += piece.packed_size;
		out += piece.size;
	}
	assert_int_equal(out, to_size);
	return n;
}

static void reads_back(void **state)
{
	static const size_t sizes[] = {1, 80, 4096, PACKED_SIZE_MAX - 1, PACKED_SIZE_MAX, PACKED_SIZE_MAX + 1, 9000000};
	_cleanup_(free_ptr) char *path = string_format("%s/packed-%d", getenv("TMPDIR") ?: "/tmp", (int)getpid());
	_cleanup_(free_ptr) char *packed_path = string_format("%s.out", path);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_(free_ptr) char *bytes = make_file(path, sizes[i]);
		_cleanup_(free_ptr) char *back = malloc(sizes[i]);
		_cleanup_(free_ptr) char *packed = NULL;
		_cleanup_(close_fd) int out = open(packed_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		struct pack_totals totals;
		size_t size;

		assert_ok(payload_pack(path, out, &totals));
		assert_ok(io_read_file(packed_path, 1 << 24, &packed, &size));
		assert_int_equal(totals.size, sizes[i]);
		assert_int_equal(totals.packed_size, size);
		assert_int_equal(unpack((uint8_t *)packed, size, back, sizes[i]),
				 (sizes[i] + PACKED_SIZE_MAX - 1) / PACKED_SIZE_MAX);
		assert_memory_equal(bytes, back, sizes[i]);
		assert_true(sizes[i] < 4096 || size < sizes[i] * 3 / 4);
	}
	unlink(path);
	unlink(packed_path);
}

static void says_that_the_reader_went_away(void **state)
{
	_cleanup_(free_ptr) char *path = string_format("%s/packed-%d", getenv("TMPDIR") ?: "/tmp", (int)getpid());
	_cleanup_(free_ptr) char *bytes = make_file(path, 100000);
	struct error *error;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	close(fds[0]);
	signal(SIGPIPE, SIG_IGN);
	error = payload_pack(path, fds[1], NULL);
	assert_non_null(error);
	assert_int_equal(error->errnum, EPIPE);
	error_destroy(error);
	close(fds[1]);
	unlink(path);
}

static void put32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static void refuses_bad_pieces(void **state)
{
	static const struct {
		uint32_t at, value;
	} bad[] = {
		{0, 0},
		{0, 4},
		{0, 0x102},
		{0, 0x10000 | PACKED_FRAME},
		{4, 0},
		{4, 99},
		{4, PACKED_SIZE_MAX + 1},
		{4, UINT32_MAX},
		{8, 0},
		{8, 5001},
		{8, UINT32_MAX},
		{12, 1},
		{16, 1},
		{20, 1},
		{24, 1},
		{28, 1},
		{0, PACKED_DELTA},  /* with nothing old */
		{0, PACKED_STORED}, /* with less bytes than it has */
	};
	uint8_t header[PACKED_PIECE_HEADER_SIZE], good[PACKED_PIECE_HEADER_SIZE] = {PACKED_FRAME};
	uint8_t start[PACKED_HEADER_SIZE] = PACKED_MAGIC;
	struct packed_piece piece;

	put32(good + 4, 5000);
	put32(good + 8, 100);
	assert_ok(packed_parse_piece(good, &piece));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memcpy(header, good, sizeof(header));
		put32(header + bad[i].at, bad[i].value);
		assert_error(packed_parse_piece(header, &piece), ERROR_FORMAT);
	}
	good[0] = PACKED_DELTA;
	put32(good + 24, PACKED_OLD_MAX);
	assert_ok(packed_parse_piece(good, &piece));
	put32(good + 24, PACKED_OLD_MAX + 1);
	assert_error(packed_parse_piece(good, &piece), ERROR_FORMAT);
	put32(good + 24, 1);
	put32(good + 20, 0x80000000);
	assert_error(packed_parse_piece(good, &piece), ERROR_FORMAT);

	put32(start + 8, PACKED_VERSION);
	assert_ok(packed_parse_header(start));
	for (size_t i = 0; i < sizeof(start); i++) {
		start[i] ^= 0x40;
		assert_error(packed_parse_header(start), ERROR_FORMAT);
		start[i] ^= 0x40;
	}
}

/* The frame must give all of the piece, no more and no less, and be the only one. */
static void refuses_bad_frames(void **state)
{
	_cleanup_(unpacker_destroy_ptr) struct unpacker *unpacker = unpacker_create();
	static uint8_t zeros[PACKED_SIZE_MAX], out[PACKED_SIZE_MAX];
	static uint8_t frame[1 << 16];
	struct packed_piece piece = {.kind = PACKED_FRAME, .size = 100000};
	/* A bomb: 4 MiB out of 150 bytes, in a piece that says 100,000. */
	size_t n = ZSTD_compress(frame, sizeof(frame), zeros, sizeof(zeros), 3);

	assert_non_null(unpacker);
	assert_true(n > 0 && n < 1000);
	piece.packed_size = (uint32_t)n;
	assert_error(unpacker_run(unpacker, &piece, frame, NULL, out), ERROR_FORMAT);
	piece.size = sizeof(zeros);
	assert_ok(unpacker_run(unpacker, &piece, frame, NULL, out));
	/* Cut at every place, and with a byte behind it. */
	for (piece.packed_size = 1; piece.packed_size < n; piece.packed_size++)
		assert_error(unpacker_run(unpacker, &piece, frame, NULL, out), ERROR_FORMAT);
	piece.packed_size = (uint32_t)n + 1;
	assert_error(unpacker_run(unpacker, &piece, frame, NULL, out), ERROR_FORMAT);
	/* Too few bytes, two frames, a skippable frame, a frame of a format before the standard. */
	n = ZSTD_compress(frame, sizeof(frame), zeros, 5000, 3);
	piece = (struct packed_piece){.kind = PACKED_FRAME, .size = 10000, .packed_size = (uint32_t)n};
	assert_error(unpacker_run(unpacker, &piece, frame, NULL, out), ERROR_FORMAT);
	memcpy(frame + n, frame, n);
	piece.packed_size *= 2;
	assert_error(unpacker_run(unpacker, &piece, frame, NULL, out), ERROR_FORMAT);
	for (uint32_t magic = 0xfd2fb520; magic < 0xfd2fb528; magic++) {
		put32(frame, magic);
		assert_error(unpacker_run(unpacker, &piece, frame, NULL, out), ERROR_FORMAT);
	}
	put32(frame, 0x184d2a50);
	put32(frame + 4, 10);
	assert_error(unpacker_run(unpacker, &piece, frame, NULL, out), ERROR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_back),
		cmocka_unit_test(says_that_the_reader_went_away),
		cmocka_unit_test(refuses_bad_pieces),
		cmocka_unit_test(refuses_bad_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
