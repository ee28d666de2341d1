/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest keeps to go back to, as far as the host knows: it lasts from one `resume` to the next, while their
 * reports do not. Reports are those of struct state; the guest itself has the last word (`rollback` asks it).
 */
#ifndef UPDATE_KEPT_H
#define UPDATE_KEPT_H

#include <jansson.h>

#include "base/error.h"
#include "update/state.h"

/*
 * A VM was woken as it slept: what the report before (NULL: none) says of old files that are kept, and of the second of
 * two chained updates, which rollback undoes first, is true of `report` as well.
 */
struct error *kept_carry(const json_t *before, json_t *report) _must_check_;

/* The VM was suspended before the second of two chained updates was known to be in it: rollback asks the guest. */
struct error *kept_note_cut(struct state *state) _must_check_;

/* "keep_until_s" of the document: until when rollback is possible; absent: it is not. */
struct error *kept_describe(const struct state *state, json_t *document) _must_check_;

#endif
