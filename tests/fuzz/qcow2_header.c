/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>

#include "base/qcow2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qcow2_header header;
	struct error *error = qcow2_parse_header(data, size, "fuzz", &header);

	if (error)
		error_destroy(error);
	else
		qcow2_header_deinit(&header);
	return 0;
}
