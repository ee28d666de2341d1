/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last resort: finds a kernel's symbol tables anywhere in guest-physical memory, and from
 * these its page tables. Reads all memory that the file has content for.
 *
 * The image lies in one piece in physical memory. Tables that are relative to their own place
 * (7.0 and later) give physical addresses then; the others give the linked ones, and what the
 * kernel was moved by is what lets its banner and its variable phys_base agree with it.
 */
#include <string.h>

#include "guest/internal.h"

#define ALIGNMENT (UINT64_C(2) * 1024 * 1024)  /* the least CONFIG_PHYSICAL_ALIGN */
#define DISTANCE  (UINT64_C(64) * 1024 * 1024) /* of the banner from the token table; both are in .rodata */
#define OVERLAP   64u                          /* more than what kallsyms_next() looks for first */

/* What tables found in physical memory are checked against, and what comes out. */
struct placing {
	struct memory *physical;
	uint64_t token_table; /* guest-physical */
	uint64_t phys_base;
};

/* Whether the kernel whose banner is linked at `banner` and lies at `at` has its phys_base where `phys_base` is linked.
 */
static bool check_place(const struct placing *placing, uint64_t banner, uint64_t at, uint64_t phys_base, uint64_t *ret)
{
	static const char text[] = "Linux version ";
	char found[sizeof(text)];
	uint64_t moved = banner == at ? 0 : at - (banner - KERNEL_BASE); /* place-relative tables do not tell */
	struct error *error = memory_read_string(placing->physical, (struct gva){at}, found, sizeof(found));

	if (!error && strcmp(found, text) == 0)
		error = memory_read_u64(placing->physical, (struct gva){phys_base - banner + at}, ret);
	else
		*ret = 1; /* never aligned */
	if (error)
		*ret = 1;
	error_destroy(error);
	return *ret % ALIGNMENT == 0 && (banner == at || *ret == moved);
}

static bool accept_place(void *data, const struct symbols *symbols, struct gva banner)
{
	struct placing *placing = data;
	uint64_t low = placing->token_table > DISTANCE ? placing->token_table - DISTANCE : 0;
	struct gva phys_base;

	if (!symbols_find(symbols, "phys_base", &phys_base))
		return false;
	if (banner.v < KERNEL_BASE)
		return check_place(placing, banner.v, banner.v, phys_base.v, &placing->phys_base);
	for (uint64_t at = low - low % ALIGNMENT + banner.v % ALIGNMENT; at < placing->token_table + DISTANCE;
	     at += ALIGNMENT) {
		if (check_place(placing, banner.v, at, phys_base.v, &placing->phys_base))
			return true;
	}
	return false;
}

/* The kernel's own page tables, with the levels that map its banner where it is. */
static bool find_top(struct kernel_search *search, const struct symbols *symbols, uint64_t phys_base,
		     struct kernel_image *ret)
{
	struct gva top, banner;

	if (!symbols_find(symbols, "init_top_pgt", &top) || !symbols_find(symbols, "linux_banner", &banner))
		return false;
	for (unsigned five_levels = 0; five_levels < 2; five_levels++) {
		struct gpa physical = {top.v - KERNEL_BASE + phys_base}, found = {0};
		struct memory memory;
		struct error *error;

		memory_init(&memory, search->image, physical, five_levels, 0);
		error = memory_translate(&memory, banner, &found);
		error_destroy(error);
		if (!error && found.v == banner.v - KERNEL_BASE + phys_base &&
		    kernel_image_of(search->image, physical, five_levels, 0, ret))
			return true;
	}
	return false;
}

/* Reads the symbols once more, at the addresses that they are linked to. */
static struct error *load_moved(struct kernel_search *search, struct kallsyms_tables *tables, uint64_t phys_base,
				struct symbols **ret)
{
	uint64_t move = KERNEL_BASE - phys_base;
	struct memory memory;

	memory_init_linear(&memory, search->image, move);
	tables->names.v += move;
	tables->num_syms.v += move;
	tables->token_table.v += move;
	tables->token_index.v += move;
	for (size_t i = 0; i < tables->n_places; i++) {
		tables->places[i].values.v += move;
		if (tables->places[i].relative_base.v)
			tables->places[i].relative_base.v += move;
	}
	tables->accept = NULL;
	return symbols_load(&memory, tables, ret);
}

/* Whether a kernel belongs to these tables. */
static bool find_kernel(struct kernel_search *search, struct kallsyms_tables *tables, struct kernel_image *ret)
{
	_cleanup_(symbols_destroy_ptr) struct symbols *symbols = NULL;
	struct placing placing = {.physical = &search->physical, .token_table = tables->token_table.v};
	struct error *error;

	tables->accept = accept_place;
	tables->accept_data = &placing;
	error = symbols_load(&search->physical, tables, &symbols);
	symbols_destroy(take_ptr(symbols));
	if (!error)
		error = load_moved(search, tables, placing.phys_base, &symbols);
	error_destroy(error);
	return !error && find_top(search, symbols, placing.phys_base, ret);
}

void kernel_search_init(struct kernel_search *search, struct image *image)
{
	*search = (struct kernel_search){.image = image};
	memory_init_linear(&search->physical, image, 0);
	search->tables.memory = &search->physical;
}

bool kernel_search_next(struct kernel_search *search, struct kernel_image *ret)
{
	for (;;) {
		struct image_range range;
		struct kallsyms_tables tables;

		while (kallsyms_next(&search->tables, &tables)) {
			if (find_kernel(search, &tables, ret))
				return true;
		}
		range = image_next_data(search->image, search->next);
		if (range.size == 0)
			return false;
		search->tables.from.v = range.start.v;
		search->next.v = range.start.v + range.size;
		/* What is looked for may end in a hole of the file, which is zeros. */
		search->tables.end.v = search->next.v + (search->next.v < UINT64_MAX - OVERLAP ? OVERLAP : 0);
	}
}
