/* SPDX-License-Identifier: Apache-2.0 */
#include <archive.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/io.h"
#include "base/progress.h"
#include "bundle/layer.h"

#define BUFFER_SIZE        (256 * 1024)
#define COMPRESSION_LEVEL  5 /* beyond it the time doubles for a few percent */
#define WORKERS_MAX        8
#define SPARSE_EXTENTS_MAX 4096 /* libarchive keeps them in a list, and the sparse map is text in the archive */

static inline void archive_write_free_ptr(struct archive **archive)
{
	archive_write_free(*archive);
}

static inline void archive_entry_free_ptr(struct archive_entry **entry)
{
	archive_entry_free(*entry);
}

/* Takes the archive's bytes: hash, compression, file. */
struct sink {
	int fd;
	const char *path;
	ZSTD_CCtx *zstd;
	struct sha256 *hash;
	struct layer_result result;
	struct error *error; /* the first; libarchive only learns that there was one */
	char buffer[BUFFER_SIZE];
};

static struct error *sink_push(struct sink *sink, const void *data, size_t size, ZSTD_EndDirective mode)
{
	ZSTD_inBuffer in = {data, size, 0};
	size_t left;

	do {
		ZSTD_outBuffer out = {sink->buffer, sizeof(sink->buffer), 0};
		struct error *error;

		left = ZSTD_compressStream2(sink->zstd, &out, &in, mode);
		if (ZSTD_isError(left))
			return error_create(ERROR_FAILED, "cannot compress: %s", ZSTD_getErrorName(left));
		error = io_write(sink->fd, sink->buffer, out.pos, sink->path);
		if (error)
			return error;
		sink->result.size += out.pos;
	} while (mode == ZSTD_e_end ? left > 0 : in.pos < in.size);
	return NULL;
}

static la_ssize_t sink_write(struct archive *archive, void *data, const void *bytes, size_t size)
{
	struct sink *sink = data;

	if (!sink->error)
		sink->error = sink_push(sink, bytes, size, ZSTD_e_continue);
	if (sink->error) {
		archive_set_error(archive, EIO, "cannot write");
		return -1;
	}
	sha256_update(sink->hash, bytes, size);
	sink->result.tar_size += size;
	return (la_ssize_t)size;
}

static struct error *sink_init(struct sink *sink)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	size_t status;

	sink->zstd = ZSTD_createCCtx();
	sink->hash = sha256_create();
	if (!sink->zstd || !sink->hash)
		return error_no_memory();
	status = ZSTD_CCtx_setParameter(sink->zstd, ZSTD_c_compressionLevel, COMPRESSION_LEVEL);
	if (!ZSTD_isError(status))
		status = ZSTD_CCtx_setParameter(sink->zstd, ZSTD_c_checksumFlag, 1);
	if (ZSTD_isError(status))
		return error_create(ERROR_FAILED, "cannot set up zstd: %s", ZSTD_getErrorName(status));
	/* Fails where zstd was built without threads, and then one has to do. */
	ZSTD_CCtx_setParameter(sink->zstd, ZSTD_c_nbWorkers, processors > WORKERS_MAX ? WORKERS_MAX : (int)processors);
	return NULL;
}

static void sink_deinit(struct sink *sink)
{
	ZSTD_freeCCtx(sink->zstd);
	sha256_destroy(sink->hash);
	error_destroy(sink->error);
}

/* The sink's own error if there is one: it knows the file. */
static struct error *write_error(struct archive *archive, struct sink *sink)
{
	if (sink->error)
		return take_ptr(sink->error);
	return error_create(ERROR_FAILED, "cannot write the archive: %s", archive_error_string(archive));
}

/* Tells libarchive where the data is. No holes, or too many: the file is written whole. */
static struct error *add_extents(struct archive_entry *entry, int fd, uint64_t size)
{
	unsigned n = 0;
	off_t end = 0;

	while ((uint64_t)end < size) {
		off_t start = lseek(fd, end, SEEK_DATA);

		if (start < 0 && errno != ENXIO)
			break;
		if (start < 0)
			start = (off_t)size;
		end = (uint64_t)start < size ? lseek(fd, start, SEEK_HOLE) : (off_t)size;
		if (end < 0 || ++n > SPARSE_EXTENTS_MAX) {
			archive_entry_sparse_clear(entry);
			break;
		}
		if (end > (off_t)size)
			end = (off_t)size;
		if (start == 0 && (uint64_t)end == size)
			break;
		archive_entry_sparse_add_entry(entry, start, end - start);
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_system(errno, NULL, "cannot seek in a file's content");
	return NULL;
}

static struct error *copy_content(struct archive *archive, struct sink *sink, int fd, const struct layer_record *record,
				  uint64_t size, const uint8_t *expected)
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();
	_cleanup_(free_ptr) char *buffer = malloc(BUFFER_SIZE);
	uint8_t digest[SHA256_SIZE];
	uint64_t done = 0;
	ssize_t n;

