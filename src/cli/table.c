/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>

/* Characters, not bytes; the text is UTF-8. */
static size_t count_characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* A line being written: blanks come out only before text, so that no line ends with some. */
struct line {
	FILE *stream;
	size_t blanks;
};

static void put_cell(struct line *line, const char *text, size_t width, bool right, size_t gap)
{
	size_t n = count_characters(text);
	size_t pad = n < width ? width - n : 0;

	if (right)
		line->blanks += pad;
	if (*text) {
		fprintf(line->stream, "%*s%s", (int)line->blanks, "", text);
		line->blanks = 0;
	}
	line->blanks += right ? gap : pad + gap;
}

static struct error *measure(const struct table *table, size_t widths[TABLE_COLUMNS_MAX])
{
	for (size_t c = 0; c < table->n_columns; c++)
		widths[c] = count_characters(table->titles[c]);
	for (size_t r = 0; r < table->n_rows; r++)
		for (size_t c = 0; c < table->n_columns; c++) {
			_cleanup_(free_ptr) char *text = table->cell(table->data, r, c);
			size_t n = text ? count_characters(text) : 0;

			if (!text)
				return error_no_memory();
			if (n > widths[c])
				widths[c] = n < TABLE_WIDTH_MAX ? n : TABLE_WIDTH_MAX;
		}
	return NULL;
}

static void put_titles(FILE *stream, const struct table *table, const size_t *widths)
{
	struct line line = {stream, 0};

	for (size_t c = 0; c < table->n_columns; c++)
		put_cell(&line, table->titles[c], widths[c], table->right >> c & 1, table->gap);
	fputc('\n', stream);
}

struct error *table_print(FILE *stream, const struct table *table)
{
	size_t widths[TABLE_COLUMNS_MAX];
	struct error *error = measure(table, widths);

	if (error)
		return error;
	put_titles(stream, table, widths);
	for (size_t r = 0; r < table->n_rows && !ferror(stream); r++) {
		struct line line = {stream, 0};

		for (size_t c = 0; c < table->n_columns; c++) {
			_cleanup_(free_ptr) char *text = table->cell(table->data, r, c);

			if (!text)
				return error_no_memory();
			put_cell(&line, text, widths[c], table->right >> c & 1, table->gap);
		}
		fputc('\n', stream);
	}
	return NULL;
}
