/* SPDX-License-Identifier: Apache-2.0 */
/* Private: the guest's network interfaces in the network namespace of a run. */
#ifndef SHADOW_INTERFACES_H
#define SHADOW_INTERFACES_H

#include <stdbool.h>

#include "base/error.h"
#include "guest/guest.h"

/*
 * Makes them in the calling process's network namespace, for as long as this process lives. `network`: the namespace
 * has a way out already, whose routes stay as they are. What cannot be made is missing.
 */
struct error *interfaces_make(struct guest *guest, bool network) _must_check_;

#endif
