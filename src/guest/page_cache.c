/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a file, out of its page cache: address_space.i_pages is an xarray of folios by page index. Before 5.17 each
 * slot of a compound page holds its head, later one entry of several slots stands for all: both ways a page's place
 * in its folio are the low bits of its index.
 */
#include "guest/page_cache.h"

#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"

static struct error *load_layout(struct guest *guest, struct page_cache_layout *ret)
{
	const struct member_need needs[] = {
		{"address_space", "i_pages", &ret->mapping_pages}, {"address_space", "host", &ret->mapping_host},
		{"page", "private", &ret->page_private},           {"buffer_head", "b_state", &ret->buffer_state},
		{"buffer_head", "b_this_page", &ret->buffer_next}, {"buffer_head", "b_page", &ret->buffer_page},
		{"buffer_head", "b_size", &ret->buffer_size},
	};
	const struct {
		const char *name;
		uint64_t *ret;
	} bits[] = {
		{"PG_uptodate", &ret->uptodate},
		{"PG_dirty", &ret->dirty},
		{"PG_writeback", &ret->writeback},
		{"PG_private", &ret->private},
	};
	struct error *error = page_layout_load(guest, &ret->pages);

	if (!error)
		error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	for (size_t i = 0; !error && i < ARRAY_SIZE(bits); i++) {
		uint64_t bit;

		error = types_get_enum(guest->types, "pageflags", bits[i].name, &bit);
		if (!error && bit > 63)
			error = error_create(ERROR_FORMAT, "%s is bit %llu", bits[i].name, (unsigned long long)bit);
		if (!error)
			*bits[i].ret = UINT64_C(1) << bit;
	}
	return error;
}

DEFINE_LAYOUT_GET(, page_cache_layout_get, page_cache_layout, page_cache, load_layout)

/* ---- Reading ---- */

struct read {
	const struct page_cache_layout *layout;
	enum page_cache_kind kind;
	uint64_t start, end; /* bytes of the file that are wanted */
	uint64_t done;       /* up to where the buffer is filled */
	uint8_t *buffer;     /* of `start` */
	struct gpa run;      /* guest-physical memory that follows `done`, not copied yet */
	uint64_t run_size;   /* bytes */
};

static struct error *missing(uint64_t from, uint64_t to, const char *why)
{
	return error_create(ERROR_NOT_FOUND, "bytes %llu to %llu of the file are not in memory: %s",
			    (unsigned long long)from, (unsigned long long)to - 1, why);
}

/* Pages that lie one behind the other in memory are copied at once. */
static struct error *flush(struct guest *guest, struct read *read)
{
	struct error *error = NULL;

	if (read->run_size)
		error = image_read(guest->memory.image, read->run, read->buffer + (read->done - read->start),
				   read->run_size);
	read->done += read->run_size;
	read->run_size = 0;
	return error;
}

/* Nothing stands for the bytes up to `to`. */
static struct error *skip_to(struct guest *guest, struct read *read, uint64_t to)
{
	struct error *error = flush(guest, read);

	if (error || to <= read->done)
		return error;
	if (read->kind == PAGE_CACHE_DISK)
		return missing(read->done, to, "they were never read from disk, or dropped since");
	memset(read->buffer + (read->done - read->start), 0, to - read->done);
	read->done = to;
	return NULL;
}

static struct error *add_run(struct guest *guest, struct read *read, struct gpa physical, uint64_t size)
{
	struct error *error = NULL;

	if (read->run_size && read->run.v + read->run_size != physical.v)
		error = flush(guest, read);
	if (!read->run_size)
		read->run = physical;
	read->run_size += size;
	return error;
}

/* The end of the page `last`, as far as it is wanted. */
static uint64_t wanted_end(const struct read *read, uint64_t last)
{
	return last < read->end / PAGE_SIZE ? (last + 1) * PAGE_SIZE : read->end;
}

/* The value that stands for pages which are elsewhere. */
static struct error *explain_value(const struct read *read, uint64_t from, uint64_t to)
{
	return missing(from, to,
		       read->kind == PAGE_CACHE_MEMORY ? "swapped out" : "dropped from memory (they are on disk)");
}

#define BUFFER_UPTODATE 1u /* BH_Uptodate is bit 0 */
#define BUFFER_MIN      512u

/*
 * Whether the bytes from `from` to `to` of a folio that is not up to date as a whole are so by its blocks: a file
 * system with blocks smaller than a page writes to one without reading the others. What page.private points to is a
 * ring of buffers only if these point back: other file systems keep other things there.
 */
