/* SPDX-License-Identifier: Apache-2.0 */
/* What the walks of guest/newer.h share: buffers of pages. Private to guest/. */
#ifndef GUEST_NEWER_LAYOUT_H
#define GUEST_NEWER_LAYOUT_H

#include "guest/guest.h"
#include "guest/object.h"
#include "guest/page_cache.h"

struct buffer_layout {
	const struct page_cache_layout *cache;
	struct member block;      /* buffer_head.b_blocknr */
	struct object_span span;  /* of what is read of a buffer */
	uint64_t uptodate, newer; /* bits of b_state; `newer`: any of them says that the disk may have it otherwise */
};
struct error *buffer_layout_load(struct guest *guest, struct buffer_layout *ret) _must_check_;

struct buffer {
	uint64_t offset; /* in its folio, bytes */
	uint64_t size;   /* bytes */
	uint64_t block;  /* where it lies, in blocks of its size */
	bool uptodate, newer;
};
typedef struct error *(*buffer_visit)(struct guest *guest, const struct buffer *buffer, void *context);

/*
 * The buffers of the folio of `size` bytes whose struct page is at `folio`. *ret is false, and nothing is visited,
 * where it has none.
 */
struct error *buffers_walk(struct guest *guest, const struct buffer_layout *layout, uint64_t folio, uint64_t size,
			   buffer_visit visit, void *context, bool *ret) _must_check_;

/* A folio of a page cache, by its entry. */
struct folio {
	uint64_t address; /* of its first struct page */
	uint64_t flags;   /* of that */
	uint64_t offset;  /* in the file, bytes */
	uint64_t size;    /* bytes, 4096 to 2^30 */
	struct gpa place;
};
struct error *folio_read(struct guest *guest, const struct page_cache_layout *layout, uint64_t first, uint64_t entry,
			 struct folio *ret) _must_check_;

#endif
