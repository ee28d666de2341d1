/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel knows of a page of memory that a process maps (struct page). Private to guest/. */
#ifndef GUEST_PAGE_STATE_H
#define GUEST_PAGE_STATE_H

#include "guest/internal.h"

struct page_state_layout {
	struct page_layout page;
	struct member compound, mapping, mapcount, refcount;
	struct member entire, large;                    /* mapcounts of a folio: of it as a whole */
	uint32_t entire_page;                           /* bytes to add to the folio for `entire` */
	uint64_t referenced, dirty, swap_backed, young; /* bits of flags; young 0: not kept there */
};
struct error *page_state_layout_load(struct guest *guest, struct page_state_layout *ret) _must_check_;

struct page_state {
	uint64_t flags;   /* of the folio */
	uint64_t mapping; /* the same */
	uint64_t head;    /* address of the folio */
	uint32_t references;
	uint32_t mapped; /* how many times this page is mapped */
};
/* The page of frame `frame`. */
struct error *page_state_read(struct guest *guest, const struct page_state_layout *layout, uint64_t frame,
			      struct page_state *ret) _must_check_;

#define PAGE_MAPPING_ANONYMOUS UINT64_C(1)
#define PAGE_MAPPING_MERGED    UINT64_C(3)

#endif
