/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays that grow by doubling, and the search in sorted ones. */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/*
 * Makes room for one more item behind `n` in a malloc'd array; `items` points to the array's pointer. An array that
 * grows only so needs no record of its room: it is used up whenever `n` is a power of two. The array stays as it is
 * when there is no memory.
 */
struct error *array_room(void *items, size_t n, size_t item_size) _must_check_;

/*
 * The index of the first item that is not before the key, `n` if all are. The array is sorted so that those that are
 * before it come first; of equal ones it is the first, which bsearch(3) does not promise.
 */
size_t array_lower_bound(const void *items, size_t n, size_t item_size, const void *key,
			 bool (*is_before)(const void *item, const void *key));

/* For qsort(3) and bsearch(3) over uint64_t, ascending. */
int array_compare_u64(const void *a, const void *b);

#endif
