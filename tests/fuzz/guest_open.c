/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as all memory of a guest: page tables, the note, symbols and types lead wherever they
 * want to. The first bytes are also a note's text.
 */
#include "guest/guest.h"
#include "guest/internal.h"
#include "tests/fuzz/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image *image = fuzz_memory(data, size);
	struct guest *guest = NULL;
	struct kernel_note note;

	error_destroy(kernel_note_parse((const char *)data, size < NOTE_SIZE_MAX ? size : NOTE_SIZE_MAX, &note));
	if (!image)
		return 0;
	error_destroy(guest_open(image, NULL, &guest));
	guest_close(guest);
	image_close(image);
	return 0;
}