static struct error *has_blocks(struct guest *guest, const struct page_cache_layout *layout, uint64_t folio,
				uint64_t from, uint64_t to, bool *ret)
{
	uint64_t first, next, page, size, state, offset = 0;
	const struct member_read reads[] = {
		{&layout->buffer_next, &next},
		{&layout->buffer_page, &page},
		{&layout->buffer_size, &size},
		{&layout->buffer_state, &state},
	};
	struct error *error = guest_read_member(guest, (struct gva){folio}, &layout->page_private, &first);

	*ret = false;
	for (next = first; !error && offset < to; offset += size) {
		error = guest_read_members(guest, (struct gva){next}, reads, ARRAY_SIZE(reads));
		if (!error && (page != folio || size < BUFFER_MIN || size > to + (UINT64_C(1) << 30)))
			return NULL;
		if (!error && offset + size > from && !(state & BUFFER_UPTODATE))
			return NULL;
	}
	*ret = !error;
	return error;
}

/* A part of a folio that is not up to date as a whole. */
static struct error *read_blocks(struct guest *guest, struct read *read, uint64_t folio, uint64_t flags,
				 uint64_t inside, uint64_t from, uint64_t to, bool *ret)
{
	struct error *error = NULL;

	*ret = false;
	/* A page of tmpfs that was only reserved (fallocate) reads as zeros. */
	if (read->kind == PAGE_CACHE_MEMORY)
		return skip_to(guest, read, to);
	if (flags & read->layout->private)
		error = has_blocks(guest, read->layout, folio, inside, inside + (to - from), ret);
	if (!error && !*ret)
		error = missing(from, to, "they are still to be read from disk");
	return error;
}

static struct error *read_folio(struct guest *guest, struct read *read, uint64_t first, uint64_t last, uint64_t folio)
{
	const struct page_layout *pages = &read->layout->pages;
	uint64_t from = first * PAGE_SIZE, to = wanted_end(read, last), flags, inside;
	unsigned order = 0;
	bool there = true;
	struct gpa physical;
	struct error *error;

	from = from < read->start ? read->start : from;
	error = memory_read_u64(&guest->memory, (struct gva){folio + pages->flags.offset}, &flags);
	if (!error && flags & pages->head_bit)
		error = page_order(guest, pages, (struct gva){folio}, &order);
	if (!error)
		error = page_physical(pages, (struct gva){folio}, &physical);
	if (error)
		return error;
	if (last - first >= UINT64_C(1) << order)
		return error_format(NULL, folio, "a folio of order %u stands for %llu pages of a file", order,
				    (unsigned long long)(last - first + 1));
	inside = from & ((UINT64_C(1) << order) * PAGE_SIZE - 1);
	if (!(flags & read->layout->uptodate))
		error = read_blocks(guest, read, folio, flags, inside, from, to, &there);
	if (error || !there)
		return error;
	return add_run(guest, read, (struct gpa){physical.v + inside}, to - from);
}

static struct error *visit_entry(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context)
{
	struct read *read = context;
	uint64_t from = first * PAGE_SIZE;
	struct error *error = NULL;

	from = from < read->start ? read->start : from;
	if (from > read->done + read->run_size)
		error = skip_to(guest, read, from);
	if (error)
		return error;
	if (entry & 1)
		return explain_value(read, from, wanted_end(read, last));
	return read_folio(guest, read, first, last, entry & ~UINT64_C(3));
}

struct error *page_cache_read(struct guest *guest, const struct page_cache_layout *layout, struct gva mapping,
			      enum page_cache_kind kind, uint64_t offset, void *buffer, size_t size)
{
	struct read read = {
		.layout = layout,
		.kind = kind,
		.start = offset,
		.end = offset + size,
		.done = offset,
		.buffer = buffer,
	};
	struct error *error;

	if (size == 0)
		return NULL;
	error = xarray_walk_range(guest, (struct gva){mapping.v + layout->mapping_pages.offset}, offset / PAGE_SIZE,
				  (read.end - 1) / PAGE_SIZE, visit_entry, &read);
	return error ? error : skip_to(guest, &read, read.end);
}

/* ---- Dirty pages ---- */

struct dirty_count {
	const struct page_cache_layout *layout;
	uint64_t n;
};

static struct error *count_dirty(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context)
{
	struct dirty_count *count = context;
	uint64_t flags;
	struct error *error;

	if (entry & 1)
		return NULL;
	error = memory_read_u64(&guest->memory,
				(struct gva){(entry & ~UINT64_C(3)) + count->layout->pages.flags.offset}, &flags);
	if (!error && flags & (count->layout->dirty | count->layout->writeback))
		count->n += last - first + 1;
	return error;
}

struct error *page_cache_dirty(struct guest *guest, const struct page_cache_layout *layout, struct gva mapping,
			       uint64_t *ret)
{
	struct dirty_count count = {.layout = layout};
	struct error *error = xarray_walk_marked(guest, (struct gva){mapping.v + layout->mapping_pages.offset},
						 XARRAY_DIRTY | XARRAY_WRITEBACK, count_dirty, &count);

	*ret = count.n;
	return error;
}
