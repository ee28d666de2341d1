/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live data: the files on the guest's disks that its sleeping processes are in the middle of, because one holds them
 * open for writing or maps them shared and writable. What is in memory of them and what is on the disk belong together;
 * a bundle never writes them.
 */
#ifndef UPDATE_LIVE_H
#define UPDATE_LIVE_H

#include <glib.h>

#include "changes/changes.h"
#include "shadow/shadow.h"
#include "update/sleeping.h"

/* More are not looked at: a hostile guest opens as many as it likes. */
#define LIVE_MAX 100000u

struct live {
	struct shadow_live_file *items; /* by inode; paths and holders are owned, mounts borrowed of the disk */
	size_t n;
};

/*
 * Out of memory and checked against the disk: what is not there under the path and the number that memory tells
 * (deleted files, tmpfs, files of containers' own trees) is left out. Without memory it is empty. What cannot be read
 * whole is warned of.
 */
struct error *live_read(const struct sleeping *sleeping, struct live *ret) _must_check_;
void live_deinit(struct live *live);

/*
 * The live file that a change would replace, rename, remove or give another name; NULL: none. Attributes alone are no
 * such change.
 */
const struct shadow_live_file *live_hit(const struct live *live, const struct change_layer *layers, size_t n_layers,
					const struct change *change);

/* The live file whose attributes alone the change sets; NULL: none. */
const struct shadow_live_file *live_attributes(const struct live *live, const struct change_layer *layers,
					       size_t n_layers, const struct change *change);

/* --- parts that need no guest --- */

bool live_is_written(const struct guest_fd *fd);
bool live_is_mapped(const struct guest_map *map);
/*
 * Whether `seen` has it not yet, and adds it. `seen` owns its keys, strings. A path alone tells nothing apart: a
 * container's process, or anybody in a mount namespace of his own, has other files under the same names.
 */
bool live_is_new(GHashTable *seen, const char *path, uint64_t inode);

#endif
