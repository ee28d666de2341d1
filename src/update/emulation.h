/* SPDX-License-Identifier: Apache-2.0 */
/* One emulation of an update: what it holds, and the rounds in which it runs. Private to emulate*.c. */
#ifndef UPDATE_EMULATION_H
#define UPDATE_EMULATION_H

#include "bundle/bundle.h"
#include "shadow/shadow.h"
#include "update/deferral.h"
#include "update/late.h"
#include "update/live.h"
#include "update/packages.h"
#include "update/session.h"
#include "update/sleeping.h"

/*
 * The first of two chained updates, when it is emulated: what is in the layers since then belongs to the second.
 * Nothing of it is set where all is one update.
 */
struct emulation_first {
	char *path; /* of its bundle, under a name for now; NULL: there is none */
	char id[SHA256_HEX_SIZE];
	struct change_list changes; /* those that became actions too, without what is left to the second */
	struct action_list runtime; /* all that scripts left below /run until then */
	size_t n_actions;           /* of shadow_actions() */
	char *packages_before;      /* of the first, when those of the emulation are the second's; NULL: not yet */
};

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
	char *packages_before, *packages_after;
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
	struct late late;                /* what a second update is to do; of the first round */
	struct emulation_first first;    /* what is bundled already, of two chained updates */
	struct bundle_manifest manifest;
};

/*
 * Runs the update in a new shadow, and again without what only the running guest can do, until a round stands. Then the
 * shadow, its changes and the actions instead of some of them are in `emulation`.
 */
struct error *emulation_run_rounds(struct emulation *emulation) _must_check_;

/*
 * The second of two chained updates, in the same shadow, after the first was bundled: `manifest.changes` is what it has
 * to do beyond that, maybe nothing. Where it cannot be told from the first, or has to leave something to the guest, all
 * is one update, and nothing of `first` is set any more.
 */
struct error *emulation_run_second(struct emulation *emulation) _must_check_;

/* Whether an update like this one can be two at all. */
bool emulation_may_be_two(const struct emulation *emulation);

/* emulate_two.c: whether anything of the update can wait, and something cannot. */
bool emulation_is_two(const struct emulation *emulation);
/*
 * Bundles the first, whose manifest is complete, under a name for now, and makes room for the second's.
 */
struct error *emulation_keep_first(struct emulation *emulation) _must_check_;
/* All is one update. */
void emulation_drop_first(struct emulation *emulation);
/* Puts what was bundled where `resume` looks for it; `manifest` is the second's, or the only one's. */
struct error *emulation_write_bundles(struct emulation *emulation) _must_check_;

/* What the package manager's operations are given in the round that is. */
struct package_run emulation_package_run(struct emulation *emulation);

/* Removes all of it, and frees the path; that it cannot be removed is warned of. */
void emulation_remove_directory(char *path);

#endif
