/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of libxc's stream, of which those with pages are read (docs/specs/libxc-migration-stream.pandoc and
 * xg_sr_stream_format.h of Xen).
 *
 * Page frame numbers are the guest's own ("pseudo-physical"). The machine's frames that a PV domain has in its page
 * tables are turned into them by whoever saves it, and page tables are the only pages whose content is altered: so a PV
 * domain is read like any other. Which page is a page table is in its type, and of no use here.
 *
 * A page can come more than once, of a domain that was saved while it ran: the last one counts. A frame that once had
 * content and then comes as one without memory was given back meanwhile.
 */
#include <endian.h>
#include <string.h>

#include "base/cleanup.h"
#include "image/xen.h"

enum record_type {
	RECORD_END = 0x0,
	RECORD_PAGE_DATA = 0x1,
	RECORD_PV_INFO = 0x2,
	RECORD_PV_P2M_FRAMES = 0x3,
	RECORD_CHECKPOINT = 0xe,
	RECORD_DIRTY_FRAMES = 0xf, /* of a stream of checkpoints, back to the sender */
	RECORD_LAST = 0x12,        /* X86_MSR_POLICY, of Xen 4.16 */
};
#define RECORD_OPTIONAL UINT32_C(0x80000000)
#define RECORD_SIZE_MAX (128u << 20) /* REC_LENGTH_MAX */

enum page_type {
	PAGE_L4_TABLE = 0x4, /* 0 is any other page; the tables can be pinned: */
	PAGE_PINNED = 0x8,
	PAGE_BROKEN = 0xd,     /* the machine's memory is: no content */
	PAGE_UNWRITTEN = 0xe,  /* XALLOC: memory without content */
	PAGE_GIVEN_BACK = 0xf, /* XTAB: no memory at all */
};
#define FRAME_BITS     52u
#define FRAME_TYPE_BIT 60u
#define FRAMES_MAX     (IMAGE_RAM_MAX / IMAGE_PAGE_SIZE)

#define COPY_OR_SAVE   "Copy the file again from where it was saved, or save the domain again"

/* Frames between two pages that make two regions of them. Smaller gaps cost less than regions do. */
#define GAP_MIN        PAGE_TABLE_CHUNK

struct pages {
	struct reader *r;
	struct image_map *map;
	bool pv;
	uint64_t n_frames; /* a PV domain's, once it has said how many; else the most there can be */
	uint64_t n;        /* frames with content */
};

static struct error *damaged(const struct reader *r, const char *what, uint64_t value)
{
	return error_remedy(reader_error(r, "the stream is damaged: %s 0x%llx", what, (unsigned long long)value),
			    COPY_OR_SAVE);
}

/* A PV domain's number of frames: le32 first and last frame of its table, then where that is. */
static struct error *read_frames(struct pages *p, const struct xen_record *record)
{
	uint32_t first, last;
	struct error *error;

	p->r->what = "the size of the domain";
	if (!p->pv || record->size < 8)
		return damaged(p->r, "a table of frames that cannot be here, in a record of size", record->size);
	error = xen_le32(p->r, &first);
	if (!error)
		error = xen_le32(p->r, &last);
	if (error)
		return error;
	if (first > last || last >= FRAMES_MAX)
		return damaged(p->r, "a domain with a last frame", last);
	p->n_frames = (uint64_t)last + 1;
	return NULL;
}

/* The frame has content at the reader's position, or none. */
static struct error *note_page(struct pages *p, uint64_t frame, bool has_content)
{
	struct page_table *table = &p->map->pages;
	uint64_t place = PAGE_PLACE_ABSENT;
	bool had_content = frame < table->n_pages && page_table_get(table, frame) != PAGE_PLACE_ABSENT;
	struct error *error = NULL;

	if (has_content) {
		const uint8_t *content;
		uint32_t head;

		if (p->r->position > PAGE_PLACE_OFFSET)
			return damaged(p->r, "a page beyond what files have, at byte", p->r->position);
		error = reader_peek(p->r, sizeof(head), &content);
		if (error)
			return error;
		memcpy(&head, content, sizeof(head));
		place = page_place(p->r->position, head);
		error = page_table_grow(table, frame + 1);
	}
	if (!error && (has_content || had_content))
		error = page_table_set(table, frame, place);
	if (error)
		return error;
	p->n = p->n + has_content - had_content;
	return has_content ? reader_skip(p->r, IMAGE_PAGE_SIZE) : NULL;
}

static bool has_content(unsigned type)
{
	return type < PAGE_BROKEN;
}

static struct error *check_entry(const struct pages *p, uint64_t entry)
{
	uint64_t frame = entry & ((UINT64_C(1) << FRAME_BITS) - 1);
	unsigned type = (unsigned)(entry >> FRAME_TYPE_BIT);

	if (entry >> FRAME_BITS & ((1u << (FRAME_TYPE_BIT - FRAME_BITS)) - 1))
		return damaged(p->r, "a page with bits that none has:", entry);
	if (has_content(type) && ((type & ~(unsigned)PAGE_PINNED) > PAGE_L4_TABLE || type == PAGE_PINNED))
		return damaged(p->r, "a page of a type that there is not:", type);
	if (has_content(type) && frame >= p->n_frames)
		return damaged(p->r, "a page beyond the domain's last frame:", frame);
	return NULL;
}

