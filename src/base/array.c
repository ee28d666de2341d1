/* SPDX-License-Identifier: Apache-2.0 */
#include "base/array.h"

#include <stdint.h>
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

size_t array_lower_bound(const void *items, size_t n, size_t item_size, const void *key,
			 bool (*is_before)(const void *item, const void *key))
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (is_before((const char *)items + middle * item_size, key))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int array_compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}
