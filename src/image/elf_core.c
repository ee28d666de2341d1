/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF cores of a guest's memory (`dump-guest-memory`, `virsh dump --memory-only`): the physical
 * address of each PT_LOAD segment is the guest-physical address of its bytes.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "image/ops.h"
#include "image/reader.h"

static bool elf_probe(const uint8_t *head, size_t size)
{
	return size >= sizeof(Elf64_Ehdr) && memcmp(head, ELFMAG, SELFMAG) == 0;
}

static struct error *check_header(const struct image_file *file, const Elf64_Ehdr *header)
{
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_type != ET_CORE || header->e_machine != EM_X86_64)
		return error_format(file->path, 0, "an ELF file, but not a 64-bit x86 core");
	if (header->e_phentsize != sizeof(Elf64_Phdr))
		return error_format(file->path, 54, "program headers of %u bytes instead of %zu", header->e_phentsize,
				    sizeof(Elf64_Phdr));
	return NULL;
}

/* The number of program headers: above 65,534 it moves into the first section header. */
static struct error *count_segments(const struct image_file *file, const Elf64_Ehdr *header, uint32_t *ret)
{
	Elf64_Shdr section;
	struct error *error;

	*ret = header->e_phnum;
	if (header->e_phnum != PN_XNUM)
		return NULL;
	if (header->e_shoff < sizeof(*header) || header->e_shentsize != sizeof(section))
		return error_format(file->path, 40,
				    "more than 65534 program headers, but no section header with their number");
	error = io_pread(file->fd, &section, sizeof(section), header->e_shoff, file->path);
	if (!error)
		*ret = section.sh_info;
	return error;
}

static struct error *add_segment(const struct image_file *file, const Elf64_Phdr *segment, uint64_t offset,
				 struct image_map *map)
{
	struct image_region region = {
		.start = segment->p_paddr, .size = segment->p_filesz, .position = segment->p_offset};

	if (segment->p_type != PT_LOAD || segment->p_filesz == 0)
		return NULL;
	if (segment->p_offset > file->size || segment->p_filesz > file->size - segment->p_offset)
		return error_remedy(
			error_format(
				file->path, offset,
				"the file ends at byte %llu, inside the memory at 0x%llx (0x%llx bytes at byte %llu)",
				(unsigned long long)file->size, (unsigned long long)segment->p_paddr,
				(unsigned long long)segment->p_filesz, (unsigned long long)segment->p_offset),
			"The dump is incomplete: take it again");
	if (segment->p_offset == 0)
		return error_format(file->path, offset, "a segment of memory that contains the file's header");
	return image_map_add(map, &region);
}

static struct error *add_segments(struct reader *r, uint32_t n, struct image_map *map)
{
	struct error *error = NULL;

	r->what = "the program headers";
	for (uint32_t i = 0; !error && i < n; i++) {
		uint64_t offset = r->position;
		Elf64_Phdr segment;

		error = reader_copy(r, &segment, sizeof(segment));
		if (!error)
			error = add_segment(r->file, &segment, offset, map);
	}
	return error;
}

/* The kernel writes cores of programs with p_paddr 0: what lies where in a guest they do not say. */
static struct error *check_addresses(const struct image_file *file, const struct image_map *map)
{
	if (map->n_regions < 2)
		return NULL;
	for (size_t i = 0; i < map->n_regions; i++) {
		if (map->regions[i].start != 0)
			return NULL;
	}
	return error_remedy(error_format(file->path, 32, "the core of a program, not of a guest's memory"),
			    "Let the hypervisor dump the guest: virsh dump --memory-only, or dump-guest-memory");
}

static int compare_positions(const void *a, const void *b)
{
	const struct image_region *left = a, *right = b;

	return (left->position > right->position) - (left->position < right->position);
}

/*
 * Each byte of memory has bytes of its own in the file. Thousands of segments that all lie at the same ones would
 * make a small file a guest of terabytes, to be searched. To be called when no two regions overlap in memory.
 */
static struct error *check_sharing(const struct image_file *file, const struct image_map *map)
{
	_cleanup_(free_ptr) struct image_region *regions = calloc(map->n_regions + 1, sizeof(*regions));
	uint64_t claimed = 0, held = 0, end = 0;

	if (!regions)
		return error_no_memory();
	if (map->n_regions > 0)
		memcpy(regions, map->regions, map->n_regions * sizeof(*regions));
	qsort(regions, map->n_regions, sizeof(*regions), compare_positions);
	for (size_t i = 0; i < map->n_regions; i++) {
		uint64_t start = regions[i].position > end ? regions[i].position : end;
		uint64_t region_end = regions[i].position + regions[i].size;

		claimed += regions[i].size;
		held += region_end > start ? region_end - start : 0;
		end = region_end > end ? region_end : end;
	}
	if (claimed <= held)
		return NULL;
	return error_format(file->path, 32,
			    "its segments claim %llu bytes of memory in %llu bytes of a file of %llu: they share them",
			    (unsigned long long)claimed, (unsigned long long)held, (unsigned long long)file->size);
}

static struct error *elf_open(struct image_file *file, struct image_map *map)
{
	_cleanup_(reader_deinit) struct reader r;
	Elf64_Ehdr header;
	uint32_t n = 0;
	struct error *error;

	reader_init(&r, file, 0);
	error = reader_copy(&r, &header, sizeof(header));
	if (!error)
		error = check_header(file, &header);
	if (!error)
		error = count_segments(file, &header, &n);
	if (error)
		return error;
	if (header.e_phoff > file->size || n > IMAGE_REGIONS_MAX)
		return error_format(file->path, 32, "its %u program headers at byte %llu lie outside of the file", n,
				    (unsigned long long)header.e_phoff);
	r.position = header.e_phoff;
	error = add_segments(&r, n, map);
	if (!error)
		error = check_addresses(file, map);
	/* With `-p` (by virtual address) a page is there as often as it is mapped. */
	image_map_trim(map);
	return error ? error : check_sharing(file, map);
}

const struct image_ops elf_core_ops = {
	.name = "elf-core",
	.probe = elf_probe,
	.open = elf_open,
};
