/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of the guest helper: puts it into the guest, runs it, and reads its report
 * (apply/report.h is the contract). The guest is hostile: the report is bounded, and nothing in
 * it is believed but what is said to the user. Private to the room.
 */
#ifndef UPDATE_HELPER_H
#define UPDATE_HELPER_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "base/sha256.h"
#include "changes/changes.h"
#include "hypervisor/hypervisor.h"

#define HELPER_EVENTS_MAX 16
#define HELPER_STALE_MAX  1024 /* processes that use old files; the guest names 512 */

struct helper_report {
	struct {
		char name[24];
		int64_t realtime_ns; /* host's CLOCK_REALTIME it happened at, by the guest's own clock back from the end
				      */
	} events[HELPER_EVENTS_MAX];
	size_t n_events;
	uint64_t files, bytes;   /* of "staged" */
	uint64_t frozen_us;      /* of "switched": how long the guest's processes stood still; 0: they went on */
	uint64_t failed_actions; /* of "restarted" */
	json_t *actions;         /* [{"argv","status","output"}]; owned */
	json_t *stale;           /* of "stale", as the guest says; owned */
	uint64_t n_stale;        /* of "looked" */
	int64_t keep_until_s; /* of "kept": old files stay until then, seconds since the epoch; 0: they are not kept */
	char *not_kept;       /* of "kept": why not, although it was asked for; owned; NULL: nothing stood against it */
	char *result;         /* HELPER_RESULT_*; owned; never NULL on success */
	char *path, *message; /* of "end"; owned; may be NULL */
};

/*
 * Writes what a stream brings into the guest (hypervisor.h): the helper, and the payload behind it where it is small
 * (*ret_whole). Before the guest wakes; a failure is none, there are other ways.
 */
void helper_stream_prepare(const char *path, const char *payload_path, uint64_t payload_size, bool *ret_whole);
/*
 * Plugs the stream into the guest that runs, and what the payload needs beside it; removes the stream's file. What
 * cannot be plugged is left to helper_apply().
 */
void helper_plug(struct vm *vm, const char *stream_path, bool whole, const char *payload_path);

/* Puts the helper at HELPER_PATH in the guest. */
struct error *helper_install(struct vm *vm) _must_check_;

/* Runs `helper WORDS…`; the exit status is not an error, the report says it all. */
struct error *helper_run(struct vm *vm, const char *const *words, int stdin_fd, uint64_t timeout_ms,
			 struct helper_report *ret) _must_check_;

/* How long an update with these actions may take to be applied. */
uint64_t helper_apply_timeout_ms(const struct action_list *actions);

struct helper_apply_options {
	bool strict;              /* go back when an action fails */
	bool verify_stat;         /* contents are not read back from the guest's disk */
	uint64_t freeze_ms;       /* how long the guest's processes may stand still */
	bool late;                /* the second of two chained updates; apply/report.h */
	bool background;          /* others' work comes first */
	bool followed;            /* the second of two chained updates comes at once */
	uint64_t keep_s;          /* how long the guest keeps the old files; 0: not at all; of the first, for both */
	uint64_t timeout_ms;      /* helper_apply_timeout_ms() */
	bool installed;           /* the helper is in the guest, and is ours */
	bool whole_stream;        /* the stream that is plugged has the payload, too */
	const json_t *read_ahead; /* read_ahead_describe()'s, or NULL; borrowed */
};

/*
 * `helper apply` with the payload file, by the best way the VM has, and the helper put there before it. What it came
 * from stays plugged until helper_detach(): the guest takes a second to give a disk back, for which the gate need not
 * stay closed.
 */
struct error *helper_apply(struct vm *vm, const char *payload_path, const uint8_t sha256[SHA256_SIZE],
			   const struct helper_apply_options *options, struct helper_report *ret) _must_check_;

/* Takes the payload away, if the VM runs. What the guest does not give back is no reason to fail an update that was
 * applied. */
void helper_detach(struct vm *vm);

/* `helper forget`: removes all it left in the guest, itself included. */
struct error *helper_forget(struct vm *vm) _must_check_;

/* The error, which it takes over, with the report's first action that failed: what it was, how it ended, what it said.
 */
struct error *helper_with_failed_action(struct error *error, const struct helper_report *report) _must_check_;

void helper_report_deinit(struct helper_report *report);

#endif
