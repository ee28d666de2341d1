/* SPDX-License-Identifier: Apache-2.0 */
/* The page cache of one file. Private to guest/. */
#ifndef GUEST_PAGE_CACHE_H
#define GUEST_PAGE_CACHE_H

#include "guest/internal.h"

struct page_cache_layout {
	struct page_layout pages;
	struct member mapping_pages, mapping_host;    /* address_space.i_pages, .host */
	uint64_t uptodate, dirty, writeback, private; /* bits of page.flags */
	struct member page_private;
	struct member buffer_state, buffer_next, buffer_page, buffer_size; /* struct buffer_head */
};
/* Looked up once; the guest keeps it. */
struct error *page_cache_layout_get(struct guest *guest, const struct page_cache_layout **ret) _must_check_;

/* What a page that is not there means. */
enum page_cache_kind {
	PAGE_CACHE_MEMORY, /* tmpfs, ramfs: a hole, zeros; a value is a page that was swapped out */
	PAGE_CACHE_DISK,   /* never read; a value is a page that was dropped, or one of DAX */
};

/*
 * Reads `size` bytes at `offset` of the file with this address_space. Bytes that memory does not hold are
 * ERROR_NOT_FOUND with the range and why. The caller has cut `size` to the file's own.
 */
struct error *page_cache_read(struct guest *guest, const struct page_cache_layout *layout, struct gva mapping,
			      enum page_cache_kind kind, uint64_t offset, void *buffer, size_t size) _must_check_;

/* Pages of 4096 bytes that are dirty or being written. */
struct error *page_cache_dirty(struct guest *guest, const struct page_cache_layout *layout, struct gva mapping,
			       uint64_t *ret) _must_check_;

#endif
