/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private: the manager process's parts. manager.c talks, units.c knows, properties.c shows, unitfiles.c has the
 * guest's own systemctl work on files.
 */
#ifndef SHADOW_MANAGER_H
#define SHADOW_MANAGER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

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
void unit_lookup(const struct guest_task_list *processes, const char *name, struct unit *ret);

/* The unit that a guest process belongs to, by its cgroup; false: none. */
bool unit_of_process(const struct guest_task *process, char ret[SHADOW_NAME_MAX]);

struct manager;

/* One D-Bus method and what answers it: negative errno or `error` is the reply if it sent none. */
struct method {
	const char *interface, *member;
	int (*handle)(struct manager *manager, const struct method *method, sd_bus_message *message,
		      sd_bus_error *error);
	const char *argument; /* of the handler */
};

struct manager {
	const struct manager_options *options;
	sd_event *event;
	unsigned n_connections;
	uint32_t n_jobs;
};

#define MANAGER_PATH "/org/freedesktop/systemd1"
#define UNIT_PREFIX  MANAGER_PATH "/unit"

DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref)

/* --- manager.c --- */

/* Has it written down, with who sent the message, before that is answered. Negative errno. */
int manager_record(const struct manager *manager, sd_bus_message *message, struct manager_record *record);

/* Reads a valid unit name, borrowed from the message. Negative: it is none, and `error` says so. */
int manager_read_unit(sd_bus_message *message, const char **ret, sd_bus_error *error);

/* --- unitfiles.c --- */

/* Handlers: the first line of what `systemctl --root=/ ARGUMENT [UNIT]` prints; the same for a list of units, done. */
int manager_file_question(struct manager *manager, const struct method *method, sd_bus_message *message,
			  sd_bus_error *error);
int manager_file_verb(struct manager *manager, const struct method *method, sd_bus_message *message,
		      sd_bus_error *error);

/* Appends the state of a unit's file ("enabled"), a variant; empty if there is none. */
int manager_append_file_state(struct manager *manager, sd_bus_message *reply, const char *name);

/* --- properties.c --- */

/* Handlers of org.freedesktop.DBus.Properties. */
int manager_get_property(struct manager *manager, const struct method *method, sd_bus_message *message,
			 sd_bus_error *error);
int manager_get_all(struct manager *manager, const struct method *method, sd_bus_message *message, sd_bus_error *error);

#endif
