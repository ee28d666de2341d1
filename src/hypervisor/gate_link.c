/* SPDX-License-Identifier: Apache-2.0 */
/* The gate where the host has no device to filter at: the card's link. */
#include "hypervisor/gate.h"

struct error *gate_link_set(struct vm *vm, const struct nic_list *list, bool up)
{
	for (size_t i = 0; i < list->n; i++) {
		struct error *error;

		/* A link that we did not take down is not ours to bring up. */
		if (list->nics[i].tap || (up && !list->nics[i].down))
			continue;
		error = vm->hypervisor->set_link(vm, list->nics[i].name, up);
		if (error)
			return error_wrap(error, "link of %s", list->nics[i].name);
	}
	return NULL;
}
