/* SPDX-License-Identifier: Apache-2.0 */
/* The packed form of a payload: what is written reads back, what is not as described is refused. */
#include "tests/unit/test.h"

#include <string.h>
#include <zstd.h>

#include "base/bytes.h"
#include "bundle/packed.h"

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
		cmocka_unit_test(refuses_bad_pieces),
		cmocka_unit_test(refuses_bad_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
