/* SPDX-License-Identifier: Apache-2.0 */
/* A reboot of the woken guest into its new kernel, behind the closed gate. Private to the room. */
#ifndef UPDATE_REBOOT_H
#define UPDATE_REBOOT_H

#include "base/error.h"
#include "hypervisor/hypervisor.h"

/*
 * Has the guest reboot itself, waits until it answers again, and compares the kernel that then runs with `release`
 * (uname -r): ERROR_FAILED if it is another. A guest that runs it already is left alone. *ret_rebooted: it was
 * rebooted.
 */
struct error *reboot_into(struct vm *vm, const char *release, uint64_t timeout_ms, bool *ret_rebooted) _must_check_;

#endif
