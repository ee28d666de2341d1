/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

/* Characters that a terminal obeys, or that change what a reader sees of the characters around them. */
static bool is_unsafe(uint32_t point)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0x00, 0x1f},     {0x7f, 0x9f},                         /* C0, DEL, C1 */
		{0x061c, 0x061c}, {0x200e, 0x200f},                     /* marks of direction */
		{0x2028, 0x202e},                                       /* line ends, embeddings, overrides */
		{0x2060, 0x206f},                                       /* isolates, invisible operators */
		{0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}, /* BOM, annotations, tags */
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (point >= ranges[i].first && point <= ranges[i].last)
			return true;
	return false;
}

static uint32_t decode(const uint8_t *text, size_t length)
{
	uint32_t point = length == 1 ? text[0] : text[0] & (0xffu >> (length + 1));

	for (size_t i = 1; i < length; i++)
		point = point << 6 | (text[i] & 0x3f);
	return point;
}

static void put_octal(const uint8_t *text, size_t length, char *out)
{
	for (size_t i = 0; i < length; i++)
		out += sprintf(out, "\\%03o", text[i]);
}

static void put_named(const uint8_t *text, size_t length, uint32_t point, char *out)
{
	if (point == '\n' || point == '\t')
		sprintf(out, "\\%c", point == '\n' ? 'n' : 't');
	else if (length <= 1)
		sprintf(out, "\\x%02x", text[0]);
	else
		sprintf(out, point > 0xffff ? "\\U%08x" : "\\u%04x", point);
}

/* `length` 0: the byte is no UTF-8. */
static bool must_escape(const uint8_t *text, size_t length, uint32_t point, enum escape_style style)
{
	if (style == ESCAPE_PROC)
		return *text == '\n';
	if (style == ESCAPE_LINES && (point == '\n' || point == '\t'))
		return false;
	return length == 0 || is_unsafe(point);
}

size_t escape_next(const char *text, size_t size, enum escape_style style, char out[ESCAPE_MAX])
{
	const uint8_t *bytes = (const uint8_t *)text;
	size_t length = utf8_length(text, size), taken = length ? length : 1;
	uint32_t point = length ? decode(bytes, length) : 0;

	if (!must_escape(bytes, length, point, style)) {
		memcpy(out, text, taken);
		out[taken] = 0;
	} else if (style == ESCAPE_MAPS || style == ESCAPE_PROC) {
		put_octal(bytes, taken, out);
	} else {
		put_named(bytes, length, point, out);
	}
	return taken;
}

/* How many bytes from the start can be printed as they are without a closer look. */
static size_t plain_run(const char *text, size_t size)
{
	size_t n = 0;

	while (n < size && text[n] > ' ' && text[n] < 0x7f && text[n] != '\\')
		n++;
	return n;
}

void escape_print(FILE *stream, const void *text, size_t size, enum escape_style style)
{
	const char *at = text, *end = at + size;
	char out[ESCAPE_MAX];

	while (at < end) {
		size_t n = plain_run(at, (size_t)(end - at));

		if (n) {
			fwrite(at, 1, n, stream);
			at += n;
			continue;
		}
		at += escape_next(at, (size_t)(end - at), style, out);
		fputs(out, stream);
	}
}

char *escape_text(const void *text, size_t size, enum escape_style style)
{
	const char *at = text, *end = at + size;
	/* The longest escape a byte: \x1b, or four of \000 for four bytes. */
	char *result = size < SIZE_MAX / 4 - ESCAPE_MAX ? malloc(4 * size + ESCAPE_MAX) : NULL;
	char *out = result;

	if (!result)
		return NULL;
	*out = 0;
	while (at < end) {
		at += escape_next(at, (size_t)(end - at), style, out);
		out += strlen(out);
	}
	return result;
}
