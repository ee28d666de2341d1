/* SPDX-License-Identifier: Apache-2.0 */
/* Guest-virtual reads: x86-64 page tables of 4 and 5 levels, with 2 MiB and 1 GiB pages. */
#include <stdlib.h>
#include <string.h>

#include "guest/internal.h"

#define ENTRY_PRESENT   UINT64_C(1)
#define ENTRY_LARGE     (UINT64_C(1) << 7)
#define ENTRY_PROT_NONE (UINT64_C(1) << 8) /* of an entry that is not present (_PAGE_PROTNONE) */
#define ENTRY_ADDRESS   UINT64_C(0x000ffffffffff000)

#define SHIFT_SMALL     12u
#define SHIFT_LARGE     21u

#define WINDOW          (2u * 1024 * 1024) /* of a search */

/* What an address leads to: `physical` is the first byte of a page of 2^shift bytes. */
struct leaf {
	uint64_t physical;
	unsigned shift;
};

void memory_init(struct memory *memory, struct image *image, struct gpa top, bool five_levels, uint64_t sme_mask)
{
	memset(memory, 0, sizeof(*memory));
	memory->image = image;
	memory->top = top;
	memory->five_levels = five_levels;
	memory->sme_mask = sme_mask;
}

void memory_init_linear(struct memory *memory, struct image *image, uint64_t base)
{
	memory_init(memory, image, (struct gpa){0}, false, 0);
	memory->linear = true;
	memory->linear_base = base;
}

static struct error *bad_address(struct gva address, const char *why)
{
	return error_format(NULL, address.v, "guest address 0x%llx %s", (unsigned long long)address.v, why);
}

/* The bits above those that the tables translate must all equal the highest one of these. */
static bool is_canonical(struct gva address, unsigned bits)
{
	int64_t shifted = (int64_t)(address.v << (64 - bits)) >> (64 - bits);

	return (uint64_t)shifted == address.v;
}

/*
 * An entry that the processor does not follow. The kernel keeps pages in memory under such
 * entries: PROT_NONE mappings (also those that NUMA balancing makes for a while) and large pages
 * that are being split. Their address bits are inverted (arch/x86/include/asm/pgtable-invert.h).
 */
static struct error *not_present(struct gva address, uint64_t entry, unsigned shift, uint64_t *ret)
{
	if (entry & ENTRY_PROT_NONE || (shift > SHIFT_SMALL && shift <= 30 && entry & ENTRY_LARGE)) {
		*ret = ~entry;
		return NULL;
	}
	if (entry == 0)
		return bad_address(address, "is not mapped");
	return error_recode(bad_address(address, "is not in memory: its page is swapped out or being moved"),
			    ERROR_NOT_FOUND);
}

static struct error *walk(struct memory *memory, struct gva address, struct leaf *ret)
{
	unsigned shift = memory->five_levels ? 48 : 39;
	uint64_t table = memory->top.v;

	if (!is_canonical(address, shift + 9))
		return bad_address(address, "is not canonical");
	for (;; shift -= 9) {
		uint64_t entry, index = address.v >> shift & 511;
		bool leaf;
		struct error *error = image_read(memory->image, (struct gpa){table + index * 8}, &entry, sizeof(entry));

		if (error)
			return error_wrap(error, "page table of guest address 0x%llx", (unsigned long long)address.v);
		leaf = shift == SHIFT_SMALL || (shift <= 30 && entry & ENTRY_LARGE);
		if (!(entry & ENTRY_PRESENT)) {
			error = not_present(address, entry, shift, &entry);
			if (error)
				return error;
			leaf = true;
		}
		table = entry & ENTRY_ADDRESS & ~memory->sme_mask;
		if (leaf) {
			ret->physical = table & ~((UINT64_C(1) << shift) - 1);
			ret->shift = shift;
			return NULL;
		}
	}
}

static struct tlb_entry *tlb_slot(struct memory *memory, struct gva address, unsigned shift)
{
	uint64_t page = address.v >> shift;

	return shift == SHIFT_SMALL ? &memory->small[page % TLB_SMALL] : &memory->large[page % TLB_LARGE];
}

/* Looks `address` up and says how many bytes from there on lie together: to the end of a page of 4 KiB or 2 MiB. */
static struct error *translate(struct memory *memory, struct gva address, struct gpa *ret, uint64_t *ret_size)
{
	static const unsigned shifts[] = {SHIFT_LARGE, SHIFT_SMALL};
	struct leaf leaf = {0};
	unsigned shift;
	uint64_t within;
	struct error *error;

