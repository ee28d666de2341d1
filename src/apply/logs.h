/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs, which grow all the time: a path below var/log of which both the update and the guest only added to the end.
 * The new file is then what the guest has, with the update's lines behind it, instead of a conflict:
 *
 *   new file   before | the guest's lines until the stage | the update's | what came until and since the switch
 *                                                                        ^ slot.log_end
 *   old file   before | the guest's lines until the stage | what came until the switch, and from who has it open still
 *
 * So whatever lies behind a known place of the one and not of the other is carried over: to the new file when the
 * switch is done, to the old one when it is undone. Lines may be there twice after a crash in between; none is lost.
 */
#ifndef APPLY_LOGS_H
#define APPLY_LOGS_H

#include "apply/place.h"
#include "apply/transaction.h"

/* Whether it is a change of a log that leaves room for lines of the guest. What the payload's content is, is not asked.
 */
bool log_may_grow(const struct change *change);

/* Whether the guest's file at the path of such a change, with nothing but its size looked at, has grown. */
bool log_has_grown(const struct change *change, const struct node *node);

/* Compares all that the file had when the update was computed; ERROR_CONFLICT if it differs. For log_has_grown(). */
struct error *log_compare(int directory, const char *name, const struct change *change) _must_check_;

/*
 * For the staged content of all such writes: puts the guest's lines before the update's, and sets slot.log_end.
 * ERROR_CONFLICT if there are any and the update changed more than the end.
 */
struct error *logs_merge(struct transaction *t) _must_check_;

/* Right behind the exchange: `node`, which came into the slot, is the log that was merged, with or without new lines.
 */
struct error *log_check_taken(const struct transaction *t, uint32_t entry, const struct node *node) _must_check_;

/*
 * Behind the last exchange: adds to the new logs what the old ones got since the stage. ERROR_CONFLICT if an old one
 * was changed elsewhere than at its end.
 */
struct error *logs_carry(struct transaction *t) _must_check_;
/* Later: once more, for those who had one open. A failure is a note. */
void logs_carry_late(struct transaction *t);

/*
 * The old file is at its path again, the new one in the slot: adds to the old what only the new one got. It may be cut
 * and done again. A failure is a note: going back is worth more than lines of a log.
 */
void log_carry_back(const struct transaction *t, uint32_t entry, const struct place *place);

/* Whether the new file has all it had at the switch; reads it from the disk. */
struct error *log_is_intact(const struct transaction *t, uint32_t entry, int directory, const char *name, bool *ret)
	_must_check_;

/* A log's time is that of its last line: if `node` has another one than `expected`, `to` gets the node's. */
void log_keep_time(const struct change *change, const struct node *node, const struct change_attributes *expected,
		   struct change_attributes *to);

#endif
