/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restart plan: what of the sleeping guest runs code that the update replaces, and what is to be done about it once
 * the guest is awake. A file replaced on disk protects nobody while a process still maps the old one.
 *
 *   restart_find()         restart_walk.c: who maps, holds open or imports what, or was started from a unit file that
 *                          changes (restart_scripts.c, restart_units.c)
 *   restart_decide()       restart_policy.c: restart it, or only report it
 *   restart_document()     restart_document.c: the plan as it is kept in the bundle
 *   restart_merge()        restart_merge.c: the plan as actions, at `resume`
 *
 * Private to the room.
 */
#ifndef UPDATE_RESTART_H
#define UPDATE_RESTART_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "changes/changes.h"
#include "guest/guest.h"
#include "shadow/shadow.h"
#include "update/restart_changed.h"
#include "update/update.h"

enum restart_reason_kind {
	RESTART_REPLACED, /* maps a file that the update replaces or deletes */
	RESTART_OPEN,     /* holds such a library or archive of classes open */
	RESTART_DELETED,  /* runs code of a file that had been deleted before this update */
	RESTART_MODULE,   /* an interpreter: its script, or what that imports, is replaced */
	RESTART_POSSIBLY, /* an interpreter: modules it could have imported are replaced */
	RESTART_UNIT,     /* its unit file, a drop-in, or an EnvironmentFile of it changes */
};

struct restart_reason {
	enum restart_reason_kind kind;
	char *file; /* absolute, in the guest; owned */
};

/* What one process, or one entry of the plan, is there for. */
#define RESTART_REASONS_MAX 16u
struct restart_reasons {
	struct restart_reason items[RESTART_REASONS_MAX];
	size_t n;
	bool more; /* there were others */
};

/* Copies `file` ("/usr/lib/x"); one that is there already is not repeated. */
struct error *restart_reasons_add(struct restart_reasons *reasons, enum restart_reason_kind kind, const char *file)
	_must_check_;
void restart_reasons_deinit(struct restart_reasons *reasons);

enum restart_kind {
	RESTART_OF_UNIT,      /* a unit of the service manager */
	RESTART_OF_INIT,      /* pid 1 itself */
	RESTART_OF_SESSION,   /* a login */
	RESTART_OF_CONTAINER, /* started by a container engine, which the service manager knows as a scope or not at all
			       */
	RESTART_OF_PROCESS,   /* of no unit */
};

/* How many of an entry's processes are named. */
#define RESTART_TASKS_MAX   64u
/* How many entries a plan has: a hostile guest has no end of control groups. */
#define RESTART_ENTRIES_MAX 4096u

struct restart_entry {
	enum restart_kind kind;
	char *name; /* unit; path of the control group, or of the program, of those of no unit; owned */
	const struct guest_task *tasks[RESTART_TASKS_MAX]; /* those with a reason; borrowed; by pid */
	size_t n_tasks;                                    /* may be more than are named */
	size_t n_excused;                                  /* of programs that the guest's own rules leave alone */
	struct restart_reasons reasons;
	bool restart;     /* else it is only reported */
	const char *verb; /* what would be done: "try-restart", "restart", "daemon-reexec"; NULL: nothing can be */
	char *why;        /* it is only reported; NULL if `restart` */
};

struct restart_plan {
	struct restart_entry *items; /* by kind, then by name */
	size_t n;
	json_t *notes; /* array of strings: what is not known; owned */
};

struct restart_plan *restart_plan_create(void);
void restart_plan_destroy(struct restart_plan *plan);
DEFINE_CLEANUP(struct restart_plan *, restart_plan_destroy)
struct error *restart_note(struct restart_plan *plan, const char *format, ...) _printf_(2, 3) _must_check_;

/* What a plan is made of; all borrowed. */
struct restart_input {
	struct guest *guest;
	const struct guest_task_list *processes;
	const struct restart_changed *changed;
	const struct restart_device *devices; /* of the guest's disk file systems */
	size_t n_devices;
	int root_fd; /* the guest's files as they were */
	struct shadow *shadow;
	bool systemd; /* pid 1 is */
};

/* The names of a process's unit, or what stands for one. `name` is owned by the caller. */
struct error *restart_place(const struct guest_task *task, enum restart_kind *ret_kind, char **ret_name) _must_check_;

/* Takes the reasons of one process into the entry of its unit. The plan then has unsorted entries. */
struct restart_finder;
struct error *restart_finder_create(struct restart_plan *plan, struct restart_finder **ret) _must_check_;
struct error *restart_finder_take(struct restart_finder *finder, const struct guest_task *task,
				  const struct restart_reasons *reasons) _must_check_;
