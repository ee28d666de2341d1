/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as the memory of a guest from guest-physical 0 on, for the targets of guest/. */
#ifndef TESTS_FUZZ_MEMORY_H
#define TESTS_FUZZ_MEMORY_H

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "image/image.h"

/* NULL if the bytes cannot be made an image. */
static inline struct image *fuzz_memory(const uint8_t *data, size_t size)
{
	_cleanup_(close_fd) int fd = memfd_create("memory", MFD_CLOEXEC);
	const struct {
		Elf64_Ehdr file;
		Elf64_Phdr segment;
	} header = {
		.file = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			 .e_type = ET_CORE,
			 .e_machine = EM_X86_64,
			 .e_phoff = sizeof(header.file),
			 .e_phentsize = sizeof(header.segment),
			 .e_phnum = 1},
		.segment = {.p_type = PT_LOAD, .p_offset = sizeof(header), .p_filesz = size},
	};
	struct image *image = NULL;
	char path[64];
	struct error *error;

	if (fd < 0 || write(fd, &header, sizeof(header)) != sizeof(header) || write(fd, data, size) != (ssize_t)size)
		return NULL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	error = image_open(path, NULL, &image);
	error_destroy(error);
	return error ? NULL : image;
}

#endif
