/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A made guest: flat memory from guest-physical 0 on, opened as an ELF core, with page tables
 * that map the virtual addresses from KERNEL_BASE on to it.
 */
#ifndef TESTS_UNIT_GUEST_MADE_H
#define TESTS_UNIT_GUEST_MADE_H

#include <elf.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "guest/internal.h"
#include "image/image.h"
#include "tests/unit/test.h"

#define RAM_SIZE     (UINT64_C(1) << 20)

/* Where the page tables of map_kernel() lie; tests put their own data elsewhere. */
#define TOP_TABLE    UINT64_C(0x1000)
#define SECOND_TABLE UINT64_C(0x2000)
#define THIRD_TABLE  UINT64_C(0x3000)

struct made_guest {
	uint8_t ram[RAM_SIZE];
	struct image *image;
	struct memory memory;
};

static inline void write_at(struct made_guest *guest, uint64_t physical, const void *data, size_t size)
{
	if (physical > RAM_SIZE || size > RAM_SIZE - physical) {
		fail_msg("the test writes beyond its guest's memory");
		return;
	}
	memcpy(guest->ram + physical, data, size);
}

static inline void write_u64(struct made_guest *guest, uint64_t physical, uint64_t value)
{
	write_at(guest, physical, &value, sizeof(value));
}

static inline void write_u32(struct made_guest *guest, uint64_t physical, uint32_t value)
{
	write_at(guest, physical, &value, sizeof(value));
}

/* Maps the first 2 MiB from KERNEL_BASE on, with one large page: KERNEL_BASE + x is guest-physical x. */
static inline void map_kernel(struct made_guest *guest)
{
	write_u64(guest, TOP_TABLE + 511 * 8, SECOND_TABLE | 3);
	write_u64(guest, SECOND_TABLE + 510 * 8, THIRD_TABLE | 3);
	write_u64(guest, THIRD_TABLE, 0 | 0x80 | 3);
}

static inline struct gva kernel_address(uint64_t physical)
{
	return (struct gva){KERNEL_BASE + physical};
}

static inline struct made_guest *made_guest_create(void)
{
	struct made_guest *guest = calloc(1, sizeof(*guest));

	assert_non_null(guest);
	map_kernel(guest);
	return guest;
}

/* Turns the memory as it is now into the image and starts reading it. */
static inline void made_guest_open(struct made_guest *guest)
{
	_cleanup_(close_fd) int fd = memfd_create("core", MFD_CLOEXEC);
	const Elf64_Phdr segment = {
		.p_type = PT_LOAD, .p_offset = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), .p_filesz = RAM_SIZE};
	const Elf64_Ehdr header = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_phoff = sizeof(header),
		.e_phentsize = sizeof(segment),
		.e_phnum = 1,
	};
	char path[64];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, &header, sizeof(header)), sizeof(header));
	assert_int_equal(write(fd, &segment, sizeof(segment)), sizeof(segment));
	assert_int_equal(write(fd, guest->ram, RAM_SIZE), RAM_SIZE);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	image_close(guest->image);
	guest->image = NULL;
	assert_ok(image_open(path, NULL, &guest->image));
	memory_init(&guest->memory, guest->image, (struct gpa){TOP_TABLE}, false, 0);
}

static inline void made_guest_destroy(struct made_guest *guest)
{
	image_close(guest->image);
	free(guest);
}
DEFINE_CLEANUP(struct made_guest *, made_guest_destroy)

#endif
