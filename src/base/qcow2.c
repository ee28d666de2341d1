/* SPDX-License-Identifier: Apache-2.0 */
#include "base/qcow2.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

#include "base/cursor.h"
#include "base/io.h"

#define MAX_CLUSTER_BITS         21
#define MIN_CLUSTER_BITS         9

#define EXTENSION_END            0x00000000u
#define EXTENSION_BACKING_FORMAT 0xe2792acau

/* Incompatible feature bits of version 3. */
#define FEATURE_DIRTY            (UINT64_C(1) << 0)
#define FEATURE_CORRUPT          (UINT64_C(1) << 1)
#define FEATURE_EXTERNAL_DATA    (UINT64_C(1) << 2)
#define FEATURE_COMPRESSION      (UINT64_C(1) << 3)
#define FEATURE_EXTENDED_L2      (UINT64_C(1) << 4)
#define FEATURES_READABLE        (FEATURE_DIRTY | FEATURE_COMPRESSION | FEATURE_EXTENDED_L2)

/* What of the fixed header decides where the rest is. */
struct fixed_header {
	uint32_t version;
	uint64_t backing_offset;
	uint32_t backing_size;
	uint32_t crypt_method;
	uint64_t features;      /* incompatible ones; 0 in version 2 */
	uint32_t header_length; /* 72 in version 2 */
	uint8_t compression;    /* 0: zlib, 1: zstd */
};

static struct error *read_version_3(struct cursor *c, struct fixed_header *fixed)
{
	struct error *error;

	error = cursor_be64(c, &fixed->features);
	if (!error)
		error = cursor_skip(c, 8 + 8 + 4); /* compatible features, autoclear features, refcount order */
	if (!error)
		error = cursor_be32(c, &fixed->header_length);
	if (error)
		return error;
	if (fixed->header_length < 104 || fixed->header_length % 8)
		return cursor_error(c, "header length %" PRIu32 " is not valid", fixed->header_length);
	return fixed->header_length > 104 ? cursor_u8(c, &fixed->compression) : NULL;
}

static struct error *read_fixed(struct cursor *c, struct fixed_header *fixed, struct qcow2_header *header)
{
	uint32_t magic;
	struct error *error;

	error = cursor_be32(c, &magic);
	if (!error && magic != QCOW2_MAGIC) {
		error = error_format(c->path, 0, "this is not a qcow2 image");
		return error_remedy(error, "state the image's real format (raw?) in the VM file");
	}
	if (!error)
		error = cursor_be32(c, &fixed->version);
	if (!error && fixed->version != 2 && fixed->version != 3)
		return error_create(ERROR_UNSUPPORTED, "%s: qcow2 version %" PRIu32 " is not known", c->path,
				    fixed->version);
	if (!error)
		error = cursor_be64(c, &fixed->backing_offset);
	if (!error)
		error = cursor_be32(c, &fixed->backing_size);
	if (!error)
		error = cursor_be32(c, &header->cluster_bits);
	if (!error)
		error = cursor_be64(c, &header->virtual_size);
	if (!error)
		error = cursor_be32(c, &fixed->crypt_method);
	if (!error)
		error = cursor_be32(c, &header->l1_entries);
	if (!error)
		error = cursor_be64(c, &header->l1_offset);
	if (!error)
		error = cursor_skip(c, 8 + 4); /* refcount table */
	if (!error)
		error = cursor_be32(c, &header->n_snapshots);
	if (!error)
		error = cursor_be64(c, &header->snapshots_offset);
	if (error)
		return error;
	fixed->features = 0;
	fixed->header_length = 72;
	return fixed->version == 3 ? read_version_3(c, fixed) : NULL;
}

