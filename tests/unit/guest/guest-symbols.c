/* SPDX-License-Identifier: Apache-2.0 */
/* For developers and tests: prints the symbols of the kernel in a memory image, as /proc/kallsyms does. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "guest/guest.h"
#include "guest/internal.h"
#include "image/image.h"

static struct error *print_symbols(const char *path, const struct guest_options *options, bool quiet)
{
	_cleanup_(image_close_ptr) struct image *image = NULL;
	_cleanup_(guest_close_ptr) struct guest *guest = NULL;
	struct error *error = image_open(path, NULL, &image);
	uint64_t start = clock_monotonic_ns();

	if (!error)
		error = guest_open(image, options, &guest);
	if (error)
		return error;
	if (quiet)
		printf("%zu symbols, opened in %llu us\n", symbols_count(guest->symbols),
		       (unsigned long long)(clock_monotonic_ns() - start) / 1000);
	for (size_t i = 0; !quiet && i < symbols_count(guest->symbols); i++) {
		struct symbol symbol;

		symbols_at(guest->symbols, i, &symbol);
		printf("%016llx %c %s\n", (unsigned long long)symbol.address, symbol.type, symbol.name);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	_cleanup_(error_destroy_ptr) struct error *error = NULL;
	struct guest_options options = {0};
	bool quiet = argc > 1 && strcmp(argv[1], "--time") == 0;

	if (argc < 2 + quiet || argc > 3 + quiet) {
		fprintf(stderr, "usage: guest-symbols [--time] MEMORY-IMAGE [BTF]\n");
		return 2;
	}
	options.btf_path = argc == 3 + quiet ? argv[2 + quiet] : NULL;
	error = print_symbols(argv[1 + quiet], &options, quiet);
	if (!error)
		return 0;
	fprintf(stderr, "guest-symbols: %s\n%s\n", error->message, error->remedy ? error->remedy : "");
	return error_exit_status(error->code);
}
