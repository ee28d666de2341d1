/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the QEMU guest agent (qga/qapi-schema.json). The agent is a program of the guest:
 * hostile, slow, silent, restarted at any time. So every command begins a connection that is in
 * step (guest-sync-delimited), and a time-out or a malformed answer puts it out of step again.
 */
#ifndef HYPERVISOR_QGA_H
#define HYPERVISOR_QGA_H

#include <stdbool.h>

#include "base/json.h"

struct qga;
struct vm;

/* Connects; sends nothing. ERROR_NOT_FOUND: no QEMU has this socket open. */
struct error *qga_open(const char *path, struct qga **ret) _must_check_;
/* By the hypervisor's own connection (`agent` of its ops); `vm` is borrowed. Sends nothing. */
struct error *qga_open_through(struct vm *vm, struct qga **ret) _must_check_;
void qga_close(struct qga *qga);
DEFINE_CLEANUP(struct qga *, qga_close)

/* Waits until the agent answers this very call; whatever older calls left behind is dropped. */
struct error *qga_sync(struct qga *qga, uint64_t timeout_ms) _must_check_;

/* False after a time-out, a hang-up or a malformed answer: sync again, or open again. */
bool qga_in_step(const struct qga *qga);

/*
 * Executes a command. Takes `arguments` (may be NULL), also on failure. `ret` may be NULL.
 * A refusal is ERROR_UNSUPPORTED where the command is disabled or unknown, else ERROR_FAILED;
 * it leaves the connection in step.
 */
struct error *qga_execute(struct qga *qga, const char *command, json_t *arguments, uint64_t timeout_ms, json_t **ret)
	_must_check_;

#endif
