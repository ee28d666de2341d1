/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory that says of a file system whatever a test wants: the functions of guest/newer.h, answered from a list. For
 * what no kernel says, and what a guest that cuts itself rarely does; tests/vm/coherent.test has the real ones.
 */
#ifndef TESTS_DISK_FACTS_H
#define TESTS_DISK_FACTS_H

#include "guest/guest.h"

struct fact_piece {
	uint64_t offset;
	uint32_t size;
	bool newer;
	const uint8_t *bytes; /* `size` of them; NULL: the image does not hold them */
};

struct fact_inode {
	struct guest_cached_inode inode; /* `address` is set by facts_guest() */
	struct fact_piece *pieces;
	size_t n;
};

struct facts {
	struct fact_piece *blocks;
	size_t n_blocks;
	struct fact_inode *inodes;
	size_t n_inodes;
	struct guest_journal journal;
	uint64_t open_changes;
};

/* To be passed on as the guest; as long as the facts are. */
struct guest *facts_guest(struct facts *facts);

#endif
