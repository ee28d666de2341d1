/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a format of saved memory has to do. Private to image/.
 *
 * Every format comes down to the same thing: which bytes of the file hold which guest-physical
 * memory. So a format only *indexes*: it fills the map (image/map.h), and reading is common.
 *
 * To add a format
 *   1. One .c file with a `struct image_ops NAME_ops`; probe() looks at content, never at names.
 *   2. One line in the table of image.c. Order matters only where one magic contains another.
 *   3. open() parses through a reader (image/reader.h), so that every read is bounded and every
 *      error has its offset; lengths in the file are checked before anything is allocated.
 *   4. A format that must be unpacked first does so into an unlinked 0600 file and replaces file->fd.
 *   5. A fuzz target in tests/fuzz, and a made and a real input in tests/unit/image.
 */
#ifndef IMAGE_OPS_H
#define IMAGE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/image.h"
#include "image/map.h"

/* From `start` to the next extent's, the bytes lie together at `position` of the descriptor. */
struct file_extent {
	uint64_t start;    /* offset in the logical file; the first extent's is 0 */
	uint64_t position; /* FILE_EXTENT_ZERO: every byte is 0 */
};
#define FILE_EXTENT_ZERO UINT64_MAX

/*
 * The file behind an image. It is logical: its bytes are those of the descriptor, or scattered
 * there (a snapshot's in a disk image). open() may replace fd and size by those of a spooled copy.
 */
struct image_file {
	int fd;                              /* owned */
	uint64_t size;                       /* bytes */
	char *path;                          /* for errors; owned */
	const struct image_options *options; /* borrowed while the image is opened; never NULL then */
	struct file_extent *extents;         /* sorted by start; NULL: the bytes lie as in the descriptor. Owned */
	size_t n_extents;
};

/* Reads exactly `size` bytes; the end of the file in between is ERROR_FORMAT. Never fd itself: there may be extents. */
struct error *image_file_read(const struct image_file *file, void *buffer, size_t size, uint64_t offset) _must_check_;

/* Adds an extent that begins at `start`, above that of the last one; one that only goes on is merged. */
struct error *image_file_add_extent(struct image_file *file, uint64_t start, uint64_t position) _must_check_;

void image_file_deinit(struct image_file *file);

struct image_ops {
	const char *name; /* stable word for the user: image_format() */
	/* Whether the first bytes of the file (at most IMAGE_PROBE_SIZE) are of this format. */
	bool (*probe)(const uint8_t *head, size_t size);
	/* Fills the empty map. What it added on failure is thrown away by the caller. */
	struct error *(*open)(struct image_file *file, struct image_map *map);
};

#define IMAGE_PROBE_SIZE 4096

extern const struct image_ops qemu_stream_ops;
extern const struct image_ops libvirt_save_ops;
extern const struct image_ops elf_core_ops;
extern const struct image_ops qcow2_snapshot_ops;
extern const struct image_ops lime_ops;
extern const struct image_ops xen_save_ops;
/* Never detected: taken for files of no known format when the user gives a layout. */
extern const struct image_ops raw_ops;
extern const struct image_ops kdump_ops;

/* The stream that begins at `offset`: also inside a libvirt save file. */
struct error *qemu_stream_index(struct image_file *file, uint64_t offset, struct image_map *map) _must_check_;

#endif
