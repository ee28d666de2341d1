/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private: where the changes are kept. A file system of its own in an unnamed file of the host, so that a program
 * that fills its disk meets ENOSPC there, as in a full guest, and never fills the host's; so that what is used is known
 * at once; and so that nothing is left of it however we end.
 */
#ifndef SHADOW_STORE_H
#define SHADOW_STORE_H

#include <stdint.h>

#include "base/error.h"

/*
 * Mounts a new, empty file system over `directory`, whose file system its file lies on. It has at most `max` bytes,
 * and less if the host has not so much to spare; *ret_size says. The caller's mount namespace is private.
 */
struct error *store_mount(const char *directory, uint64_t max, uint64_t *ret_size) _must_check_;

void store_unmount(const char *directory);

/*
 * Whether all that was written into the store at `fd` (any directory of it) is there: when others fill the host's
 * disk meanwhile, writes are lost. Waits until it is on the disk.
 */
struct error *store_check(int fd) _must_check_;

#endif
