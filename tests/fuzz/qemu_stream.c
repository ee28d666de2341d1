/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a memory image: opened, looked through and read, all formats. */
#include "tests/fuzz/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_image(data, size, NULL);
	return 0;
}
