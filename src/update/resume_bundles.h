/* SPDX-License-Identifier: Apache-2.0 */
/* The bundles of one `resume`: which are taken, and what becomes of them. Private to the room. */
#ifndef UPDATE_RESUME_BUNDLES_H
#define UPDATE_RESUME_BUNDLES_H

#include "base/error.h"
#include "update/resuming.h"

/*
 * r->bundle and r->late, where they are there and to be applied; r->shut_down as they say. ERROR_NOTHING: there is none
 * where there must be. ERROR_CONFLICT: one that is not signed by who must have, or asks for what is not allowed.
 */
struct error *resume_bundles_open(struct resume *r) _must_check_;

/* Before the first instruction: a guest that is woken without the bundle that waits is not what that was made for. */
struct error *resume_bundles_give_up(const struct resume *r) _must_check_;

/* They have done their work: they stay readable under other names, but do not wait any more. */
void resume_bundles_retire(const struct session *session);

#endif
