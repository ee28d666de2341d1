/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving an inode between a path and its slot so that the path names the one or the other at
 * every moment, also where the file system cannot exchange two names.
 */
#ifndef APPLY_PLACE_H
#define APPLY_PLACE_H

#include <stdbool.h>

#include "apply/transaction.h"
#include "base/error.h"

struct place {
	int directory; /* of the path; borrowed */
	const char *name;
	int stage; /* borrowed */
	char slot[SLOT_NAME_SIZE];
	char aside[SLOT_NAME_SIZE + 8]; /* where the fallback keeps the old inode for a moment */
	const char *path;               /* for errors */
};

/* Of an entry. ERROR_NOT_FOUND if the directory of its path is not there. */
struct error *place_find(struct transaction *t, uint32_t entry, struct place *ret) _must_check_;

/* Swaps what the path and the slot name. `moves_directory`: the one in the slot is a directory. */
struct error *place_exchange(const struct place *place, bool moves_directory) _must_check_;
/* From the slot to the path, or back, where nothing is; EEXIST is ERROR_CONFLICT. */
struct error *place_put(const struct place *place) _must_check_;
struct error *place_take(const struct place *place) _must_check_;

/* Ends a fallback exchange that was cut, forwards or backwards. `staged`: the new inode. */
struct error *place_settle(const struct place *place, uint64_t staged) _must_check_;

#endif
