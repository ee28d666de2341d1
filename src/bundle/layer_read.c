/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the layer against the records the manifest says it has. Hostile bytes: libarchive and
 * zstd parse them, and whatever is not exactly what was promised ends the reading.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/io.h"
#include "bundle/format.h"
#include "bundle/layer.h"

#define BUFFER_SIZE (256 * 1024)

static inline void archive_read_free_ptr(struct archive **archive)
{
	archive_read_free(*archive);
}

static inline void archive_entry_free_ptr(struct archive_entry **entry)
{
	archive_entry_free(*entry);
}

/* Gives libarchive the decompressed bytes. */
struct source {
	int fd;
	const char *path;
	uint64_t offset, end; /* next and last byte of the zstd frames */
	ZSTD_DCtx *zstd;
	ZSTD_inBuffer in;
	uint64_t left;       /* bytes of the archive still to come */
	struct sha256 *hash; /* of the archive */
	size_t hint;         /* of the last ZSTD_decompressStream: 0 at the end of a frame */
	struct error *error; /* the first */
	char compressed[BUFFER_SIZE];
	char plain[BUFFER_SIZE];
};

static struct error *source_fill(struct source *source)
{
	uint64_t left = source->end - source->offset;
	size_t size = left < BUFFER_SIZE ? (size_t)left : BUFFER_SIZE;
	struct error *error;

	error = io_pread(source->fd, source->compressed, size, source->offset, source->path);
	if (error)
		return error;
	source->offset += size;
	source->in = (ZSTD_inBuffer){source->compressed, size, 0};
	return NULL;
}

/* Some plain bytes, none only at the end. */
static struct error *source_pull(struct source *source, size_t *ret)
{
	ZSTD_outBuffer out = {source->plain, sizeof(source->plain), 0};

	while (out.pos == 0) {
		if (source->in.pos == source->in.size && source->offset == source->end && source->hint == 0)
			break;
		if (source->in.pos == source->in.size && source->offset < source->end) {
			struct error *error = source_fill(source);

			if (error)
				return error;
		}
		size_t before = source->in.pos;

		source->hint = ZSTD_decompressStream(source->zstd, &out, &source->in);
		if (ZSTD_isError(source->hint))
			return error_format(source->path, source->offset - source->in.size, "damaged layer: %s",
					    ZSTD_getErrorName(source->hint));
		if (out.pos == 0 && source->in.pos == before && source->in.pos == source->in.size &&
		    source->offset == source->end && source->hint != 0)
			return error_format(source->path, source->end, "the layer ends in the middle of a frame");
	}
	if (out.pos > source->left)
		return error_format(source->path, ERROR_NO_ADDRESS, "damaged layer: longer than the trailer says");
	source->left -= out.pos;
	sha256_update(source->hash, out.dst, out.pos);
	*ret = out.pos;
	return NULL;
}

/* What libarchive left, the padding, and the hash over all of it. */
static struct error *source_finish(struct source *source, const uint8_t expected[SHA256_SIZE])
{
	uint8_t digest[SHA256_SIZE];
	struct error *error;
	size_t size;

	do {
		error = source_pull(source, &size);
		if (error)
			return error;
	} while (size > 0);
	sha256_final(source->hash, digest);
	if (source->left > 0 || memcmp(digest, expected, sizeof(digest)) != 0)
		return error_format(source->path, ERROR_NO_ADDRESS, "damaged layer: not the archive the trailer names");
	return NULL;
}

static la_ssize_t source_read(struct archive *archive, void *data, const void **ret)
{
	struct source *source = data;
	size_t size = 0;

	if (!source->error)
		source->error = source_pull(source, &size);
	if (source->error) {
		archive_set_error(archive, EIO, "cannot read");
		return -1;
	}
	*ret = source->plain;
	return (la_ssize_t)size;
}

static struct error *read_error(struct archive *archive, struct source *source)
{
	if (source->error)
		return take_ptr(source->error);
	return error_format(source->path, ERROR_NO_ADDRESS, "damaged layer: %s", archive_error_string(archive));
}

