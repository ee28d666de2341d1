/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private: the guest's /dev, out of its memory: its links, directories and nodes, of which none opens. The few that do
 * are those of a run's own /dev, mounted over them.
 */
#ifndef SHADOW_DEV_H
#define SHADOW_DEV_H

#include "base/error.h"

struct shadow;
struct setup_state;

/* Makes it, once a shadow, in shadow->dev; without memory there is none. */
struct error *dev_make(struct shadow *shadow) _must_check_;

/* Puts it over the run's own /dev, which keeps what works: see above. */
struct error *dev_show(struct setup_state *state) _must_check_;

void dev_destroy(struct shadow *shadow);

#endif
