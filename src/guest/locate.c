/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the kernel's image by its page tables, in time that does not depend on how much memory
 * the guest has.
 *
 * Every x86-64 kernel keeps, below 1 MiB, a page table for processors that wake up (setup_real_mode()
 * in arch/x86/realmode/init.c). Its last entry is that of the kernel's own top table (since 5.16 it
 * has all of its entries). From there the tables lead to level2_kernel_pgt, which maps the kernel's
 * image and nothing else: cleanup_highmap() removes the rest.
 */
#include <string.h>

#include "guest/internal.h"

#define ENTRIES       512u
#define ENTRY_PRESENT UINT64_C(1)
#define ENTRY_WRITE   UINT64_C(2)
#define ENTRY_LARGE   (UINT64_C(1) << 7)
#define ENTRY_NO_EXEC (UINT64_C(1) << 63)
#define ENTRY_ADDRESS UINT64_C(0x000ffffffffff000)

#define PIECE         (UINT64_C(2) * 1024 * 1024)
/* Of KERNEL_BASE in its page tables: the top two gigabytes. */
#define LAST_ENTRY    511u
#define IMAGE_ENTRY   510u
/* No kernel's image is larger; without KASLR, the modules are 512 MiB above KERNEL_BASE in the same table. */
#define IMAGE_MAX     (UINT64_C(256) * 1024 * 1024)
#define GAP_MAX       16u /* pieces: the memory of the init section is given back */

/* Where a present entry that is not a leaf leads. */
static bool follow(struct image *image, struct gpa table, unsigned index, uint64_t sme_mask, struct gpa *ret)
{
	uint64_t entry;
	struct error *error = image_read(image, (struct gpa){table.v + index * 8}, &entry, sizeof(entry));

	error_destroy(error);
	if (error || !(entry & ENTRY_PRESENT) || entry & ENTRY_LARGE)
		return false;
	ret->v = entry & ENTRY_ADDRESS & ~sme_mask;
	return true;
}

static bool is_read_only_data(uint64_t entry)
{
	return entry & ENTRY_PRESENT && entry & ENTRY_LARGE && !(entry & ENTRY_WRITE) && entry & ENTRY_NO_EXEC;
}

/* What an entry maps by small pages, less where it maps it: they must lie one behind the other. */
static bool find_small_base(struct image *image, uint64_t entry, unsigned index, uint64_t sme_mask, uint64_t *ret)
{
	uint64_t pages[ENTRIES], found = 0;
	unsigned n = 0;
	struct error *error = image_read(image, (struct gpa){entry & ENTRY_ADDRESS & ~sme_mask}, pages, sizeof(pages));

	error_destroy(error);
	if (error)
		return false;
	for (unsigned i = 0; i < ENTRIES; i++) {
		uint64_t base = (pages[i] & ENTRY_ADDRESS & ~sme_mask) - i * PAGE_SIZE - index * PIECE;

		if (!(pages[i] & ENTRY_PRESENT))
			continue;
		if (n++ > 0 && base != found)
			return false;
		found = base;
	}
	*ret = found;
	return n > 0;
}

/*
 * The image: pieces that are mapped, with small gaps. They must lie one behind the other; where there is a large page,
 * only these are looked at. A PV domain of Xen's has none.
 */
static bool find_image(struct image *image, const uint64_t entries[ENTRIES], bool by_small, uint64_t sme_mask,
		       struct kernel_image *ret)
{
	uint64_t physical_base = 0;
	unsigned first = 0, end, n = 0;

	while (first < ENTRIES && !(entries[first] & ENTRY_PRESENT))
		first++;
	end = first;
	for (unsigned i = first; i < ENTRIES && i < end + GAP_MAX && i < first + IMAGE_MAX / PIECE; i++) {
		uint64_t base = (entries[i] & ENTRY_ADDRESS & ~sme_mask & ~(PIECE - 1)) - i * PIECE;

		if (!(entries[i] & ENTRY_PRESENT))
			continue;
		end = i + 1;
		if (!by_small && !(entries[i] & ENTRY_LARGE))
			continue;
		if (by_small && (entries[i] & ENTRY_LARGE || !find_small_base(image, entries[i], i, sme_mask, &base)))
			return false;
		if (n++ > 0 && base != physical_base)
			return false;
		physical_base = base;
	}
	ret->start.v = KERNEL_BASE + first * PIECE;
	ret->end.v = KERNEL_BASE + end * PIECE;
	return n > 0;
}

/* The first run of pieces that only hold data to read: .rodata, with the symbols. */
static void find_read_only(const uint64_t entries[ENTRIES], struct kernel_image *image)
{
	unsigned i = (unsigned)((image->start.v - KERNEL_BASE) / PIECE);
	unsigned end = (unsigned)((image->end.v - KERNEL_BASE) / PIECE);

	while (i < end && !is_read_only_data(entries[i]))
		i++;
	image->read_only.v = KERNEL_BASE + i * PIECE;
	while (i < end && is_read_only_data(entries[i]))
		i++;
	image->read_only_end.v = KERNEL_BASE + i * PIECE;
}

bool kernel_image_of(struct image *image, struct gpa top, bool five_levels, uint64_t sme_mask, struct kernel_image *ret)
{
	struct kernel_image found = {.top = top, .five_levels = five_levels, .sme_mask = sme_mask};
	uint64_t entries[ENTRIES];
	struct gpa table;
	struct error *error;

	if (!follow(image, top, LAST_ENTRY, sme_mask, &table) ||
	    (five_levels && !follow(image, table, LAST_ENTRY, sme_mask, &table)) ||
	    !follow(image, table, IMAGE_ENTRY, sme_mask, &table))
		return false;
	error = image_read(image, table, entries, sizeof(entries));
	error_destroy(error);
	if (error || (!find_image(image, entries, false, sme_mask, &found) &&
		      !find_image(image, entries, true, sme_mask, &found)))
		return false;
	find_read_only(entries, &found);
	*ret = found;
	return true;
}

bool kernel_next_trampoline(struct image *image, struct gpa *from, struct kernel_image *ret)
{
	while (from->v < TRAMPOLINE_END) {
		struct gpa page = *from;

		from->v += PAGE_SIZE;
		for (unsigned five_levels = 0; five_levels < 2; five_levels++) {
			if (kernel_image_of(image, page, five_levels, 0, ret))
				return true;
		}
	}
	return false;
}
