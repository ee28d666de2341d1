/* SPDX-License-Identifier: Apache-2.0 */
/* The zones of the guest's memory. */
#include <stdlib.h>
#include <string.h>

#include "guest/zones.h"

#define NODES_MAX 1024u /* MAX_NUMNODES */
#define ZONES_MAX 16u

typedef struct error *(*zone_visit)(struct guest *guest, const struct guest_zone_place *zone, void *context);

/* The nodes' structures by number; 0: no such. */
static struct error *read_nodes(struct guest *guest, uint64_t nodes[NODES_MAX])
{
	/* Pointers for as many nodes as the kernel was built for. */
	struct member mask = types_find(guest->types, "nodemask_t", "bits");
	size_t n = mask.present && mask.size * 8 < NODES_MAX ? mask.size * 8 : NODES_MAX;
	struct gva symbol;
	struct error *error;

	memset(nodes, 0, NODES_MAX * sizeof(*nodes));
	if (symbols_find(guest->symbols, "node_data", &symbol))
		return memory_read(&guest->memory, symbol, nodes, n * sizeof(*nodes));
	error = symbols_get(guest->symbols, "contig_page_data", &symbol); /* CONFIG_NUMA=n */
	if (!error)
		nodes[0] = symbol.v;
	return error;
}

struct error *zones_walk(struct guest *guest, zone_visit visit, void *context)
{
	struct member zones = types_find(guest->types, "pglist_data", "node_zones");
	uint32_t n = zones.count < ZONES_MAX ? zones.count : ZONES_MAX;
	uint64_t nodes[NODES_MAX];
	struct error *error;

	if (!zones.present || !zones.count)
		return error_create(ERROR_UNSUPPORTED, "the guest's kernel has no zones of memory");
	error = read_nodes(guest, nodes);
	for (uint32_t node = 0; !error && node < NODES_MAX; node++) {
		for (uint32_t i = 0; !error && nodes[node] && i < n; i++) {
			struct guest_zone_place place = {
				.node = node,
				.index = i,
				.node_address = {nodes[node]},
				.address = {nodes[node] + zones.offset + i * (uint64_t)(zones.size / zones.count)},
			};

			error = visit(guest, &place, context);
		}
	}
	return error;
}

/* ---- How it is cut up ---- */

struct free_layout {
	struct member present, name, areas, count;
	uint32_t area_size;
	struct guest_zone_list *list;
};

static struct error *read_free(struct guest *guest, const struct free_layout *layout, struct gva zone,
			       struct guest_zone *ret)
{
	uint64_t name;
	struct error *error = guest_read_member(guest, zone, &layout->name, &name);

	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){name}, ret->name, sizeof(ret->name));
	ret->n_orders = layout->areas.count < GUEST_ORDERS ? layout->areas.count : GUEST_ORDERS;
	for (uint32_t i = 0; !error && i < ret->n_orders; i++)
		error = guest_read_member(guest,
					  (struct gva){zone.v + layout->areas.offset + i * (uint64_t)layout->area_size},
					  &layout->count, &ret->free[i]);
	return error;
}

/* One without any page is not shown. */
static struct error *add_zone(struct guest *guest, const struct guest_zone_place *place, void *context)
{
	const struct free_layout *layout = context;
	struct guest_zone_list *list = layout->list;
	struct guest_zone zone = {.node = place->node};
	uint64_t present;
	struct error *error = guest_read_member(guest, place->address, &layout->present, &present);

	if (error || !present)
		return error;
	error = read_free(guest, layout, place->address, &zone);
	if (!error)
		error = array_room(&list->items, list->n, sizeof(*list->items));
	if (!error)
		list->items[list->n++] = zone;
	return error;
}

struct error *guest_zones(struct guest *guest, struct guest_zone_list *ret)
{
	struct guest_zone_list list = {0};
	struct free_layout layout = {.list = &list, .area_size = types_size(guest->types, "free_area")};
	const struct member_need needs[] = {
		{"zone", "present_pages", &layout.present},
		{"zone", "name", &layout.name},
		{"zone", "free_area", &layout.areas},
		{"free_area", "nr_free", &layout.count},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = walk_note(&list.incomplete, zones_walk(guest, add_zone, &layout));
	if (error) {
		guest_zone_list_deinit(&list);
		return error_wrap(error, "the guest's zones of memory");
	}
	*ret = list;
	return NULL;
}

void guest_zone_list_deinit(struct guest_zone_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_zone_list){0};
}
