/* SPDX-License-Identifier: Apache-2.0 */
#include "image/qcow2_clusters.h"

#include <endian.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "base/cleanup.h"

#define ENTRY_ZERO  UINT64_C(1) /* of a standard L2 entry: reads as zeros */
#define SUBCLUSTERS 32u         /* of a cluster, with extended L2 entries */

/* L1 entries that are read at once. */
#define L1_PIECE    4096u

struct walk {
	const struct qcow2_range *range;
	qcow2_run_function function;
	void *data;
	uint64_t *l2;      /* one table; owned */
	uint64_t n_tables; /* read so far */
	uint64_t done;     /* bytes of the range */
};

static uint64_t cluster_size(const struct qcow2_header *header)
{
	return UINT64_C(1) << header->cluster_bits;
}

uint64_t qcow2_table_span(const struct qcow2_header *header)
{
	return cluster_size(header) / (header->extended_l2 ? 16 : 8) << header->cluster_bits;
}

static struct error *behind_end(const struct qcow2_range *range, const char *what, uint64_t offset)
{
	return error_remedy(error_format(range->file->path, offset,
					 "%s at byte %llu lies behind the end of the file, %llu bytes", what,
					 (unsigned long long)offset, (unsigned long long)range->file->size),
			    "The image is truncated: copy it again, or restore it");
}

/* Hands out the next `size` bytes, or what is left of the range. */
static struct error *emit(struct walk *w, struct qcow2_run run, uint64_t size)
{
	uint64_t left = w->range->size - w->done;

	run.start = w->done;
	run.size = size < left ? size : left;
	if (run.size == 0)
		return NULL;
	w->done += run.size;
	return w->function(w->data, &run);
}

/* The fields of a compressed cluster's entry: offset, and above it the number of further sectors. */
static struct error *emit_compressed(struct walk *w, uint64_t entry)
{
	const struct qcow2_range *range = w->range;
	unsigned bits = 62 - (range->header->cluster_bits - 8);
	uint64_t sectors = (entry & (QCOW2_ENTRY_COMPRESSED - 1)) >> bits;
	struct qcow2_run run = {.kind = QCOW2_COMPRESSED, .position = entry & ((UINT64_C(1) << bits) - 1)};

	if (run.position >= range->file->size)
		return behind_end(range, "a compressed cluster", run.position);
	run.packed_size = (sectors + 1) * 512 - run.position % 512;
	if (run.packed_size > range->file->size - run.position)
		run.packed_size = range->file->size - run.position;
	return emit(w, run, cluster_size(range->header));
}

static struct error *check_cluster(const struct qcow2_range *range, uint64_t offset)
{
	if (offset % cluster_size(range->header))
		return error_format(range->file->path, offset, "a cluster at byte %llu, which is not aligned",
				    (unsigned long long)offset);
	return offset < range->file->size ? NULL : behind_end(range, "a cluster", offset);
}

/* The subclusters of an extended entry: bits 0 to 31 say which are there, 32 to 63 which are zeros. */
static struct error *emit_subclusters(struct walk *w, uint64_t offset, uint64_t bitmap)
{
	uint64_t size = cluster_size(w->range->header) / SUBCLUSTERS;
	struct error *error = NULL;

	for (unsigned i = 0; !error && i < SUBCLUSTERS; i++) {
		struct qcow2_run run = {.kind = QCOW2_ZERO};

		if (bitmap >> i & 1 && offset)
			run = (struct qcow2_run){.kind = QCOW2_PLAIN, .position = offset + i * size};
		error = emit(w, run, size);
	}
	return error;
}

static struct error *emit_cluster(struct walk *w, const uint64_t *entry)
{
	const struct qcow2_header *header = w->range->header;
	uint64_t value = be64toh(entry[0]), offset = value & QCOW2_OFFSET_MASK;
	struct qcow2_run run = {.kind = QCOW2_ZERO};
	struct error *error;

	if (value & QCOW2_ENTRY_COMPRESSED)
		return emit_compressed(w, value);
	error = offset ? check_cluster(w->range, offset) : NULL;
	if (error)
		return error;
	if (header->extended_l2)
		return emit_subclusters(w, offset, be64toh(entry[1]));
	if (offset && !(value & ENTRY_ZERO))
		run = (struct qcow2_run){.kind = QCOW2_PLAIN, .position = offset};
	return emit(w, run, cluster_size(header));
}

static struct error *walk_table(struct walk *w, uint64_t l1_entry)
{
	const struct qcow2_range *range = w->range;
	uint64_t cluster = cluster_size(range->header), offset = l1_entry & QCOW2_OFFSET_MASK;
	size_t step = range->header->extended_l2 ? 2 : 1;
	struct error *error;

