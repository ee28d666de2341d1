/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's containers: lists, red-black trees, maple trees and xarrays. Private to guest/.
 *
 * A walk calls `visit` for each entry in the container's order. It ends, with an error, at a
 * pointer that cannot be followed, at a circle, and after WALK_MAX entries; an error of `visit`
 * ends it too and is returned as it is. What was visited before stays with the caller.
 */
#ifndef GUEST_CONTAINERS_H
#define GUEST_CONTAINERS_H

#include <stdint.h>

#include "base/error.h"
#include "guest/internal.h"

typedef struct error *(*list_visit)(struct guest *guest, struct gva object, void *context);

/* A struct list_head at `head`; each object holds its node at `node_offset` bytes. */
struct error *list_walk(struct guest *guest, struct gva head, uint32_t node_offset, list_visit visit, void *context)
	_must_check_;
/* A struct hlist_head (also hlist_nulls: bit 0 of the pointer ends the chain). */
struct error *hlist_walk(struct guest *guest, struct gva head, uint32_t node_offset, list_visit visit, void *context)
	_must_check_;
/* A struct rb_root at `root`, in order. */
struct error *rb_walk(struct guest *guest, struct gva root, uint32_t node_offset, list_visit visit, void *context)
	_must_check_;

/* `first`, `last`: the range of indices that the entry stands for. */
typedef struct error *(*range_visit)(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context);

/* A struct maple_tree at `tree` (6.1 and later). Empty ranges are left out. */
struct error *maple_walk(struct guest *guest, struct gva tree, range_visit visit, void *context) _must_check_;
/*
 * A struct xarray at `array`. Values (bit 0 set: a swapped page, a shadow of an evicted one) are visited
 * too; sibling and retry entries are left out: an entry of order n comes once, with its whole range.
 */
struct error *xarray_walk(struct guest *guest, struct gva array, range_visit visit, void *context) _must_check_;
/* The same for the entries that touch the indices from `first` to `last`; the rest of the tree is not read. */
struct error *xarray_walk_range(struct guest *guest, struct gva array, uint64_t first, uint64_t last, range_visit visit,
				void *context) _must_check_;
/*
 * The same for the entries that have one of the marks (bit n of `marks`: mark n), and for a lone entry at index 0
 * whatever it has. What has none is not read, so that the cost is that of the marked ones.
 */
#define XARRAY_DIRTY     (1u << 0) /* PAGECACHE_TAG_DIRTY */
#define XARRAY_WRITEBACK (1u << 1) /* PAGECACHE_TAG_WRITEBACK */
struct error *xarray_walk_marked(struct guest *guest, struct gva array, unsigned marks, range_visit visit,
				 void *context) _must_check_;

#endif
