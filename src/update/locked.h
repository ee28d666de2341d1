/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that the guest has locked by chattr(1). FUSE has no word for it, so that in a shadow over the reader of ext4
 * they can be changed; the guest's own kernel would refuse it, and the whole update with it.
 */
#ifndef UPDATE_LOCKED_H
#define UPDATE_LOCKED_H

#include "changes/changes.h"

/*
 * ERROR_CONFLICT: a change is of a file or directory that is immutable or append-only below `root_fd`, the guest's root
 * as it sleeps, or lies in such a directory.
 */
struct error *locked_refuse(int root_fd, const struct change_list *changes) _must_check_;

#endif