	if (offset == 0)
		return emit(w, (struct qcow2_run){.kind = QCOW2_ZERO}, qcow2_table_span(range->header));
	/* Each is a cluster of its own; else a small file could make us read for days. */
	if (++w->n_tables > range->file->size / cluster)
		return error_format(range->file->path, range->l1_offset,
				    "the L1 table names more L2 tables than there are");
	if (offset % cluster || offset > range->file->size || cluster > range->file->size - offset)
		return behind_end(range, "an L2 table", offset);
	error = image_file_read(range->file, w->l2, cluster, offset);
	for (size_t i = 0; !error && i < cluster / 8 && w->done < range->size; i += step)
		error = emit_cluster(w, w->l2 + i);
	return error;
}

static struct error *check_l1(const struct qcow2_range *range, uint64_t first, uint64_t n)
{
	const struct image_file *file = range->file;

	if (range->l1_entries > QCOW2_L1_MAX / 8 || range->l1_offset > file->size ||
	    range->l1_entries * UINT64_C(8) > file->size - range->l1_offset)
		return behind_end(range, "an L1 table", range->l1_offset);
	if (first > range->l1_entries || n > range->l1_entries - first)
		return error_format(file->path, range->l1_offset,
				    "an L1 table of %u entries; %llu are needed for %llu bytes at %llu",
				    range->l1_entries, (unsigned long long)(first + n), (unsigned long long)range->size,
				    (unsigned long long)range->start);
	return NULL;
}

struct error *qcow2_walk(const struct qcow2_range *range, qcow2_run_function function, void *data)
{
	uint64_t span = qcow2_table_span(range->header), first = range->start / span;
	uint64_t n = range->size / span + (range->size % span != 0);
	_cleanup_(free_ptr) uint64_t *l1 = malloc(L1_PIECE * sizeof(*l1));
	_cleanup_(free_ptr) uint64_t *l2 = malloc(cluster_size(range->header));
	struct walk w = {.range = range, .function = function, .data = data, .l2 = l2};
	struct error *error = check_l1(range, first, n);

	if (error)
		return error;
	if (!l1 || !l2)
		return error_no_memory();
	for (uint64_t i = 0; !error && i < n; i++) {
		uint64_t in_piece = i % L1_PIECE, left = n - i;

		if (in_piece == 0)
			error = image_file_read(range->file, l1, (left < L1_PIECE ? left : L1_PIECE) * sizeof(*l1),
						range->l1_offset + (first + i) * sizeof(*l1));
		if (!error)
			error = walk_table(&w, be64toh(l1[in_piece]));
	}
	return error;
}

static void inflate_end(z_stream *z)
{
	inflateEnd(z);
}

/* Whether raw deflate data gives exactly `size` bytes; what follows it is not looked at. */
static bool unpack_deflate(const uint8_t *packed, size_t packed_size, uint8_t *out, size_t size)
{
	_cleanup_(inflate_end) z_stream z = {
		.next_in = (uint8_t *)packed,
		.avail_in = (unsigned)packed_size,
		.next_out = out,
		.avail_out = (unsigned)size,
	};

	if (inflateInit2(&z, -15) != Z_OK)
		return false;
	(void)inflate(&z, Z_FINISH);
	return z.avail_out == 0;
}

static void free_zstd(ZSTD_DCtx **context)
{
	ZSTD_freeDCtx(*context);
}

static bool unpack_zstd(const uint8_t *packed, size_t packed_size, uint8_t *bytes, size_t size)
{
	_cleanup_(free_zstd) ZSTD_DCtx *context = ZSTD_createDCtx();
	ZSTD_inBuffer in = {.src = packed, .size = packed_size};
	ZSTD_outBuffer out = {.dst = bytes, .size = size};

	while (context && out.pos < size) {
		size_t before = in.pos + out.pos, status = ZSTD_decompressStream(context, &out, &in);

		if (ZSTD_isError(status) || in.pos + out.pos == before)
			return false;
	}
	return context != NULL;
}

struct error *qcow2_unpack(const struct qcow2_range *range, const struct qcow2_run *run, uint8_t *cluster)
{
	uint64_t size = cluster_size(range->header);
	/* QEMU never keeps more than this: what does not shrink is stored plain. */
	uint64_t packed_size = run->packed_size < size + 512 ? run->packed_size : size + 512;
	_cleanup_(free_ptr) uint8_t *packed = malloc(packed_size);
	struct error *error;

	if (!packed)
		return error_no_memory();
	error = image_file_read(range->file, packed, packed_size, run->position);
	if (error)
		return error;
	if (range->header->zstd ? unpack_zstd(packed, packed_size, cluster, size)
				: unpack_deflate(packed, packed_size, cluster, size))
		return NULL;
	return error_format(range->file->path, run->position, "a compressed cluster is malformed");
}
