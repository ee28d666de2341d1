/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units of our own in the guest's systemd, each there only as long as it has something to do. They lie in
 * /etc/systemd/system, the one place that outlives a reboot and that systemd reads before it mounts anything else. What
 * pulls one in is a drop-in in a directory that no package uses (NAME.target.d, not NAME.target.wants), so that no path
 * of an update is in our way. The times of directories that others own stay what they were. Nothing here asks systemd.
 *
 * A guest without systemd gets none; in one whose /etc cannot take them that is noted, and no reason not to update.
 */
#ifndef APPLY_UNITS_H
#define APPLY_UNITS_H

#include "apply/transaction.h"

#define UNIT_DIRECTORY "etc/systemd/system"

bool units_has_systemd(void);

/*
 * The unit that has the next boot finish or undo an update that was interrupted, before services start. It is durable
 * when the file systems of the transaction are synced next, and so before the first rename; what is on another one is
 * synced here. In this boot it never runs, whatever systemd reads again: for that there is a mark in /run.
 */
struct error *units_add_recovery(struct transaction *t) _must_check_;
/* The mark alone: in this boot the unit has run. */
void units_mark_recovery(const struct transaction *t);
/* May be cut and called again. Not synced: a unit that comes back finds nothing to do, and is removed by what it calls.
 */
void units_remove_recovery(struct transaction *t);

/*
 * A timer that calls `helper expire` at `until_s` (seconds since the epoch), also if the guest is off then: at its next
 * boot. It is named after that moment, so that one of another update that systemd still knows is no other version of
 * it. Synced. *ret_timer: its name, for timers_start(), which the caller frees; NULL: the guest takes no units.
 */
struct error *units_add_keep(struct transaction *t, int64_t until_s, char **ret_timer) _must_check_;
/* Removes all of those but `except` (may be NULL), and says whether there were any. */
struct error *units_remove_keep(struct transaction *t, const char *except, bool *ret_any) _must_check_;

#endif
