/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM Shadow: an environment on the host that looks like the inside of the sleeping guest,
 * in which the guest's own, unmodified and hostile programs run.
 *
 * It refuses to write to the guest: the disk is the lower layer of an overlay, and every change
 * lands in the upper directories under `layers_dir`. It refuses everything that belongs to a
 * running guest: such requests are recorded as actions. See shadow/theory.h for the stages of
 * the sandbox and what each may and may not do.
 */
#ifndef SHADOW_SHADOW_H
#define SHADOW_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "changes/changes.h"
#include "disk/disk.h"
#include "guest/guest.h"

struct shadow;

struct shadow_options {
	const struct disk *disk;     /* borrowed */
	const char *layers_dir;      /* existing directory, 0700, on a file system overlayfs can use; kept afterwards */
	const char *run_dir;         /* existing directory, 0700, for mount points and sockets */
	const struct guest_uts *uts; /* NULL: no memory image; the host's kernel release shows */
	const struct guest_clock *clock;         /* NULL: no time namespace */
	const char *disk_name;                   /* the guest's name for its disk; NULL: "vda" */
	const struct guest_task_list *processes; /* for is-active; NULL: nothing runs */
	unsigned processes_max;                  /* at the same time; 0: a limit that no honest program meets */
};

struct error *shadow_create(const struct shadow_options *options, struct shadow **ret) _must_check_;

/* What the shadow's programs may reach. */
struct shadow_network {
	bool enabled;                   /* false: a network namespace with nothing in it */
	const char *const *allow_hosts; /* host names or addresses of sources and proxies that may be in private ranges;
					   NULL-terminated; may be NULL */
};

struct shadow_run_options {
	const char *const *argv;              /* NULL-terminated; argv[0] a path in the guest or found in its PATH */
	const char *const *env;               /* NULL-terminated NAME=VALUE, the whole environment */
	const struct shadow_network *network; /* NULL: none */
	int stdin_fd;                         /* 0: /dev/null */
	int output_fd;      /* standard output and error of the program; 0: dropped. Relayed, never the host's own
			       descriptor. */
	uint64_t timeout_s; /* 0: no limit; afterwards everything in it is killed: ERROR_TIMEOUT */
};

/*
 * Runs one program as the guest's root until it and everything it started has ended (what is
 * left is killed). *ret_status: exit status, 128 + signal. Errors are ours, not the program's.
 */
struct error *shadow_run(struct shadow *shadow, const struct shadow_run_options *options, int *ret_status) _must_check_;

/* The same with the output captured, at most 16 MiB (more is ERROR_FORMAT); NUL-terminated, owned by the caller. */
struct error *shadow_capture(struct shadow *shadow, const struct shadow_run_options *options, int *ret_status,
			     char **ret_output) _must_check_;

/* The overlays, for changes_read(); borrowed, valid until shadow_destroy(). */
const struct change_layer *shadow_layers(const struct shadow *shadow, size_t *ret_n);

/* What was asked of the running system so far, in order; borrowed. */
const struct action_list *shadow_actions(const struct shadow *shadow);

/* Unmounts; the upper directories stay until the caller removes layers_dir. */
void shadow_destroy(struct shadow *shadow);
DEFINE_CLEANUP(struct shadow *, shadow_destroy)

#endif
