/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of a packed payload. The guest helper is linked with it, and with the half of libzstd that decompresses.
 */
#include "bundle/packed.h"

#include <string.h>
#include <zstd.h>

#include "base/bytes.h"

bool packed_is(const uint8_t bytes[PACKED_HEADER_SIZE])
{
	return memcmp(bytes, PACKED_MAGIC, strlen(PACKED_MAGIC)) == 0;
}

struct error *packed_parse_header(const uint8_t bytes[PACKED_HEADER_SIZE])
{
	uint32_t version = le32_at(bytes + 8), flags = le32_at(bytes + 12);

	if (!packed_is(bytes))
		return error_format("packed payload", 0, "wrong magic");
	if (version != PACKED_VERSION || flags != 0)
		return error_format("packed payload", 8, "version %u with flags %#x is not known", version, flags);
	return NULL;
}

static const char *piece_problem(const struct packed_piece *piece)
{
	bool delta = piece->kind == PACKED_DELTA;

	if (piece->kind < PACKED_STORED || piece->kind > PACKED_DELTA)
		return "of no known kind";
	if (piece->size == 0 || piece->size > PACKED_SIZE_MAX)
		return "of an impossible size";
	if (piece->packed_size == 0 || piece->packed_size > piece->size ||
	    (piece->kind == PACKED_STORED && piece->packed_size != piece->size))
		return "packed to an impossible size";
	if (!delta && (piece->entry || piece->old_offset || piece->old_size))
		return "with an old content that it does not need";
	if (delta && (piece->old_size == 0 || piece->old_size > PACKED_OLD_MAX || piece->old_offset > INT64_MAX))
		return "with an impossible old content";
	return NULL;
}

struct error *packed_parse_piece(const uint8_t bytes[PACKED_PIECE_HEADER_SIZE], struct packed_piece *ret)
{
	struct packed_piece piece = {
		.kind = bytes[0],
		.size = le32_at(bytes + 4),
		.packed_size = le32_at(bytes + 8),
		.entry = le32_at(bytes + 12),
		.old_offset = le64_at(bytes + 16),
		.old_size = le32_at(bytes + 24),
	};
	const char *problem = piece_problem(&piece);

	if (!problem && (bytes[1] || bytes[2] || bytes[3] || le32_at(bytes + 28)))
		problem = "with reserved bytes that are not zero";
	if (problem)
		return error_format("packed payload", ERROR_NO_ADDRESS, "a piece %s", problem);
	*ret = piece;
	return NULL;
}

struct unpacker {
	ZSTD_DCtx *zstd;
};

struct unpacker *unpacker_create(void)
{
	struct unpacker *unpacker = malloc(sizeof(*unpacker));

	if (!unpacker)
		return NULL;
	unpacker->zstd = ZSTD_createDCtx();
	if (!unpacker->zstd) {
		free(unpacker);
		return NULL;
	}
	return unpacker;
}

void unpacker_destroy(struct unpacker *unpacker)
{
	if (!unpacker)
		return;
	ZSTD_freeDCtx(unpacker->zstd);
	free(unpacker);
}

static struct error *bad_frame(const char *why)
{
	return error_format("packed payload", ERROR_NO_ADDRESS, "a piece does not unpack: %s", why);
}

/* Output and prefix lie in memory as a whole, so zstd needs no window of its own, whatever the frame asks for. */
static struct error *decompress(ZSTD_DCtx *zstd, const struct packed_piece *piece, const uint8_t *bytes,
				const uint8_t *old, uint8_t *to)
{
	size_t n;

	/* The library may know formats from before zstd had a standard. We do not. */
	if (piece->packed_size < 4 || le32_at(bytes) != ZSTD_MAGICNUMBER)
		return bad_frame("no zstd frame");
	/* The frame's own length too: what is behind it, or a second frame, is none of ours. */
	n = ZSTD_findFrameCompressedSize(bytes, piece->packed_size);
	if (!ZSTD_isError(n) && n != piece->packed_size)
		return bad_frame("more than one zstd frame");
	ZSTD_DCtx_reset(zstd, ZSTD_reset_session_and_parameters);
	if (!ZSTD_isError(n) && piece->kind == PACKED_DELTA)
		n = ZSTD_DCtx_refPrefix(zstd, old, piece->old_size);
	if (!ZSTD_isError(n))
		n = ZSTD_decompressDCtx(zstd, to, piece->size, bytes, piece->packed_size);
	if (ZSTD_isError(n))
		return bad_frame(ZSTD_getErrorName(n));
	return n == piece->size ? NULL : bad_frame("too few bytes");
}

struct error *unpacker_run(struct unpacker *unpacker, const struct packed_piece *piece, const uint8_t *bytes,
			   const uint8_t *old, uint8_t *to)
{
	if (piece->kind != PACKED_STORED)
		return decompress(unpacker->zstd, piece, bytes, old, to);
	memcpy(to, bytes, piece->size);
	return NULL;
}