	if (memory->linear) {
		ret->v = address.v - memory->linear_base;
		*ret_size = (UINT64_C(1) << SHIFT_LARGE) - ret->v % (UINT64_C(1) << SHIFT_LARGE);
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(shifts); i++) {
		const struct tlb_entry *entry = tlb_slot(memory, address, shifts[i]);

		if (entry->page != (address.v >> shifts[i]) + 1)
			continue;
		within = address.v & ((UINT64_C(1) << shifts[i]) - 1);
		ret->v = entry->physical + within;
		*ret_size = (UINT64_C(1) << shifts[i]) - within;
		return NULL;
	}
	error = walk(memory, address, &leaf);
	if (error)
		return error;
	ret->v = leaf.physical + (address.v & ((UINT64_C(1) << leaf.shift) - 1));
	shift = leaf.shift > SHIFT_LARGE ? SHIFT_LARGE : leaf.shift;
	within = address.v & ((UINT64_C(1) << shift) - 1);
	*ret_size = (UINT64_C(1) << shift) - within;
	*tlb_slot(memory, address, shift) =
		(struct tlb_entry){.page = (address.v >> shift) + 1, .physical = ret->v - within};
	return NULL;
}

struct error *memory_translate(struct memory *memory, struct gva address, struct gpa *ret)
{
	uint64_t size;

	return translate(memory, address, ret, &size);
}

struct error *memory_read(struct memory *memory, struct gva address, void *buffer, size_t size)
{
	uint8_t *out = buffer;

	while (size > 0) {
		struct gpa physical;
		uint64_t n;
		struct error *error = translate(memory, address, &physical, &n);

		if (error)
			return error;
		if (n > size)
			n = size;
		error = image_read(memory->image, physical, out, n);
		if (error)
			return error_wrap(error, "guest address 0x%llx", (unsigned long long)address.v);
		out += n;
		size -= n;
		address.v += n;
	}
	return NULL;
}

struct error *memory_read_u64(struct memory *memory, struct gva address, uint64_t *ret)
{
	uint64_t value;
	struct error *error = memory_read(memory, address, &value, sizeof(value));

	if (!error)
		*ret = value;
	return error;
}

struct error *memory_read_u32(struct memory *memory, struct gva address, uint32_t *ret)
{
	uint32_t value;
	struct error *error = memory_read(memory, address, &value, sizeof(value));

	if (!error)
		*ret = value;
	return error;
}

struct error *memory_read_string(struct memory *memory, struct gva address, char *buffer, size_t size)
{
	size_t done = 0;

	while (done + 1 < size) {
		size_t n = PAGE_SIZE - address.v % PAGE_SIZE;
		struct error *error;

		if (n > size - 1 - done)
			n = size - 1 - done;
		error = memory_read(memory, address, buffer + done, n);
		if (error)
			return error;
		if (memchr(buffer + done, '\0', n))
			return NULL;
		done += n;
		address.v += n;
	}
	buffer[done] = '\0';
	return NULL;
}

size_t memory_read_some(struct memory *memory, struct gva address, void *buffer, size_t size)
{
	struct error *error;

	while ((error = memory_read(memory, address, buffer, size)) != NULL) {
		size_t page = PAGE_SIZE - address.v % PAGE_SIZE;

		error_destroy(error);
		if (size <= page)
			return 0;
		size = size / 2 > page ? size / 2 : page;
	}
	return size;
}

bool memory_find(struct memory *memory, struct gva *from, struct gva end, const void *bytes, size_t size)
{
	_cleanup_(free_ptr) uint8_t *window = malloc(WINDOW);

	while (window && from->v < end.v) {
		uint64_t left = end.v - from->v;
		size_t n = memory_read_some(memory, *from, window, left < WINDOW ? left : WINDOW);
		const uint8_t *found = memmem(window, n, bytes, size);

		if (found) {
			from->v += (uint64_t)(found - window);
			return true;
		}
		if (n == 0)
			n = PAGE_SIZE - from->v % PAGE_SIZE;
		else if (n >= size && n < left)
			n -= size - 1; /* they may lie across two windows */
		from->v += n < left ? n : left;
	}
	return false;
}

struct error *guest_user_memory(struct guest *guest, struct gva mm, struct memory *ret)
{
	struct member member = types_find(guest->types, "mm_struct", "pgd");
	struct gpa top = {0};
	uint64_t pgd;
	struct error *error = guest_read_member(guest, mm, &member, &pgd);

	if (!error)
		error = memory_translate(&guest->memory, (struct gva){pgd}, &top);
	if (error)
		return error_wrap(error, "page tables of a process");
	memory_init(ret, guest->memory.image, top, guest->memory.five_levels, guest->memory.sme_mask);
	return NULL;
}
