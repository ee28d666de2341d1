/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays that grow by doubling. */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include <stddef.h>

#include "base/error.h"

/*
 * Makes room for one more item behind `n` in a malloc'd array; `items` points to the array's pointer. An array that
 * grows only so needs no record of its room: it is used up whenever `n` is a power of two. The array stays as it is
 * when there is no memory.
 */
struct error *array_room(void *items, size_t n, size_t item_size) _must_check_;

#endif
