/* SPDX-License-Identifier: Apache-2.0 */
/* One `resume`: what its parts share, resume.c and resume_late.c. Private to them. */
#ifndef UPDATE_RESUMING_H
#define UPDATE_RESUMING_H

#include "bundle/bundle.h"
#include "update/helper.h"
#include "update/restart.h"
#include "update/session.h"

struct resume {
	struct session *session;
	const struct resume_options *options;
	struct bundle *bundle; /* NULL: woken without an update */
	struct bundle *late;   /* the one that is chained to it; NULL: none */
	char *payload;         /* file that travels to the guest; NULL without a bundle */
	char *stream;          /* file that brings the helper, and the payload if whole_stream; likewise */
	bool whole_stream;
	bool helper_installed; /* in the guest, by us */
	uint8_t payload_sha256[SHA256_SIZE];
	struct helper_report report;
	uint64_t keep_s; /* how long the guest keeps the old files; 0: not at all */
	bool shut_down;  /* the bundle is of a VM that was shut down: there is no memory to be loaded */
	bool cold;       /* the process had died: the guest boots from its disk */
};

/* How long the guest may take to answer. */
uint64_t resume_channel_timeout_ms(const struct resume *r);

/* What of a restart plan is done: as this resume, or the one that woke the guest, was told. */
struct error *resume_choose_restarts(struct resume *r, enum restart_mode *ret) _must_check_;

/* Appends the events of a helper's report that users are told, in seconds since the guest's first instruction. */
struct error *resume_append_timeline(const struct session *session, const struct helper_report *report,
				     json_t *timeline) _must_check_;

/* A failure (taken) after the guest has run: the gate stays closed and the state says why. */
struct error *resume_fail(struct resume *r, struct error *error) _must_check_;

/* The update is over: its bundles do not wait any more, and the guest keeps no more than it was told to. */
struct error *resume_close(struct resume *r) _must_check_;

#endif
