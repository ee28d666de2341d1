/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's migration stream, as `migrate exec:cat>FILE` writes it (migration/savevm.c and ram.c).
 *
 *   stream  = "QEVM" be32(3) [configuration] section* EOF description
 *   section = type id … [0x7e be32(id)]
 *
 * Sections of devices carry no length, so only those up to the end of RAM can be read; QEMU
 * writes them last. Whether the rest arrived is seen at the file's end, where a description in
 * JSON with its own length follows. Of a page sent twice the last copy counts, and a zero page
 * replaces what was there.
 *
 * Refused by name: everything that puts pages elsewhere or encodes them (XBZRLE, compression,
 * RDMA, multifd, postcopy, shared RAM left out of the stream).
 */
#include <string.h>

#include "base/cleanup.h"
#include "image/layout.h"
#include "image/ops.h"
#include "image/reader.h"

#define STREAM_MAGIC   0x5145564du /* "QEVM" */
#define STREAM_VERSION 3u

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

enum ram_flag {
	RAM_FULL = 0x01,
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

#define RAM_SECTION_VERSION 4u
/* QEMU has a few dozen at most (RAM, ROMs, video memory, one for each hot-plugged DIMM). */
#define BLOCKS_MAX          1024u

struct stream {
	struct reader reader;
	struct image_map *map;
	char machine[256]; /* "pc-q35-7.2"; empty: an old machine without a configuration section */
	bool ram_started;
	uint32_t ram_id; /* section id */
	struct ram_block *blocks;
	size_t n_blocks;
	size_t ram;                      /* the block that is the guest's RAM */
	const struct ram_block *current; /* of the last record, for RAM_CONTINUE */
};

static bool stream_probe(const uint8_t *head, size_t size)
{
	return size >= 4 && memcmp(head, "QEVM", 4) == 0;
}

static struct error *unsupported(const struct reader *r, const char *what)
{
	struct error *error = reader_error(r, "the stream uses %s, which cannot be read", what);

	error = error_recode(error, ERROR_UNSUPPORTED);
	return error_remedy(error, "Save the VM again with QEMU's default migration capabilities");
}

/* The capabilities that QEMU writes down are those without which the stream cannot be read. */
static struct error *read_capabilities(struct stream *s)
{
	struct reader *r = &s->reader;
	uint32_t n;
	struct error *error = reader_be32(r, &n);

	while (!error && n-- > 0) {
		char name[256];

		error = reader_string8(r, name);
		if (!error && (strcmp(name, "x-ignore-shared") == 0 || strcmp(name, "mapped-ram") == 0 ||
			       strcmp(name, "multifd") == 0 || strcmp(name, "xbzrle") == 0))
			return unsupported(r, name);
	}
	return error;
}

static struct error *read_page_bits(struct stream *s)
{
	uint32_t bits;
	struct error *error = reader_be32(&s->reader, &bits);

	if (!error && bits != 12)
		return reader_error(&s->reader, "pages of 2^%u bytes; a guest for x86 has 2^12", bits);
	return error;
}

/* One subsection of the configuration, after its type byte. */
static struct error *read_configuration_part(struct stream *s)
{
	struct reader *r = &s->reader;
	char name[256];
	uint32_t version;
	struct error *error = reader_string8(r, name);

	if (!error)
		error = reader_be32(r, &version);
	if (error)
		return error;
	if (strcmp(name, "configuration/capabilities") == 0)
		return read_capabilities(s);
	if (strcmp(name, "configuration/target-page-bits") == 0)
		return read_page_bits(s);
	if (strcmp(name, "configuration/uuid") == 0)
		return reader_skip(r, 16);
	return error_recode(reader_error(r, "unknown part '%s' of the configuration", name), ERROR_UNSUPPORTED);
}

static struct error *peek_type(struct reader *r, uint8_t *ret)
{
	struct error *error = reader_u8(r, ret);

	if (!error)
		r->position--;
	return error;
}

static struct error *read_configuration(struct stream *s)
{
	struct reader *r = &s->reader;
	uint32_t size;
	uint8_t type;
	struct error *error;

	r->what = "the configuration";
	error = reader_be32(r, &size);
	if (error)
		return error;
	if (size >= sizeof(s->machine))
		return reader_error(r, "a machine name of %u bytes", size);
	error = reader_copy(r, s->machine, size);
	if (error)
		return error;
	s->machine[size] = '\0';
	while (!(error = peek_type(r, &type)) && type == SECTION_SUBSECTION) {
		r->position++;
		error = read_configuration_part(s);
		if (error)
			return error;
	}
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
	s->blocks[s->n_blocks++] = block;
	*left -= block.size;
	return NULL;
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
	error = layout_find_ram(s->blocks, s->n_blocks, &s->ram);
	if (error)
		return error_wrap(error, "%s", r->file->path);
	return page_table_init(&s->map->pages, s->blocks[s->ram].size / IMAGE_PAGE_SIZE);
}

static struct error *find_block(struct stream *s, bool same, const struct ram_block **ret)
{
	struct reader *r = &s->reader;
	char name[256];
	struct error *error;

