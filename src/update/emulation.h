/* SPDX-License-Identifier: Apache-2.0 */
/* One emulation of an update: what it holds, and the rounds in which it runs. Private to emulate*.c. */
#ifndef UPDATE_EMULATION_H
#define UPDATE_EMULATION_H

#include "bundle/bundle.h"
#include "shadow/shadow.h"
#include "update/deferral.h"
#include "update/live.h"
#include "update/packages.h"
#include "update/session.h"
#include "update/sleeping.h"

/* Everything one emulation holds. */
struct emulation {
	struct session *session;
	struct sleeping *sleeping;
	const struct emulate_options *options;
	const struct package_manager *manager; /* NULL: none known, the user's own command */
	struct shadow *shadow;
	char *layers_dir, *run_dir;
	int log_fd;
	char *log_path;
	char *packages_before;
	json_t *packages; /* what changed */
	json_t *restart;  /* the restart plan */
	struct conffiles conffiles;
	struct attendance attendance;
	json_t *failures;  /* of packages, which the bundle leaves as dpkg does; NULL: none */
	json_t *decisions; /* about configuration files, that somebody must take first; NULL: none */
	struct live live;  /* files that are the sleeping processes' */
	struct deferrals deferrals;
	char *pins;                      /* for apt, of this round; NULL: none */
	int carried_fd;                  /* what earlier rounds have downloaded; -1: nothing */
	unsigned round;                  /* 0: nothing is deferred yet */
	bool again;                      /* another round is needed */
	char *profile_cache;             /* of follow_ups_compile(); NULL: none */
	struct action_list live_actions; /* instead of changes to live files */
	struct bundle_signing_key *key;  /* NULL: the bundle is not signed */
	struct bundle_manifest manifest;
};

/*
 * Runs the update in a new shadow, and again without what only the running guest can do, until a round stands. Then the
 * shadow, its changes and the actions instead of some of them are in `emulation`.
 */
struct error *emulation_run_rounds(struct emulation *emulation) _must_check_;

/* What the package manager's operations are given in the round that is. */
struct package_run emulation_package_run(struct emulation *emulation);

/* Removes all of it, and frees the path; that it cannot be removed is warned of. */
void emulation_remove_directory(char *path);

#endif
