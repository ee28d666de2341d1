/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OCI image layer inside a bundle. What is in it, and in which order, follows from the change
 * list alone: the writer makes the records and writes them, the reader makes the same records and
 * compares.
 *
 * The layer is complete: applied by an OCI tool to the tree below it gives the merged view. OCI
 * knows no change of attributes alone, so a file whose attributes change is in it with its content.
 */
#ifndef BUNDLE_LAYER_H
#define BUNDLE_LAYER_H

#include <archive_entry.h>
#include <locale.h>
#include <stdbool.h>
#include <stdint.h>

#include "bundle/format.h"
#include "changes/changes.h"

struct layer_record {
	const struct change *change; /* borrowed */
	bool whiteout;
	char *name; /* in the archive: the path, "DIR/.wh.NAME", or "." */
};

/* Sorted by path, a directory before what it holds; hard links after all others. No name twice. */
/*
 * libarchive converts names between the thread's locale and the archive's UTF-8. In a UTF-8
 * locale that is no conversion at all, so reading and writing happen in one, whatever the
 * program's is.
 */
struct layer_locale {
	locale_t utf8, before;
};
struct error *layer_locale_enter(struct layer_locale *ret) _must_check_;
void layer_locale_leave(struct layer_locale *locale);

struct layer_records {
	struct layer_record *items;
	size_t n;
};
void layer_records_deinit(struct layer_records *records);

/* `list` must outlive the result. A name that begins with ".wh." is ERROR_UNSUPPORTED. */
struct error *layer_records_create(const struct change_list *list, struct layer_records *ret) _must_check_;

/* Whether the record has bytes in the archive, and how many and with which hash. */
bool layer_record_content(const struct layer_record *record, uint64_t *ret_size, const uint8_t **ret_sha256);

/* The archive's header of a record; the caller frees it. NULL without memory. */
struct archive_entry *layer_record_entry(const struct layer_record *record);

struct layer_result {
	uint64_t offset, size; /* of the zstd frames in the file */
	uint64_t tar_size;
	uint8_t tar_sha256[SHA256_SIZE];
};

/* Writes the layer at the file's position. */
struct error *layer_write(int fd, const char *path, const struct layer_records *records,
			  const struct change_layer *layers, size_t n_layers, struct layer_result *ret) _must_check_;

/*
 * What a reader of the layer does with a content: begin, data in order without gaps, end after
 * size and hash were right. `sparse`: the archive has it with holes. Each may be NULL.
 */
struct layer_consumer {
	struct error *(*begin)(void *data, const struct layer_record *record, bool sparse);
	struct error *(*bytes)(void *data, const void *bytes, size_t size);
	struct error *(*end)(void *data);
	void *data;
};

/* Reads all of the layer and compares it with the records and the trailer. `fd` is used by offset only. */
struct error *layer_read(int fd, const char *path, const struct bundle_trailer *trailer,
			 const struct layer_records *records, const struct layer_consumer *consumer) _must_check_;

#endif
