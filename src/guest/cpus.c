/* SPDX-License-Identifier: Apache-2.0 */
/* How many processors the guest has. */
#include "guest/internal.h"

struct error *guest_cpus(struct guest *guest, struct guest_cpus *ret)
{
	struct cpu_sets sets;
	struct error *error = cpu_sets_load(guest, &sets);

	if (!error)
		*ret = (struct guest_cpus){sets.possible, sets.present, sets.online};
	return error;
}
