/* SPDX-License-Identifier: Apache-2.0 */
/* Where two trees of one guest's disk differ: what it sees, and what the disk has alone. Private to the room. */
#ifndef UPDATE_TREE_DIFFERENCE_H
#define UPDATE_TREE_DIFFERENCE_H

#include <jansson.h>

#include "disk/disk.h"

/*
 * Compares the trees of both disks by names and attributes; contents only of the files that memory had something of,
 * for in others they cannot differ. *ret: an array of {path, how ("added", "removed", "changed", "unreadable"), what
 * [text]}, in the order of the names of each directory; at most DIFFERENCES_MAX of them, and *ret_more is how many more
 * there are. *ret_unreadable of all could not be read in one of the trees, and may be any of these.
 */
#define DIFFERENCES_MAX 100000u
struct error *tree_difference(const struct disk *seen, const struct disk *alone, json_t **ret, uint64_t *ret_more,
			      uint64_t *ret_unreadable) _must_check_;

#endif
