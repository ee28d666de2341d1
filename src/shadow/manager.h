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

/* Directories of unit files in systemd's order, the first that has one wins; NULL ends them. */
extern const char *const unit_directories[];

struct unit_listen {
	char kind[24];     /* "Stream" */
	char address[128]; /* "/run/x.sock", "22" */
};

/* A unit as the guest's files and processes show it. */
struct unit {
	char name[SHADOW_NAME_MAX];
	char id[SHADOW_NAME_MAX]; /* the name without aliases */
	char fragment[PATH_MAX];  /* its file, "" if none */
	const char *load_state;   /* "loaded", "not-found", "masked" */
	const char *active_state; /* "active", "inactive" */
	const char *sub_state;
	uint32_t main_pid;     /* 0: none */
	char cgroup[PATH_MAX]; /* "" if none */
	char invocation[33];   /* "" if not known */
	uint64_t since_us;     /* when that began, CLOCK_REALTIME; 0: not known */

	/* unit_read_settings(): what the file and its drop-ins say */
	char description[SHADOW_NAME_MAX];
	char type[24]; /* of a service; "" as by default */
	char source[SHADOW_NAME_MAX];
	char bus_name[SHADOW_NAME_MAX];
	char triggers[SHADOW_NAME_MAX]; /* what a timer, socket or path starts, if it says so */
	bool remains, can_reload, can_isolate, refuses_start, refuses_stop;
	struct unit_listen listens[16];
	size_t n_listens;
	char drop_ins[8][SHADOW_NAME_MAX]; /* longer paths are left out */
	size_t n_drop_ins;
};

/* Whether a string can be a unit's name: bounded, printable, no slash. */
bool unit_name_is_valid(const char *name);

/* Whether the first `length` bytes of a name end so, and are more than that. */
bool unit_has_suffix(const char *name, size_t length, const char *suffix);

/* "getty@tty1.service" to "getty@.service"; false: not an instance. */
bool unit_template_of(const char *name, char ret[SHADOW_NAME_MAX]);

/* "/run/lock" to "run-lock.mount". */
void unit_name_of_path(const char *path, const char *suffix, char ret[SHADOW_NAME_MAX]);

/* Looks it up in the guest's unit directories and among `processes` (may be NULL). The name must be valid. */
void unit_lookup(const struct guest_task_list *processes, const char *name, struct unit *ret);

/* Parts of that: its file and drop-ins; whether it is active. */
void unit_read_settings(struct unit *unit);
void unit_find_state(const struct guest_task_list *processes, struct unit *unit);

/* The unit that a guest process belongs to, by its cgroup; false: none. */
bool unit_of_process(const struct guest_task *process, char ret[SHADOW_NAME_MAX]);
/* Whether the process is in the unit's cgroup, or in one below. */
bool unit_holds_process(const struct guest_task *process, const char *name);

/* Calls `visit` with the unit name of each of the guest's mounts. */
void unit_each_mount(void (*visit)(const char *name, void *data), void *data);

struct manager;

/* One D-Bus method and what answers it: negative errno or `error` is the reply if it sent none. */
struct method {
	const char *interface, *member;
	int (*handle)(struct manager *manager, const struct method *method, sd_bus_message *message,
		      sd_bus_error *error);
	const char *argument; /* of the handler */
};

#define CONNECTIONS_MAX 64

struct manager {
	const struct manager_options *options;
	sd_event *event;
	sd_bus *connections[CONNECTIONS_MAX]; /* NULL: free; borrowed from the event loop */
	uint32_t n_jobs, n_names;             /* handed out so far */
};

#define MANAGER_PATH "/org/freedesktop/systemd1"
#define UNIT_PREFIX  MANAGER_PATH "/unit"

DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref)

/* --- manager.c --- */

/* Whether the sender is the guest's root; `error` says it otherwise, as polkit would. */
bool manager_may_change(sd_bus_message *message, sd_bus_error *error);

/* Has it written down, with who sent the message, before that is answered. Negative errno. */
int manager_record(const struct manager *manager, sd_bus_message *message, struct manager_record *record);

/* Reads a valid unit name, borrowed from the message. Negative: it is none, and `error` says so. */
int manager_read_unit(sd_bus_message *message, const char **ret, sd_bus_error *error);

/* Answers a method call out of a table; 0: it is not there. */
int manager_dispatch(struct manager *manager, const struct method *methods, size_t n, sd_bus_message *message,
		     sd_bus_error *error);
/* What the service manager itself is asked, on either socket. */
int manager_answer(struct manager *manager, sd_bus_message *message, sd_bus_error *error);
/* For a connection's filter: its end. True: that was it. */
bool manager_connection_ended(struct manager *manager, sd_bus_message *message);

/* --- bus.c --- */

/* A message on the system bus. */
int bus_answer(struct manager *manager, sd_bus_message *message, sd_bus_error *error);
/* Whether some program of the guest has this name on its bus; *ret_pid: its main process, 0: not known. */
bool bus_name_owner(struct manager *manager, const char *name, uint32_t *ret_pid);

/* --- bus_services.c --- */

/* What the small daemons of systemd are asked: login1, hostname1, timedate1, locale1. 0: none of them, or unknown. */
int bus_service_answer(struct manager *manager, sd_bus_message *message, sd_bus_error *error);

/* --- log_sink.c --- */

/* Takes what programs log through this socket of datagrams and throws it away; -1: none. Negative errno. */
int log_sink_serve(struct manager *manager, int socket);

/* --- udev_control.c --- */

/* Listens as systemd-udevd does for udevadm control; what it is told is recorded. */
int udev_control_serve(struct manager *manager, int listener);

/* --- unitfiles.c --- */

/* A request with nothing in it and an empty reply, which changes nothing here. */
int manager_do_nothing(struct manager *manager, const struct method *method, sd_bus_message *message,
		       sd_bus_error *error);

/* Handlers: the first line of what `systemctl --root=/ ARGUMENT [UNIT]` prints; the same for a list of units, done. */
int manager_file_question(struct manager *manager, const struct method *method, sd_bus_message *message,
			  sd_bus_error *error);
int manager_file_verb(struct manager *manager, const struct method *method, sd_bus_message *message,
		      sd_bus_error *error);

int manager_file_order(struct manager *manager, const struct method *method, sd_bus_message *message,
		       sd_bus_error *error);

/* Appends the state of a unit's file ("enabled"), a variant; empty if there is none. */
int manager_append_file_state(struct manager *manager, sd_bus_message *reply, const char *name);

/*
 * Runs `systemctl --root=/ VERB [WORD…]` in the shadow. *ret_output, NUL-terminated, is the caller's. Returns its exit
 * status or a negative errno.
 */
int manager_run_systemctl(struct manager *manager, const char *verb, const char *const *words, char **ret_output);

/* --- unit_list.c --- */

int manager_list_units(struct manager *manager, const struct method *method, sd_bus_message *message,
		       sd_bus_error *error);
int manager_list_unit_files(struct manager *manager, const struct method *method, sd_bus_message *message,
			    sd_bus_error *error);

/* --- properties.c --- */

/* Handlers of org.freedesktop.DBus.Properties. */
int manager_get_property(struct manager *manager, const struct method *method, sd_bus_message *message,
			 sd_bus_error *error);
int manager_get_all(struct manager *manager, const struct method *method, sd_bus_message *message, sd_bus_error *error);

#endif