static struct error *check_fixed(const struct cursor *c, const struct fixed_header *fixed,
				 const struct qcow2_header *header)
{
	uint64_t cluster;

	if (fixed->crypt_method || (fixed->features & FEATURE_EXTERNAL_DATA))
		return error_create(ERROR_UNSUPPORTED, "%s: the image %s, which is not supported", c->path,
				    fixed->crypt_method ? "is encrypted" : "keeps its data in another file");
	if (fixed->features & FEATURE_CORRUPT) {
		struct error *error = error_format(c->path, 72, "the image is marked corrupt");
		return error_remedy(error, "look at it with `qemu-img check`");
	}
	if (fixed->features & ~FEATURES_READABLE)
		return error_create(ERROR_UNSUPPORTED, "%s: unknown qcow2 features 0x%" PRIx64, c->path,
				    fixed->features & ~FEATURES_READABLE);
	if (header->cluster_bits < MIN_CLUSTER_BITS || header->cluster_bits > MAX_CLUSTER_BITS)
		return error_format(c->path, 20, "cluster size of 2^%" PRIu32 " bytes is not valid",
				    header->cluster_bits);
	cluster = UINT64_C(1) << header->cluster_bits;
	if (header->l1_entries > QCOW2_L1_MAX / 8 || header->l1_offset % cluster)
		return error_format(c->path, 36, "the L1 table (%" PRIu32 " entries at %" PRIu64 ") is not valid",
				    header->l1_entries, header->l1_offset);
	if (header->virtual_size > INT64_MAX)
		return error_format(c->path, 24, "virtual size %" PRIu64 " is not valid", header->virtual_size);
	if (fixed->header_length > cluster)
		return error_format(c->path, 100, "the header is longer than a cluster");
	if (fixed->compression > 1 || (fixed->compression == 1 && !(fixed->features & FEATURE_COMPRESSION)))
		return error_create(ERROR_UNSUPPORTED, "%s: unknown qcow2 compression %u", c->path, fixed->compression);
	return NULL;
}

/* Bytes as a string; a NUL within would make two readers see two names. */
static struct error *read_string(struct cursor *c, uint64_t size, const char *what, char **ret)
{
	const uint8_t *bytes;
	struct error *error;
	char *string;

	error = cursor_bytes(c, size, &bytes);
	if (error)
		return error;
	if (size == 0 || memchr(bytes, 0, size))
		return cursor_error(c, "the %s is empty or contains NUL", what);
	string = strndup((const char *)bytes, size);
	if (!string)
		return error_no_memory();
	free(*ret); /* said twice: the last one counts, as in QEMU */
	*ret = string;
	return NULL;
}

/* Extensions lie between the header and the backing name (or the end of the first cluster). */
static struct error *read_extensions(struct cursor *c, uint64_t end, struct qcow2_header *header)
{
	while (c->position + 8 <= end) {
		uint32_t type, size;
		uint64_t next;
		struct error *error;

		error = cursor_be32(c, &type);
		if (!error)
			error = cursor_be32(c, &size);
		if (error)
			return error;
		if (type == EXTENSION_END)
			return NULL;
		next = c->position + (((uint64_t)size + 7) & ~UINT64_C(7));
		if (next > end)
			return cursor_error(c, "header extension 0x%08" PRIx32 " of %" PRIu32 " bytes is too long",
					    type, size);
		if (type == EXTENSION_BACKING_FORMAT)
			error = read_string(c, size, "backing format", &header->backing_format);
		if (!error)
			error = cursor_seek(c, next);
		if (error)
			return error;
	}
	return NULL;
}

static struct error *read_variable(struct cursor *c, const struct fixed_header *fixed, struct qcow2_header *header)
{
	uint64_t end = UINT64_C(1) << header->cluster_bits;
	struct error *error;

	if (end > c->size)
		end = c->size; /* a short file; what is missing is found by the cursor */
	if (fixed->backing_offset) {
		if (fixed->backing_size > QCOW2_BACKING_NAME_MAX || fixed->backing_offset < fixed->header_length ||
		    fixed->backing_offset > end)
			return error_format(c->path, 8,
					    "the backing file's name (%" PRIu32 " bytes at %" PRIu64
					    ") is not in the header",
					    fixed->backing_size, fixed->backing_offset);
		end = fixed->backing_offset;
	}
	error = cursor_seek(c, fixed->header_length);
	if (!error)
		error = read_extensions(c, end, header);
	if (error || !fixed->backing_offset || fixed->backing_size == 0)
		return error;
	error = cursor_seek(c, fixed->backing_offset);
	if (error)
		return error;
	return read_string(c, fixed->backing_size, "backing file's name", &header->backing_file);
}

