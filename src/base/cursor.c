/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cursor.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct error *cursor_error(const struct cursor *c, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return error_format(c->path, c->base + c->position, "%s", text);
}

struct error *cursor_bytes(struct cursor *c, uint64_t size, const uint8_t **ret)
{
	if (size > cursor_left(c))
		return cursor_error(c, "%llu bytes expected, %llu left", (unsigned long long)size,
				    (unsigned long long)cursor_left(c));
	*ret = c->data + c->position;
	c->position += size;
	return NULL;
}

struct error *cursor_copy(struct cursor *c, void *buffer, uint64_t size)
{
	const uint8_t *bytes = NULL;
	struct error *error = cursor_bytes(c, size, &bytes);

	if (error)
		return error;
	if (size)
		memcpy(buffer, bytes, size);
	return NULL;
}

struct error *cursor_skip(struct cursor *c, uint64_t size)
{
	const uint8_t *bytes;

	return cursor_bytes(c, size, &bytes);
}

struct error *cursor_seek(struct cursor *c, uint64_t position)
{
	if (position > c->size)
		return cursor_error(c, "position 0x%llx is beyond the end at 0x%llx", (unsigned long long)position,
				    (unsigned long long)c->size);
	c->position = position;
	return NULL;
}

struct error *cursor_u8(struct cursor *c, uint8_t *ret)
{
	return cursor_copy(c, ret, sizeof(*ret));
}

/* A number of `type` in the given byte order. */
#define DEFINE_CURSOR_NUMBER(name, type, convert)                                                                      \
	struct error *name(struct cursor *c, type *ret)                                                                \
	{                                                                                                              \
		type raw;                                                                                              \
		struct error *error = cursor_copy(c, &raw, sizeof(raw));                                               \
                                                                                                                       \
		if (error)                                                                                             \
			return error;                                                                                  \
		*ret = convert(raw);                                                                                   \
		return NULL;                                                                                           \
	}

DEFINE_CURSOR_NUMBER(cursor_le16, uint16_t, le16toh)
DEFINE_CURSOR_NUMBER(cursor_le32, uint32_t, le32toh)
DEFINE_CURSOR_NUMBER(cursor_le64, uint64_t, le64toh)
DEFINE_CURSOR_NUMBER(cursor_be16, uint16_t, be16toh)
DEFINE_CURSOR_NUMBER(cursor_be32, uint32_t, be32toh)
DEFINE_CURSOR_NUMBER(cursor_be64, uint64_t, be64toh)
