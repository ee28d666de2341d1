/* SPDX-License-Identifier: Apache-2.0 */
/* Private: the guest's mount tree in the shadow, but for its overlays (layers.c). */
#ifndef SHADOW_MOUNTS_H
#define SHADOW_MOUNTS_H

#include <stdint.h>

#include "base/error.h"
#include "shadow/tmpfs.h"

struct shadow;

/* A tmpfs of the guest, made anew. */
struct mounted_tmpfs {
	uint32_t major, minor; /* in the guest */
	char *root;            /* which directory of the guest's it begins with; owned */
	char *path;            /* where it is mounted on the host; owned */
};

/*
 * Learns what is mounted in the guest: shadow->mounts, a copy of `mounts` if that is not NULL. Memory that cannot tell
 * is a warning, and then as none.
 */
struct error *mounts_learn(struct shadow *shadow, const struct guest_mount_list *mounts) _must_check_;

/*
 * Makes the guest's tmpfs, and mounts them and the stashed layers in the shadow's tree, but for those below /dev, /proc
 * and /sys.
 */
struct error *mounts_make(struct shadow *shadow) _must_check_;

/* Mounts those below the directory /dev of the tree `root`, which is a run's own; makes their mount points. */
struct error *mounts_attach_dev(const struct shadow *shadow, int root) _must_check_;

/* MOUNT_ATTR_* for the options of a guest's mount, as /proc/mounts has them: "ro,nosuid,noexec"; always nodev. */
uint64_t mounts_attributes(const char *options);

void mounts_destroy(struct shadow *shadow);

#endif
