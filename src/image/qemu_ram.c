/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "image/stream.h"

enum ram_flag {
	RAM_ZERO = 0x02,
	RAM_SIZES = 0x04,
	RAM_PAGE = 0x08,
	RAM_EOS = 0x10,
	RAM_CONTINUE = 0x20,
	RAM_XBZRLE = 0x40,
	RAM_HOOK = 0x80,
	RAM_COMPRESSED = 0x100,
	RAM_MULTIFD_FLUSH = 0x200,
	RAM_FLAGS = 0xfff,
};

/* QEMU has a few dozen at most (RAM, ROMs, video memory, one for each hot-plugged DIMM). */
#define BLOCKS_MAX     1024u

#define MAPPED_VERSION 1u

/* Bytes of a block's bitmap; QEMU writes whole words of 64 bits. */
static uint64_t bitmap_size(const struct ram_block *block)
{
	return (block->size / IMAGE_PAGE_SIZE + 63) / 64 * 8;
}

/* Where a block's pages lie; goes on after them. */
static struct error *read_mapped_header(struct stream *s, struct ram_block *block)
{
	struct reader *r = &s->reader;
	uint64_t start = r->position, page_size, pages;
	uint32_t version;
	struct error *error = reader_be32(r, &version);

	if (!error)
		error = reader_be64(r, &page_size);
	if (!error)
		error = reader_be64(r, &block->bitmap);
	if (!error)
		error = reader_be64(r, &pages);
	if (error)
		return error;
	if (version != MAPPED_VERSION)
		return error_recode(reader_error(r, "version %u of mapped-ram; known is %u", version, MAPPED_VERSION),
				    ERROR_UNSUPPORTED);
	if (page_size != IMAGE_PAGE_SIZE)
		return reader_error(r, "pages of %llu bytes in RAM block '%s' instead of %u",
				    (unsigned long long)page_size, block->name, IMAGE_PAGE_SIZE);
	if (block->bitmap < r->position || block->bitmap > r->file->size || pages < block->bitmap ||
	    pages - block->bitmap < bitmap_size(block) || pages > PAGE_PLACE_OFFSET)
		return reader_error(
			r,
			"RAM block '%s', described at byte %llu, has its bitmap at byte %llu and its pages at "
			"byte %llu",
			block->name, (unsigned long long)start, (unsigned long long)block->bitmap,
			(unsigned long long)pages);
	block->mapped = true;
	block->position = pages;
	error = reader_skip(r, pages - r->position);
	return error ? error : reader_skip(r, block->size);
}

/* Which pages of a block the file holds. Its size was checked against the file's. */
static struct error *read_bitmap(struct stream *s, struct ram_block *block)
{
	uint64_t size = bitmap_size(block);
	uint8_t *bitmap = malloc(size);
	struct error *error;

	if (!bitmap)
		return error_no_memory();
	error = image_map_keep(s->map, bitmap);
	if (!error)
		error = image_file_read(s->reader.file, bitmap, size, block->bitmap);
	block->present = bitmap;
	return error;
}

static struct error *read_block(struct stream *s, uint64_t *left)
{
	struct reader *r = &s->reader;
	struct ram_block block = {0}, *blocks;
	struct error *error = reader_string8(r, block.name);

	if (!error)
		error = reader_be64(r, &block.size);
	if (error)
		return error;
	if (block.size == 0 || block.size % IMAGE_PAGE_SIZE || block.size > *left)
		return reader_error(r, "RAM block '%s' of 0x%llx bytes, with 0x%llx left of the total", block.name,
				    (unsigned long long)block.size, (unsigned long long)*left);
	if (s->n_blocks >= BLOCKS_MAX)
		return reader_error(r, "more than %u RAM blocks", BLOCKS_MAX);
	blocks = reallocarray(s->blocks, s->n_blocks + 1, sizeof(*blocks));
	if (!blocks)
		return error_no_memory();
	s->blocks = blocks;
	*left -= block.size;
	error = s->mapped ? read_mapped_header(s, &block) : NULL;
	s->blocks[s->n_blocks++] = block;
	return error;
}

/* Gives blocks that are read their pages in the map's table, or their bitmaps. */
static struct error *prepare_blocks(struct stream *s)
{
	uint64_t pages = 0;
	struct error *error = layout_assign(s->blocks, s->n_blocks, &pages);

	if (error)
		return error_wrap(error, "%s", s->reader.file->path);
	for (size_t i = 0; !error && i < s->n_blocks; i++) {
		if (s->mapped && s->blocks[i].role != ROLE_DEVICE)
			error = read_bitmap(s, &s->blocks[i]);
	}
	s->has_pages = s->mapped;
	return error ? error : page_table_init(&s->map->pages, pages);
}

/* The list of RAM blocks with their sizes, which comes before any page. */
static struct error *read_sizes(struct stream *s, uint64_t total)
{
	struct reader *r = &s->reader;
	struct error *error;

	r->what = "the list of RAM blocks";
	if (s->n_blocks)
		return reader_error(r, "a second list of RAM blocks");
	if (total == 0 || total > IMAGE_RAM_MAX)
		return reader_error(r, "0x%llx bytes of RAM", (unsigned long long)total);
	while (total > 0) {
		error = read_block(s, &total);
		if (error)
			return error;
	}
	return prepare_blocks(s);
}

static struct error *damaged(const struct stream *s, const char *format, ...) _printf_(2, 3);

