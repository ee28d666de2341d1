/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>

#include "bundle/payload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A header, and everything after it as the index, however long the header says it is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct payload_header header;
	struct payload payload;
	struct error *error;

	if (size < PAYLOAD_HEADER_SIZE)
		return 0;
	error = payload_parse_header(data, &header);
	if (!error) {
		header.index_size = size - PAYLOAD_HEADER_SIZE;
		error = payload_parse_index(&header, data + PAYLOAD_HEADER_SIZE, NULL, &payload);
		if (!error)
			payload_deinit(&payload);
	}
	error_destroy(error);
	return 0;
}
