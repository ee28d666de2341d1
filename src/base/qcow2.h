/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a qcow2 file, as docs/interop/qcow2.txt of QEMU describes it: what the chain of
 * backing files needs (disk/) and what leads to the memory in its snapshots (image/). The guest's
 * disk is never read here; that is the storage daemon's work.
 */
#ifndef BASE_QCOW2_H
#define BASE_QCOW2_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define QCOW2_MAGIC            0x514649fbu /* "QFI\xfb" */

/* Header, extensions and the backing name lie in the first cluster, which is at most 2 MiB. */
#define QCOW2_HEADER_MAX       (2u << 20)

/* The specification's bound on the backing file's name, without a NUL. */
#define QCOW2_BACKING_NAME_MAX 1023

/* Bits 9 to 55 of an L1 or L2 entry are the host offset; bit 62 of an L2 entry marks a compressed cluster. */
#define QCOW2_OFFSET_MASK      UINT64_C(0x00fffffffffffe00)
#define QCOW2_ENTRY_COMPRESSED (UINT64_C(1) << 62)

/* QEMU's own bound on the L1 table (QCOW_MAX_L1_SIZE), in bytes. */
#define QCOW2_L1_MAX           (32u << 20)

struct qcow2_header {
	uint64_t virtual_size;     /* bytes the guest sees */
	uint32_t cluster_bits;     /* 9 to 21 */
	uint64_t l1_offset;        /* bytes from the start of the file; cluster-aligned */
	uint32_t l1_entries;       /* of 8 bytes; at most QCOW2_L1_MAX / 8 */
	bool extended_l2;          /* L2 entries of 16 bytes */
	bool zstd;                 /* compressed clusters are zstd frames; otherwise raw deflate data */
	uint32_t n_snapshots;      /* of anything's own count: not bounded */
	uint64_t snapshots_offset; /* bytes from the start of the file */
	char *backing_file;        /* as written, or NULL */
	char *backing_format;      /* header extension 0xe2792aca, or NULL */
};

/*
 * Parses the first `size` bytes of the file (QCOW2_HEADER_MAX or all of it). Not qcow2, or
 * damaged, is ERROR_FORMAT; encrypted, with an external data file, or with features nobody knows
 * is ERROR_UNSUPPORTED. `path` is for errors.
 */
struct error *qcow2_parse_header(const void *data, uint64_t size, const char *path, struct qcow2_header *ret)
	_must_check_;
void qcow2_header_deinit(struct qcow2_header *header);

/*
 * Fails with ERROR_FORMAT if a table or cluster that the active layer names begins behind the
 * end of the file: QEMU reads such clusters of a truncated copy as zeros, without a word.
 */
struct error *qcow2_check_extent(int fd, uint64_t file_size, const struct qcow2_header *header, const char *path)
	_must_check_;

#endif