/* A record that QEMU never writes: from its first byte on at the latest, the stream is not what was saved. */
static struct error *damaged(const struct stream *s, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_remedy(error_format(s->reader.file->path, s->record, "the stream is damaged at byte %llu: %s",
					 (unsigned long long)s->record, text),
			    "Copy the file again from where it was saved, or suspend the VM again");
}

static struct error *find_block(struct stream *s, bool same, const struct ram_block **ret)
{
	struct reader *r = &s->reader;
	char name[256];
	struct error *error;

	if (same && !s->current)
		return damaged(s, "a page of the same RAM block as before, but none came before");
	if (same) {
		*ret = s->current;
		return NULL;
	}
	error = reader_string8(r, name);
	if (error)
		return error;
	for (size_t i = 0; i < s->n_blocks; i++) {
		if (strcmp(s->blocks[i].name, name) != 0)
			continue;
		*ret = s->current = &s->blocks[i];
		return NULL;
	}
	return damaged(s, "a page of a RAM block that is not in the list");
}

/* The block of a page, which has the offset. */
static struct error *find_page_block(struct stream *s, uint64_t offset, uint64_t flags, const struct ram_block **ret)
{
	struct error *error = find_block(s, flags & RAM_CONTINUE, ret);

	if (error || offset < (*ret)->size)
		return error;
	return damaged(s, "a page at 0x%llx of RAM block '%s', which has 0x%llx bytes", (unsigned long long)offset,
		       (*ret)->name, (unsigned long long)(*ret)->size);
}

/* The content of a page, which stays where it is: its place. */
static struct error *pass_content(struct stream *s, uint64_t *ret)
{
	struct reader *r = &s->reader;
	uint64_t place = r->position;
	const uint8_t *content;
	uint32_t head;
	struct error *error = reader_peek(r, sizeof(head), &content);

	if (error)
		return error;
	if (place > PAGE_PLACE_OFFSET)
		return reader_error(r, "a page beyond byte 2^48");
	memcpy(&head, content, sizeof(head));
	*ret = page_place(place, head);
	return reader_skip(r, IMAGE_PAGE_SIZE);
}

static struct error *pass_fill(struct stream *s, uint64_t *ret)
{
	uint8_t fill;
	struct error *error = reader_u8(&s->reader, &fill);

	if (!error)
		*ret = PAGE_PLACE_FILL | fill;
	return error;
}

static struct error *read_page(struct stream *s, uint64_t offset, uint64_t flags)
{
	struct reader *r = &s->reader;
	const struct ram_block *block;
	uint64_t place = PAGE_PLACE_ABSENT;
	struct error *error = find_page_block(s, offset, flags, &block);

	if (error)
		return error;
	if (block->mapped)
		return reader_error(r, "a page of RAM block '%s' among the records, but its pages lie elsewhere",
				    block->name);
	error = flags & RAM_ZERO ? pass_fill(s, &place) : pass_content(s, &place);
	if (error || block->role == ROLE_DEVICE)
		return error;
	s->has_pages = s->has_pages || block->role == ROLE_RAM;
	return page_table_set(&s->map->pages, block->first_page + offset / IMAGE_PAGE_SIZE, place);
}

/* Refuses what QEMU's capabilities can put into a stream, after its header was found to be sound. */
static struct error *refuse_record(struct stream *s, uint64_t offset, uint64_t flags)
{
	struct reader *r = &s->reader;
	const struct ram_block *block;
	struct error *error = NULL;

	if (flags == RAM_HOOK && offset == 0)
		return stream_unsupported(r, "RDMA (the RAM flag 0x80)");
	if (flags == RAM_MULTIFD_FLUSH && offset == 0)
		return stream_unsupported(r, "multifd without mapped-ram (the RAM flag 0x200)");
	if ((flags & ~(uint64_t)RAM_CONTINUE) != RAM_XBZRLE && (flags & ~(uint64_t)RAM_CONTINUE) != RAM_COMPRESSED)
		return damaged(s, "a RAM record at 0x%llx with the flags 0x%llx", (unsigned long long)offset,
			       (unsigned long long)flags);
	error = find_page_block(s, offset, flags, &block);
	if (error)
		return error;
	return stream_unsupported(r, flags & RAM_XBZRLE ? "XBZRLE (the RAM flag 0x40)"
							: "compressed pages (the RAM flag 0x100)");
}

/* The records of one RAM section, to their end mark. */
struct error *stream_read_ram(struct stream *s)
{
	struct reader *r = &s->reader;

	for (;;) {
		uint64_t head, flags;
		struct error *error;

		r->what = "the RAM pages";
		s->record = r->position;
		error = reader_be64(r, &head);
		if (error)
			return error;
		flags = head & RAM_FLAGS;
		head &= ~(uint64_t)RAM_FLAGS;
		if (flags == RAM_MULTIFD_FLUSH && head == 0 && s->mapped)
			continue; /* the other channels' pages are in their places by now */
		if (flags == RAM_EOS && head == 0)
			return NULL;
		if (flags == RAM_SIZES)
			error = read_sizes(s, head);
		else if ((flags & ~(uint64_t)RAM_CONTINUE) == RAM_ZERO || (flags & ~(uint64_t)RAM_CONTINUE) == RAM_PAGE)
			error = read_page(s, head, flags);
		else
			error = refuse_record(s, head, flags);
		if (error)
			return error;
	}
}
