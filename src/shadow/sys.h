/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private: the guest's /sys as a tmpfs: the directories and links that its kernel has in memory, and of the files those
 * whose contents memory tells. The control groups are where the guest has them mounted.
 */
#ifndef SHADOW_SYS_H
#define SHADOW_SYS_H

#include "base/error.h"

struct shadow;
struct setup_state;

/* Makes it, once a shadow, in shadow->sys; without memory there is none. */
struct error *sys_make(struct shadow *shadow) _must_check_;

void sys_destroy(struct shadow *shadow);

#endif