struct error *qcow2_parse_header(const void *data, uint64_t size, const char *path, struct qcow2_header *ret)
{
	struct cursor c = cursor_init(data, size, path);
	struct qcow2_header header = {0};
	struct fixed_header fixed = {0};
	struct error *error;

	error = read_fixed(&c, &fixed, &header);
	if (!error)
		error = check_fixed(&c, &fixed, &header);
	if (!error)
		error = read_variable(&c, &fixed, &header);
	if (error) {
		qcow2_header_deinit(&header);
		return error;
	}
	header.extended_l2 = fixed.features & FEATURE_EXTENDED_L2;
	header.zstd = fixed.compression == 1;
	*ret = header;
	return NULL;
}

void qcow2_header_deinit(struct qcow2_header *header)
{
	free(header->backing_file);
	free(header->backing_format);
	*header = (struct qcow2_header){0};
}

static struct error *behind_end(const char *path, const char *what, uint64_t offset, uint64_t file_size)
{
	struct error *error =
		error_format(path, offset, "%s at %" PRIu64 " lies behind the end of the file, %" PRIu64 " bytes", what,
			     offset, file_size);

	return error_remedy(error, "the image is truncated: copy it again, or restore it");
}

/* `entries`: one L2 table as it lies in the file. */
static struct error *check_l2(const uint64_t *entries, const struct qcow2_header *header, uint64_t file_size,
			      const char *path)
{
	size_t step = header->extended_l2 ? 2 : 1;
	size_t n = ((size_t)1 << header->cluster_bits) / 8;
	/* A compressed cluster's offset has 62 - (cluster_bits - 8) bits; above them is its size. */
	uint64_t compressed_mask = (UINT64_C(1) << (62 - (header->cluster_bits - 8))) - 1;

	for (size_t i = 0; i < n; i += step) {
		uint64_t entry = be64toh(entries[i]);
		uint64_t offset = entry & (entry & QCOW2_ENTRY_COMPRESSED ? compressed_mask : QCOW2_OFFSET_MASK);

		if (offset >= file_size)
			return behind_end(path, "a data cluster", offset, file_size);
	}
	return NULL;
}

struct error *qcow2_check_extent(int fd, uint64_t file_size, const struct qcow2_header *header, const char *path)
{
	size_t cluster = (size_t)1 << header->cluster_bits;
	size_t l1_size = (size_t)header->l1_entries * 8;
	uint64_t n_tables = 0;
	_cleanup_(free_ptr) uint64_t *l1 = NULL;
	_cleanup_(free_ptr) uint64_t *l2 = NULL;
	struct error *error;

	if (header->l1_offset > file_size || l1_size > file_size - header->l1_offset)
		return behind_end(path, "the L1 table", header->l1_offset, file_size);
	l1 = malloc(l1_size ? l1_size : 1);
	l2 = malloc(cluster);
	if (!l1 || !l2)
		return error_no_memory();
	error = io_pread(fd, l1, l1_size, header->l1_offset, path);
	for (uint32_t i = 0; !error && i < header->l1_entries; i++) {
		uint64_t offset = be64toh(l1[i]) & QCOW2_OFFSET_MASK;

		if (offset == 0)
			continue;
		/* Each is a cluster of its own; else a small file could make us read for days. */
		if (++n_tables > file_size / cluster)
			return error_format(path, header->l1_offset,
					    "the L1 table names more L2 tables than there are");
		if (offset > file_size || cluster > file_size - offset)
			return behind_end(path, "an L2 table", offset, file_size);
		error = io_pread(fd, l2, cluster, offset, path);
		if (!error)
			error = check_l2(l2, header, file_size, path);
	}
	return error;
}