	if (same && !s->current)
		return reader_error(r, "a page of the same RAM block as before, but none came before");
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
	return reader_error(r, "a page of RAM block '%s', which is not in the list", name);
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
	struct error *error = find_block(s, flags & RAM_CONTINUE, &block);

	if (error)
		return error;
	if (offset >= block->size)
		return reader_error(r, "a page at 0x%llx of RAM block '%s', which has 0x%llx bytes",
				    (unsigned long long)offset, block->name, (unsigned long long)block->size);
	error = flags & RAM_ZERO ? pass_fill(s, &place) : pass_content(s, &place);
	if (error || block != &s->blocks[s->ram])
		return error;
	return page_table_set(&s->map->pages, offset / IMAGE_PAGE_SIZE, place);
}

/* What a flag that is not handled means, or NULL. */
static const char *foreign_flag(uint64_t flags)
{
	if (flags & RAM_FULL)
		return "the RAM flag 0x01 (obsolete)";
	if (flags & RAM_XBZRLE)
		return "XBZRLE (the RAM flag 0x40)";
	if (flags & RAM_HOOK)
		return "RDMA (the RAM flag 0x80)";
	if (flags & RAM_COMPRESSED)
		return "compressed pages (the RAM flag 0x100)";
	if (flags & RAM_MULTIFD_FLUSH)
		return "multifd (the RAM flag 0x200)";
	if (flags & RAM_FLAGS & ~(RAM_ZERO | RAM_SIZES | RAM_PAGE | RAM_EOS | RAM_CONTINUE))
		return "an unknown RAM flag above 0x200";
	return NULL;
}

/* The records of one RAM section, to their end mark. */
static struct error *read_ram(struct stream *s)
{
	struct reader *r = &s->reader;

	for (;;) {
		uint64_t head, flags;
		struct error *error;

		r->what = "the RAM pages";
		error = reader_be64(r, &head);
		if (error)
			return error;
		flags = head & RAM_FLAGS;
		head &= ~(uint64_t)RAM_FLAGS;
		if (foreign_flag(flags))
			return unsupported(r, foreign_flag(flags));
		if (flags == RAM_EOS)
			return NULL;
		if (flags == RAM_SIZES)
			error = read_sizes(s, head);
		else if ((flags & ~(uint64_t)RAM_CONTINUE) == RAM_ZERO || (flags & ~(uint64_t)RAM_CONTINUE) == RAM_PAGE)
			error = read_page(s, head, flags);
		else
			error = reader_error(r, "a RAM record with the flags 0x%llx", (unsigned long long)flags);
		if (error)
			return error;
	}
}

/* A section's end; machines before 2.4 have no footers. */
static struct error *read_footer(struct stream *s)
{
	struct reader *r = &s->reader;
	uint8_t type;
	uint32_t id;
	struct error *error;

	r->what = "a section's end";
	error = peek_type(r, &type);
	if (error || type != SECTION_FOOTER)
		return error;
	r->position++;
	error = reader_be32(r, &id);
	if (!error && id != s->ram_id)
		return reader_error(r, "section %u ends where section %u should", id, s->ram_id);
	return error;
}

static struct error *read_start(struct stream *s, uint8_t type)
{
	struct reader *r = &s->reader;
	uint32_t id, instance, version;
	char name[256];
	struct error *error = reader_be32(r, &id);

	if (!error)
		error = reader_string8(r, name);
	if (!error)
		error = reader_be32(r, &instance);
	if (!error)
		error = reader_be32(r, &version);
	if (error)
		return error;
	if (type == SECTION_FULL)
		return reader_error(r, "device section '%s' before the end of RAM", name);
	if (strcmp(name, "ram") != 0)
		return error_recode(reader_error(r, "section '%s' cannot be read", name), ERROR_UNSUPPORTED);
	if (version != RAM_SECTION_VERSION)
		return error_recode(
			reader_error(r, "version %u of the RAM section; known is %u", version, RAM_SECTION_VERSION),
			ERROR_UNSUPPORTED);
	if (s->ram_started)
		return reader_error(r, "a second RAM section");
	s->ram_started = true;
	s->ram_id = id;
	error = read_ram(s);
	return error ? error : read_footer(s);
}

static struct error *read_continued(struct stream *s)
{
	struct reader *r = &s->reader;
	uint32_t id;
	struct error *error = reader_be32(r, &id);

