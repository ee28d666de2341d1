/* SPDX-License-Identifier: Apache-2.0 */
/* What only the sleeping guest's memory had of its disk: said, and looked after when an update is bundled. */
#ifndef UPDATE_NEWER_H
#define UPDATE_NEWER_H

#include <jansson.h>

#include "changes/changes.h"
#include "disk/disk.h"

/* Says what the user should know of it before anything runs. */
void newer_log(const char *vm, const struct disk *disk);

/* Member "newer" of a mount's description; nothing where memory was not laid over it. */
struct error *newer_describe(const struct disk_mount *mount, json_t *ret) _must_check_;

/*
 * Why what is seen of the file is not known to be what the guest sees; NULL: it is. `path` of the guest, absolute,
 * without links; `inode` its number. Borrowed from the disk.
 */
const struct disk_unknown *newer_find_unknown(const struct disk *disk, const char *path, uint64_t inode);

/* ERROR_CONFLICT: the update changes a file that could not be told from memory. */
struct error *newer_refuse_unknown(const struct disk *disk, const struct change_list *changes) _must_check_;

#endif
