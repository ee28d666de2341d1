/* SPDX-License-Identifier: Apache-2.0 */
/* The memory in a qcow2 file's snapshot: tables, clusters and the stream in them. */
#include "tests/fuzz/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_image(data, size, NULL);
	return 0;
}
