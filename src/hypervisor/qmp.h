/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A QMP client (QEMU's docs/interop/qmp-spec): greeting, capabilities, commands matched by id,
 * events kept until somebody asks. QMP serves one client at a time: a connection is made for one
 * operation and closed after it.
 */
#ifndef HYPERVISOR_QMP_H
#define HYPERVISOR_QMP_H

#include <sys/types.h>

#include "base/json.h"

struct qmp;

/* A plain command answers at once; more means QEMU is stuck or stopped. */
#define QMP_TIMEOUT_MS 20000

/*
 * Connects and negotiates. ERROR_NOT_FOUND: nobody listens (there is no process);
 * ERROR_BUSY: a process is there, but it serves another client or hangs.
 */
struct error *qmp_open(const char *path, struct qmp **ret) _must_check_;
void qmp_close(struct qmp *qmp);
DEFINE_CLEANUP(struct qmp *, qmp_close)

/*
 * Executes a command and waits for its answer. Takes `arguments` (may be NULL), also on failure.
 * `ret` may be NULL; otherwise the caller owns the "return" member. QEMU's refusal is
 * ERROR_NOT_FOUND (DeviceNotFound), ERROR_UNSUPPORTED (CommandNotFound) or ERROR_FAILED.
 */
struct error *qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, json_t **ret) _must_check_;

/* A monitor command for people; its text, which the caller frees. QMP has no query for some things. */
struct error *qmp_human(struct qmp *qmp, const char *line, char **ret) _must_check_;

/*
 * Waits for the event `name`, also one that came earlier on this connection, and takes it.
 * `ret_data` may be NULL; otherwise the caller owns the "data" member (NULL if there is none).
 */
struct error *qmp_wait_event(struct qmp *qmp, const char *name, uint64_t timeout_ms, json_t **ret_data) _must_check_;

/* "status" of query-status: "running", "paused", "inmigrate" … at most 31 characters. */
#define QMP_STATUS_SIZE 32
struct error *qmp_status(struct qmp *qmp, char ret[QMP_STATUS_SIZE]) _must_check_;

/* The process that created the socket. */
struct error *qmp_pid(const struct qmp *qmp, pid_t *ret) _must_check_;

#endif
