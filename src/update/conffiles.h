/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files that the administrator changed and of which the update brings another version: what is to be done
 * with each, and which of them nobody has decided about.
 *
 * dpkg and ucf decide themselves, as they do in a live upgrade: a general answer is an option of theirs, an answer
 * about one file is what is typed at dpkg's question. ucf asks through debconf, which asks nobody here: for a file of
 * its that shall become the new one, it is told that the guest's is unchanged, and what it would have kept of it is
 * made beforehand.
 */
#ifndef UPDATE_CONFFILES_H
#define UPDATE_CONFFILES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct package_run;

enum conffiles_mode {
	CONFFILES_KEEP, /* the administrator's stay, the new version beside them */
	CONFFILES_NEW,  /* the new version takes their place, the old one beside them */
	CONFFILES_ASK,  /* nothing is bundled if there is one */
	CONFFILES_FILE, /* as a file of answers says; what it does not name is asked */
};

struct conffiles_answer {
	char *path;
	bool take_new;
};

/* What the user decided beforehand. */
struct conffiles {
	enum conffiles_mode mode;
	char *file; /* of the answers; NULL: none */
	struct conffiles_answer *answers;
	size_t n_answers;
};

/*
 * `value`: "keep", "new", "ask" or the path of a file with a line "keep PATH" or "new PATH" for each configuration
 * file; empty lines and those that begin with '#' do not count. NULL: keep. Anything else in the file is ERROR_USAGE.
 */
struct error *conffiles_load(const char *value, struct conffiles *ret) _must_check_;
/* The same of the text of such a file; `name` is for errors. */
struct error *conffiles_parse(const char *text, const char *name, struct conffiles *ret) _must_check_;
void conffiles_deinit(struct conffiles *conffiles);

/* The answer about this file; NULL: there is none. */
const struct conffiles_answer *conffiles_find(const struct conffiles *conffiles, const char *path);

/*
 * What is typed where dpkg's question about a configuration file is the end of `output`: "y\n" or "n\n"; NULL: that is
 * not what it ends with.
 */
const char *conffiles_reply(const struct conffiles *conffiles, const char *output);

/* --- of a guest with dpkg, in the shadow --- */

/* What stands for a run until its end: when it began, and what ucf was told. */
struct conffiles_state {
	int64_t began_s;
	char *told; /* lines "PATH<TAB>SUM<TAB>SUM"; NULL: nothing */
};

/* Before packages are installed. */
struct error *conffiles_begin(const struct package_run *run, struct conffiles_state *ret) _must_check_;
/*
 * Afterwards. ERROR_CONFLICT: there are files that somebody has to decide about; *ret is then their list, as
 * doc/json.md has it, the caller's. ERROR_USAGE: an answer about a file of ucf's that is in no conflict.
 */
struct error *conffiles_end(const struct package_run *run, const struct conffiles_state *state, json_t **ret)
	_must_check_;
void conffiles_state_deinit(struct conffiles_state *state);

#endif
