/* SPDX-License-Identifier: Apache-2.0 */
/* Private: gives a new tmpfs the guest's inode numbers, as far as they can be had. */
#ifndef SHADOW_TMPFS_NUMBERS_H
#define SHADOW_TMPFS_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/guest.h"

struct tmpfs_numbers;

/*
 * Makes the inodes below `directory` in `root`, an empty tmpfs that must outlive *ret. It looks at no more than `work`
 * pieces (guest_work()) of memory, and the directory that goes over it. Fails for want of memory alone.
 */
struct error *tmpfs_numbers_create(struct guest *guest, const struct guest_file *directory, int root, uint64_t work,
				   struct tmpfs_numbers **ret) _must_check_;
/* Removes what nobody took. */
void tmpfs_numbers_destroy(struct tmpfs_numbers *numbers);

/* What guest_directory() said of the directory; NULL: not looked at. Borrowed. */
const struct guest_file_list *tmpfs_numbers_list(struct tmpfs_numbers *numbers, const struct guest_file *directory);
/* Gives the file's inode its place. It is of the right kind, and empty. False: there is none, make one. */
bool tmpfs_numbers_take(struct tmpfs_numbers *numbers, int parent, const struct guest_file *file);

#endif
