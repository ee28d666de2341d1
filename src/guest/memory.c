/* SPDX-License-Identifier: Apache-2.0 */
/* Guest-virtual reads: x86-64 page tables of 4 and 5 levels, with 2 MiB and 1 GiB pages. */
#include <string.h>

#include "guest/internal.h"

#define ENTRY_PRESENT UINT64_C(1)
#define ENTRY_LARGE   (UINT64_C(1) << 7)
#define ENTRY_ADDRESS UINT64_C(0x000ffffffffff000)

void memory_init(struct memory *memory, struct image *image, struct gpa top, bool five_levels, uint64_t sme_mask)
{
	memset(memory, 0, sizeof(*memory));
	memory->image = image;
	memory->top = top;
	memory->five_levels = five_levels;
	memory->sme_mask = sme_mask;
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

static struct error *walk(struct memory *memory, struct gva address, uint64_t *ret)
{
	unsigned shift = memory->five_levels ? 48 : 39;
	uint64_t table = memory->top.v;

	if (!is_canonical(address, shift + 9))
		return bad_address(address, "is not canonical");
	for (;; shift -= 9) {
		uint64_t entry, index = address.v >> shift & 511;
		uint64_t size = UINT64_C(1) << shift;
		struct error *error = image_read(memory->image, (struct gpa){table + index * 8}, &entry, sizeof(entry));

		if (error)
			return error_wrap(error, "page table of guest address 0x%llx", (unsigned long long)address.v);
		if (!(entry & ENTRY_PRESENT))
			return bad_address(address, "is not mapped");
		table = entry & ENTRY_ADDRESS & ~memory->sme_mask;
		if (shift == 12 || (shift <= 30 && entry & ENTRY_LARGE)) {
			*ret = (table & ~(size - 1)) | (address.v & (size - 1));
			return NULL;
		}
	}
}

struct error *memory_translate(struct memory *memory, struct gva address, struct gpa *ret)
{
	uint64_t page = address.v / PAGE_SIZE, physical = 0;
	struct tlb_entry *entry = &memory->tlb[page % TLB_SIZE];
	struct error *error;

	if (entry->page != page + 1) {
		error = walk(memory, (struct gva){page * PAGE_SIZE}, &physical);
		if (error)
			return error;
		*entry = (struct tlb_entry){.page = page + 1, .physical = physical};
	}
	ret->v = entry->physical + address.v % PAGE_SIZE;
	return NULL;
}

struct error *memory_read(struct memory *memory, struct gva address, void *buffer, size_t size)
{
	uint8_t *out = buffer;

	while (size > 0) {
		size_t n = PAGE_SIZE - address.v % PAGE_SIZE;
		struct gpa physical;
		struct error *error = memory_translate(memory, address, &physical);

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
