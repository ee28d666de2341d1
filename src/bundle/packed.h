/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A payload on its way through a slow channel. Unpacked it is the payload, byte for byte, so that the id (the hash of
 * the payload's header) and all that hangs on it are the same whichever way it came. All numbers are little-endian.
 *
 *   packed = "OUAPACK\1" u32 version(1) u32 flags(0) piece*                                     (16 bytes, then pieces)
 *   piece  = u8 kind u8[3] 0 u32 size u32 packed_size u32 entry u64 old_offset u32 old_size u32 0 bytes{packed_size}
 *
 * Each piece is `size` bytes of the payload, in order, and stands for itself:
 *
 *   STORED  as they are; packed_size is size
 *   FRAME   one zstd frame
 *   DELTA   one zstd frame whose prefix (ZSTD_DCtx_refPrefix) is old_size bytes at old_offset of what the guest has at
 * the path of the entry: its pre-image. All of the piece is content of that entry.
 *
 * entry, old_offset and old_size are 0 of the others. A piece is held in memory as a whole, unpacked and packed, and
 * its prefix too: that is what the maxima are for (the guest helper's memory: 16 MiB with all three). A piece that is
 * not made smaller by zstd is stored, so packed_size is never more than size; what claims to be larger than it is, or
 * to hold nothing, is refused. How many bytes are wanted in all, the payload's header says.
 */
#ifndef BUNDLE_PACKED_H
#define BUNDLE_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define PACKED_MAGIC             "OUAPACK\1"
#define PACKED_VERSION           1
#define PACKED_HEADER_SIZE       16
#define PACKED_PIECE_HEADER_SIZE 32
#define PACKED_SIZE_MAX          (4u << 20)
#define PACKED_OLD_MAX           (8u << 20)
#define PACKED_WINDOW_LOG        24 /* of a DELTA: reaches over both */

enum packed_kind {
	PACKED_STORED = 1,
	PACKED_FRAME,
	PACKED_DELTA,
};

struct packed_piece {
	enum packed_kind kind;
	uint32_t size;        /* bytes of the payload; 1 to PACKED_SIZE_MAX */
	uint32_t packed_size; /* bytes that follow; 1 to size */
	uint32_t entry;       /* DELTA */
	uint64_t old_offset;  /* DELTA: bytes */
	uint32_t old_size;    /* DELTA: bytes; 1 to PACKED_OLD_MAX */
};

/* Whether these bytes begin a packed payload, and not the payload itself. */
bool packed_is(const uint8_t bytes[PACKED_HEADER_SIZE]);
/* The rest of that header. */
struct error *packed_parse_header(const uint8_t bytes[PACKED_HEADER_SIZE]) _must_check_;
struct error *packed_parse_piece(const uint8_t bytes[PACKED_PIECE_HEADER_SIZE], struct packed_piece *ret) _must_check_;

/* What unpacks one piece after the other; no thread shares it with another. NULL without memory. */
struct unpacker;
struct unpacker *unpacker_create(void);
void unpacker_destroy(struct unpacker *unpacker);
DEFINE_CLEANUP(struct unpacker *, unpacker_destroy)

/*
 * `bytes` are the piece's packed_size bytes, `old` its prefix (NULL unless it is a DELTA), `to` has room for
 * piece->size bytes. All of them come out, or it is ERROR_FORMAT.
 */
struct error *unpacker_run(struct unpacker *unpacker, const struct packed_piece *piece, const uint8_t *bytes,
			   const uint8_t *old, uint8_t *to) _must_check_;

#endif
