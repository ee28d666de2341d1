/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which device nodes an update may bring. Packages hardly ever do; a node of the guest's disk, with a mode that lets
 * everybody read it, would give all of the guest away. Private to the room.
 */
#ifndef UPDATE_DEVICE_POLICY_H
#define UPDATE_DEVICE_POLICY_H

#include "changes/changes.h"

/*
 * The first change that makes a device node, gives one other attributes or another name; NULL: none. Nodes that do no
 * harm (null, zero, full, random, urandom, as daemons have them in a directory they are confined to; 0:0, which is no
 * device but the overlay's mark of a deleted name) are not counted; all may be deleted.
 */
const struct change *device_policy_find(const struct change_list *changes);

/* ERROR_CONFLICT that names it, unless `allowed`. */
struct error *device_policy_check(const struct change_list *changes, bool allowed) _must_check_;

#endif
