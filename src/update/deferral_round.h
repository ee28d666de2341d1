/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from one round of an emulation: that it stands, that it failed, or that there must be another. */
#ifndef UPDATE_DEFERRAL_ROUND_H
#define UPDATE_DEFERRAL_ROUND_H

#include "update/deferral_shadow.h"
#include "update/live_changes.h"

struct deferral_round {
	const struct package_run *run;
	bool is_dpkg; /* else nothing can be deferred, and what would have to be is an error */
	const struct live *live;
	struct deferrals *deferrals;
	const char *states;          /* of deferral_states(), as the round left them; NULL: nothing was needed */
	struct change_list *changes; /* of the round; what became an action is taken out */
	struct action_list *actions; /* appended to */
	struct change_list *became;  /* changes that became actions are appended to it; NULL: they are not kept */
};

/*
 * `failure`: what the round ended with, taken; NULL: well, and `changes` are read. *ret_again: another round can be
 * begun, with what `deferrals` says now. The error, if there is one, is the update's.
 */
struct error *deferral_judge(const struct deferral_round *round, struct error *failure, bool *ret_again) _must_check_;

#endif
