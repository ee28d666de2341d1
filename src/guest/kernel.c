/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the kernel by VMCOREINFO, the ELF note that every kernel with crash-dump support keeps
 * in a page of its own (kernel/crash_core.c, vmcore_info.c since 6.9): text of KEY=VALUE lines.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/internal.h"

struct note_header {
	uint32_t name_size, text_size, type; /* little-endian, as the guest is */
	char name[12];                       /* "VMCOREINFO", padded */
};

#define NOTE_NAME "VMCOREINFO"

/* How a line's number is written. */
enum note_base {
	NOTE_HEX = 16,
	NOTE_DECIMAL = 10
};

/* Parses a whole number; signed ones wrap to two's complement. False: not one. */
static bool parse_number(const char *text, enum note_base base, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = text[0] == '-' ? (uint64_t)strtoll(text, &end, base) : strtoull(text, &end, base);
	return errno == 0 && end != text && *end == '\0';
}

static void parse_line(const char *line, struct kernel_note *note)
{
	uint64_t five_levels = 0, phys_base = 0;
	const struct {
		const char *key;
		enum note_base base;
		uint64_t *ret;
	} keys[] = {
		{"NUMBER(phys_base)=", NOTE_DECIMAL, &phys_base},
		{"NUMBER(pgtable_l5_enabled)=", NOTE_DECIMAL, &five_levels},
		{"NUMBER(sme_mask)=", NOTE_DECIMAL, &note->sme_mask},
		{"SYMBOL(init_top_pgt)=", NOTE_HEX, &note->init_top_pgt},
		{"SYMBOL(_stext)=", NOTE_HEX, &note->stext},
		{"SYMBOL(kallsyms_names)=", NOTE_HEX, &note->kallsyms_names},
		{"SYMBOL(kallsyms_num_syms)=", NOTE_HEX, &note->kallsyms_num_syms},
		{"SYMBOL(kallsyms_token_table)=", NOTE_HEX, &note->kallsyms_token_table},
		{"SYMBOL(kallsyms_token_index)=", NOTE_HEX, &note->kallsyms_token_index},
		{"SYMBOL(kallsyms_offsets)=", NOTE_HEX, &note->kallsyms_offsets},
		{"SYMBOL(kallsyms_relative_base)=", NOTE_HEX, &note->kallsyms_relative_base},
		{"SYMBOL(kallsyms_addresses)=", NOTE_HEX, &note->kallsyms_addresses},
	};

	if (strncmp(line, "OSRELEASE=", 10) == 0) {
		snprintf(note->release, sizeof(note->release), "%.64s", line + 10);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		uint64_t value;

		if (strncmp(line, keys[i].key, strlen(keys[i].key)) != 0 ||
		    !parse_number(line + strlen(keys[i].key), keys[i].base, &value))
			continue;
		*keys[i].ret = value;
		if (keys[i].ret == &phys_base) {
			note->phys_base = (int64_t)phys_base;
			note->has_phys_base = true;
		}
		if (keys[i].ret == &five_levels)
			note->five_levels = five_levels != 0;
	}
}

/* Takes what the text has; what is missing stays 0. */
static void parse_text(const char *text, size_t size, struct kernel_note *note)
{
	char line[256];

	while (size > 0 && *text) {
		const char *end = memchr(text, '\n', size);
		size_t n = end ? (size_t)(end - text) : size;

		if (n < sizeof(line)) {
			memcpy(line, text, n);
			line[n] = '\0';
			parse_line(line, note);
		}
		n += end ? 1 : 0;
		text += n;
		size -= n;
	}
}

struct error *kernel_note_parse(const char *text, size_t size, struct kernel_note *ret)
{
	struct kernel_note note = {0};

	parse_text(text, size, &note);
	if (!note.release[0] || !note.has_phys_base || !note.init_top_pgt)
		return error_create(ERROR_FORMAT,
				    "the kernel's VMCOREINFO lacks its release, phys_base or init_top_pgt");
	*ret = note;
	return NULL;
}

/* Reads the text of the note at `page`, if there is one; 0: there is not. */
static size_t read_note(struct image *image, struct gpa page, char text[NOTE_SIZE_MAX])
{
	struct note_header header;
	uint32_t size;
	struct error *error = image_read(image, page, &header, sizeof(header));

	error_destroy(error);
	if (error)
		return 0;
	size = le32toh(header.text_size);
	if (le32toh(header.name_size) != sizeof(NOTE_NAME) || size > NOTE_SIZE_MAX || header.type != 0 ||
	    memcmp(header.name, NOTE_NAME "\0", sizeof(header.name)) != 0)
		return 0;
	error = image_read(image, (struct gpa){page.v + sizeof(header)}, text, size);
	error_destroy(error);
	return error ? 0 : size;
}

/* The next page at or above *from with a note; moves *from behind it. 0: there is none. */
static size_t next_note(struct image *image, struct gpa *from, char text[NOTE_SIZE_MAX])
{
	const uint32_t name_size = htole32(sizeof(NOTE_NAME));
	struct gpa page;

	while (image_find_page(image, *from, &name_size, sizeof(name_size), &page)) {
		size_t size = read_note(image, page, text);

		from->v = page.v + PAGE_SIZE;
		if (size > 0)
			return size;
	}
	return 0;
}

bool kernel_next_note(struct image *image, struct gpa *from, struct kernel_note *ret)
{
	char text[NOTE_SIZE_MAX];
	size_t size;

	while ((size = next_note(image, from, text)) > 0) {
		struct error *error = kernel_note_parse(text, size, ret);

		error_destroy(error);
		if (!error)
			return true;
	}
	return false;
}

bool kernel_find_foreign(struct image *image, struct kernel_note *ret)
{
	char text[NOTE_SIZE_MAX];
	struct gpa from = {0};
	size_t size;

	while ((size = next_note(image, &from, text)) > 0) {
		struct kernel_note note = {0};

		parse_text(text, size, &note);
		if (note.release[0] && !note.has_phys_base) {
			*ret = note;
			return true;
		}
	}
	return false;
}