	if (error)
		return error;
	if (!s->ram_started || id != s->ram_id)
		return reader_error(r, "section %u goes on, but it has not begun", id);
	error = read_ram(s);
	return error ? error : read_footer(s);
}

/* A command to the destination; those of postcopy change how RAM travels. */
static struct error *read_command(struct stream *s)
{
	struct reader *r = &s->reader;
	uint16_t command, size;
	struct error *error;

	r->what = "a command";
	error = reader_be16(r, &command);
	if (!error)
		error = reader_be16(r, &size);
	if (error)
		return error;
	if (command >= 3 && command <= 10)
		return unsupported(r, "postcopy or COLO (a migration command)");
	return reader_skip(r, size);
}

/* Reads one section; *done: it was the end of RAM. */
static struct error *read_section(struct stream *s, bool *done)
{
	struct reader *r = &s->reader;
	uint8_t type;
	struct error *error;

	r->what = "a section's header";
	error = reader_u8(r, &type);
	if (error)
		return error;
	switch (type) {
	case SECTION_CONFIGURATION:
		return read_configuration(s);
	case SECTION_START:
	case SECTION_FULL:
		return read_start(s, type);
	case SECTION_PART:
	case SECTION_END:
		*done = type == SECTION_END;
		return read_continued(s);
	case SECTION_COMMAND:
		return read_command(s);
	case SECTION_EOF:
		return reader_error(r, "the stream ends before its RAM does");
	default:
		return reader_error(r, "a section of type 0x%02x", type);
	}
}

#define TAIL_MAX (8u * 1024 * 1024)

/* Whether the bytes end in: EOF, 0x06, be32 length, JSON of that length. */
static bool ends_in_description(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + 7 <= size; i++) {
		uint64_t left = size - i - 6;

		if (data[i] == SECTION_EOF && data[i + 1] == SECTION_DESCRIPTION && data[i + 6] == '{' &&
		    left == ((uint64_t)data[i + 2] << 24 | data[i + 3] << 16 | data[i + 4] << 8 | data[i + 5]))
			return true;
	}
	return false;
}

/*
 * The devices' state after RAM has no lengths; but a complete stream ends in its own
 * description, and one that was cut off does not.
 */
static struct error *check_end(struct stream *s)
{
	struct reader *r = &s->reader;
	uint64_t ram_end = r->position, start = ram_end;
	_cleanup_(free_ptr) uint8_t *tail = NULL;
	size_t size;
	struct error *error;

	if (r->file->size - start > TAIL_MAX)
		start = r->file->size - TAIL_MAX;
	size = r->file->size - start;
	tail = malloc(size + 1);
	if (!tail)
		return error_no_memory();
	error = image_file_read(r->file, tail, size, start);
	if (error)
		return error;
	while (size > 0 && tail[size - 1] != '}')
		size--;
	if (ends_in_description(tail, size))
		return NULL;
	r->position = r->file->size;
	error = reader_error(r, "the file ends at byte %llu, inside the devices' state (RAM ends at byte %llu)",
			     (unsigned long long)r->file->size, (unsigned long long)ram_end);
	return error_remedy(error, "The memory image is incomplete: suspend the VM again, or take a whole copy");
}

static struct error *stream_read(struct stream *s)
{
	struct reader *r = &s->reader;
	uint32_t magic, version;
	bool done = false;
	struct error *error = reader_be32(r, &magic);

	if (!error)
		error = reader_be32(r, &version);
	if (error)
		return error;
	if (magic != STREAM_MAGIC)
		return reader_error(r, "no QEMU migration stream begins here");
	if (version != STREAM_VERSION)
		return error_recode(
			reader_error(r, "version %u of the migration stream; known is %u", version, STREAM_VERSION),
			ERROR_UNSUPPORTED);
	while (!done) {
		error = read_section(s, &done);
		if (error)
			return error;
	}
	if (s->n_blocks == 0)
		return reader_error(r, "the stream has no list of RAM blocks");
	return check_end(s);
}

struct error *qemu_stream_index(struct image_file *file, uint64_t offset, struct image_map *map)
{
	struct stream s = {.map = map};
	struct error *error;

	reader_init(&s.reader, file, offset);
	error = stream_read(&s);
	if (!error)
		error = layout_split(file, s.machine, s.blocks[s.ram].size, map);
	reader_deinit(&s.reader);
	free(s.blocks);
	return error;
}

static struct error *stream_open(struct image_file *file, struct image_map *map)
{
	return qemu_stream_index(file, 0, map);
}

const struct image_ops qemu_stream_ops = {
	.name = "qemu-stream",
	.probe = stream_probe,
	.open = stream_open,
};
