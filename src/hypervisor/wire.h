/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line protocol over a unix socket, the common ground of QMP and the guest agent. The peer is
 * not trusted: lines are bounded, and every wait has a deadline (CLOCK_MONOTONIC, ns).
 */
#ifndef HYPERVISOR_WIRE_H
#define HYPERVISOR_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct wire;

/* The deadline `timeout_ms` from now. */
uint64_t wire_deadline(uint64_t timeout_ms);

/*
 * Connects to the socket at `path` (of any length). ERROR_NOT_FOUND: nobody listens there;
 * ERROR_BUSY: somebody does, but has as many waiting clients as it takes.
 */
struct error *wire_connect(const char *path, uint64_t deadline_ns, struct wire **ret) _must_check_;
void wire_destroy(struct wire *wire);
DEFINE_CLEANUP(struct wire *, wire_destroy)

struct error *wire_send(struct wire *wire, const void *data, size_t size, uint64_t deadline_ns) _must_check_;

/*
 * The next line without its newline, at most `max` bytes (longer is ERROR_FORMAT); borrowed
 * until the next call. ERROR_TIMEOUT at the deadline, ERROR_FAILED when the peer has hung up.
 */
struct error *wire_line(struct wire *wire, size_t max, uint64_t deadline_ns, const char **ret, size_t *ret_size)
	_must_check_;

/* The process that listens on the socket. */
struct error *wire_peer(const struct wire *wire, pid_t *ret) _must_check_;

const char *wire_path(const struct wire *wire);

#endif
