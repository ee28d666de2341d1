/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-sum FILE START END [--layout LAYOUT] [--snapshot NAME]: the SHA-256 of guest-physical memory, which must all be
 * there. For tests/vm/formats.test, which compares it with that of QEMU's own dump.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "image/image.h"

#define PIECE (64u << 10)

static struct error *sum(struct image *image, uint64_t start, uint64_t end, char hex[SHA256_HEX_SIZE])
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();
	uint8_t digest[SHA256_SIZE], bytes[PIECE];
	struct error *error = hash ? NULL : error_no_memory();

	for (uint64_t at = start; !error && at < end; at += PIECE) {
		size_t size = end - at < PIECE ? end - at : PIECE;

		error = image_read(image, (struct gpa){at}, bytes, size);
		if (!error)
			sha256_update(hash, bytes, size);
	}
	if (error)
		return error;
	sha256_final(hash, digest);
	sha256_to_hex(digest, hex);
	return NULL;
}

int main(int argc, char **argv)
{
	_cleanup_(image_close_ptr) struct image *image = NULL;
	_cleanup_(error_destroy_ptr) struct error *error = NULL;
	struct image_options options = {0};
	char hex[SHA256_HEX_SIZE];

	if (argc != 4 && argc != 6) {
		fprintf(stderr, "usage: image-sum FILE START END [--layout LAYOUT | --snapshot NAME]\n");
		return 2;
	}
	if (argc == 6 && strcmp(argv[4], "--layout") == 0)
		options.layout = argv[5];
	else if (argc == 6)
		options.snapshot = argv[5];
	error = image_open(argv[1], &options, &image);
	if (!error)
		error = sum(image, strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0), hex);
	if (error)
		fprintf(stderr, "image-sum: %s\n", error->message);
	else
		puts(hex);
	return error ? 1 : 0;
}
