/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One update inside the guest, all or nothing. The phases, in order, each in a file of its own:
 *
 *   check    reads only: every pre-image holds, there is room
 *   stage    makes every new inode in the stage of its file system; no path is touched
 *   switch   exchanges paths and slots; the old inodes end up in the slots
 *   act      what only a running guest can do: restart services
 *   verify   what was written reads back
 *   undo     exchanges again, in reverse; whatever point was reached
 *
 * doc/apply.md says why this survives a power loss at any instruction.
 */
#ifndef APPLY_TRANSACTION_H
#define APPLY_TRANSACTION_H

#include "apply/freezer.h"
#include "apply/journal.h"
#include "apply/report.h"
#include "apply/source.h"
#include "apply/tree.h"

#define NO_ENTRY UINT32_MAX

/* What the service manager says of one unit. Words are systemd's; "" if it does not say. */
struct unit_state {
	const char *unit; /* borrowed from the action */
	char load[16], active[16], type[16], result[24];
};

struct unit_states {
	struct unit_state *items;
	size_t n;
};

struct transaction {
	const char *directory; /* HELPER_DIRECTORY below the root; borrowed */
	int report_fd;         /* borrowed */
	bool whole_system;     /* the root is the running guest's: clock, actions and its package manager are ours */
	bool no_actions;
	bool strict;      /* a failed action is a reason to go back */
	bool early;       /* at boot, before services start: nothing is asked of them, and no action is done */
	bool verify_stat; /* contents are not read back */
	int64_t keep_s;   /* how long old files are kept: 0: not at all, negative: until `forget` */
	bool late;        /* the second of two chained updates */
	bool background;  /* others come first, but while files are switched */
	bool timers_held; /* by the first update, for us */
	struct tree tree;
	struct journal journal;
	struct index_room index; /* in which the payload lies */
	struct payload payload;
	struct slot *slots;     /* one an entry; a room, as the next one */
	uint32_t *link_sources; /* LINK: the earlier entry it is another name of, NO_ENTRY if it is in the tree already;
				   ATTRIBUTES again: the earlier entry of its path */
	struct source source;
	struct freezer freezer;
	int lock_fds[2];           /* dpkg's lock-frontend and lock, -1 if not held */
	uint64_t files, bytes;     /* staged */
	struct unit_states states; /* of the units in the actions, before the first of them; empty: not asked */
	uint32_t n_failed;         /* actions */
	bool deferred_again;       /* they had begun in a process that was killed */
	uint32_t n_changed_since;  /* paths that somebody else changed after the switch: left alone */
	uint32_t n_waits;          /* for directories that were missing, while going back */
};

#define TRANSACTION_INIT                                                                                               \
	{                                                                                                              \
		.tree = {.root_fd = -1, .parent_fd = -1}, .journal = JOURNAL_INIT, .source = {.fd = -1},               \
		.lock_fds = {-1, -1},                                                                                  \
	}

/* Name of an entry's slot in the stage. */
#define SLOT_NAME_SIZE 16
void slot_name(uint32_t entry, char name[SLOT_NAME_SIZE]);
int slot_stage(const struct transaction *t, uint32_t entry);
const struct change *entry_change(const struct transaction *t, uint32_t entry);

/* check.c: fills slots (old inodes, file systems) and link_sources. */
struct error *transaction_check(struct transaction *t) _must_check_;
/* stage.c: fills slots (staged inodes). */
struct error *transaction_stage(struct transaction *t) _must_check_;
/* switch.c: the guest's processes stand still while paths are exchanged, here and when it is undone. */
struct error *transaction_switch(struct transaction *t, uint32_t *ret_entries) _must_check_;
/* undo.c: idempotent. Paths that are neither the old nor the new inode are left, counted in n_changed_since. */
struct error *transaction_undo(struct transaction *t) _must_check_;
/* act.c: does the recorded actions of before or after the switch; counts what failed. */
struct error *transaction_act_before(struct transaction *t) _must_check_;
struct error *transaction_act_after(struct transaction *t) _must_check_;
/* The maintainer scripts that were put off, when all else is right: what they do is not undone. */
struct error *transaction_act_deferred(struct transaction *t) _must_check_;
bool transaction_has_deferred(const struct transaction *t);
/* After going back: whatever the actions touched is as it was, with the old files. */
struct error *transaction_act_undo(struct transaction *t) _must_check_;
/*
 * act_runtime.c: takes back what actions did below /run and is still as they left it; the rest is named in notes. It
 * may be cut and run again. And removes what that needs.
 */
