/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's migration stream, as `migrate exec:cat>FILE` writes it (migration/savevm.c and ram.c).
 *
 *   stream  = "QEVM" be32(3) [configuration] section* EOF [description]
 *   section = type id … [0x7e be32(id)]
 *
 * Sections of devices carry no length, so only those up to the end of RAM can be read; QEMU
 * writes them last. Whether the rest arrived is seen at the file's end (qemu_end.c). Of a page sent
 * twice the last copy counts, and a zero page replaces what was there.
 *
 * With the capability mapped-ram (QEMU 9.0; with or without multifd) the pages lie at fixed places
 * instead. Then each block in the list of RAM blocks is followed by
 *
 *   be32(1) be64(page size) be64(offset of the bitmap) be64(offset of the pages)
 *
 * with offsets from the file's beginning; the next block or record comes after the pages. A page
 * without its bit is zero, whatever an earlier copy left at its place.
 *
 * Refused by name: everything that puts pages elsewhere or encodes them (XBZRLE, compression,
 * RDMA, multifd without mapped-ram, postcopy, shared RAM left out of the stream).
 */
#include <string.h>

#include "base/cleanup.h"
#include "image/ops.h"
#include "image/stream.h"

#define STREAM_MAGIC        0x5145564du /* "QEVM" */
#define STREAM_VERSION      3u

#define RAM_SECTION_VERSION 4u

static bool stream_probe(const uint8_t *head, size_t size)
{
	return size >= 4 && memcmp(head, "QEVM", 4) == 0;
}

struct error *stream_unsupported(const struct reader *r, const char *what)
{
	struct error *error = reader_error(r, "the stream uses %s, which cannot be read", what);

	error = error_recode(error, ERROR_UNSUPPORTED);
	return error_remedy(error, "Save the VM again with QEMU's default migration capabilities");
}

#define CAPABILITIES_MAX 256u

/* The capabilities that QEMU writes down are those without which the stream cannot be read. */
static struct error *read_capabilities(struct stream *s)
{
	struct reader *r = &s->reader;
	uint32_t n;
	struct error *error = reader_be32(r, &n);

	if (!error && n > CAPABILITIES_MAX)
		return reader_error(r, "%u capabilities; QEMU has a few dozen", n);
	while (!error && n-- > 0) {
		char name[256];

		error = reader_string8(r, name);
		if (!error && strcmp(name, "x-ignore-shared") == 0)
			return stream_unsupported(r, "x-ignore-shared (shared RAM is not in it)");
		s->mapped = s->mapped || (!error && strcmp(name, "mapped-ram") == 0);
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
	if (s->configured)
		return reader_error(r, "a second configuration");
	s->configured = true;
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

/* A section's end; machines before 2.4 have no footers. */
static struct error *read_footer(struct stream *s)
{
	struct reader *r = &s->reader;
	uint8_t type = SECTION_EOF;
	uint32_t id;
	struct error *error;

	r->what = "a section's end";
	error = peek_type(r, &type);
	s->footers = type == SECTION_FOOTER;
	if (error || !s->footers)
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
		return error_recode(
			reader_error(r, "the device '%s' comes before the end of RAM, and its length is unknown", name),
			ERROR_UNSUPPORTED);
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
	error = stream_read_ram(s);
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
	error = stream_read_ram(s);
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
		return stream_unsupported(r, "postcopy or COLO (a migration command)");
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
	if (!s->has_pages)
		return stream_unsupported(r, "multifd or another way that takes pages elsewhere (it holds none)");
	return stream_check_end(s);
}

struct error *qemu_stream_index(struct image_file *file, uint64_t offset, struct image_map *map)
{
	struct stream s = {.map = map};
	struct error *error;

	reader_init(&s.reader, file, offset);
	error = stream_read(&s);
	if (!error)
		error = error_wrap(layout_place(file, s.machine, s.blocks, s.n_blocks, map), "%s", file->path);
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
