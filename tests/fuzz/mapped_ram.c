/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's mapped-ram files, whose bitmaps and pages lie a megabyte apart. */
#include "tests/fuzz/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_sparse_image(data, size);
	return 0;
}
