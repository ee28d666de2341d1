/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of a made QEMU migration stream. */
#ifndef TESTS_UNIT_IMAGE_MADE_STREAM_H
#define TESTS_UNIT_IMAGE_MADE_STREAM_H

#include "tests/unit/image/made.h"

#define PAGE 4096u

enum {
	FULL = 0x01,
	ZERO = 0x02,
	SIZES = 0x04,
	COPY = 0x08,
	EOS = 0x10,
	SAME = 0x20
};

static inline void put_start(struct made *m, const char *machine)
{
	put_be32(m, 0x5145564d);
	put_be32(m, 3);
	put_u8(m, 7);
	put_be32(m, (uint32_t)strlen(machine));
	put(m, machine, strlen(machine));
}

static inline void put_ram_start(struct made *m)
{
	put_u8(m, 1);
	put_be32(m, 2);
	put_name(m, "ram");
	put_be32(m, 0);
	put_be32(m, 4);
}

static inline void put_sizes(struct made *m, const char *name, uint64_t size, const char *other, uint64_t other_size)
{
	put_be64(m, (size + other_size) | SIZES);
	put_name(m, name);
	put_be64(m, size);
	if (other) {
		put_name(m, other);
		put_be64(m, other_size);
	}
}

static inline void put_page(struct made *m, const char *block, uint64_t page, uint8_t fill)
{
	put_be64(m, page * PAGE | COPY | (block ? 0 : SAME));
	if (block)
		put_name(m, block);
	put_fill(m, fill, PAGE);
}

static inline void put_zero(struct made *m, const char *block, uint64_t page, uint8_t fill)
{
	put_be64(m, page * PAGE | ZERO | (block ? 0 : SAME));
	if (block)
		put_name(m, block);
	put_u8(m, fill);
}

static inline void put_footer(struct made *m, uint32_t id)
{
	put_u8(m, 0x7e);
	put_be32(m, id);
}

static inline void put_section_end(struct made *m)
{
	put_be64(m, EOS);
	put_footer(m, 2);
}

static inline void put_section(struct made *m, uint8_t type)
{
	put_u8(m, type);
	put_be32(m, 2);
}

static inline void put_device(struct made *m)
{
	put_u8(m, 4);
	put_be32(m, 3);
	put_name(m, "timer");
	put_be32(m, 0);
	put_be32(m, 2);
	put_fill(m, 0, 24);
	put_footer(m, 3);
}

#define DESCRIPTION      "{\"page_size\": 4096, \"devices\": []}"
#define DESCRIPTION_SIZE (5 + sizeof(DESCRIPTION) - 1)

/* A device and what stands at the stream's end. */
static inline void put_rest(struct made *m)
{
	put_device(m);
	put_u8(m, 0);
	put_u8(m, 6);
	put_be32(m, (uint32_t)strlen(DESCRIPTION));
	put(m, DESCRIPTION, strlen(DESCRIPTION));
}

/* To the place where records of pages go: 8 pages of RAM, 1 of video memory. */
static inline void put_head(struct made *m)
{
	put_start(m, "pc-i440fx-7.2");
	put_ram_start(m);
	put_sizes(m, "pc.ram", 8 * PAGE, "vga.vram", PAGE);
}

static inline void put_end(struct made *m)
{
	put_section_end(m);
	put_section(m, 3);
	put_section_end(m);
	put_rest(m);
}

static inline void put_whole(struct made *m)
{
	put_head(m);
	for (uint8_t i = 0; i < 4; i++)
		put_page(m, i ? NULL : "pc.ram", i, (uint8_t)(0x10 + i));
	put_page(m, "vga.vram", 0, 0x77);
	for (uint8_t i = 4; i < 7; i++)
		put_zero(m, i == 4 ? "pc.ram" : NULL, i, 0);
	put_section_end(m);
	put_section(m, 2);
	put_page(m, "pc.ram", 1, 0x21); /* a page again */
	put_zero(m, NULL, 2, 0);        /* a page becomes zero */
	put_page(m, NULL, 4, 0x24);     /* a zero page gets content */
	put_end(m);
}

#endif