/* Sorts the plan. */
void restart_finder_destroy(struct restart_finder *finder);
DEFINE_CLEANUP(struct restart_finder *, restart_finder_destroy)

/* What the mappings of a process, and its open files, tell: parts of the walk that need no guest. */
struct error *restart_look_at_maps(const struct restart_input *input, uint32_t who, const struct guest_map_list *maps,
				   struct restart_reasons *reasons) _must_check_;
struct error *restart_look_at_files(const struct restart_input *input, const struct guest_fd_list *files,
				    struct restart_reasons *reasons) _must_check_;

struct error *restart_find(const struct restart_input *input, struct restart_plan *plan) _must_check_;

/* Where a path of the guest really leads, without the leading '/': links on the way ("/lib") are followed. */
bool restart_real_path(int root_fd, const char *path, char ret[PATH_MAX], uint32_t *ret_mode);

/* --- units --- */

/* What a unit's files say, as they were before the update. */
struct restart_unit {
	bool oneshot;        /* Type=oneshot */
	bool refuses;        /* RefuseManualStop= or RefuseManualStart= */
	bool one_connection; /* an instance that a socket with Accept=yes made */
	char *changed;       /* the unit file, drop-in or EnvironmentFile that changes; relative path; NULL: none */
};
struct error *restart_unit_read(int root_fd, const struct restart_changed *changed, const char *name,
				struct restart_unit *ret) _must_check_;
void restart_unit_deinit(struct restart_unit *unit);

/* --- interpreters --- */

/* The script of an interpreter and what it imports, as far as its text tells. */
struct error *restart_look_at_script(const struct restart_input *input, const struct guest_task *task,
				     struct restart_reasons *reasons) _must_check_;

/* --- policy --- */

/* What needrestart's configuration in the guest says of a unit. */
enum needrestart_says {
	NEEDRESTART_NOTHING,
	NEEDRESTART_RESTART,     /* override_rc: 1 */
	NEEDRESTART_REPORT,      /* override_rc: 0 */
	NEEDRESTART_BLACKLISTED, /* blacklist_rc: never named */
};

/*
 * Asks the guest's own perl about each entry's unit and each program: sets says[i] for entry i, and the entries'
 * n_excused. A guest without needrestart: nothing is said. ERROR_UNSUPPORTED: the configuration is there and cannot be
 * evaluated.
 */
struct error *restart_ask_needrestart(const struct restart_input *input, struct restart_plan *plan,
				      enum needrestart_says *says) _must_check_;
/* Reads the answers; `text` is what the program printed. */
struct error *restart_read_answers(const char *text, size_t n, int *ret) _must_check_;

/* Of one entry, by what is known: sets restart, verb and why. */
struct error *restart_judge(const struct restart_unit *unit, enum needrestart_says says, bool systemd,
			    struct restart_entry *entry) _must_check_;

struct error *restart_decide(const struct restart_input *input, struct restart_plan *plan) _must_check_;

/* --- a guest that was shut down --- */

/*
 * Who will use old files is known when it has booted. What the guest's needrestart and our own list would only report
 * is found out now: {"restart":[],"restart_notes":[…],"restart_held":[{"name","policy":"report","why"}]}, every service
 * with a unit file that is not to be restarted. `input` has no guest.
 */
struct error *restart_held_make(const struct restart_input *input, struct restart_plan *plan, json_t **ret)
	_must_check_;
/* The entry of a unit, or of its template; NULL: it may be restarted. Borrowed. */
const json_t *restart_held_find(const json_t *held, const char *unit);

/* Whether systemctl takes the text for the name of one unit, and for nothing else. */
bool restart_is_unit(const char *name);

/* --- the document --- */

/* {"restart":[…],"restart_notes":[…]}, as doc/json.md has them. */
struct error *restart_document(const struct restart_plan *plan, json_t **ret) _must_check_;

/*
 * What was recorded, and then the plan (the member "restart" of a bundle, which may be hostile or NULL), as one list
 * for the guest. What was recorded for a unit is never weakened, and what was stopped stays so.
 */
struct error *restart_merge(const struct action_list *recorded, const json_t *plan, enum restart_mode mode,
			    struct action_list *ret) _must_check_;

/* Adds to each of the processes that still use old files what the plan said of them: "policy" and "why". */
struct error *restart_explain(json_t *stale, const json_t *plan) _must_check_;

#endif
