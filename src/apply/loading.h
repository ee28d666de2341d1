/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs in the middle of being loaded. One that has its loader but not yet its C library must not find another C
 * library than the loader belongs to: they check each other, and the program ends. Standing still alone does not
 * help it, as it goes on afterwards.
 */
#ifndef APPLY_LOADING_H
#define APPLY_LOADING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apply/freezer.h"

/*
 * Whether a thread is inside one of these dynamic loaders (inode numbers): at its start, in dlopen(3), or binding a
 * function. Or is not known to be elsewhere: it is in one of the `frozen` cgroups, and does not stand still yet. What
 * cannot be told counts as no, and so do static programs.
 */
bool loading_anyone(const struct freezable *frozen, const uint64_t *loaders, size_t n);

#endif
