/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs of the guest, started by the helper: no shell, nothing inherited, a time limit.
 */
#ifndef APPLY_RUN_H
#define APPLY_RUN_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define RUN_OUTPUT_MAX (64 * 1024) /* what is beyond is read and dropped */
#define RUN_NOT_FOUND  127
#define RUN_TIMED_OUT  124

struct run_result {
	int status;   /* exit status, 128 + signal, RUN_TIMED_OUT or RUN_NOT_FOUND */
	char *output; /* standard output and error, NUL-terminated; never NULL after success */
};

/* argv[0] is looked up in PATH. A status other than 0 is not an error. */
struct error *run(char *const *argv, uint64_t timeout_ms, struct run_result *ret) _must_check_;
/* The same for a daemon: if it has not ended after `settle_ms`, it goes on, with status 0. Its output goes nowhere. */
struct error *run_daemon(char *const *argv, uint64_t settle_ms, struct run_result *ret) _must_check_;
/* A descriptor that is readable when the process, a child, has ended; -1: the kernel has none (before Linux 5.3). */
int run_open_process(pid_t pid);
void run_result_deinit(struct run_result *result);

#endif
