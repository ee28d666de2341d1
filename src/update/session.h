/* SPDX-License-Identifier: Apache-2.0 */
/* One VM, opened by one operation: its file, its state directory, its lock, its driver. Private to the room. */
#ifndef UPDATE_SESSION_H
#define UPDATE_SESSION_H

#include "base/error.h"
#include "disk/disk.h"
#include "guest/guest.h"
#include "hypervisor/hypervisor.h"
#include "image/image.h"
#include "update/state.h"
#include "update/update.h"
#include "update/vmfile.h"

struct session {
	const struct update_settings *settings; /* borrowed */
	struct vm_file file;
	char *directory;   /* STATE_DIR/NAME-HASH, 0700 */
	char *log_path;    /* the hypervisor's own output */
	char *bundle_path; /* the bundle that waits, or would */
	char *late_path;   /* the one that follows it when the gate is open, or would */
	struct state state;
	struct vm *vm;
	struct image_options image_options; /* of its memory; borrowed strings */
	struct guest_options guest_options;
	const struct disk_keep *keep; /* an open file that sleeping_open() is to keep aside; borrowed; NULL: none */
	char *scratch;                /* where the directories below are: `directory`, or one of this process's own */
	int lock_fd;                  /* -1: opened without the lock */
	int scratch_fd;               /* SESSION_SHARE: locked, which tells others that it is in use; else -1 */
};

enum session_access {
	SESSION_READ, /* look at it: no lock, nothing is created */
	SESSION_WORK, /* ERROR_BUSY if another operation works on the same disk */
	/* Beside others that share it; ERROR_BUSY if one works on the disk. It changes nothing that lasts. */
	SESSION_SHARE,
};

struct error *session_open(const struct update_settings *settings, const char *vm, enum session_access access,
			   struct session *ret) _must_check_;
void session_close(struct session *session);

/*
 * Directories below `scratch` that last no longer than one operation: throw-away disk
 * and mount points, the overlay's layers, the shadow's own.
 */
#define SESSION_WORK_DIR   "work"
#define SESSION_LAYERS_DIR "layers"
#define SESSION_SHADOW_DIR "shadow"

/* Removes them, and those that sharers who were killed left. Nothing may be mounted there any more. */
struct error *session_tidy_up(const struct session *session) _must_check_;

/* Whether the VM has a memory image: it sleeps. Without one it was shut down, or its memory is lost or spent. */
bool session_has_memory(const struct session *session);

/* Why there is no memory image: spent (ERROR_CONFLICT), or never there (ERROR_NOT_FOUND). */
struct error *session_missing_memory(const struct session *session) _must_check_;

/* ERROR_FAILED saying what to do, unless the VM's process is there. */
struct error *session_require_process(const struct session *session) _must_check_;

/* {"version":1,"vm":NAME}; NULL without memory. */
json_t *session_document(const struct session *session);

/* The state directory of the VM file at `path` (absolute); owned. NULL without memory. */
char *session_directory(const struct update_settings *settings, const char *path, const char *name);

#endif
