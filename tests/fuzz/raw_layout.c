/* SPDX-License-Identifier: Apache-2.0 */
/* A layout, up to the first line's end, for the bytes that follow. */
#include <string.h>

#include "tests/fuzz/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\n', size);
	size_t n = end ? (size_t)(end - data) : size;
	_cleanup_(free_ptr) char *layout = strndup((const char *)data, n);
	const struct image_options options = {.layout = layout};

	if (layout && end)
		fuzz_image(end + 1, size - n - 1, &options);
	return 0;
}
