/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One walk over a real kernel whose memory is altered as the input says: WALK names it.
 *
 * The image is $OUASSISTER_WALK_IMAGE or, by default, the one of tests/data; opened once, unaltered. The input is a
 * list of alterations: 2 bytes choose one of the pages that the walk reads when nothing is altered, 2 a place in it, 8
 * are turned over there.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/internal.h"
#include "tests/unit/guest/edits.h"
#include "tests/unit/guest/walks.h"

#define RECORD_SIZE 12u
#define RECORDS_MAX 256u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct guest *guest;
static const struct walk *walk;
static const uint64_t *pages;
static size_t n_pages;

/* No translation of one input may serve the next. */
static void forget_translations(void)
{
	struct memory *memory = &guest->memory;

	memory_init(memory, memory->image, memory->top, memory->five_levels, memory->sme_mask);
}

static void must(struct error *error)
{
	if (!error)
		return;
	fprintf(stderr, "walk %s: %s\n", WALK, error->message);
	abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *path = getenv("OUASSISTER_WALK_IMAGE");
	struct image *image;
	size_t items;

	must(image_open(path ? path : WALK_IMAGE, NULL, &image));
	must(guest_open(image, NULL, &guest));
	walk = walk_find(WALK);
	/* Once before: what is made when first used, like the types of modules, must come from the unaltered image. */
	must(walk->run(guest, &items));
	forget_translations();
	edits_record(true);
	must(walk->run(guest, &items));
	edits_record(false);
	n_pages = edits_pages(&pages);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct edit edits[RECORDS_MAX * 8];
	size_t n = 0, items;

	for (; size >= RECORD_SIZE && n < RECORDS_MAX * 8; data += RECORD_SIZE, size -= RECORD_SIZE) {
		uint64_t page = pages[(size_t)(data[0] | data[1] << 8) % n_pages];
		uint64_t place = (uint64_t)(data[2] | data[3] << 8) % (PAGE_SIZE - 7);

		for (size_t i = 0; i < 8; i++)
			edits[n++] = (struct edit){page + place + i, data[4 + i]};
	}
	edits_set(edits, n);
	forget_translations();
	error_destroy(walk->run(guest, &items));
	return 0;
}
