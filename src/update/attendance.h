/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who sits at the guest's keyboard while its packages are installed in the shadow: answers what was decided beforehand,
 * and keeps what nobody could answer and what did not end.
 */
#ifndef UPDATE_ATTENDANCE_H
#define UPDATE_ATTENDANCE_H

#include <stdint.h>

#include "base/error.h"
#include "shadow/shadow.h"
#include "update/conffiles.h"

struct attendance {
	const char *log_path;              /* where the output goes; borrowed */
	const struct conffiles *conffiles; /* borrowed */
	uint64_t script_timeout_s;         /* 0: none */
	/* The first script that asked or did not end, which explains why all of it failed; NULL: none. Owned. */
	struct error *incident;
};

/* For a run whose output goes to the log; borrows `attendance`. */
struct shadow_attendant attendance_of(struct attendance *attendance);

/*
 * What a run that ended with `error` (taken; NULL: well) really ended with: a script that waited for an answer
 * (ERROR_CONFLICT, with the question) or ran too long (ERROR_TIMEOUT) comes first.
 */
struct error *attendance_conclude(struct attendance *attendance, struct error *error) _must_check_;

void attendance_deinit(struct attendance *attendance);

#endif