static struct error *mismatch(const struct source *source, const struct layer_record *record, const char *what)
{
	return error_format(source->path, ERROR_NO_ADDRESS, "the layer does not agree with the manifest: %s of %s",
			    what, record->name);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* libarchive puts a '/' behind a directory's name. */
static bool same_name(const char *name, const char *expected)
{
	size_t length = strlen(expected);

	return name && strncmp(name, expected, length) == 0 && (!name[length] || strcmp(name + length, "/") == 0);
}

static bool has_xattr(const struct change_attributes *attributes, const char *name, const void *value, size_t size)
{
	for (size_t i = 0; i < attributes->n_xattrs; i++) {
		const struct change_xattr *xattr = &attributes->xattrs[i];

		if (strcmp(xattr->name, name) == 0)
			return xattr->size == size && memcmp(xattr->value, value, size) == 0;
	}
	return false;
}

static bool same_xattrs(struct archive_entry *entry, const struct change_attributes *attributes)
{
	const void *value;
	const char *name;
	size_t size;

	if ((size_t)archive_entry_xattr_reset(entry) != attributes->n_xattrs)
		return false;
	while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
		if (!has_xattr(attributes, name, value, size))
			return false;
	return true;
}

/* NULL if the header in the archive is the one the record makes; otherwise what differs. */
static const char *differing_member(struct archive_entry *found, struct archive_entry *expected,
				    const struct layer_record *record)
{
	mode_t type = archive_entry_filetype(expected);
	bool link = archive_entry_hardlink(expected) != NULL;

	if (!same_name(archive_entry_pathname(found), record->name))
		return "name";
	if (!same_text(archive_entry_hardlink(found), archive_entry_hardlink(expected)))
		return "link";
	/* A hard link's header says nothing of its own. */
	if (link)
		return NULL;
	if (archive_entry_mode(found) != archive_entry_mode(expected))
		return "mode";
	if (record->whiteout)
		return archive_entry_size(found) == 0 ? NULL : "size";
	if (archive_entry_uid(found) != archive_entry_uid(expected) ||
	    archive_entry_gid(found) != archive_entry_gid(expected))
		return "owner";
	if (archive_entry_mtime(found) != archive_entry_mtime(expected) ||
	    archive_entry_mtime_nsec(found) != archive_entry_mtime_nsec(expected))
		return "time";
	if (type == S_IFLNK && !same_text(archive_entry_symlink(found), archive_entry_symlink(expected)))
		return "target";
	if ((type == S_IFCHR || type == S_IFBLK) && archive_entry_rdev(found) != archive_entry_rdev(expected))
		return "device number";
	if (type == S_IFREG && archive_entry_size(found) != archive_entry_size(expected))
		return "size";
	return same_xattrs(found, &record->change->attributes) ? NULL : "extended attributes";
}

/* Passes a content on, holes as zeros. */
struct content {
	const struct layer_consumer *consumer;
	struct sha256 *hash;
	uint64_t done, size;
};

static struct error *content_bytes(struct content *content, const void *bytes, size_t size)
{
	sha256_update(content->hash, bytes, size);
	content->done += size;
	return content->consumer->bytes ? content->consumer->bytes(content->consumer->data, bytes, size) : NULL;
}

static struct error *content_zeros(struct content *content, uint64_t size)
{
	static const char zeros[65536];
	struct error *error = NULL;

	while (!error && size > 0) {
		size_t n = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);

		error = content_bytes(content, zeros, n);
		size -= n;
	}
	return error;
}

static struct error *read_blocks(struct archive *archive, struct source *source, const struct layer_record *record,
				 struct content *content)
{
	struct error *error = NULL;
	const void *bytes;
	la_int64_t offset;
	size_t size;
	int status;

	while ((status = archive_read_data_block(archive, &bytes, &size, &offset)) == ARCHIVE_OK) {
		if (offset < 0 || (uint64_t)offset < content->done || (uint64_t)offset > content->size ||
		    size > content->size - (uint64_t)offset)
			return mismatch(source, record, "size");
		error = content_zeros(content, (uint64_t)offset - content->done);
		if (!error)
			error = content_bytes(content, bytes, size);
		if (error)
			return error;
	}
	if (status != ARCHIVE_EOF)
		return read_error(archive, source);
	return content_zeros(content, content->size - content->done);
}

