/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes of the host: trusted programs we chose, started by argument vector, never
 * through a shell. A guest's programs run in the shadow room, not here.
 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct process_options {
	const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
	int stdin_fd;            /* 0: /dev/null; otherwise duplicated onto 0 (borrowed) */
	int stdout_fd;           /* 0: /dev/null; likewise */
	int stderr_fd;           /* 0: captured into the error or the result */
	const char *directory;   /* the child's working directory; NULL: ours */
	const int *keep_fds;     /* descriptors that stay open in the child under their own numbers */
	unsigned n_keep_fds;
	bool new_session;     /* setsid(): the child outlives us and takes no terminal signals */
	bool die_with_parent; /* PR_SET_PDEATHSIG SIGKILL */
};

/* Starts it; the caller owns the pid and must wait for it. Failure to exec is reported here. */
struct error *process_start(const struct process_options *options, pid_t *ret) _must_check_;

struct process_result {
	int status;   /* exit status, 128 + signal if killed */
	char *output; /* standard output, NUL-terminated, at most PROCESS_OUTPUT_MAX bytes */
	char *errors; /* standard error, likewise */
};

#define PROCESS_OUTPUT_MAX (1024 * 1024)

/*
 * Runs it to its end with both outputs captured (stdout_fd and stderr_fd of the options are
 * ignored). After timeout_ms (0: no limit) it is killed: ERROR_TIMEOUT. A nonzero status is not
 * an error.
 */
struct error *process_run(const struct process_options *options, uint64_t timeout_ms, struct process_result *ret)
	_must_check_;

/* The same for a program that must exit 0: otherwise ERROR_FAILED with its last line of standard error. */
struct error *process_check(const char *const *argv) _must_check_;

void process_result_deinit(struct process_result *result);

/* SIGTERM, SIGKILL after grace_ms, and the wait; sets *pid to -1. Pids <= 0 are ignored. */
void process_stop(pid_t *pid, uint64_t grace_ms);

#endif
