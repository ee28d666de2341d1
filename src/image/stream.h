/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of QEMU's migration stream, whose format qemu_stream.c describes. Private to it. */
#ifndef IMAGE_STREAM_H
#define IMAGE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/layout.h"
#include "image/map.h"
#include "image/reader.h"

enum section_type {
	SECTION_EOF = 0x00,
	SECTION_START = 0x01,
	SECTION_PART = 0x02,
	SECTION_END = 0x03,
	SECTION_FULL = 0x04,
	SECTION_SUBSECTION = 0x05,
	SECTION_DESCRIPTION = 0x06,
	SECTION_CONFIGURATION = 0x07,
	SECTION_COMMAND = 0x08,
	SECTION_FOOTER = 0x7e,
};

struct stream {
	struct reader reader;
	struct image_map *map;
	char machine[256]; /* "pc-q35-7.2"; empty: an old machine without a configuration section */
	bool configured;   /* the configuration was read */
	bool mapped;       /* pages lie at fixed places: the capability mapped-ram */
	bool ram_started;
	bool footers;    /* sections end in one: machines since 2.4 */
	uint32_t ram_id; /* section id */
	struct ram_block *blocks;
	size_t n_blocks;
	uint64_t record;                 /* file offset of the RAM record being read */
	bool has_pages;                  /* some page of RAM came */
	const struct ram_block *current; /* of the last record, for RAM_CONTINUE */
};

/* What is read is right, but not for us: by its name. */
struct error *stream_unsupported(const struct reader *r, const char *what) _must_check_;

/* The records of one RAM section, to their end mark (qemu_ram.c). */
struct error *stream_read_ram(struct stream *s) _must_check_;

/* Whether the stream, which is read to the end of RAM, goes on to its own end (qemu_end.c). */
struct error *stream_check_end(struct stream *s) _must_check_;

#endif
