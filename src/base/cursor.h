/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded cursor over untrusted bytes. Every parser of memory, disk or bundle reads through
 * one: a read that would leave the bytes fails with the offset, and the position stays.
 */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct cursor {
	const uint8_t *data; /* borrowed */
	uint64_t size;       /* bytes at data */
	uint64_t position;   /* <= size */
	uint64_t base;       /* added to position in errors: where data begins in its file */
	const char *path;    /* for errors; borrowed; may be NULL */
};

static inline struct cursor cursor_init(const void *data, uint64_t size, const char *path)
{
	return (struct cursor){.data = data, .size = size, .path = path};
}

static inline uint64_t cursor_left(const struct cursor *c)
{
	return c->size - c->position;
}

struct error *cursor_u8(struct cursor *c, uint8_t *ret) _must_check_;
struct error *cursor_le16(struct cursor *c, uint16_t *ret) _must_check_;
struct error *cursor_le32(struct cursor *c, uint32_t *ret) _must_check_;
struct error *cursor_le64(struct cursor *c, uint64_t *ret) _must_check_;
struct error *cursor_be16(struct cursor *c, uint16_t *ret) _must_check_;
struct error *cursor_be32(struct cursor *c, uint32_t *ret) _must_check_;
struct error *cursor_be64(struct cursor *c, uint64_t *ret) _must_check_;

/* `size` bytes as they lie, borrowed from the cursor's data. */
struct error *cursor_bytes(struct cursor *c, uint64_t size, const uint8_t **ret) _must_check_;
struct error *cursor_copy(struct cursor *c, void *buffer, uint64_t size) _must_check_;
struct error *cursor_skip(struct cursor *c, uint64_t size) _must_check_;

/* Sets the position, which may be the end. */
struct error *cursor_seek(struct cursor *c, uint64_t position) _must_check_;

/* A format error at the current position. */
struct error *cursor_error(const struct cursor *c, const char *format, ...) _printf_(2, 3) _never_null_ _must_check_;

#endif
