/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of the guest that would start a package manager, turn over its logs or read its whole disk while the helper
 * works: at the latest when its clock jumps to the present all of them are due. Those that run are stopped, and run
 * again when the report has ended, in every case. Which, stands in `timers` in HELPER_DIRECTORY, one a line, so that a
 * helper that was killed is followed by one that starts them. It is not synced: a boot starts them by itself.
 */
#ifndef APPLY_TIMERS_H
#define APPLY_TIMERS_H

#include "apply/transaction.h"

/*
 * `with_actions`: the states of the units of the payload's actions are asked for as well, into t->states.
 */
struct error *timers_hold(struct transaction *t, bool with_actions) _must_check_;
/* One more to be started. */
struct error *timers_note(const char *directory, const char *timer) _must_check_;
/*
 * Starts them, by one call that does not wait. The report has ended: there is nobody to be told of a failure. `root` is
 * the guest's, for the time of its directory with units.
 */
void timers_start(const char *directory, const char *root);
/*
 * Of two chained updates the first leaves its timers stopped until the second has ended: started between them they
 * would fire at once. It offers them, by a file, before it says its end; false: it could not.
 */
bool timers_offer(const char *directory);
/*
 * Takes an offer back: who does has to start them, and whoever made it need not wait any longer. False: there is none,
 * or it was taken.
 */
bool timers_withdraw(const char *directory);
/* `late`: HELPER_LATE in that directory. True: the second has them now, and starts them when it has ended. */
bool timers_take_over(const char *late);
/*
 * Of an offer: waits until that has been done, for as long as the host may need to bring the second, and then
 * withdraws. True: they are the second's.
 */
bool timers_are_taken_over(const char *directory);
/* The same as timers_start(), of what the first has left. */
void timers_start_first(const char *late, const char *root);
/* Forgets them: a boot has started what it should. */
void timers_forget(const char *directory);
/* Stops those of units_add_keep(). */
void timers_stop_own(void);
/* systemd forgets the units of ours whose files are gone: it read them with the last reload of the update's actions. */
void timers_unload(void);

#endif
