/* SPDX-License-Identifier: Apache-2.0 */
/* The rounds of an emulation with deferred scripts, as far as they ask or change something in the shadow. */
#ifndef UPDATE_DEFERRAL_SHADOW_H
#define UPDATE_DEFERRAL_SHADOW_H

#include "base/io.h"
#include "update/deferral.h"
#include "update/packages.h"

/* dpkg's "STATE PACKAGE VERSION" lines; STATE is "installed", "half-configured", "unpacked", … */
struct error *deferral_states(const struct package_run *run, char **ret) _must_check_;

/* The package that owns a path; NULL: none does. Owned by the caller. */
struct error *deferral_owner(const struct package_run *run, const char *path, char **ret) _must_check_;

/* Package lists and archives of this shadow into a file, and from it into the next one's. */
struct error *deferral_carry_out(const struct package_run *run, int fd) _must_check_;
struct error *deferral_carry_in(const struct package_run *run, int fd) _must_check_;

/* --- deferral_plan.c --- */

/*
 * Before a round's packages: what apt would do with all of them, and what is left to the guest of that. The pins are
 * those of deferrals_pins() afterwards, whatever `run` has.
 */
struct error *deferral_prepare(const struct package_run *run, struct deferrals *deferrals) _must_check_;

/* --- deferral_shadow.c --- */

/*
 * After a round's packages, which ended with `error` (taken): where nothing is wrong but that deferred scripts have not
 * run, that is what was wanted: NULL. Notes what waits with them.
 */
struct error *deferral_settle(const struct package_run *run, struct error *error) _must_check_;

/*
 * Which of the unconfigured packages wait for which deferred one: by what they depend on. `failed`: others failed by
 * themselves, so that who depends on no deferred one is not taken to wait for any.
 */
struct error *deferral_note_waiting(const struct package_run *run, bool failed) _must_check_;

/* Puts the archives that the guest is to install where they travel. */
struct error *deferral_put(const struct package_run *run, struct deferrals *deferrals) _must_check_;

/* What dpkg --audit may say: ERROR_FAILED for a package that nothing excuses. */
struct error *deferral_judge_audit(const struct package_run *run, const char *output) _must_check_;

#endif
