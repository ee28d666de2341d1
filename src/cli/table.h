/* SPDX-License-Identifier: Apache-2.0 */
/* Columns as wide as their widest cell, for lists of any length: the cells are made twice and never kept. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

#define TABLE_COLUMNS_MAX 8

/* A longer cell pushes the rest of its line to the right: one hostile name must not widen a million lines. */
#define TABLE_WIDTH_MAX   64

struct table {
	const char *const *titles;
	size_t n_columns;
	size_t n_rows;
	unsigned right; /* bit of each column that is aligned to the right */
	size_t gap;     /* blanks between columns */
	/* The text of a cell, escaped, malloc'd; NULL without memory. */
	char *(*cell)(const void *data, size_t row, size_t column);
	const void *data;
};

struct error *table_print(FILE *stream, const struct table *table) _must_check_;

#endif
