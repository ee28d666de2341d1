/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cursor over a file: like base/cursor.h, but of any size. Private to image/.
 *
 * It reads and never maps the file: a file that shrinks under us, or a bad sector, is then an
 * error and not a signal. A stream alternates between a header of a few bytes and 4096 bytes that
 * are skipped. Read whole through a large window it costs what `cat` does; a small read for each
 * header costs twice that, because the system calls outweigh the copying (measured: 0.35 s of CPU
 * against 0.19 s for 1.8 GB in the page cache).
 */
#ifndef IMAGE_READER_H
#define IMAGE_READER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/ops.h"

#define READER_WINDOW (256u * 1024)

struct reader {
	const struct image_file *file; /* borrowed */
	const char *what;              /* what is being read, for errors: "the RAM block list"; borrowed */
	uint64_t position;             /* <= file->size */
	uint64_t window_start;
	uint32_t window_size;
	uint8_t *window; /* READER_WINDOW bytes, made when first needed; owned */
};

void reader_init(struct reader *r, const struct image_file *file, uint64_t position);
void reader_deinit(struct reader *r);

struct error *reader_u8(struct reader *r, uint8_t *ret) _must_check_;
struct error *reader_be16(struct reader *r, uint16_t *ret) _must_check_;
struct error *reader_be32(struct reader *r, uint32_t *ret) _must_check_;
struct error *reader_be64(struct reader *r, uint64_t *ret) _must_check_;
/* `size` <= READER_WINDOW. */
struct error *reader_copy(struct reader *r, void *buffer, size_t size) _must_check_;
/* The `size` <= READER_WINDOW bytes at the position, which stays; valid until the next read. */
struct error *reader_peek(struct reader *r, size_t size, const uint8_t **ret) _must_check_;
struct error *reader_skip(struct reader *r, uint64_t size) _must_check_;
/* One byte of length, then that many bytes, into a NUL-terminated string. */
struct error *reader_string8(struct reader *r, char ret[256]) _must_check_;
/* A format error at the current position. */
struct error *reader_error(const struct reader *r, const char *format, ...) _printf_(2, 3) _must_check_;

#endif
