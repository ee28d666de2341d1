/* SPDX-License-Identifier: Apache-2.0 */
#include "image/reader.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

void reader_init(struct reader *r, const struct image_file *file, uint64_t position)
{
	*r = (struct reader){
		.file = file, .what = "the header", .position = position < file->size ? position : file->size};
}

void reader_deinit(struct reader *r)
{
	free(r->window);
	r->window = NULL;
}

/* The file ends before `need` bytes at the position. */
static struct error *truncated(const struct reader *r, uint64_t need)
{
	struct error *error = error_format(
		r->file->path, r->position, "the file ends at byte %llu, inside %s (%llu bytes at byte %llu)",
		(unsigned long long)r->file->size, r->what, (unsigned long long)need, (unsigned long long)r->position);

	return error_remedy(error, "The memory image is incomplete: suspend the VM again, or take a whole copy");
}

/* Makes the window hold `need` bytes at the position, and whatever fits after them. */
static struct error *fill(struct reader *r, size_t need)
{
	uint64_t left = r->file->size - r->position;
	uint32_t size = left < READER_WINDOW ? (uint32_t)left : READER_WINDOW;
	struct error *error;

	if (need > left)
		return truncated(r, need);
	if (r->position >= r->window_start && r->position - r->window_start <= r->window_size &&
	    r->window_size - (r->position - r->window_start) >= need)
		return NULL;
	if (!r->window) {
		r->window = malloc(READER_WINDOW);
		if (!r->window)
			return error_no_memory();
	}
	r->window_size = 0;
	error = image_file_read(r->file, r->window, size, r->position);
	if (error)
		return error;
	r->window_start = r->position;
	r->window_size = size;
	return NULL;
}

struct error *reader_peek(struct reader *r, size_t size, const uint8_t **ret)
{
	struct error *error = fill(r, size);

	if (!error)
		*ret = r->window + (r->position - r->window_start);
	return error;
}

struct error *reader_copy(struct reader *r, void *buffer, size_t size)
{
	const uint8_t *bytes;
	struct error *error = reader_peek(r, size, &bytes);

	if (error)
		return error;
	memcpy(buffer, bytes, size);
	r->position += size;
	return NULL;
}

struct error *reader_u8(struct reader *r, uint8_t *ret)
{
	return reader_copy(r, ret, sizeof(*ret));
}

struct error *reader_be16(struct reader *r, uint16_t *ret)
{
	uint16_t raw;
	struct error *error = reader_copy(r, &raw, sizeof(raw));

	if (!error)
		*ret = be16toh(raw);
	return error;
}

struct error *reader_be32(struct reader *r, uint32_t *ret)
{
	uint32_t raw;
	struct error *error = reader_copy(r, &raw, sizeof(raw));

	if (!error)
		*ret = be32toh(raw);
	return error;
}

struct error *reader_be64(struct reader *r, uint64_t *ret)
{
	uint64_t raw;
	struct error *error = reader_copy(r, &raw, sizeof(raw));

	if (!error)
		*ret = be64toh(raw);
	return error;
}

struct error *reader_skip(struct reader *r, uint64_t size)
{
	if (size > r->file->size - r->position)
		return truncated(r, size);
	r->position += size;
	return NULL;
}

struct error *reader_string8(struct reader *r, char ret[256])
{
	uint64_t start = r->position;
	uint8_t size;
	struct error *error = reader_u8(r, &size);

	if (error)
		return error;
	error = reader_copy(r, ret, size);
	if (error) {
		r->position = start;
		return error;
	}
	ret[size] = '\0';
	return NULL;
}

struct error *reader_error(const struct reader *r, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_format(r->file->path, r->position, "%s", text);
}