/* le32 count, le32 reserved, count entries of le64 (frame and type), then the pages of those that have content. */
static struct error *read_pages(struct pages *p, const struct xen_record *record)
{
	struct reader *r = p->r, entries;
	uint32_t n, reserved;
	uint64_t end = record->body + record->size;
	struct error *error;

	r->what = "the pages";
	error = xen_le32(r, &n);
	if (!error)
		error = xen_le32(r, &reserved);
	if (error)
		return error;
	if (record->size < 8 || n > (record->size - 8) / sizeof(uint64_t))
		return damaged(r, "more pages than their record has room for:", n);
	/* The entries lie before the pages: a window of its own for each saves reading both over and over. */
	reader_init(&entries, r->file, r->position);
	entries.what = r->what;
	error = reader_skip(r, n * sizeof(uint64_t));
	for (uint32_t i = 0; !error && i < n; i++) {
		uint64_t entry;

		error = reader_copy(&entries, &entry, sizeof(entry));
		entry = error ? 0 : le64toh(entry);
		if (!error)
			error = check_entry(p, entry);
		if (!error && has_content(entry >> FRAME_TYPE_BIT) && end - r->position < IMAGE_PAGE_SIZE)
			error = damaged(r, "pages that go beyond the end of their record, which has size",
					record->size);
		if (!error)
			error = note_page(p, entry & ((UINT64_C(1) << FRAME_BITS) - 1),
					  has_content(entry >> FRAME_TYPE_BIT));
	}
	reader_deinit(&entries);
	if (!error && r->position != end)
		return damaged(r, "pages that end before their record does, which has size", record->size);
	return error;
}

static struct error *refuse(const struct reader *r, uint32_t type)
{
	struct error *error;

	if (type == RECORD_CHECKPOINT || type == RECORD_DIRTY_FRAMES)
		error = reader_error(r, "a stream of checkpoints (Remus, COLO), which cannot be read");
	else
		error = reader_error(r, "a record of the type 0x%x, which no Xen up to 4.17 writes", type);
	return error_remedy(error_recode(error, ERROR_UNSUPPORTED), "Save the domain by xl save");
}

static struct error *read_record(struct pages *p, const struct xen_record *record)
{
	if (record->size > RECORD_SIZE_MAX)
		return damaged(p->r, "a record of size", record->size);
	if (record->type == RECORD_PAGE_DATA)
		return read_pages(p, record);
	if (record->type == RECORD_PV_P2M_FRAMES)
		return read_frames(p, record);
	if (record->type == RECORD_CHECKPOINT || record->type == RECORD_DIRTY_FRAMES ||
	    (record->type > RECORD_LAST && !(record->type & RECORD_OPTIONAL)))
		return refuse(p->r, record->type);
	return NULL; /* processors, clocks, devices */
}

/* Whether the frame, which is below n_pages, has content; if its whole chunk has none, *skip is that chunk's end. */
static bool is_there(const struct page_table *table, uint64_t frame, uint64_t *skip)
{
	*skip = frame + 1;
	if (!table->chunks[frame / PAGE_TABLE_CHUNK])
		*skip = (frame / PAGE_TABLE_CHUNK + 1) * PAGE_TABLE_CHUNK;
	return page_table_get(table, frame) != PAGE_PLACE_ABSENT;
}

static struct error *add_region(struct image_map *map, uint64_t first, uint64_t end)
{
	const struct image_region region = {
		.start = first * IMAGE_PAGE_SIZE,
		.size = (end - first) * IMAGE_PAGE_SIZE,
		.paged = true,
		.first_page = first,
	};

	return image_map_add(map, &region);
}

/* Regions of the frames that have content, with the small gaps between them. */
static struct error *add_regions(struct pages *p)
{
	const struct page_table *table = &p->map->pages;
	uint64_t first = 0, end = 0, next, all = 0; /* the run that is being looked for: [first, end) */
	struct error *error;

	for (uint64_t frame = 0; frame < table->n_pages; frame = next) {
		if (!is_there(table, frame, &next))
			continue;
		if (end > first && frame - end >= GAP_MIN) {
			error = add_region(p->map, first, end);
			if (error)
				return error;
			all += end - first;
			first = frame;
		} else if (end == first) {
			first = frame;
		}
		end = frame + 1;
	}
	all += end - first;
	p->map->given_back = (all - p->n) * IMAGE_PAGE_SIZE;
	return add_region(p->map, first, end);
}

struct error *xen_read_pages(struct reader *r, bool pv, struct image_map *map)
{
	struct pages p = {.r = r, .map = map, .pv = pv, .n_frames = FRAMES_MAX};
	struct xen_record record = {0};
	struct error *error = page_table_init(&map->pages, 0);

	while (!error) {
		r->what = "libxc's records";
		error = xen_record_read(r, &record);
		if (error || record.type == RECORD_END)
			break;
		error = read_record(&p, &record);
		if (!error)
			error = xen_record_end(r, &record);
	}
	if (!error)
		error = xen_record_end(r, &record);
	return error ? error : add_regions(&p);
}
