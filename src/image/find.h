/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for a page by its first bytes. Private to image/.
 *
 * Over a stream it looks at the index alone, which has a digest of each page's first four bytes.
 * Over a linear file it passes over holes and pages known to be zero, and reads the rest in large
 * pieces: that grows with what the guest has used, so it is for what cannot be found otherwise.
 */
#ifndef IMAGE_FIND_H
#define IMAGE_FIND_H

#include "image/map.h"
#include "image/ops.h"

/* image_find_page(), with addresses as numbers. */
bool find_page(const struct image_file *file, const struct image_map *map, uint64_t from, const void *bytes,
	       size_t size, uint64_t *ret);

/* image_next_data(), with addresses as numbers; false: there is none. */
bool find_data(const struct image_file *file, const struct image_map *map, uint64_t from, uint64_t *start,
	       uint64_t *size);

#endif
