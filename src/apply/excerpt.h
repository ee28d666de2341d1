/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A payload that can be read at any place (a disk or a file, not a pipe), beside the forward pass of source.h: each
 * thread has an excerpt of its own, with its own position and read-ahead.
 */
#ifndef APPLY_EXCERPT_H
#define APPLY_EXCERPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apply/source.h"

#define EXCERPT_BUFFER_SIZE (1024 * 1024)

struct excerpt {
	int fd;
	const char *path;      /* for errors; borrowed from the source */
	uint64_t start;        /* of the payload in the file */
	uint8_t *buffer;       /* EXCERPT_BUFFER_SIZE bytes */
	uint64_t begin, end;   /* of the payload, what the buffer holds */
	uint64_t first, limit; /* what will be asked for: reading does not go beyond */
};

#define EXCERPT_INIT                                                                                                   \
	{                                                                                                              \
		.fd = -1                                                                                               \
	}

/* False: it comes in one pass only, and the source is as it was. */
bool excerpt_open(const struct source *source, struct excerpt *ret);
void excerpt_close(struct excerpt *excerpt);

/* From here on bytes from `first` to `limit` of the payload are asked for, in their order. */
void excerpt_begin(struct excerpt *excerpt, uint64_t first, uint64_t limit);
/* The page cache need not keep them. */
void excerpt_end(const struct excerpt *excerpt);

/* Up to `max` bytes at `position`, at least one, borrowed until the next call; the end of the file is ERROR_FORMAT. */
struct error *excerpt_read(struct excerpt *excerpt, uint64_t position, uint64_t max, const uint8_t **ret,
			   size_t *ret_size) _must_check_;

#endif
