/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to act*.c: how the recorded actions are done in the woken guest. Each ends in one "action" event. One that
 * no longer makes sense (the unit is gone, another process has the number) is skipped, which the event says, and never
 * done to something else.
 */
#ifndef APPLY_ACT_H
#define APPLY_ACT_H

#include "apply/transaction.h"

/* What became of one action. */
struct outcome {
	int status;          /* 0: done; else the program's exit status, or 1 */
	const char *skipped; /* why it was not done, a literal; NULL: it was */
	char *output;        /* what the program printed, or what is wrong; may be NULL */
	char *journal;       /* of a unit that failed; may be NULL */
};
void outcome_deinit(struct outcome *outcome);

/* --- act_units.c --- */

/* Asks for all units of the list's requests to the service manager in one call. */
struct error *unit_states_ask(const struct action_list *list, struct unit_states *ret) _must_check_;
/* For the units of `n` requests, in their order, repetitions included. */
struct error *unit_states_of(const struct action *const *actions, size_t n, struct unit_states *ret) _must_check_;
void unit_states_deinit(struct unit_states *states);
/* NULL: not asked for. */
const struct unit_state *unit_states_find(const struct unit_states *states, const char *unit);

/* Active, or on its way to or from it. */
bool unit_is_running(const struct unit_state *state);

/* Why a request makes no sense for a unit that was in this state before the files changed (may be NULL); NULL: it does.
 */
const char *unit_skip(const struct action *action, const struct unit_state *before);

/* Whether the action stops, before the files, a unit that ran at the beginning, as `before` has it. */
bool unit_is_stopped_by(const struct action *action, const struct unit_states *before);

/*
 * Waits until no unit is on its way down, or *ret_all is false: `systemctl stop` does not wait for the units that the
 * stop of another one takes with it (PartOf=, BindsTo=), and these need their programs to stop.
 */
struct error *units_await_stops(bool *ret_all) _must_check_;

/* Whether one of the lines is the word. */
bool lines_have(const char *lines, const char *word);

/*
 * The requests to stop once more what was stopped before the files (`stopped`: its units, one a line) and runs now, how
 * many: its socket, a timer or a client has started it in between, with files that were still the old ones. They borrow
 * from the list; `ret` has room for all of it.
 */
size_t units_running_again(const struct action_list *list, const char *stopped, const struct unit_states *now,
			   struct action *ret);

/*
 * One call of systemctl for `n` actions of the same verb and options; outcomes[i] is of actions[i].
 */
struct error *units_act(const struct action *const *actions, size_t n, const char *verb, struct outcome *outcomes)
	_must_check_;

/* --- act_data.c --- */

/* It failed by a system call: `what`, which is not kept, and why. */
struct error *outcome_fail(struct outcome *outcome, int errnum, const char *what) _must_check_;

/* Why the process that an action is about is no longer there, a literal; NULL: it is. */
const char *process_gone(const struct action *action);

/* Does a SIGNAL, WRITE, MODULE or MOUNT. */
struct error *act_data(const struct action *action, struct outcome *ret) _must_check_;

/* --- act_runtime.c --- */

/* Does a RUNTIME, which is one of the payload's. */
struct error *act_runtime(struct transaction *t, const struct action *action, struct outcome *ret) _must_check_;

#endif
