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

struct error *kernel_note_parse(const char *text, size_t size, struct kernel_note *ret)
{
	struct kernel_note note = {0};
	char line[256];

	while (size > 0 && *text) {
		const char *end = memchr(text, '\n', size);
		size_t n = end ? (size_t)(end - text) : size;

		if (n < sizeof(line)) {
			memcpy(line, text, n);
			line[n] = '\0';
			parse_line(line, &note);
		}
		n += end ? 1 : 0;
		text += n;
		size -= n;
	}
	if (!note.release[0] || !note.has_phys_base || !note.init_top_pgt)
		return error_create(ERROR_FORMAT,
				    "the kernel's VMCOREINFO lacks its release, phys_base or init_top_pgt");
	*ret = note;
	return NULL;
}

/* Reads the note at `page`, if there is one. */
static bool read_note(struct image *image, struct gpa page, struct kernel_note *ret)
{
	_cleanup_(error_destroy_ptr) struct error *error = NULL;
	struct note_header header;
	char text[NOTE_SIZE_MAX];
	uint32_t size;

	error = image_read(image, page, &header, sizeof(header));
	if (error)
		return false;
	size = le32toh(header.text_size);
	if (le32toh(header.name_size) != sizeof(NOTE_NAME) || size > sizeof(text) || header.type != 0 ||
	    memcmp(header.name, NOTE_NAME "\0", sizeof(header.name)) != 0)
		return false;
	error = image_read(image, (struct gpa){page.v + sizeof(header)}, text, size);
	if (error)
		return false;
	error = kernel_note_parse(text, size, ret);
	return !error;
}

bool kernel_next_note(struct image *image, struct gpa *from, struct kernel_note *ret)
{
	const uint32_t name_size = htole32(sizeof(NOTE_NAME));
	struct gpa page;

	while (image_find_page(image, *from, &name_size, sizeof(name_size), &page)) {
		from->v = page.v + PAGE_SIZE;
		if (read_note(image, page, ret))
			return true;
	}
	return false;
}
