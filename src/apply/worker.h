/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two processes of the helper. The worker does the work in a session of its own and writes
 * the report to a file; the foreground, which the channel started, copies that file to standard
 * output. Whatever happens to the channel, the worker goes on, and a later call finds it by the lock.
 */
#ifndef APPLY_WORKER_H
#define APPLY_WORKER_H

#include "apply/transaction.h"

enum worker_verb {
	WORKER_APPLY,
	WORKER_RECOVER,
	WORKER_ROLLBACK
};

/*
 * Starts a worker, or attaches to the one that does the same already, and copies the report.
 * Returns the exit status report.h gives for the result.
 */
int worker_run(enum worker_verb verb, const struct apply_options *options);
/* Copies the last report. */
int worker_status(const struct apply_options *options);
/* Who still uses old files, now: on standard output, the report of the update stays. */
int worker_look(const struct apply_options *options);
/* Removes everything, this program included. */
int worker_forget(const struct apply_options *options);
/* The same, if the time that old files are kept has passed and nobody is at work. */
int worker_expire(const struct apply_options *options);

#endif
