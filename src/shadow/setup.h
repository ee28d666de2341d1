/* SPDX-License-Identifier: Apache-2.0 */
/* Private: the pieces of setup.c that resolver.c and devices.c build with. */
#ifndef SHADOW_SETUP_H
#define SHADOW_SETUP_H

#include <stdint.h>

#include "base/error.h"

struct shadow;

/* One setup under way. */
struct setup_state {
	const struct setup *setup;
	int root;  /* the new root */
	int stage; /* a tmpfs outside the new root, for files that are bound into it */
	unsigned n_texts;
};

/* Opens `path` below `root` without following a symlink. Absent is ERROR_NOT_FOUND. */
struct error *setup_open(int root, const char *path, int flags, int *ret) _must_check_;

/* Attaches the detached `mount` at `path` below `root`. */
struct error *setup_attach(int root, int mount, const char *path) _must_check_;

/* A detached tmpfs that belongs to the guest's root. */
struct error *setup_tmpfs(const char *size, unsigned mode, uint64_t attributes, int *ret) _must_check_;

/* A detached tmpfs with these options ("48132k", "12000"), for the guest's root as well. */
struct error *setup_tmpfs_sized(const char *size, const char *inodes, int *ret) _must_check_;

/* Mounts at the directory `path`, which is made if it is not there, for nobody but the host's root. */
struct error *setup_mount_at(int mount, const char *path) _must_check_;

/* A detached ramfs, which nothing bounds: for what the guest cannot write to. */
struct error *setup_ramfs(int *ret) _must_check_;

/* A read-only file with this text in place of the file that `target` is; `path` is for errors. */
struct error *setup_bind_text(struct setup_state *state, int target, const char *path, const char *text) _must_check_;

/* The guest's /proc at `path`, with the shadow's own processes; its server runs already. */
struct error *setup_proc(struct setup_state *state, const char *path) _must_check_;

/* Links to the partitions by their UUID, where `dev` has none yet. */
struct error *nodes_link(int dev, const struct shadow *shadow) _must_check_;

/* Puts the guest's disk, if the shadow has it, into /dev and /sys. */
struct error *nodes_show(struct setup_state *state) _must_check_;

/* Makes /etc/resolv.conf name the resolver of the run's network, whatever is there now. */
struct error *resolver_show(struct setup_state *state) _must_check_;

#endif
