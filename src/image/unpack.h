/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacking what gzip, bzip2, xz, lzop and zstd compressed, into a spool (image/spool.h). Private to image/.
 *
 * To add a compression: one struct unpack_method in the table of unpack.c, with its magic and a
 * function that unpacks one member: it takes input by unpack_fill() or unpack_read() and hands
 * out by spool_write(). Checksums are verified; memory is bounded by its format.
 */
#ifndef IMAGE_UNPACK_H
#define IMAGE_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/ops.h"
#include "image/spool.h"

#define UNPACK_BUFFER_SIZE (256u << 10)

struct unpack {
	const struct image_file *file; /* borrowed */
	const char *name;              /* of the method, for errors */
	uint64_t start;                /* in the file, of the first compressed byte */
	uint64_t position;             /* in the file, of the byte after the buffered ones */
	uint8_t *in;                   /* the buffered input, UNPACK_BUFFER_SIZE bytes; owned */
	size_t in_start, in_end;       /* what of it is not used up */
	uint8_t *out;                  /* UNPACK_BUFFER_SIZE bytes for the method's use; owned */
	struct spool spool;
	uint64_t yield_position, yield_size; /* where the input stood when the output last grew, and to what size */
};

struct unpack_method {
	const char *name; /* as the program is called */
	uint8_t magic[10];
	size_t magic_size;
	/* Unpacks one member, from its magic to its end. */
	struct error *(*member)(struct unpack *u);
};

/* The method whose magic the bytes begin with, or NULL. */
const struct unpack_method *unpack_detect(const uint8_t *head, size_t size);
/* The method of that name, which exists. */
const struct unpack_method *unpack_by_name(const char *name);

/*
 * Unpacks the file from `offset` to its end and puts the result in its place. `inspect` (with
 * `data`) looks at the first unpacked bytes and may refuse them, see struct spool.
 */
struct error *unpack_file(struct image_file *file, uint64_t offset, const struct unpack_method *method,
			  struct error *(*inspect)(const void *data, const uint8_t *head, size_t size),
			  const void *data) _must_check_;

/* For methods: makes the buffer hold something; a file that ends is an error. */
struct error *unpack_fill(struct unpack *u) _must_check_;
/* For methods: exactly `size` bytes. */
struct error *unpack_read(struct unpack *u, void *buffer, size_t size) _must_check_;
/* For methods: a format error at the current position. */
struct error *unpack_error(const struct unpack *u, const char *format, ...) _printf_(2, 3) _must_check_;

/* lzop's (image/lzop.c). */
struct error *unpack_lzop(struct unpack *u) _must_check_;

#endif
