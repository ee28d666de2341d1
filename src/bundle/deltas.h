/* SPDX-License-Identifier: Apache-2.0 */
/* Packing pieces, and the file of differences that was made with a bundle (deltas.c has its grammar). */
#ifndef BUNDLE_DELTAS_H
#define BUNDLE_DELTAS_H

#include <stdint.h>
#include <zstd.h>

#include "base/sha256.h"
#include "bundle/bundle.h"
#include "bundle/packed.h"

/* What makes pieces; one thread's. NULL without memory. */
ZSTD_CCtx *packing_create(void);
static inline void packing_destroy(ZSTD_CCtx **zstd)
{
	ZSTD_freeCCtx(*zstd);
}

/*
 * Packs piece->size bytes; with `old` (piece->old_size bytes of it; else NULL) as a difference to that. Sets kind and
 * packed_size and gives the packed bytes: in `to`, which has room for as many, or `bytes` where that makes them no
 * smaller (a piece without old content, then).
 */
const uint8_t *packing_run(ZSTD_CCtx *zstd, const uint8_t *bytes, const uint8_t *old, struct packed_piece *piece,
			   uint8_t *to);
/* The piece's head and its packed bytes. */
struct error *packing_write(const struct packed_piece *piece, const uint8_t *bytes, int fd, const char *path)
	_must_check_;

struct delta {
	uint8_t sha256[SHA256_SIZE], old_sha256[SHA256_SIZE];
	uint64_t size;          /* of the new content */
	uint64_t offset, bytes; /* of its pieces in the file */
};

struct deltas {
	int fd;
	const char *path; /* borrowed */
	struct delta *items;
	size_t n;
};

/* A damaged one is ERROR_FORMAT, an absent one ERROR_NOT_FOUND. */
struct error *deltas_open(const char *path, struct deltas *ret) _must_check_;
void deltas_close(struct deltas *deltas);
/* NULL: there is none. */
const struct delta *deltas_find(const struct deltas *deltas, const struct change *change);

#endif
