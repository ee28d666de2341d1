/* SPDX-License-Identifier: Apache-2.0 */
#include "image/reader.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"

void reader_init(struct reader *r, int fd, const char *path, uint64_t size, uint64_t position)
{
	r->fd = fd;
	r->path = path;
	r->what = "the header";
	r->size = size;
	r->position = position < size ? position : size;
	r->window_start = 0;
	r->window_size = 0;
}

/* The file ends before `need` bytes at the position. */
static struct error *truncated(const struct reader *r, uint64_t need)
{
	struct error *error = error_format(
		r->path, r->position, "the file ends at byte %llu, inside %s (%llu bytes at byte %llu)",
		(unsigned long long)r->size, r->what, (unsigned long long)need, (unsigned long long)r->position);

	return error_remedy(error, "The memory image is incomplete: suspend the VM again, or take a whole copy");
}

/* Makes the window hold `need` bytes at the position. */
static struct error *fill(struct reader *r, size_t need)
{
	uint64_t left = r->size - r->position;
	uint32_t size = left < READER_WINDOW ? (uint32_t)left : READER_WINDOW;
	struct error *error;

	if (need > left)
		return truncated(r, need);
	if (r->position >= r->window_start && r->position - r->window_start <= r->window_size &&
	    r->window_size - (r->position - r->window_start) >= need)
		return NULL;
	r->window_size = 0;
	error = io_pread(r->fd, r->window, size, r->position, r->path);
	if (error)
		return error;
	r->window_start = r->position;
	r->window_size = size;
	return NULL;
}

struct error *reader_copy(struct reader *r, void *buffer, size_t size)
{
	struct error *error = fill(r, size);

	if (error)
		return error;
	memcpy(buffer, r->window + (r->position - r->window_start), size);
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
	if (size > r->size - r->position)
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
	return error_format(r->path, r->position, "%s", text);
}
