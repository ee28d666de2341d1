/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where QEMU's RAM blocks lie in guest-physical memory. Private to image/.
 *
 * A stream has blocks by name and size, no addresses. The guest's RAM is one block, or one for each
 * NUMA node, put one after the other; the upper part of the whole is moved to 4 GiB to leave room
 * for PCI. Where it is cut depends on the machine type and on `max-ram-below-4g`, which the stream
 * does not carry. So both are taken from the ACPI tables that QEMU made for the guest, which are in
 * the stream as a block of their own whatever the firmware is (image/acpi.h); the cut otherwise from
 * the tables that SeaBIOS left in RAM; else it is computed.
 */
#ifndef IMAGE_LAYOUT_H
#define IMAGE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/map.h"
#include "image/ops.h"

enum ram_role {
	ROLE_DEVICE, /* ROM, flash, video memory: not indexed */
	ROLE_RAM,    /* the guest's RAM, or part of it */
	ROLE_EXTRA,  /* memory that was plugged in: nothing in the stream says where */
	ROLE_TABLES, /* QEMU's ACPI tables */
};

struct ram_block {
	char name[256]; /* QEMU's RAMBlock id: "pc.ram" */
	uint64_t size;  /* bytes, a multiple of the page size */
	enum ram_role role;
	uint64_t first_page;    /* index into the map's table; not of mapped blocks nor of ROLE_DEVICE */
	bool mapped;            /* its pages lie at `position`, as mapped-ram files have them */
	uint64_t position;      /* mapped: file offset of the first page */
	uint64_t bitmap;        /* mapped: file offset of */
	const uint8_t *present; /* a bit a page; borrowed from the map */
};

/*
 * Says what each block is and gives those that are read their pages in one table, of *ret pages. No RAM among
 * them is ERROR_FORMAT.
 */
struct error *layout_assign(struct ram_block *blocks, size_t n, uint64_t *ret) _must_check_;

/*
 * Adds the regions of the RAM blocks, which are indexed, for QEMU's `machine`. Several whose order cannot be
 * told are ERROR_UNSUPPORTED. Names ROLE_EXTRA blocks in map->unplaced.
 */
struct error *layout_place(const struct image_file *file, const char *machine, struct ram_block *blocks, size_t n,
			   struct image_map *map) _must_check_;

/* Bytes within one page of a block; false where the file does not hold them. */
bool layout_read(const struct image_file *file, const struct image_map *map, const struct ram_block *block,
		 uint64_t offset, void *buffer, size_t size);

#endif
