/* SPDX-License-Identifier: Apache-2.0 */
/* struct page and folios: which memory they stand for. */
#include <string.h>

#include "guest/internal.h"

/* Where these are if the kernel does not randomize them (no CONFIG_DYNAMIC_MEMORY_LAYOUT). */
#define FIXED_VMEMMAP UINT64_C(0xffffea0000000000)

/* MAX_PHYSMEM_BITS is 52 with 5 levels; frames beyond do not exist. */
#define FRAME_MAX     (UINT64_C(1) << 40)
#define ORDER_MAX     18u /* 1 GiB */

/*
 * Where the second page of a folio keeps its order: page.compound_order until 6.2, then
 * folio._folio_order, folio._flags_1 since 6.6 (in its low 8 bits). Kernels between have several
 * of these names for the same place.
 */
static struct error *find_order(const struct types *types, struct page_layout *layout)
{
	layout->order = types_find(types, "page", "compound_order");
	layout->order_page = layout->page_size;
	if (layout->order.present)
		return NULL;
	layout->order_page = 0; /* struct folio covers several pages itself */
	layout->order = types_find(types, "folio", "_folio_order");
	if (!layout->order.present)
		layout->order = types_find(types, "folio", "_flags_1");
	if (!layout->order.present)
		return error_create(ERROR_UNSUPPORTED, "the guest's kernel has no member with the order of a folio");
	layout->order.size = 1;
	layout->order.bits = 0;
	return NULL;
}

/* A variable that is constant in some configurations. */
static struct error *read_base(struct guest *guest, const char *name, uint64_t fixed, uint64_t *ret)
{
	struct gva address;

	*ret = fixed;
	if (!symbols_find(guest->symbols, name, &address))
		return NULL;
	return memory_read_u64(&guest->memory, address, ret);
}

struct error *page_layout_load(struct guest *guest, struct page_layout *ret)
{
	struct page_layout layout = {.page_size = types_size(guest->types, "page")};
	const struct member_need needs[] = {{"page", "flags", &layout.flags}};
	uint64_t head = 0;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error && layout.page_size == 0)
		error = error_create(ERROR_UNSUPPORTED, "the guest's kernel has no struct page");
	if (!error)
		error = find_order(guest->types, &layout);
	if (!error)
		error = types_get_enum(guest->types, "pageflags", "PG_head", &head);
	if (!error && head > 63)
		error = error_create(ERROR_FORMAT, "PG_head is bit %llu", (unsigned long long)head);
	if (!error)
		error = read_base(guest, "vmemmap_base", FIXED_VMEMMAP, &layout.vmemmap);
	if (error)
		return error_wrap(error, "pages of the guest");
	layout.head_bit = UINT64_C(1) << head;
	*ret = layout;
	return NULL;
}

struct error *page_physical(const struct page_layout *layout, struct gva page, struct gpa *ret)
{
	uint64_t offset = page.v - layout->vmemmap;

	if (page.v < layout->vmemmap || offset % layout->page_size || offset / layout->page_size >= FRAME_MAX)
		return error_format(NULL, page.v, "guest address 0x%llx is not that of a struct page",
				    (unsigned long long)page.v);
	ret->v = offset / layout->page_size * PAGE_SIZE;
	return NULL;
}

struct error *page_order(struct guest *guest, const struct page_layout *layout, struct gva folio, unsigned *ret)
{
	uint64_t flags, order = 0;
	struct error *error = memory_read_u64(&guest->memory, (struct gva){folio.v + layout->flags.offset}, &flags);

	if (!error && flags & layout->head_bit)
		error = guest_read_member(guest, (struct gva){folio.v + layout->order_page}, &layout->order, &order);
	if (error)
		return error_wrap(error, "order of a folio");
	if (order > ORDER_MAX)
		return error_format(NULL, folio.v, "a folio of order %llu", (unsigned long long)order);
	*ret = (unsigned)order;
	return NULL;
}
