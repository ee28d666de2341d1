/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a virtual range of a qcow2 file lies in it, through one L1 table. Private to image/.
 *
 * Clusters that the file does not have are zeros: what is read here (the memory in a snapshot)
 * lies above the end of the disk, so no backing file has it either.
 */
#ifndef IMAGE_QCOW2_CLUSTERS_H
#define IMAGE_QCOW2_CLUSTERS_H

#include <stdint.h>

#include "base/error.h"
#include "base/qcow2.h"
#include "image/ops.h"

struct qcow2_range {
	const struct image_file *file;     /* borrowed */
	const struct qcow2_header *header; /* borrowed */
	uint64_t l1_offset;                /* of the L1 table, in the file; not checked */
	uint32_t l1_entries;               /* not checked */
	uint64_t start;                    /* virtual offset; a multiple of what an L2 table covers */
	uint64_t size;                     /* bytes */
};

enum qcow2_kind {
	QCOW2_ZERO,
	QCOW2_PLAIN,      /* the bytes are in the file */
	QCOW2_COMPRESSED, /* one cluster, see qcow2_unpack() */
};

struct qcow2_run {
	enum qcow2_kind kind;
	uint64_t start;       /* from the range's start */
	uint64_t size;        /* bytes; the last run ends with the range */
	uint64_t position;    /* in the file */
	uint64_t packed_size; /* compressed: at most this many bytes from position; less at the end of the file */
};

typedef struct error *(*qcow2_run_function)(void *data, const struct qcow2_run *run);

/* Calls `function` for each run of the range in order; its error ends the walk. A table that is not valid is
 * ERROR_FORMAT. */
struct error *qcow2_walk(const struct qcow2_range *range, qcow2_run_function function, void *data) _must_check_;

/* Unpacks a compressed run into `cluster`, which has room for a whole one. */
struct error *qcow2_unpack(const struct qcow2_range *range, const struct qcow2_run *run, uint8_t *cluster) _must_check_;

/* Bytes that an L2 table covers. */
uint64_t qcow2_table_span(const struct qcow2_header *header);

#endif
