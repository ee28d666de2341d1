/* SPDX-License-Identifier: Apache-2.0 */
/* The restart plan as `update` makes it: see update/restart.h. Private to the room. */
#ifndef UPDATE_RESTART_PLAN_H
#define UPDATE_RESTART_PLAN_H

#include <jansson.h>

#include "base/error.h"
#include "changes/changes.h"
#include "shadow/shadow.h"
#include "update/sleeping.h"

/* {"restart":[…],"restart_notes":[…]} out of the guest's memory, and needrestart's configuration in the shadow. */
struct error *restart_plan_make(const struct sleeping *sleeping, struct shadow *shadow,
				const struct change_list *changes, json_t **ret) _must_check_;

#endif
