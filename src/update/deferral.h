/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts that are deferred whole. What cannot run offline is found out by running it: the emulation is then thrown
 * away and repeated without it, so that the bundle holds dpkg's own idea of a system in which that script has not run
 * yet; the guest runs it after everything else. doc/deferred.md has the rules. This part decides; it runs nothing.
 */
#ifndef UPDATE_DEFERRAL_H
#define UPDATE_DEFERRAL_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "changes/changes.h"
#include "shadow/shadow.h"

/* How often an emulation is repeated at most: each round finds at least one script more. */
#define DEFERRAL_ROUNDS_MAX 12
/* Where the packages that the guest is to install itself travel. */
#define DEFERRED_DIRECTORY  "/var/cache/ouassister/deferred"
/* Beside them: names of those that nobody asked for, one a line; a word of an action has no room for all. */
#define DEFERRED_AUTOMATIC  "automatic"

/* What the guest does, in the order in which it does it. */
enum deferral_way {
	DEFERRAL_REMOVE,    /* the postrm of a package that is removed: its files are gone, … */
	DEFERRAL_PURGE,     /* … and of one that is purged */
	DEFERRAL_CONFIGURE, /* a postinst */
	DEFERRAL_INSTALL,   /* the whole package is left as it is, and installed by the guest's own package manager */
};

struct deferral {
	char *package, *script; /* script: what was running */
	char *why;
	enum deferral_way way;
	char **dragged;   /* packages that wait with it, NULL-terminated; NULL: none */
	char **instances; /* what dpkg calls it where it is there for several architectures; NULL: not known, its name
			   */
};

struct deferrals {
	struct deferral *items;
	size_t n;
	const char **refused; /* "PACKAGE.SCRIPT" of those that are not whole, NULL-terminated */
	char **scripts;       /* "PACKAGE.SCRIPT" of every script of every round */
	size_t n_scripts, n_offline;
	bool watch_names; /* who takes names from live files is not known yet */
	bool restored;    /* lists and archives of an earlier round are there */
	char *expected;   /* what apt would do in this round: "NAME VERSION" lines; NULL: it is not apt that does it */
	char *gone;       /* what apt would remove: "NAME" lines; NULL likewise */
	bool stuck;       /* some of that was not even unpacked or removed: it cannot wait for a script alone */
	char *held;       /* what the guest is to install itself: "NAME VERSION" lines; NULL: nothing */
	const char **command; /* the user's own without what is left to the guest; NULL: as it is */
	char *instead;        /* what apt would take instead of those left out, and is not to: "NAME" lines; or NULL */
	bool may_remove;      /* the guest's package manager may remove packages for it */
};

void deferrals_deinit(struct deferrals *deferrals);

/* Adds one, or makes a known one whole. *ret_new is set to true if that changes what the next round does. */
struct error *deferrals_add(struct deferrals *deferrals, const char *package, const char *script, const char *why,
			    enum deferral_way way, bool *ret_new) _must_check_;

/*
 * How a script can be put off that needs the guest; NULL: it was no script's doing. `states`: dpkg's "STATE PACKAGE
 * VERSION WANT" lines after the round in which it ran.
 */
enum deferral_way deferrals_way(const char *package, const char *script, const char *states);

/*
 * Takes what scripts needed in a round. `states` as above; after one that did not fail, only what matters whatever a
 * script makes of it counts.
 */
struct error *deferrals_take(struct deferrals *deferrals, const struct shadow_need *needs, size_t n, const char *states,
			     bool failed, bool *ret_new) _must_check_;

/* Counts the scripts of a round; the last round's that were not refused are those that ran offline. */
struct error *deferrals_count(struct deferrals *deferrals, const struct shadow_script *scripts, size_t n) _must_check_;

bool deferrals_has(const struct deferrals *deferrals, enum deferral_way way);
/*
 * A whole one that no pin keeps as it is: the plan without pins (`all`) does not touch it, or the one with pins
 * (`left`) still does; "NAME" lines. NULL: all are kept.
 */
const struct deferral *deferrals_find_unkept(const struct deferrals *deferrals, const char *all, const char *left);
/* Whether any is not whole. */
bool deferrals_has_script(const struct deferrals *deferrals);
/* Whether a line of the text is these bytes, or begins with them and a blank. */
bool deferrals_name_in(const char *lines, const char *name, size_t n);
/* The deferral of this package; NULL: none. An architecture behind a colon does not count. */
struct deferral *deferrals_find(const struct deferrals *deferrals, const char *package, size_t length);
/* Whether the package is deferred or waits with one that is. */
bool deferrals_excuse(const struct deferrals *deferrals, const char *package, size_t length);

/* Appends what keeps a package at its version in `installed` ("NAME VERSION" lines), or away if it is new. */
void deferrals_append_pin(GString *text, const char *installed, const char *package);
/* apt's preferences that keep whole ones as they are, and what it would take instead of them away; `installed`: "NAME
 * VERSION" lines. NULL: no memory. */
char *deferrals_pins(const struct deferrals *deferrals, const char *installed);

/* What the guest is to do after everything else. `environment`: NAME=VALUE, NULL-terminated; `options`: of dpkg. */
struct error *deferrals_actions(const struct deferrals *deferrals, const char *const *environment,
				const char *const *options, struct action_list *list) _must_check_;

/* {"deferred": […], "scripts": {…}}, as doc/json.md has them. */
struct error *deferrals_document(const struct deferrals *deferrals, json_t **ret) _must_check_;

#endif
