/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A helper that came by a stream starts at HELPER_ARRIVAL, for which the guest need start no program that makes a
 * directory, and goes from there to where all look for it.
 */
#ifndef APPLY_ARRIVAL_H
#define APPLY_ARRIVAL_H

#include "base/error.h"

/*
 * Moves this program from HELPER_ARRIVAL to HELPER_PATH, whose directory is there, in place of one that is there; of a
 * program that was started elsewhere nothing is moved.
 */
struct error *arrival_settle(const char *root) _must_check_;
/* Removes what a stream that was cut has left. */
void arrival_forget(const char *root);

#endif
