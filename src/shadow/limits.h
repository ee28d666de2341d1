/* SPDX-License-Identifier: Apache-2.0 */
/* Private: what everything in a shadow may use, beside the control groups (cgroup.h) and the layers' size (store.h). */
#ifndef SHADOW_LIMITS_H
#define SHADOW_LIMITS_H

#include "base/error.h"
#include "shadow/shadow.h"

/* `wanted` with the defaults of this host in place of zeros. */
struct error *limits_resolve(const struct shadow_limits *wanted, struct shadow_limits *ret) _must_check_;

/* The resource limits of the calling process and what it will start. */
struct error *limits_apply(const struct shadow_limits *limits) _must_check_;

/*
 * What all of a user namespace's processes may have together, in kernels from 5.14 on: they take it from the limits
 * of the process that makes the namespace, which the calling process is about to be.
 */
struct error *limits_apply_to_owner(const struct shadow_limits *limits) _must_check_;

/* Bounds of the calling process's own, new IPC namespace. */
struct error *limits_apply_to_ipc(const struct shadow_limits *limits) _must_check_;

#endif
