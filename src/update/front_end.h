/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Package managers that are told by their command lines what to do: dnf, zypper, apk, pacman. Each is a table of words
 * (front_end), and the sequence is the same: what the manager says of itself is in order, refresh and download with
 * the network, install without, in order again.
 *
 * What an upgrade would remove is not asked beforehand, for every manager says it in other words: it is seen in the
 * shadow, which is thrown away if packages have gone that were not allowed to. Private to the room.
 */
#ifndef UPDATE_FRONT_END_H
#define UPDATE_FRONT_END_H

#include <glib.h>

#include "update/packages.h"

struct front_end {
	const char *const *programs; /* names; the first that the guest has; NULL-terminated, as all lists here */
	const char *const *options;  /* behind the program's name, always */
	/* The full upgrade: words behind the options. "@upgrade" stands for `upgrade`, or `rolling` where it rolls. */
	const char *const *refresh;
	const char *const *download;
	const char *const *install;
	const char *upgrade, *rolling;
	/* The user's own command. */
	const char *const *offline; /* behind the options of the second half */
	/*
	 * Appends the words of the first half, which only downloads; false: nothing is to be downloaded for this
	 * command. `words`: the command behind the program's name.
	 */
	bool (*download_words)(const char *const *words, GPtrArray *argv);
	/* [update] sources of the VM file: put there in the shadow, and named by these options. */
	const char *sources;
	const char *const *sources_options;
	bool (*accepts)(int status); /* of an installation; NULL: 0 alone */
	struct error *(*list)(const struct package_run *run, char **ret);
	struct error *(*audit)(const struct package_run *run);
};

struct error *front_end_upgrade(const struct front_end *f, const struct package_run *run) _must_check_;
struct error *front_end_command(const struct front_end *f, const struct package_run *run) _must_check_;

/* A question, without the network: its output, owned, and its status. */
struct error *front_end_ask(const struct package_run *run, const char *const *argv, int *ret_status, char **ret)
	_must_check_;

/* `option` behind the first of `words` that is one of `verbs`; false: none is. */
bool front_end_insert(const char *const *words, const char *const *verbs, const char *option, GPtrArray *argv);

/* The lines of a text in the order of their bytes, which is what packages_difference() wants of a list. Owned. */
char *front_end_sort(const char *text);

/* The names that are in the list `before` and not in `after`, "a b"; owned, "" if none. */
struct error *front_end_removed(const char *before, const char *after, char **ret) _must_check_;

/* Whether the guest has it. */
bool front_end_has(int root_fd, const char *path);

#endif
