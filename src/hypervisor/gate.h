/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two mechanisms of the gate; doc/gate.md says what passes where, and why. gate.c decides
 * which card gets which.
 */
#ifndef HYPERVISOR_GATE_H
#define HYPERVISOR_GATE_H

#include "hypervisor/ops.h"
#include "hypervisor/ssh.h"

/*
 * gate_nft.c: a filter of our own (tables "ouassister-NAME") on the host's taps, in one
 * transaction, replacing an older one. `endpoint` is the one connection that passes, NULL for none.
 */
struct error *gate_nft_close(const char *vm_name, char *const *taps, size_t n_taps, const struct ssh_endpoint *endpoint)
	_must_check_;
/* Removes the tables, all or none; harmless if there are none. */
struct error *gate_nft_open(const char *vm_name) _must_check_;
/* ret[i]: the kernel drops by default what enters and leaves at taps[i], by our table. */
struct error *gate_nft_show(const char *vm_name, char *const *taps, size_t n_taps, bool *ret) _must_check_;

/* gate_link.c: the link of each card that has no tap. */
struct error *gate_link_set(struct vm *vm, const struct nic_list *list, bool up) _must_check_;

#endif
