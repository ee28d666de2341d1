/* SPDX-License-Identifier: Apache-2.0 */
/* A packed payload, read as the guest helper reads it; the old content of a difference is the input itself. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "bundle/packed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One piece; the bytes it takes of the input, 0 at the end or at what is wrong. */
static size_t unpack(struct unpacker *unpacker, const uint8_t *data, size_t size, const uint8_t *old, size_t old_size)
{
	struct packed_piece piece;
	struct error *error;
	bool unpacked;
	uint8_t *to;

	if (size < PACKED_PIECE_HEADER_SIZE)
		return 0;
	error = packed_parse_piece(data, &piece);
	if (error) {
		error_destroy(error);
		return 0;
	}
	if (piece.packed_size > size - PACKED_PIECE_HEADER_SIZE || piece.old_size > old_size)
		return 0;
	/* Of the exact size, so that a byte beyond it is caught. */
	to = malloc(piece.size);
	error = to ? unpacker_run(unpacker, &piece, data + PACKED_PIECE_HEADER_SIZE,
				  piece.kind == PACKED_DELTA ? old : NULL, to)
		   : error_no_memory();
	unpacked = !error;
	free(to);
	error_destroy(error);
	return unpacked ? PACKED_PIECE_HEADER_SIZE + piece.packed_size : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(unpacker_destroy_ptr) struct unpacker *unpacker = NULL;
	struct error *error;

	if (size < PACKED_HEADER_SIZE)
		return 0;
	error = packed_parse_header(data);
	if (error) {
		error_destroy(error);
		return 0;
	}
	unpacker = unpacker_create();
	for (size_t at = PACKED_HEADER_SIZE, n = 1; unpacker && n; at += n)
		n = unpack(unpacker, data + at, size - at, data, size);
	return 0;
}
