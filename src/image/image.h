/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A saved memory image: reads of guest-physical memory out of a file that a hypervisor wrote.
 *
 * The format is detected by content, never by name. The file is opened read-only and is hostile:
 * every read is bounded. This room knows nothing of what the memory means; that is guest/.
 *
 * To add a format: one .c file with a struct image_ops (image/ops.h), one line in the table of
 * image.c, one fuzz target, one seed made from a real file.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A guest-physical address, in bytes. */
struct gpa {
	uint64_t v;
};

struct image;

/* What the file itself cannot say. All zero: nothing more is known. */
struct image_options {
	/*
	 * Where a raw file's bytes lie in guest-physical memory; only for files without a format of
	 * their own, which are refused without it. A word ("firecracker", "cloud-hypervisor") or
	 * pieces START-END[@OFFSET] or START+SIZE[@OFFSET], separated by commas (image/raw.c). Borrowed.
	 */
	const char *layout;
	/* The name or id of an internal snapshot of a qcow2 file that holds several; NULL: the only one. Borrowed. */
	const char *snapshot;
};

/*
 * Opens and indexes the file. A format that is not known is ERROR_FORMAT and says what was found.
 * `options` NULL is all zero; one that does not fit the file is ERROR_USAGE.
 */
struct error *image_open(const char *path, const struct image_options *options, struct image **ret) _must_check_;

/* A stable word for the format: "qemu-stream", … */
const char *image_format(const struct image *image);

/* The descriptor that memory is read through, for a process that closes all others; borrowed. */
int image_descriptor(const struct image *image);

/* Bytes of RAM the image describes. */
uint64_t image_ram_size(const struct image *image);

/*
 * Reads `size` bytes at `address`, which may cross pages and blocks. A byte the image does not
 * hold is ERROR_NOT_FOUND with its address.
 */
struct error *image_read(struct image *image, struct gpa address, void *buffer, size_t size) _must_check_;

/*
 * How much image_read() did so far: its calls, and 4 KiB each of what they were asked for. For bounds that are the same
 * on a busy machine and on an idle one, as time is not.
 */
uint64_t image_work(const struct image *image);

/* A run of guest-physical memory. */
struct image_range {
	struct gpa start;
	uint64_t size; /* bytes; 0: there is no further range */
};

/* The first run of RAM that ends above `address`; runs are the RAM blocks' parts, in address order. */
struct image_range image_next_range(const struct image *image, struct gpa address);

/*
 * The first run of memory at or above `address` that the file has content for: without holes in the file, and without
 * pages that it does not hold or that are known to be of one byte. What an image can claim costs nothing then.
 */
struct image_range image_next_data(const struct image *image, struct gpa address);

/*
 * The first page at or above `from` that begins with these bytes (`size` <= IMAGE_FIND_MAX);
 * false if there is none. Pages the image does not hold, or cannot read, do not match.
 */
#define IMAGE_FIND_MAX 64u
bool image_find_page(struct image *image, struct gpa from, const void *bytes, size_t size, struct gpa *ret);

/* Whether the file begins as those of `xl save` do. One that cannot be read does not. */
bool image_is_xen_save(const char *path);

/*
 * The configuration of the domain in a file of `xl save`'s: libxl's JSON, to be freed. Believed no more than the rest
 * of the file. ERROR_FORMAT: it is another file, or damaged.
 */
struct error *image_xen_config(const char *path, char **ret) _must_check_;

void image_close(struct image *image);
DEFINE_CLEANUP(struct image *, image_close)

#endif
