/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that a guest chose, made harmless for a terminal and for programs that read lines: control
 * characters, bytes that are not UTF-8, and characters that reorder or end a line (bidirectional
 * controls, U+2028, tags) are written as escapes, in a pipe as on a terminal.
 */
#ifndef CLI_ESCAPE_H
#define CLI_ESCAPE_H

#include <stddef.h>
#include <stdio.h>

enum escape_style {
	ESCAPE_TEXT,  /* \n, \t, \x1b, \u202e: one line, whatever the guest says */
	ESCAPE_LINES, /* the same, but newlines and tabs stay: whole files */
	ESCAPE_MAPS,  /* the same as \012, \033: as the kernel writes a newline in /proc/PID/maps */
	ESCAPE_PROC,  /* only newlines, as \012: byte for byte what the kernel writes; not for terminals */
};

/* Room for what one character becomes, with its NUL. */
#define ESCAPE_MAX 20

/* Escapes the first character of the text (`size` >= 1) into `out`; returns the bytes it takes. */
size_t escape_next(const char *text, size_t size, enum escape_style style, char out[ESCAPE_MAX]);

void escape_print(FILE *stream, const void *text, size_t size, enum escape_style style);

/* Malloc'd; NULL without memory. */
char *escape_text(const void *text, size_t size, enum escape_style style);

#endif
