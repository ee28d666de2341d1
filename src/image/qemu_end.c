/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "image/stream.h"

#define TAIL_MAX (8u * 1024 * 1024)

static uint32_t get_be32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Whether the bytes end in: EOF, 0x06, be32 length, JSON of that length. */
static bool ends_in_description(const uint8_t *data, size_t size)
{
	while (size > 0 && data[size - 1] != '}')
		size--;
	for (size_t i = 0; i + 7 <= size; i++) {
		if (data[i] == SECTION_EOF && data[i + 1] == SECTION_DESCRIPTION && data[i + 6] == '{' &&
		    get_be32(data + i + 2) == size - i - 6)
			return true;
	}
	return false;
}

/* Whether a device's section with this id begins in the bytes: 0x04, be32 id, u8 length, name. */
static bool has_section(const uint8_t *data, size_t size, uint32_t id)
{
	for (size_t i = 0; i + 7 <= size; i++) {
		if (data[i] == SECTION_FULL && get_be32(data + i + 1) == id && data[i + 5] > 0 && data[i + 6] >= ' ' &&
		    data[i + 6] < 0x7f)
			return true;
	}
	return false;
}

/*
 * Whether the bytes end in the footer of a device's section, EOF and perhaps zeros: as a machine with
 * suppress-vmdesc=on ends its stream. Within a stream a footer is followed by a section, never by EOF.
 */
static bool ends_in_footer(const uint8_t *data, size_t size)
{
	size_t last = size;

	while (last > 0 && data[last - 1] == 0)
		last--;
	/* The id's low bytes can be zeros too. */
	for (size_t i = last > 5 ? last - 5 : 0; i < last && i + 6 <= size; i++) {
		if (data[i] == SECTION_FOOTER && has_section(data, i, get_be32(data + i + 1)))
			return true;
	}
	return false;
}

/* Where the first description in the bytes ends; 0: there is none. */
static size_t end_of_description(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + 8 <= size; i++) {
		uint32_t length = get_be32(data + i + 2);

		if (data[i] == SECTION_EOF && data[i + 1] == SECTION_DESCRIPTION && data[i + 6] == '{' &&
		    data[i + 7] == '"' && length >= 2 && length <= size - i - 6 && data[i + 6 + length - 1] == '}')
			return i + 6 + length;
	}
	return 0;
}

/* Says so if something follows the stream: a second one, say. Zeros only fill a block of the file. */
static struct error *warn_of_rest(const struct image_file *file, uint64_t ram_end)
{
	size_t size = file->size - ram_end < TAIL_MAX ? file->size - ram_end : TAIL_MAX, end, at;
	_cleanup_(free_ptr) uint8_t *data = malloc(size + 1);
	struct error *error;

	if (!data)
		return error_no_memory();
	error = image_file_read(file, data, size, ram_end);
	if (error)
		return error;
	end = at = end_of_description(data, size);
	while (end > 0 && at < size && data[at] == 0)
		at++;
	if (end > 0 && at < size)
		log_warning("%s: %llu bytes behind the end of the stream, at byte %llu, are not looked at", file->path,
			    (unsigned long long)(file->size - ram_end - end), (unsigned long long)(ram_end + end));
	return NULL;
}

/*
 * The devices' state after RAM has no lengths. But a complete stream ends in its own description, or
 * without one in the end of the last device's section; one that was cut off does not. Machines before
 * 2.4 have neither: then all that can be said is that RAM is complete.
 */
struct error *stream_check_end(struct stream *s)
{
	struct reader *r = &s->reader;
	uint64_t ram_end = r->position, start = ram_end;
	_cleanup_(free_ptr) uint8_t *tail = NULL;
	size_t size;
	struct error *error;

	if (r->file->size - start > TAIL_MAX)
		start = r->file->size - TAIL_MAX;
	size = r->file->size - start;
	tail = malloc(size + 1);
	if (!tail)
		return error_no_memory();
	error = image_file_read(r->file, tail, size, start);
	if (error)
		return error;
	if (ends_in_description(tail, size) || ends_in_footer(tail, size))
		return warn_of_rest(r->file, ram_end);
	if (!s->footers && size > 0 && tail[size - 1] == SECTION_EOF)
		return NULL;
	r->position = r->file->size;
	error = reader_error(r, "the file ends at byte %llu, inside the devices' state (RAM ends at byte %llu)",
			     (unsigned long long)r->file->size, (unsigned long long)ram_end);
	return error_remedy(error, "The memory image is incomplete: suspend the VM again, or take a whole copy");
}
