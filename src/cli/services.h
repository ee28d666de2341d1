/* SPDX-License-Identifier: Apache-2.0 */
/* Which processes belong to which of systemd's units. */
#ifndef CLI_SERVICES_H
#define CLI_SERVICES_H

#include <stddef.h>

#include "base/error.h"
#include "guest/guest.h"

struct service {
	char *unit;
	size_t first, n; /* its tasks: services.tasks[first .. first + n) */
};

struct services {
	struct service *items; /* by unit */
	size_t n;
	const struct guest_task **tasks; /* by unit, then by pid; borrowed from the list */
};

/* Sorts the processes; those outside of every unit, and kernel threads, are left out. */
struct error *services_find(const struct guest_task_list *list, struct services *ret) _must_check_;
void services_deinit(struct services *services);

#endif
