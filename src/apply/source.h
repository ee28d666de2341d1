/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload's bytes in one forward pass, from a disk, a file or a pipe, in large reads. It may come packed
 * (bundle/packed.h); who reads it sees no difference.
 */
#ifndef APPLY_SOURCE_H
#define APPLY_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "bundle/payload.h"

#define SOURCE_BUFFER_SIZE (1024 * 1024)

/*
 * What the guest has at the path of an entry, before the update: exactly `size` bytes at `offset`. ERROR_CONFLICT if it
 * is not what was checked.
 */
struct old_content {
	struct error *(*read)(void *data, uint32_t entry, uint64_t offset, uint8_t *to, size_t size);
	void *data;
};

struct unpacking;

struct source {
	int fd;
	char *path;
	uint8_t *buffer;             /* SOURCE_BUFFER_SIZE bytes, as they come */
	size_t filled, used;         /* of the buffer */
	uint64_t position;           /* of the next byte handed out, from the payload's start */
	uint64_t read, dropped;      /* from fd so far; of these the page cache was told to forget */
	struct unpacking *unpacking; /* NULL: it comes as it is; owned */
	struct old_content old;      /* set by who knows the guest's tree; before that no piece may ask for it */
};

/* "-" is standard input. */
struct error *source_open(const char *path, struct source *ret) _must_check_;
void source_close(struct source *source);

/* Up to `max` bytes, at least one, borrowed until the next call; the end is ERROR_FORMAT. */
struct error *source_next(struct source *source, uint64_t max, const uint8_t **ret, size_t *ret_size) _must_check_;
/* Passes over bytes up to `position`, which is not behind. */
struct error *source_skip_to(struct source *source, uint64_t position) _must_check_;

/*
 * Header and index as they came, and beside them what was parsed, entries and extended attributes: rooms (room.h), as
 * of a large payload they are more than all else that the helper holds.
 */
struct index_room {
	uint8_t *bytes;        /* NULL: none */
	size_t index_size;     /* bytes of header and index */
	const char *directory; /* where more room is made; borrowed while the index is read */
	struct index_more *more;
};

void index_room_deinit(struct index_room *room);

/*
 * Reads header and index, compares them with `sha256` (of the header, which holds the index's hash) and parses them.
 * The payload lies in the room, which must outlive it. `directory`: the helper's.
 */
struct error *source_read_index(struct source *source, const uint8_t sha256[SHA256_SIZE], const char *directory,
				struct index_room *ret_room, struct payload *ret) _must_check_;

#endif
