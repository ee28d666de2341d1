/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several threads for work that falls into pieces which do not know of each other. A piece is done by one member, who
 * has a state of its own; who is free takes the next.
 */
#ifndef APPLY_CREW_H
#define APPLY_CREW_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* More would wait for the disk together. */
#define CREW_MAX 4

/* How many members have a CPU for each: those this process may run on, at most CREW_MAX, at least one. */
size_t crew_size(void);

/*
 * Calls `work` once for each piece from 0 to n_pieces - 1, begun in this order, with the state of whoever does it. The
 * caller is the first member. Where threads cannot be had fewer do all of it. After an error no piece is begun; the
 * error that came first is returned when those under way have ended.
 */
struct error *crew_run(void *const *members, size_t n_members, uint32_t n_pieces,
		       struct error *(*work)(void *member, uint32_t piece)) _must_check_;

#endif
