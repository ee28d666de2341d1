/* SPDX-License-Identifier: Apache-2.0 */
/* The zones of the guest's memory. */
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