static struct error *read_content(struct archive *archive, struct source *source, const struct layer_record *record,
				  const struct layer_consumer *consumer, bool sparse)
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();
	struct content content = {.consumer = consumer, .hash = hash};
	uint8_t digest[SHA256_SIZE];
	const uint8_t *expected;
	struct error *error = NULL;

	if (!layer_record_content(record, &content.size, &expected))
		return NULL;
	if (!hash)
		return error_no_memory();
	if (consumer->begin)
		error = consumer->begin(consumer->data, record, sparse);
	if (!error)
		error = read_blocks(archive, source, record, &content);
	if (error)
		return error;
	sha256_final(hash, digest);
	if (memcmp(digest, expected, sizeof(digest)) != 0)
		return mismatch(source, record, "content");
	return consumer->end ? consumer->end(consumer->data) : NULL;
}

static struct error *read_record(struct archive *archive, struct source *source, const struct layer_record *record,
				 const struct layer_consumer *consumer)
{
	_cleanup_(archive_entry_free_ptr) struct archive_entry *expected = layer_record_entry(record);
	struct archive_entry *found;
	const char *difference;
	int status;

	if (!expected)
		return error_no_memory();
	status = archive_read_next_header(archive, &found);
	if (status == ARCHIVE_EOF)
		return mismatch(source, record, "the entry is missing, and all that follow");
	if (status < ARCHIVE_WARN)
		return read_error(archive, source);
	difference = differing_member(found, expected, record);
	if (difference)
		return mismatch(source, record, difference);
	return read_content(archive, source, record, consumer, archive_entry_sparse_count(found) > 0);
}

static struct error *read_records(struct source *source, const struct layer_records *records,
				  const struct layer_consumer *consumer)
{
	_cleanup_(archive_read_free_ptr) struct archive *archive = archive_read_new();
	struct archive_entry *extra;
	struct error *error = NULL;
	int status;

	if (!archive)
		return error_no_memory();
	if (archive_read_support_format_tar(archive) != ARCHIVE_OK ||
	    archive_read_support_format_empty(archive) != ARCHIVE_OK ||
	    archive_read_open(archive, source, NULL, source_read, NULL) != ARCHIVE_OK)
		return read_error(archive, source);
	for (size_t i = 0; !error && i < records->n; i++)
		error = read_record(archive, source, &records->items[i], consumer);
	if (error)
		return error;
	status = archive_read_next_header(archive, &extra);
	if (status == ARCHIVE_OK || status == ARCHIVE_WARN)
		return error_format(source->path, ERROR_NO_ADDRESS,
				    "the layer has an entry the manifest does not know: %s",
				    archive_entry_pathname(extra));
	return status == ARCHIVE_EOF ? NULL : read_error(archive, source);
}

static struct error *source_init(struct source *source)
{
	source->hash = sha256_create();
	source->zstd = ZSTD_createDCtx();
	if (!source->hash || !source->zstd ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(source->zstd, ZSTD_d_windowLogMax, BUNDLE_WINDOW_LOG_MAX)))
		return error_no_memory();
	return NULL;
}

struct error *layer_read(int fd, const char *path, const struct bundle_trailer *trailer,
			 const struct layer_records *records, const struct layer_consumer *consumer)
{
	struct source *source = calloc(1, sizeof(*source));
	struct layer_locale locale;
	struct error *error;

	if (!source)
		return error_no_memory();
	source->fd = fd;
	source->path = path;
	source->offset = trailer->layer_offset;
	source->end = trailer->layer_offset + trailer->layer_size;
	source->left = trailer->tar_size;
	error = source_init(source);
	if (!error)
		error = layer_locale_enter(&locale);
	if (!error) {
		error = read_records(source, records, consumer);
		layer_locale_leave(&locale);
	}
	if (!error)
		error = source_finish(source, trailer->tar_sha256);
	ZSTD_freeDCtx(source->zstd);
	sha256_destroy(source->hash);
	error_destroy(source->error);
	free(source);
	return error;
}
