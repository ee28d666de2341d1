/* SPDX-License-Identifier: Apache-2.0 */
/* Private: the manager process's parts. manager.c talks, units.c knows. */
#ifndef SHADOW_MANAGER_H
#define SHADOW_MANAGER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "shadow/internal.h"

/* A unit as the guest's files and processes show it. */
struct unit {
	char name[SHADOW_NAME_MAX];
	char id[SHADOW_NAME_MAX]; /* the name without aliases */
	char fragment[PATH_MAX];  /* its file, "" if none */
	const char *load_state;   /* "loaded", "not-found", "masked" */
	const char *active_state; /* "active", "inactive" */
	const char *sub_state;
	uint32_t main_pid; /* 0: none */
};

/* Whether a string can be a unit's name: bounded, printable, no slash. */
bool unit_name_is_valid(const char *name);

/* Looks it up in the guest's unit directories and among `processes` (may be NULL). The name must be valid. */
void unit_lookup(const struct guest_process_list *processes, const char *name, struct unit *ret);

/* The unit that a guest process belongs to, by its cgroup; false: none. */
bool unit_of_process(const struct guest_process *process, char ret[SHADOW_NAME_MAX]);

#endif
