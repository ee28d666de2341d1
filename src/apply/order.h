/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which paths are switched; undo goes the same way back. In each pass the
 * payload's own order holds.
 */
#ifndef APPLY_ORDER_H
#define APPLY_ORDER_H

#include "apply/transaction.h"

enum pass {
	PASS_MOST,
	PASS_C_LIBRARY, /* together, so that the loader and its library differ for microseconds only */
	PASS_PACKAGES,  /* dpkg's database: last, it tells what is there */
	PASS_END,
	PASS_NEVER, /* attributes, which follow when everything is in its place */
};

enum pass order_pass(const struct change *change);

/* Whether it is a dynamic loader that a C library of its own belongs to: by its name, whatever the machine. */
bool order_is_loader(const char *path);
/* The inodes, old and new, of the dynamic loaders that are exchanged; at most `max`. */
size_t order_loaders(const struct transaction *t, uint64_t *ret, size_t max);

#endif
