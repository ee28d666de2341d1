/* SPDX-License-Identifier: Apache-2.0 */
/* Private: one run, between run.c (our side, the supervisor) and sandbox.c (what becomes the sandbox). */
#ifndef SHADOW_RUN_H
#define SHADOW_RUN_H

#include <sys/types.h>

#include "base/error.h"
#include "shadow/internal.h"

/* What the sandbox tells us over its control socket; one SOCK_SEQPACKET message each. */
enum report_kind {
	REPORT_ERROR = 1, /* the setup failed; `text`, `code` and `errnum` say why */
	REPORT_TERMINAL,  /* the master of the program's terminal comes with it */
	REPORT_LISTENER,  /* the program starts; the notification descriptor comes with it */
	REPORT_STATUS,    /* the program ended; `status` */
};

struct report {
	enum report_kind kind;
	int status;
	int code, errnum;
	char text[1024]; /* NUL-terminated */
};

/* What the sandbox is given; all descriptors are borrowed. */
struct sandbox {
	const struct shadow *shadow;
	const struct shadow_run_options *options;
	int control;       /* its end of the control socket */
	int input, output; /* its ends of the pipes; -1: a terminal, to be made */
	int errors;        /* -1: with the output */
	int record_fd;     /* for the manager process */
	int value_fd;      /* the same for the server of /proc */
	int network_ns;    /* -1: an empty one */
};

/* Starts the sandbox's first process; *ret is owned by the caller, and its end is that of everything in it. */
struct error *sandbox_start(const struct sandbox *sandbox, pid_t *ret) _must_check_;

/* --- for the processes of the sandbox alone --- */

/* What the warden's children share. */
struct sandbox_links {
	int sockets[SHADOW_SOCKETS]; /* init binds them, the manager serves them */
	int runner[2];               /* the manager's and init's end */
	int ready[2];                /* a byte comes when the root has changed */
	int fuse_fd;                 /* init mounts it, the server of /proc answers there; -1: no memory image */
	int proc[2];                 /* init's and the server's end */
	int held[2];                 /* a byte comes when the guest's process numbers are nobody else's */
};

/* Tells the caller's process, with a descriptor (-1: none); nobody is left to whom a failure could be told. */
void sandbox_send_report(int control, const struct report *report, int fd);

/* Reports the error, which is taken, and ends the process. */
_Noreturn void sandbox_fail(int control, struct error *error);

/* The kernel kills the process when its parent has died; it forgets that at a change of ids. */
struct error *sandbox_die_with_parent(void) _must_check_;

/* Changes all ids to `id`. */
struct error *sandbox_become(uint32_t id) _must_check_;

/* Closes all descriptors from `first` on but those of `keep`, which is sorted; -1 are none. */
struct error *sandbox_close_others(int *keep, size_t n, unsigned first) _must_check_;

/* Puts `fds` (at most 8) at 0, 1, … in this order, -1 being none, and marks all above as close-on-exec. */
struct error *sandbox_arrange_descriptors(const int *fds, int n) _must_check_;

/* The process that becomes init: see sandbox_init.c. */
_Noreturn void sandbox_run_init(const struct sandbox *sandbox, const struct sandbox_links *links);

/* The process that serves /proc: see sandbox_proc.c. */
_Noreturn void sandbox_serve_proc(const struct sandbox *sandbox, int fuse_fd, int socket);

#endif
