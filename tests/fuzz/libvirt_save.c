/* SPDX-License-Identifier: Apache-2.0 */
/* libvirt's save files, and all that is compressed. */
#include "tests/fuzz/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_image(data, size, NULL);
	return 0;
}
