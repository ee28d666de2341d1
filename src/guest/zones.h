/* SPDX-License-Identifier: Apache-2.0 */
/* The zones of the guest's memory. Private to guest/. */
#ifndef GUEST_ZONES_H
#define GUEST_ZONES_H

#include "guest/internal.h"

struct guest_zone_place {
	uint32_t node, index;             /* index: ZONE_DMA, … */
	struct gva node_address, address; /* struct pglist_data, struct zone */
};

/* Calls `visit` for every zone of every node that is online, in order, without looking whether there is memory. */
struct error *zones_walk(struct guest *guest,
			 struct error *(*visit)(struct guest *guest, const struct guest_zone_place *zone,
						void *context),
			 void *context) _must_check_;

#endif
