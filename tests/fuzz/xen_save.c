/* SPDX-License-Identifier: Apache-2.0 */
/* Xen's save files: three streams, one in the other. */
#include "tests/fuzz/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_image(data, size, NULL);
	return 0;
}
