/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apt-get in the shadow: its command lines and options, downloads with the network, the rest without. The guest's own
 * apt decides, so holds and pins are obeyed as they are there; configuration files the administrator changed are kept.
 */
#ifndef UPDATE_APT_H
#define UPDATE_APT_H

#include "update/packages.h"

/* What every program of dpkg's and apt's gets in the shadow; NULL-terminated. */
extern const char *const apt_environment[];

/* What `apt-get -s dist-upgrade` says it would do. */
struct apt_plan {
	size_t installs, removals;
	char *removed; /* names of what would go, "a b c"; owned */
};
void apt_plan_deinit(struct apt_plan *plan);

/* Asks the guest's own lists, without the network. */
struct error *apt_simulate(const struct package_run *run, struct apt_plan *ret) _must_check_;

/* Fetches one package ("NAME=VERSION") into the root directory; that it is not to be had is no error. */
struct error *apt_fetch(const struct package_run *run, const char *word) _must_check_;

/* Whether apt itself does the run's work, so that it can be asked beforehand; or dpkg, called by its name. */
bool apt_has_plan(const struct package_run *run);
bool apt_is_dpkg(const struct package_run *run);
/* What apt would install, without the network: "NAME VERSION" lines; and what it would touch at all: "NAME" lines. */
struct error *apt_list_plan(const struct package_run *run, char **ret, char **ret_touched) _must_check_;
/* Whether the user's command names the package; whether it was there before. */
bool apt_names(const struct package_run *run, const char *package);
bool apt_was_installed(const struct package_run *run, const char *package);
/* dpkg's options of this run, NULL-terminated; one block to be freed. NULL: no memory. */
char **apt_dpkg_options(const struct package_run *run);
/*
 * Runs dpkg itself as apt runs it here: `before`, dpkg's options of this run, `after`, with its environment and who
 * answers its questions. What became of the packages stands in dpkg's database, not in the exit status.
 */
struct error *apt_run_dpkg(const struct package_run *run, const char *const *before, const char *const *after)
	_must_check_;
/* The environment of this run's programs. */
const char *const *apt_environment_of(const struct package_run *run);

/* Runs a question without network whose answer is its output; a status other than 0 is ERROR_FAILED. */
struct error *apt_ask(const struct package_run *run, const char *const *argv, char **ret) _must_check_;

/* The operations of struct package_manager. */
struct error *apt_upgrade(const struct package_run *run) _must_check_;
struct error *apt_command(const struct package_run *run) _must_check_;

#endif
