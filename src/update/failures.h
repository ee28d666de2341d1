/* SPDX-License-Identifier: Apache-2.0 */
/* What dpkg said about packages that it could not install or configure. */
#ifndef UPDATE_FAILURES_H
#define UPDATE_FAILURES_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "changes/changes.h"
#include "update/deferral.h"

/* Of one package's output, its end; of one update, packages that dpkg named, and names in one action. */
#define FAILURE_OUTPUT_MAX 4096
#define FAILURES_MAX       200

/*
 * Out of what apt and dpkg printed: [{"package", "phase" ("configure", "unpack", …), "why", "output"}], in order, each
 * package once in a phase. An empty array where dpkg named none.
 */
struct error *failures_find(const char *output, json_t **ret) _must_check_;

/*
 * Adds the packages that dpkg --audit will name and the list does not: those that wait for one that failed, and those
 * beyond FAILURES_MAX. `states`: "STATUS PACKAGE" lines, STATUS as dpkg -l has it.
 */
struct error *failures_add_waiting(const char *states, json_t *list) _must_check_;

/*
 * Takes out those that were not configured at first and are now: a package whose trigger fails may be configured well.
 * `states` as above, after all was tried.
 */
void failures_drop_configured(const char *states, json_t *list);

/* Takes out those that are deferred or wait with one that is: they did not fail. */
void failures_drop_deferred(const struct deferrals *deferrals, json_t *list);

struct package_run;

/* Where the output of what comes next will begin in the log. */
uint64_t failures_mark(const struct package_run *run);

/*
 * What the installation that began at `mark` and ended with `error` (taken; NULL: well) is in the end. If packages
 * failed, the error names the first; where the user wants to go on all the same, the others are configured,
 * *run->failures has the list and NULL is returned. Then a command that ended well although packages failed, which is
 * not asked for otherwise (dpkg --audit tells), is looked at, too.
 */
struct error *failures_settle(const struct package_run *run, uint64_t mark, struct error *error) _must_check_;

/* Tells the guest which those are (ACTION_FAILED_PACKAGES). `failures` NULL: none. */
struct error *failures_add(const json_t *failures, struct action_list *actions) _must_check_;

/*
 * For dpkg --audit that is not content after commands which ended well: what is not configured has failed, where the
 * user wants to go on all the same. *ret_any: there is such, and *run->failures has it.
 */
struct error *failures_find_unconfigured(const struct package_run *run, bool *ret_any) _must_check_;

/* Takes the scripts that failed out of those that ran offline: {"all", "offline"} becomes {"all", "offline", "failed"}.
 */
struct error *failures_count_scripts(const json_t *failures, json_t *scripts) _must_check_;

/*
 * ERROR_FAILED if a package is in a state that no bundle may carry: dpkg itself would ask for it to be installed again.
 * Not configured, or waiting for triggers, is what `dpkg --configure` mends in the guest.
 */
struct error *failures_check_states(const char *states) _must_check_;

#endif
