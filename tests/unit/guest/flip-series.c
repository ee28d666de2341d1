/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flip-series IMAGE [ROUNDS [SEED]]: bits turned over in the pages that a guest's kernel is read from.
 *
 * Each round damages other bits, opens the guest and runs every walk. All must end, with an answer or an error,
 * within 5 s; sanitizers watch. A round is repeated by giving its seed, with 1 for ROUNDS.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/unit/guest/edits.h"
#include "tests/unit/guest/walks.h"

#define WALK_SECONDS 5
#define FLIPS_MAX    10000u

static struct {
	uint64_t seed;
	const char *walk;
} now;

/* A number for the next choice (splitmix64). */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void too_long(int signal)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "not ok seed %llu: %s did not end within %d s\n",
			 (unsigned long long)now.seed, now.walk, WALK_SECONDS);

	if (write(STDOUT_FILENO, text, (size_t)n) < 0)
		_exit(2);
	/* Where it hangs, for a debugger or a sanitizer's stack. */
	abort();
}

static int fail(const char *what, struct error *error)
{
	printf("not ok %s: %s\n", what, error->message);
	error_destroy(error);
	return 1;
}

/* The undamaged guest: every walk must go through and find something; notes the pages that it reads. */
static int walk_clean(struct image *image)
{
	_cleanup_(guest_close_ptr) struct guest *guest = NULL;
	struct error *error;

	edits_record(true);
	error = guest_open(image, NULL, &guest);
	if (error)
		return fail("open", error);
	for (size_t i = 0; i < n_walks; i++) {
		size_t items = 0;

		error = walks[i].run(guest, &items);
		if (error)
			return fail(walks[i].name, error);
		fprintf(stderr, "%s: %zu\n", walks[i].name, items);
	}
	edits_record(false);
	return 0;
}

static void damage(uint64_t seed, const uint64_t *pages, size_t n_pages)
{
	static const size_t amounts[] = {1, 10, 100, 1000, FLIPS_MAX};
	static struct edit edits[FLIPS_MAX];
	uint64_t state = seed;
	size_t n = amounts[draw(&state) % ARRAY_SIZE(amounts)];

	for (size_t i = 0; i < n; i++) {
		edits[i].address = pages[draw(&state) % n_pages] + draw(&state) % 4096;
		edits[i].flip = (uint8_t)(1u << draw(&state) % 8);
	}
	edits_set(edits, n);
}

/* One round; whether the guest could be opened at all. */
static bool walk_damaged(struct image *image)
{
	_cleanup_(guest_close_ptr) struct guest *guest = NULL;
	struct error *error;

	now.walk = "open";
	alarm(WALK_SECONDS);
	error = guest_open(image, NULL, &guest);
	if (error) {
		error_destroy(error);
		alarm(0);
		return false;
	}
	for (size_t i = 0; i < n_walks; i++) {
		size_t items;

		now.walk = walks[i].name;
		alarm(WALK_SECONDS);
		error_destroy(walks[i].run(guest, &items));
	}
	alarm(0);
	return true;
}

int main(int argc, char **argv)
{
	_cleanup_(image_close_ptr) struct image *image = NULL;
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 50, opened = 0;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	const uint64_t *pages;
	struct rusage usage;
	struct error *error;
	size_t n_pages;

	if (argc < 2 || argc > 4) {
		fprintf(stderr, "usage: flip-series IMAGE [ROUNDS [SEED]]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	error = image_open(argv[1], NULL, &image);
	if (error)
		return fail("image", error);
	if (walk_clean(image) != 0)
		return 1;
	n_pages = edits_pages(&pages);
	signal(SIGALRM, too_long);
	for (unsigned long i = 0; i < rounds; i++) {
		now.seed = seed + i;
		damage(now.seed, pages, n_pages);
		opened += walk_damaged(image);
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("ok %lu damaged kernels over %zu pages end in an answer or an error; %lu could be opened; peak %ld "
	       "MiB\n",
	       rounds, n_pages, opened, usage.ru_maxrss / 1024);
	return 0;
}
