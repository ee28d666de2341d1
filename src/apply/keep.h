/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long the old files of an update that was applied are kept for a rollback. `kept` in HELPER_DIRECTORY holds the
 * moment at which they go, in seconds since the epoch; without it, and with an update that is kept, they stay until
 * `forget`.
 */
#ifndef APPLY_KEEP_H
#define APPLY_KEEP_H

#include "apply/transaction.h"

/*
 * Less free space than this on any file system of the update, a share of it and a limit, and nothing is kept: who has
 * so little needs it for other things.
 */
#define KEEP_MARGIN_PART 20
#define KEEP_MARGIN_MAX  (128ull << 20)

/*
 * As t->keep_s says: writes `kept` and the timer, and tells the report. To be called before the journal says that the
 * update is applied; it may be called again. An update that stands does not fail for it: what cannot be kept is not.
 */
void keep_begin(struct transaction *t);
/* What was kept is not kept any more: before the stages go. */
struct error *keep_end(const struct transaction *t) _must_check_;
/* Whether the time has come: nothing is kept, or not any more. The journal has been read. */
struct error *keep_is_over(const struct transaction *t, bool *ret) _must_check_;

#endif
