/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Package managers. One .c file with a struct package_manager each, listed in packages.c.
 *
 * One that is told all by its command line is a table of words: front_end.h.
 *
 * To add one, answer:
 *   detect    is this guest its? Look at files only.
 *   quiescent was it at rest when the guest was suspended? A half-done transaction must not be
 *             built upon.
 *   upgrade   refresh the lists, download with the network, upgrade without; ERROR_NOTHING if
 *             there is nothing to upgrade. A dead source is an error.
 *   command   the user's own command, in two halves where it is the manager's: download with the
 *             network, the rest without.
 *   list      the installed packages, as lines "NAME VERSION", sorted by name.
 *   audit     nothing is left half-installed.
 *   waiting   what the guest's own lists offer, without the network.
 */
#ifndef UPDATE_PACKAGES_H
#define UPDATE_PACKAGES_H

#include <glib.h>
#include <stdbool.h>

#include "base/error.h"
#include "guest/guest.h"
#include "shadow/shadow.h"
#include "update/attendance.h"
#include "update/conffiles.h"
#include "update/deferral.h"
#include "update/late.h"
#include "update/update.h"
#include "update/vmfile.h"

/* Bytes of output of one program, which all stay in the log: more is no update, and would fill the host's disk. */
#define UPDATE_LOG_MAX (UINT64_C(256) << 20)

/* What an operation of a package manager works with; all borrowed. */
struct package_run {
	struct shadow *shadow;
	const struct vm_file *file;
	const struct emulate_options *options;
	int log_fd;                        /* the package manager's output; -1: dropped */
	const char *log_path;              /* its file, for messages; NULL: none */
	const struct conffiles *conffiles; /* what is decided about configuration files; NULL: nothing is installed */
	struct attendance *attendance;     /* of what is installed; NULL: likewise */
	struct deferrals *deferrals;       /* scripts that are left to the guest; NULL: none */
	const char *pins;                  /* apt's preferences that keep packages as they are; NULL: none */
	const char *installed;             /* packages before the update, as `list` has them; NULL: not asked yet */
	struct late *late;  /* where a full upgrade says what it leaves to a second one; NULL: it does all at once */
	bool downloaded;    /* lists and archives are there, and what is to be done was looked at */
	json_t **decisions; /* where what somebody must decide is put, owned by whoever has that */
	json_t **failures;  /* likewise: of packages, where the rest is kept (failures_find()) */
};

struct package_manager {
	const char *name;
	bool (*detect)(int root_fd);
	struct error *(*quiescent)(int root_fd, const struct guest_task_list *processes);
	struct error *(*upgrade)(const struct package_run *run);
	struct error *(*command)(const struct package_run *run);
	struct error *(*list)(const struct package_run *run, char **ret);
	struct error *(*audit)(const struct package_run *run);
	struct error *(*waiting)(const struct package_run *run, size_t *ret_n);
};

extern const struct package_manager dpkg_manager, zypper_manager, dnf_manager, pacman_manager, apk_manager;

/* ERROR_UNSUPPORTED if none knows the guest. */
struct error *packages_detect(int root_fd, const struct package_manager **ret) _must_check_;

/*
 * ERROR_CONFLICT if one of the programs was at work. Of a name longer than 15 bytes the kernel keeps as many; then an
 * argument must be it as well, unless they are paged out.
 */
struct error *packages_not_busy(const struct guest_task_list *processes, const char *const *names) _must_check_;

/*
 * ERROR_FAILED of a program that ended in the shadow with a status other than 0, which above 128 is a signal's: as of a
 * shell, from where it mostly comes.
 */
struct error *packages_failed(const char *what, int status) _must_check_;

/* Appends copies of the words; NULL: none. */
void packages_add_words(GPtrArray *argv, const char *const *words);

/* What changed between two lists: [{"name","old","new"}], old or new null. */
struct error *packages_difference(const char *before, const char *after, json_t **ret) _must_check_;

#endif
