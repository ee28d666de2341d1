/* SPDX-License-Identifier: Apache-2.0 */
#include "base/array.h"

#include <stdlib.h>
#include <string.h>

struct error *array_room(void *items, size_t n, size_t item_size)
{
	void *array, *grown;

	if ((n & (n - 1)) != 0)
		return NULL;
	memcpy(&array, items, sizeof(array));
	grown = reallocarray(array, n ? n * 2 : 1, item_size);
	if (!grown)
		return error_no_memory();
	memcpy(items, &grown, sizeof(grown));
	return NULL;
}
