/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A systemd as far as the helper looks: /run/systemd/system, and a systemctl that knows of each unit whether it runs,
 * and writes down how it was called. Both are in the mount namespace of the fixture, which this sets up.
 */
#ifndef TEST_APPLY_SYSTEMD_H
#define TEST_APPLY_SYSTEMD_H

/* One line a call. */
#define SYSTEMD_CALLS "/run/calls"
/* A unit that runs is a file here. */
#define SYSTEMD_RUNS  "/run/runs"
/* What `list-jobs` says; without it that fails. */
#define SYSTEMD_JOBS  "/run/jobs"
/* While this is there every call fails with what it holds. */
#define SYSTEMD_FAILS "/run/fails"

/* The time of the directory with units, in seconds, when one was started last. */
#define SYSTEMD_TIME  "/run/time"

/* The base has /etc/systemd/system with two units, and /run. */
int systemd_setup(void **state);
int systemd_teardown(void **state);

#endif
