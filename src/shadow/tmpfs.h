/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private: a tmpfs of the sleeping guest, made anew on the host out of its memory. Names, owners, modes, times,
 * contents with their holes, links hard and symbolic, fifos, nodes of sockets and of devices, which nobody must be able
 * to open: a mount of it is nodev.
 */
#ifndef SHADOW_TMPFS_H
#define SHADOW_TMPFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/guest.h"

/* What all tmpfs of one shadow may take: a guest has a /run of some hundred entries, with a journal some ten MiB. */
#define TMPFS_BYTES_MAX   (UINT64_C(512) << 20)
#define TMPFS_ENTRIES_MAX 200000u
/*
 * In pieces (guest_work()): an entry takes some ten, a page of contents two. Work is bounded, not time: what a shadow
 * has does not depend on what else this host is doing.
 */
#define TMPFS_WORK_MAX    (UINT64_C(1) << 24)

/* What is left of these bounds, and what was lost of one tmpfs. */
struct tmpfs_budget {
	bool begun; /* false: all of the bounds above are left */
	uint64_t bytes, entries, work;
};

/*
 * Fills the empty directory `fd` with what `directory` (of guest_file_find()) holds. What is missing of it is said in
 * the log, once for each kind of loss, with `name`. An error is ours, or that the directory itself cannot be read.
 */
struct error *tmpfs_fill(struct guest *guest, const struct guest_file *directory, const char *name, int fd,
			 struct tmpfs_budget *budget) _must_check_;

#endif