	if (!hash || !buffer)
		return error_no_memory();
	while ((n = read(fd, buffer, BUFFER_SIZE)) > 0 && (uint64_t)n <= size - done) {
		sha256_update(hash, buffer, (size_t)n);
		if (archive_write_data(archive, buffer, (size_t)n) != n)
			return write_error(archive, sink);
		done += (uint64_t)n;
	}
	if (n < 0)
		return error_system(errno, record->name, "cannot read");
	sha256_final(hash, digest);
	if (n > 0 || done != size || memcmp(digest, expected, sizeof(digest)) != 0)
		return error_create(ERROR_CONFLICT, "/%s changed after it was listed", record->name);
	return NULL;
}

static struct error *write_record(struct archive *archive, struct sink *sink, const struct layer_record *record,
				  const struct change_layer *layers, size_t n_layers)
{
	_cleanup_(archive_entry_free_ptr) struct archive_entry *entry = layer_record_entry(record);
	_cleanup_(close_fd) int fd = -1;
	const uint8_t *sha256 = NULL;
	struct error *error = NULL;
	uint64_t size = 0;
	bool content;

	if (!entry)
		return error_no_memory();
	content = layer_record_content(record, &size, &sha256);
	if (content)
		error = changes_open_content(layers, n_layers, record->change, &fd);
	if (content && !error)
		error = add_extents(entry, fd, size);
	if (error)
		return error;
	if (archive_write_header(archive, entry) < ARCHIVE_WARN)
		return write_error(archive, sink);
	if (content)
		error = copy_content(archive, sink, fd, record, size, sha256);
	if (!error && archive_write_finish_entry(archive) < ARCHIVE_WARN)
		error = write_error(archive, sink);
	return error;
}

static bool is_utf8(const char *text)
{
	json_t *string = text ? json_string(text) : NULL;
	bool valid = !text || string;

	json_decref(string);
	return valid;
}

/*
 * Names travel as the bytes they are. Where one of them is not UTF-8 a mark says so, which makes
 * GNU tar warn of every entry.
 */
static const char *tar_options(const struct layer_records *records)
{
	for (size_t i = 0; i < records->n; i++) {
		const struct change *change = records->items[i].change;

		if (!is_utf8(change->path) || !is_utf8(change->target) || !is_utf8(change->before.target))
			return "hdrcharset=BINARY,xattrheader=SCHILY";
	}
	return "xattrheader=SCHILY"; /* the one form OCI tools read */
}

static struct error *write_records(struct sink *sink, const struct layer_records *records,
				   const struct change_layer *layers, size_t n_layers)
{
	_cleanup_(archive_write_free_ptr) struct archive *archive = archive_write_new();
	struct error *error = NULL;

	if (!archive)
		return error_no_memory();
	if (archive_write_set_format_pax(archive) != ARCHIVE_OK ||
	    archive_write_set_options(archive, tar_options(records)) != ARCHIVE_OK ||
	    archive_write_add_filter_none(archive) != ARCHIVE_OK ||
	    archive_write_open(archive, sink, NULL, sink_write, NULL) != ARCHIVE_OK)
		return write_error(archive, sink);
	for (size_t i = 0; !error && i < records->n; i++) {
		error = write_record(archive, sink, &records->items[i], layers, n_layers);
		progress_update(i + 1, records->n);
	}
	if (!error && archive_write_close(archive) != ARCHIVE_OK)
		error = write_error(archive, sink);
	/* Freeing an archive that failed writes what it has left: into nothing. */
	if (error && !sink->error)
		sink->error = error_create(ERROR_FAILED, "given up");
	return error ? error : sink_push(sink, NULL, 0, ZSTD_e_end);
}

struct error *layer_write(int fd, const char *path, const struct layer_records *records,
			  const struct change_layer *layers, size_t n_layers, struct layer_result *ret)
{
	struct sink *sink = calloc(1, sizeof(*sink));
	struct layer_locale locale;
	struct error *error;
	off_t offset;

	if (!sink)
		return error_no_memory();
	sink->fd = fd;
	sink->path = path;
	offset = lseek(fd, 0, SEEK_CUR);
	error = offset < 0 ? error_system(errno, path, "cannot seek") : sink_init(sink);
	if (!error)
		error = layer_locale_enter(&locale);
	if (!error) {
		error = write_records(sink, records, layers, n_layers);
		layer_locale_leave(&locale);
	}
	if (!error) {
		sink->result.offset = (uint64_t)offset;
		sha256_final(sink->hash, sink->result.tar_sha256);
		*ret = sink->result;
	}
	sink_deinit(sink);
	free(sink);
	return error;
}
