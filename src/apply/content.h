/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one new file: their checksum is made while they are written, wherever they come from. A struct content
 * is one file under way at a time and knows of no other, so that several threads have one each:
 *
 *   content_begin(), then content_write() with all bytes in order, in pieces of any size, then content_end().
 *
 * After an error it can only begin anew.
 */
#ifndef APPLY_CONTENT_H
#define APPLY_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apply/source.h"
#include "base/checksum.h"

struct content {
	struct checksum *checksum;
	const struct payload_entry *entry; /* borrowed */
	int fd;                            /* empty file, at its start; borrowed */
	uint64_t position;                 /* bytes so far */
	bool past_cache;                   /* whole blocks of it may go past the page cache */
	bool direct;                       /* the descriptor has O_DIRECT now */
};

struct error *content_init(struct content *content) _must_check_;
void content_deinit(struct content *content);

/* `entry` is a WRITE; both are borrowed until content_end(). */
void content_begin(struct content *content, const struct payload_entry *entry, int fd);
/* More bytes than the entry has are ERROR_FORMAT. */
struct error *content_write(struct content *content, const uint8_t *bytes, size_t n) _must_check_;
/* All bytes are there and are the right ones (ERROR_FORMAT if not); the file has its size. */
struct error *content_end(struct content *content) _must_check_;

/* Writes what is still missing from the source, whose next byte it is. */
struct error *content_from_source(struct content *content, struct source *source) _must_check_;

/*
 * All of it, from a file that was written with the same content; `same_holes`: its holes are where they should be here.
 * The file system shares the bytes where it can. Comes after content_begin() and stands for the rest: bytes that do not
 * pass through here were compared with the hash when that file was written.
 */
struct error *content_share(struct content *content, int from, bool same_holes) _must_check_;

#endif
