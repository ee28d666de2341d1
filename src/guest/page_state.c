/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/page_state.h"

#include "guest/object.h"

/* How often a folio is mapped as a whole: of its second page until 6.2, then a member of struct folio. */
static struct error *load_entire(struct guest *guest, struct page_state_layout *ret)
{
	ret->entire_page = ret->page.page_size;
	ret->entire = types_find(guest->types, "page", "compound_mapcount");
	if (ret->entire.present)
		return NULL;
	ret->entire_page = 0;
	return types_need(guest->types, &(struct member_need){"folio", "_entire_mapcount", &ret->entire}, 1);
}

static struct error *load_bit(struct guest *guest, const char *name, uint64_t *ret)
{
	uint64_t bit;
	struct error *error = types_get_enum(guest->types, "pageflags", name, &bit);

	if (!error && bit > 63)
		error = error_create(ERROR_FORMAT, "%s is bit %llu", name, (unsigned long long)bit);
	if (!error)
		*ret = UINT64_C(1) << bit;
	return error;
}

struct error *page_state_layout_load(struct guest *guest, struct page_state_layout *ret)
{
	const struct member_need needs[] = {
		{"page", "mapping", &ret->mapping},
		{"page", "_mapcount", &ret->mapcount},
		{"page", "_refcount", &ret->refcount},
		/* Renamed in 7.1, when it could also become a mask. */
		{"page", types_find(guest->types, "page", "compound_info").present ? "compound_info" : "compound_head",
		 &ret->compound},
	};
	uint64_t young;
	struct error *error = page_layout_load(guest, &ret->page);

	if (!error)
		error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	if (!error)
		error = load_entire(guest, ret);
	if (!error)
		error = load_bit(guest, "PG_referenced", &ret->referenced);
	if (!error)
		error = load_bit(guest, "PG_dirty", &ret->dirty);
	if (!error)
		error = load_bit(guest, "PG_swapbacked", &ret->swap_backed);
	if (!error && ret->page.page_size > 256)
		error = error_create(ERROR_UNSUPPORTED, "the guest's struct page has %u bytes", ret->page.page_size);
	if (error)
		return error_wrap(error, "state of pages");
	ret->young = types_enum(guest->types, "pageflags", "PG_young", &young) && young < 64 ? UINT64_C(1) << young : 0;
	return NULL;
}

/* Where the folio of a tail page is; `value` has bit 0 set. */
static uint64_t find_head(uint64_t page, uint64_t value)
{
	/* A mask to be applied to the page's own address has all its upper bits set; no struct page lies there. */
	if ((int64_t)value >= -(INT64_C(1) << 40))
		return page & value & ~UINT64_C(1);
	return value & ~UINT64_C(1);
}

struct error *page_state_read(struct guest *guest, const struct page_state_layout *layout, uint64_t frame,
			      struct page_state *ret)
{
	uint64_t page = layout->page.vmemmap + frame * layout->page.page_size, compound;
	uint32_t entire = UINT32_MAX;
	uint8_t own[256], head[256];
	const uint8_t *folio = own;
	struct error *error = memory_read(&guest->memory, (struct gva){page}, own, layout->page.page_size);

	if (error)
		return error_wrap(error, "struct page of frame 0x%llx", (unsigned long long)frame);
	ret->head = page;
	compound = object_field(own, &layout->compound);
	if (compound & 1) {
		ret->head = find_head(page, compound);
		folio = head;
		error = memory_read(&guest->memory, (struct gva){ret->head}, head, layout->page.page_size);
	}
	ret->flags = object_field(folio, &layout->page.flags);
	/* Counts begin at -1. */
	if (!error && ret->flags & layout->page.head_bit)
		error = memory_read_u32(&guest->memory,
					(struct gva){ret->head + layout->entire_page + layout->entire.offset}, &entire);
	if (error)
		return error_wrap(error, "folio of frame 0x%llx", (unsigned long long)frame);
	ret->mapping = object_field(folio, &layout->mapping);
	ret->references = (uint32_t)object_field(folio, &layout->refcount);
	ret->mapped = (uint32_t)object_field(own, &layout->mapcount) + 1 + entire + 1;
	return NULL;
}
