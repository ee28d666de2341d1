/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who listens on /run/systemd/private: libsystemd's own server with systemd's methods and signals, as far as the helper
 * uses them, or a peer that sends whatever bytes it was given. Both are processes of their own, on the /run that
 * systemd.h mounts.
 */
#ifndef TEST_APPLY_SYSTEMD_SERVER_H
#define TEST_APPLY_SYSTEMD_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One line a method that was called: its name, and of those for one unit or property that name. */
#define SERVER_ASKED  "/run/asked"
#define SERVER_SOCKET "/run/systemd/private"

/* What is wrong with libsystemd's server. */
enum server_twist {
	SERVER_RIGHT,
	SERVER_STOPPING,        /* there is a job that stops something */
	SERVER_REFUSES,         /* every method is answered by an error */
	SERVER_JOBS_FAIL,       /* every job ends with the result "failed" */
	SERVER_ANSWERS_NUMBERS, /* every method is answered by a number */
	SERVER_DIES,            /* at the first property, and the first job behind its answer */
	SERVER_FEWER_ROWS,      /* of the units that were asked for by name the last has none */
};

/*
 * Units are files in SYSTEMD_RUNS while they run; what is in the file is their ActiveState. idle.service is known and
 * rests, gone.service is not. Types are "notify", results "success".
 */
pid_t server_start(enum server_twist twist);

struct raw_server {
	const char *greeting; /* NULL: as it should be, which lets the call come */
	const void *bytes;    /* sent for the first call */
	size_t size;
	bool forever; /* it sends them again and again */
	bool ends;    /* it then ends the connection; else it is silent */
};

pid_t server_start_raw(const struct raw_server *raw);

/* A socket on which nobody accepts a connection, with no room for one more. The caller closes both. */
void server_crowded(int ret_fds[2]);

void server_stop(pid_t pid);

#endif
