/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "image/image.h"
#include "tests/unit/guest/edits.h"

#define PAGE UINT64_C(4096)

/* A set of pages: open addressing, a power of two of slots; 0: empty, so addresses are kept plus one. */
static struct {
	uint64_t *slots;
	size_t size, n;
	uint64_t *sorted;
	bool on;
} noted;

static struct {
	struct edit *items;
	size_t n;
} current;

struct error *__real_image_read(struct image *image, struct gpa address, void *buffer, size_t size);
struct error *__wrap_image_read(struct image *image, struct gpa address, void *buffer, size_t size);

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static void place(uint64_t *slots, size_t size, uint64_t page)
{
	size_t i = (page >> 12) * UINT64_C(0x9e3779b97f4a7c15) >> 20 & (size - 1);

	while (slots[i] && slots[i] != page + 1)
		i = (i + 1) & (size - 1);
	noted.n += !slots[i];
	slots[i] = page + 1;
}

static void note(uint64_t page)
{
	if (noted.n * 2 >= noted.size) {
		size_t size = noted.size ? noted.size * 2 : 4096, old = noted.size;
		uint64_t *slots = must(calloc(size, sizeof(*slots)));

		noted.n = 0;
		for (size_t i = 0; i < old; i++) {
			if (noted.slots[i])
				place(slots, size, noted.slots[i] - 1);
		}
		free(noted.slots);
		noted.slots = slots;
		noted.size = size;
	}
	place(noted.slots, noted.size, page);
}

static int compare_edits(const void *a, const void *b)
{
	const struct edit *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

static int compare_pages(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

void edits_record(bool on)
{
	noted.on = on;
}

void edits_forget(void)
{
	free(noted.slots);
	noted.slots = NULL;
	noted.size = noted.n = 0;
}

size_t edits_pages(const uint64_t **ret)
{
	size_t n = 0;

	free(noted.sorted);
	noted.sorted = must(calloc(noted.n + 1, sizeof(*noted.sorted)));
	for (size_t i = 0; i < noted.size; i++) {
		if (noted.slots[i])
			noted.sorted[n++] = noted.slots[i] - 1;
	}
	qsort(noted.sorted, n, sizeof(*noted.sorted), compare_pages);
	*ret = noted.sorted;
	return n;
}

void edits_set(const struct edit *edits, size_t n)
{
	free(current.items);
	current.items = must(calloc(n + 1, sizeof(*edits)));
	if (n > 0)
		memcpy(current.items, edits, n * sizeof(*edits));
	current.n = n;
	qsort(current.items, n, sizeof(*edits), compare_edits);
}

/* The first edit at or above `address`. */
static size_t first_edit(uint64_t address)
{
	size_t low = 0, high = current.n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (current.items[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct error *__wrap_image_read(struct image *image, struct gpa address, void *buffer, size_t size)
{
	struct error *error = __real_image_read(image, address, buffer, size);

	if (error || size == 0)
		return error;
	if (noted.on) {
		for (uint64_t page = address.v & ~(PAGE - 1); page < address.v + size; page += PAGE)
			note(page);
	}
	for (size_t i = first_edit(address.v); i < current.n && current.items[i].address - address.v < size; i++)
		((uint8_t *)buffer)[current.items[i].address - address.v] ^= current.items[i].flip;
	return NULL;
}
