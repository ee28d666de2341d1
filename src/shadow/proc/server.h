/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the shadow room: the process that serves the shadow's /proc. Its questions come from the guest's
 * programs, its answers from the sleeping guest's memory and, for the shadow's own processes, from a real procfs.
 */
#ifndef SHADOW_PROC_SERVER_H
#define SHADOW_PROC_SERVER_H

#include "base/error.h"
#include "guest/guest.h"

struct proc_server_options {
	struct guest *guest;                 /* nobody else in this process uses it */
	const struct guest_task_list *tasks; /* every thread, by pid */
	int64_t boottime_offset_ns;          /* see struct proc_facts */
	int fuse_fd;                         /* /dev/fuse, of a mount that is made already; taken */
	int own_fd;                          /* root of a procfs of the shadow's processes */
	int record_fd;                       /* takes struct manager_record */
	struct shadow_names *names;          /* borrowed; NULL: none */
};

/* Made before the process gives its rights away, where memory and libraries are still to be had. */
struct server;
struct error *proc_server_create(const struct proc_server_options *options, struct server **ret) _must_check_;
/* Serves until the file system is gone. */
struct error *proc_server_serve(struct server *server) _must_check_;

#endif
