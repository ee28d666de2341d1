/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF cores of a guest's memory (`dump-guest-memory`, `virsh dump --memory-only`): the physical
 * address of each PT_LOAD segment is the guest-physical address of its bytes.
 */
#include <elf.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "image/ops.h"

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

static struct error *elf_open(struct image_file *file, struct image_map *map)
{
	Elf64_Ehdr header;
	uint32_t n = 0;
	struct error *error = io_pread(file->fd, &header, sizeof(header), 0, file->path);

	if (!error)
		error = check_header(file, &header);
	if (!error)
		error = count_segments(file, &header, &n);
	for (uint32_t i = 0; !error && i < n; i++) {
		uint64_t offset = header.e_phoff + (uint64_t)i * sizeof(Elf64_Phdr);
		Elf64_Phdr segment;

		if (offset < header.e_phoff || offset > file->size)
			return error_format(file->path, 32, "its program headers lie outside of the file");
		error = io_pread(file->fd, &segment, sizeof(segment), offset, file->path);
		if (!error)
			error = add_segment(file, &segment, offset, map);
	}
	return error;
}

const struct image_ops elf_core_ops = {
	.name = "elf-core",
	.probe = elf_probe,
	.open = elf_open,
};
