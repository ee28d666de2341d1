/* SPDX-License-Identifier: Apache-2.0 */
/* Says why no kernel is found: what the memory holds instead, as far as that can be told. */
#include <string.h>

#include "guest/internal.h"

/* Pages looked at to tell whether memory is encrypted. */
#define SAMPLES        512u
#define SAMPLES_MIN    64u /* of pages that are not empty */
/*
 * Chi-square of the bytes of a page of 4096 against even distribution: 255 on average for
 * ciphertext, 23 the standard deviation. Anything a guest holds but compressed data is in the
 * thousands.
 */
#define RANDOM_MAX     400.0
#define ARM64_MAGIC_AT 56u /* Documentation/arm64/booting.rst */

static bool read_page(struct image *image, uint64_t address, uint8_t page[PAGE_SIZE])
{
	struct error *error = image_read(image, (struct gpa){address}, page, PAGE_SIZE);

	error_destroy(error);
	return !error;
}

static bool is_random(const uint8_t page[PAGE_SIZE])
{
	const double expected = PAGE_SIZE / 256.0;
	unsigned counts[256] = {0};
	double chi = 0;

	for (unsigned i = 0; i < PAGE_SIZE; i++)
		counts[page[i]]++;
	for (unsigned i = 0; i < 256; i++)
		chi += (counts[i] - expected) * (counts[i] - expected) / expected;
	return chi < RANDOM_MAX;
}

/* Whether nearly all of memory is ciphertext: a guest under SEV or TDX, as its host sees it. */
static bool is_encrypted(struct image *image)
{
	uint64_t step = image_ram_size(image) / SAMPLES & ~(uint64_t)(PAGE_SIZE - 1);
	unsigned n = 0, random = 0;
	struct gpa at = {0};

	if (step == 0)
		step = PAGE_SIZE;
	for (unsigned i = 0; i < SAMPLES; i++, at.v += step) {
		struct image_range range = image_next_range(image, at);
		uint8_t page[PAGE_SIZE];

		if (range.size == 0)
			break;
		if (at.v < range.start.v)
			at.v = range.start.v;
		if (!read_page(image, at.v, page) || memcmp(page, page + 1, PAGE_SIZE - 1) == 0)
			continue; /* the same byte all over */
		n++;
		random += is_random(page);
	}
	return n >= SAMPLES_MIN && random >= n - n / 10;
}

/* The header of an arm64 kernel, which begins "MZ" for EFI. */
static bool is_arm64(struct image *image)
{
	static const uint8_t start[] = {0x4d, 0x5a, 0x40, 0xfa};
	struct gpa page, from = {0};

	for (unsigned i = 0; i < 16 && image_find_page(image, from, start, sizeof(start), &page); i++) {
		char magic[4];
		struct error *error = image_read(image, (struct gpa){page.v + ARM64_MAGIC_AT}, magic, sizeof(magic));

		error_destroy(error);
		if (!error && memcmp(magic, "ARM\x64", 4) == 0)
			return true;
		from.v = page.v + PAGE_SIZE;
	}
	return false;
}

struct error *kernel_missing(struct image *image)
{
	struct kernel_note note;
	unsigned long long size = image_ram_size(image) >> 20;
	struct error *error;

	if (is_encrypted(image))
		return error_remedy(
			error_create(ERROR_UNSUPPORTED, "the guest's memory of %llu MiB is encrypted", size),
			"Guests under AMD SEV or Intel TDX cannot be read from outside");
	if (is_arm64(image))
		return error_remedy(error_create(ERROR_UNSUPPORTED, "the guest's kernel is one for aarch64"),
				    "Only Linux guests on x86-64 can be read");
	if (kernel_find_foreign(image, &note))
		return error_remedy(error_create(ERROR_UNSUPPORTED,
						 "the guest's kernel %s is not one for x86-64 (32-bit, or another "
						 "processor)",
						 note.release),
				    "Only Linux guests on x86-64 can be read");
	error = error_create(ERROR_UNSUPPORTED,
			     "no Linux kernel is found in the guest's memory (neither its page tables nor a VMCOREINFO "
			     "note nor a table of symbols in %llu MiB)",
			     size);
	return error_remedy(error, "Only Linux guests on x86-64 can be read, and only once their kernel has started; "
				   "it must be built with CONFIG_KALLSYMS_ALL");
}
