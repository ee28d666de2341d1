/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trim-image IMAGE OUT: an ELF core of only the pages that opening the guest and every walk read; the data of tests
 * and the seeds of fuzzing. Every walk of the copy gives what it gives of the whole.
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tests/unit/guest/edits.h"
#include "tests/unit/guest/walks.h"

#define PAGE 4096u

static struct error *walk_all(struct image *image)
{
	_cleanup_(guest_close_ptr) struct guest *guest = NULL;
	struct error *error;

	edits_record(true);
	error = guest_open(image, NULL, &guest);
	for (size_t i = 0; !error && i < n_walks; i++) {
		size_t items;

		error = walks[i].run(guest, &items);
		if (error)
			error = error_wrap(error, "%s", walks[i].name);
	}
	edits_record(false);
	return error;
}

/* Runs of neighbouring pages; returns how many, and fills `segments` if it is there. */
static size_t make_segments(const uint64_t *pages, size_t n, Elf64_Phdr *segments, uint64_t offset)
{
	size_t n_segments = 0;

	for (size_t i = 0; i < n; i++) {
		if (i == 0 || pages[i] != pages[i - 1] + PAGE) {
			if (segments)
				segments[n_segments] =
					(Elf64_Phdr){.p_type = PT_LOAD, .p_paddr = pages[i], .p_offset = offset};
			n_segments++;
		}
		if (segments) {
			segments[n_segments - 1].p_filesz += PAGE;
			segments[n_segments - 1].p_memsz += PAGE;
		}
		offset += PAGE;
	}
	return n_segments;
}

static int write_core(struct image *image, const uint64_t *pages, size_t n, FILE *out)
{
	size_t n_segments = make_segments(pages, n, NULL, 0);
	_cleanup_(free_ptr) Elf64_Phdr *segments = calloc(n_segments + 1, sizeof(*segments));
	/* Beyond 65534 segments their number would lie elsewhere; walks of small guests do not come near. */
	Elf64_Ehdr header = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(header),
		.e_ehsize = sizeof(header),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (uint16_t)n_segments,
	};
	char page[PAGE];

	if (!segments || n_segments >= PN_XNUM)
		return -1;
	make_segments(pages, n, segments, sizeof(header) + n_segments * sizeof(*segments));
	fwrite(&header, sizeof(header), 1, out);
	fwrite(segments, sizeof(*segments), n_segments, out);
	for (size_t i = 0; i < n; i++) {
		struct error *error = image_read(image, (struct gpa){pages[i]}, page, sizeof(page));

		/* The last page of a RAM block may be partly outside it. */
		if (error) {
			error_destroy(error);
			memset(page, 0, sizeof(page));
		}
		fwrite(page, sizeof(page), 1, out);
	}
	return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}

int main(int argc, char **argv)
{
	_cleanup_(image_close_ptr) struct image *image = NULL;
	_cleanup_(fclose_ptr) FILE *out = NULL;
	const uint64_t *pages;
	struct error *error;
	size_t n;

	if (argc != 3) {
		fprintf(stderr, "usage: trim-image IMAGE OUT\n");
		return 2;
	}
	error = image_open(argv[1], NULL, &image);
	if (!error)
		error = walk_all(image);
	if (error) {
		fprintf(stderr, "trim-image: %s: %s\n", argv[1], error->message);
		error_destroy(error);
		return 1;
	}
	n = edits_pages(&pages);
	out = fopen(argv[2], "w");
	if (!out || write_core(image, pages, n, out) < 0) {
		perror(argv[2]);
		return 1;
	}
	printf("%zu of %llu pages\n", n, (unsigned long long)(image_ram_size(image) / PAGE));
	return 0;
}
