/* SPDX-License-Identifier: Apache-2.0 */
/* How many processors the guest has. */
#include <string.h>

#include "guest/internal.h"

struct error *guest_cpus(struct guest *guest, struct guest_cpus *ret)
{
	struct cpu_sets sets;
	struct error *error = cpu_sets_load(guest, &sets);

	if (!error)
		*ret = (struct guest_cpus){sets.possible, sets.present, sets.online};
	return error;
}

struct error *guest_cpu_set(struct guest *guest, struct guest_cpu_set *ret)
{
	struct cpu_sets sets;
	struct error *error = cpu_sets_load(guest, &sets);

	if (error)
		return error;
	ret->ids = 0;
	for_each_cpu(cpu, sets.possible_set)
		ret->ids = cpu + 1;
	memcpy(ret->online, sets.online_set, sizeof(ret->online));
	return NULL;
}
