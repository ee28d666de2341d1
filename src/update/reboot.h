/* SPDX-License-Identifier: Apache-2.0 */
/* A reboot of the woken guest into its new kernel, behind the closed gate. Private to the room. */
#ifndef UPDATE_REBOOT_H
#define UPDATE_REBOOT_H

#include "base/error.h"
#include "hypervisor/hypervisor.h"
#include "update/kernel.h"

/*
 * Has the guest reboot itself, waits until it answers again, and compares the kernel that then runs with `wanted`
 * (its build only where that is known): ERROR_FAILED if it is another, ERROR_TIMEOUT or what the way in last said if
 * the guest does not answer in time, ERROR_FAILED if the VM's process ended. A guest that runs it already is left
 * alone. *ret_rebooted: it was rebooted.
 */
struct error *reboot_into(struct vm *vm, const struct kernel_names *wanted, uint64_t timeout_ms, bool *ret_rebooted)
	_must_check_;

#endif
