/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs that read memory print: for people as the tool they know does, and as JSON
 * (doc/json.md). Only printing: nothing here opens or reads anything of the guest. Lists are
 * borrowed. Failures to write stay with the stream.
 */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "cli/services.h"
#include "cli/socket_owners.h"
#include "cli/users.h"
#include "guest/guest.h"

/* What a `ps` shows besides the tasks. */
struct ps_view {
	bool threads;
	struct guest_clock clock;
	struct users users; /* empty: numbers */
};

/* Like `ps -ef`, with threads like `ps -eLf`. Times of day are in the time zone of whoever reads it. */
void print_ps(FILE *stream, const struct guest_task_list *list, const struct ps_view *view);
void print_ps_json(FILE *stream, const struct guest_task_list *list);

/* The command line of a task, or its name in brackets. */
void print_command(FILE *stream, const struct guest_task *task);

/* Like `systemctl status`: a unit, and its processes below it. */
void print_services(FILE *stream, const struct services *services);
void print_services_json(FILE *stream, const struct services *services, const char *incomplete);

/* Like /proc/PID/maps: byte for byte, but to a terminal. */
void print_maps(FILE *stream, const struct guest_map_list *list);
void print_maps_json(FILE *stream, const struct guest_map_list *list);

/* Like `findmnt`, as a tree or with its option --list. */
struct error *print_mounts(FILE *stream, const struct guest_mount_list *list, bool tree) _must_check_;
void print_mounts_json(FILE *stream, const struct guest_mount_list *list);

/* What a `sockets` shows besides the list; everything is borrowed. */
struct sockets_view {
	unsigned kinds;                                /* bit of each guest_socket_kind that is shown; 0: all */
	bool listening;                                /* only those that wait for others */
	const struct guest_interface_list *interfaces; /* for their names; NULL: numbers */
	const struct socket_owners *owners;            /* NULL: not asked for */
};

/* Like `ss -a`. */
struct error *print_sockets(FILE *stream, const struct guest_socket_list *list, const struct sockets_view *with)
	_must_check_;
void print_sockets_json(FILE *stream, const struct guest_socket_list *list, const struct sockets_view *with,
			const char *incomplete);
/* In ss's words: "u_str", "ESTAB". */
const char *socket_netid(const struct guest_socket *socket);
const char *socket_state(const struct guest_socket *socket);

/* Like `lsmod`. */
void print_modules(FILE *stream, const struct guest_module_list *list);
void print_modules_json(FILE *stream, const struct guest_module_list *list);

struct dmesg_view {
	unsigned levels; /* bit of each level that is shown */
	bool all;        /* also what was cleared (dmesg --clear) */
	bool wall_clock; /* dates instead of seconds since boot */
	bool decode;     /* facility and level in words */
	struct guest_clock clock;
};
#define DMESG_ALL_LEVELS 0xffu

/* Bits out of "err,warn" or "warn+" (that level and more severe ones); false: there is a word that is no level. */
bool dmesg_parse_levels(const char *text, unsigned *ret);

/* Like `dmesg`; what a record has behind a newline is indented, so that no record looks like another. */
void print_dmesg(FILE *stream, const struct guest_log *log, const struct dmesg_view *view);
void print_dmesg_json(FILE *stream, const struct guest_log *log, const struct dmesg_view *view);

/* "pts/3" for the device number of a terminal; "?" for 0. */
void terminal_name(uint32_t tty, char *buffer, size_t size);

#endif
