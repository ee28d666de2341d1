/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads of guest-physical memory through the map. Private to image/.
 *
 * The pages of a stream lie a few bytes apart; a run of them is read by one system call, with
 * the bytes between thrown away.
 */
#ifndef IMAGE_READ_H
#define IMAGE_READ_H

#include "image/map.h"
#include "image/ops.h"

/* image_read(), with the address as a number. */
struct error *read_memory(const struct image_file *file, const struct image_map *map, uint64_t address, void *buffer,
			  size_t size) _must_check_;

#endif