void runtime_undo(struct transaction *t);
struct error *runtime_forget(const struct transaction *t) _must_check_;
/* Starts what the actions before the switch had stopped, this process's or one's that was killed. */
struct error *transaction_start_stopped(struct transaction *t) _must_check_;
/* It stays as it is. */
struct error *transaction_forget_stopped(struct transaction *t) _must_check_;
/*
 * stale.c: reports the processes that still map what the update replaced or deleted, or code that had been deleted
 * before. Call it when the old inodes are in the slots. That it could not look is a note, and no reason to go back.
 */
void transaction_report_stale(struct transaction *t);
/*
 * verify.c: whatever was not changed by somebody else since the switch must be as the payload
 * says, content read from the disk. ERROR_CONFLICT otherwise. The package manager is asked as well, unless deferred
 * actions have begun: they are in the middle of its work.
 */
struct error *transaction_verify(struct transaction *t, uint64_t *ret_files) _must_check_;
/* The package manager alone. */
struct error *transaction_audit(struct transaction *t) _must_check_;
/* Every path is still as the switch left it: what rollback asks. ERROR_CONFLICT otherwise. */
struct error *transaction_unchanged(struct transaction *t) _must_check_;

/* locks.c: waits up to LOCK_WAIT_S for a package manager at work; ERROR_BUSY after that. */
#define LOCK_WAIT_S 60
struct error *transaction_lock(struct transaction *t) _must_check_;
/* Lets dpkg itself run below us, while other front ends still wait. */
void transaction_unlock_inner(struct transaction *t);
void transaction_unlock(struct transaction *t);

/* sequence.c: the verbs. Each ends the report with its result and returns that word. */
struct apply_options {
	const char *root;    /* "/" in a guest */
	const char *payload; /* path or "-" */
	uint8_t id[SHA256_SIZE];
	int64_t clock_ns;        /* CLOCK_REALTIME to be set; 0: leave it */
	uint64_t clock_taken_ns; /* CLOCK_BOOTTIME when clock_ns was true */
	bool no_actions;
	bool strict;                                   /* go back when an action fails */
	bool verify_stat;                              /* contents are not read back */
	bool early;                                    /* of recover: by the unit at boot */
	unsigned freeze_ms;                            /* how long processes may stand still; 0: never */
	const struct freezer_spared *spared;           /* by that; NULL: not known, and none is frozen */
	int64_t keep_s;                                /* as struct transaction has it */
	bool late;                                     /* of the second of two chained updates, beside the first */
	bool background;                               /* others come first, but while files are switched */
	bool followed;                                 /* by a second update at once, which finds the timers held */
	bool timers_held;                              /* by the first update, for this one */
	const char *read_ahead[HELPER_READ_AHEAD_MAX]; /* for readahead_begin(); borrowed */
	unsigned n_read_ahead;
};
const char *sequence_apply(const struct apply_options *options, const char *directory, int report_fd);
const char *sequence_recover(const struct apply_options *options, const char *directory, int report_fd);
const char *sequence_look(const struct apply_options *options, const char *directory, int report_fd);
const char *sequence_rollback(const struct apply_options *options, const char *directory, int report_fd);
/*
 * Removes the stages, the journal and the units; ERROR_BUSY while an update is unfinished. Writes no report.
 * *ret_timers: there were timers of ours, which systemd still has.
 */
struct error *sequence_forget(const struct apply_options *options, const char *directory, bool *ret_timers)
	_must_check_;
/* Whether the time that old files are kept has passed, or none are. */
struct error *sequence_is_over(const struct apply_options *options, const char *directory, bool *ret) _must_check_;

#endif
