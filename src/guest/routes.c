/* SPDX-License-Identifier: Apache-2.0 */
/* Routes of IPv4: a level-compressed trie a table, entries in the order of their addresses (net/ipv4/fib_trie.c). */
#include "base/cleanup.h"
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/network.h"

#define TABLES_MAX    256u /* FIB_TABLE_HASHSZ with CONFIG_IP_MULTIPLE_TABLES, else 2 */
#define TABLES_FIXED  2u
#define KEY_BITS      32u
#define ROUTES_MAX    (UINT64_C(1) << 21) /* twice the world's */
/* Nodes that may be met on the way to one entry; no trie is deeper than its keys are long. */
#define DEPTH_MAX     KEY_BITS
/* Children that lead to no node: more mean that this is no trie, and each costs as much as a thousand good ones. */
#define BAD_MAX       64u

/* RTAX_* of linux/rtnetlink.h, as places in an array. */
#define METRIC_WINDOW 2u
#define METRIC_RTT    3u
#define METRIC_MSS    7u

struct route_layout {
	struct member tables, custom;                                                     /* of struct net */
	struct member table_node, table_id, table_data;                                   /* struct fib_table */
	struct member key, position, bits, leaf;                                          /* struct key_vector */
	struct member link, info, type, tos, length, alias_table;                         /* struct fib_alias */
	struct member protocol_metrics, priority, scope, hops, next_hop, next_hop_object; /* struct fib_info */
	struct member metrics;                                                            /* struct dst_metrics */
	struct member device, gateway_family, gateway;                                    /* struct fib_nh_common */
	struct member name;                                                               /* struct net_device */
	struct next_hop_layout objects;
};

struct route_walk {
	struct guest *guest;
	struct route_layout layout;
	struct guest_route_list *list;
	uint64_t steps;
	unsigned bad;   /* children that cannot be followed */
	uint32_t table; /* the one that is walked */
	uint32_t key;   /* of the leaf */
};

static struct error *load_layout(struct guest *guest, struct route_layout *ret)
{
	const struct member_need needs[] = {
		{"net", "ipv4.fib_table_hash", &ret->tables},
		{"net", "ipv4.fib_has_custom_rules", &ret->custom, .optional = true},
		{"fib_table", "tb_hlist", &ret->table_node},
		{"fib_table", "tb_id", &ret->table_id},
		{"fib_table", "tb_data", &ret->table_data},
		{"key_vector", "key", &ret->key},
		{"key_vector", "pos", &ret->position},
		{"key_vector", "bits", &ret->bits},
		{"key_vector", "leaf", &ret->leaf},
		{"fib_alias", "fa_list", &ret->link},
		{"fib_alias", "fa_info", &ret->info},
		{"fib_alias", "fa_type", &ret->type},
		{"fib_alias", "fa_tos", &ret->tos, .optional = true},
		{"fib_alias", "fa_slen", &ret->length},
		{"fib_alias", "tb_id", &ret->alias_table},
		{"fib_info", "fib_metrics", &ret->protocol_metrics},
		{"fib_info", "fib_priority", &ret->priority},
		{"fib_info", "fib_scope", &ret->scope},
		{"fib_info", "fib_nhs", &ret->hops},
		{"fib_info", "nh", &ret->next_hop_object, .optional = true}, /* 5.3 (4c7e8084fd46) */
		{"dst_metrics", "metrics", &ret->metrics},
		{"fib_nh_common", "nhc_dev", &ret->device},
		{"fib_nh_common", "nhc_gw_family", &ret->gateway_family},
		{"fib_nh_common", "nhc_gw", &ret->gateway},
		{"net_device", "name", &ret->name},
	};
	struct error *error;

	*ret = (struct route_layout){0};
	error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	if (!error)
		error = next_hop_layout_load(guest->types, &ret->objects);
	/* An array at the end, of no size. */
	ret->next_hop.offset = types_size(guest->types, "fib_info");
	/* A dscp_t since 5.18 (32ccf1107980). */
	if (!error && !ret->tos.present)
		ret->tos = types_find(guest->types, "fib_alias", "fa_dscp");
	return error;
}

static struct error *step(struct route_walk *walk, uint64_t place)
{
	if (walk->steps++ > ROUTES_MAX)
		return error_format(NULL, place, "the guest has more than %llu routes", (unsigned long long)ROUTES_MAX);
	return NULL;
}

/* ---- One entry ---- */

static struct error *read_next_hop(struct guest *guest, const struct route_layout *layout, uint64_t hop,
				   struct guest_route *ret)
{
	uint64_t device, family;
	const struct member_read reads[] = {{&layout->device, &device}, {&layout->gateway_family, &family}};
	struct error *error = guest_read_members(guest, (struct gva){hop}, reads, ARRAY_SIZE(reads));

	if (error)
		return error;
	/* An IPv4 route through an IPv6 router is shown without one. */
	ret->has_gateway = family == 2;
	if (ret->has_gateway)
		error = memory_read(&guest->memory, (struct gva){hop + layout->gateway.offset}, ret->gateway, 4);
	if (!error && device)
		error = memory_read_string(&guest->memory, (struct gva){device + layout->name.offset}, ret->interface,
					   sizeof(ret->interface));
	return error;
}

static struct error *read_metrics(struct guest *guest, const struct route_layout *layout, uint64_t metrics,
				  struct guest_route *ret)
{
	uint32_t values[METRIC_MSS + 1];
	struct error *error;

	if (!metrics || layout->metrics.size < sizeof(values))
		return NULL;
	error = memory_read(&guest->memory, (struct gva){metrics + layout->metrics.offset}, values, sizeof(values));
	if (error)
		return error;
	ret->window = values[METRIC_WINDOW];
	ret->rtt = values[METRIC_RTT];
	ret->mss = values[METRIC_MSS];
	return NULL;
}

static struct error *read_info(struct guest *guest, const struct route_layout *layout, uint64_t info,
			       struct guest_route *ret)
{
	uint64_t metrics, priority, scope, hops, object = 0, hop = info + layout->next_hop.offset;
	const struct member_read reads[] = {{&layout->protocol_metrics, &metrics},
					    {&layout->priority, &priority},
					    {&layout->scope, &scope},
					    {&layout->hops, &hops}};
	struct error *error = guest_read_members(guest, (struct gva){info}, reads, ARRAY_SIZE(reads));

	if (!error && layout->next_hop_object.present)
		error = guest_read_member(guest, (struct gva){info}, &layout->next_hop_object, &object);
	if (error)
		return error;
	ret->metric = (uint32_t)priority;
	ret->scope = (uint8_t)scope;
	if (object) {
		error = next_hop_of_object(guest, &layout->objects, object, &hop);
		hops = 1;
	}
	if (!error && hops)
		error = read_next_hop(guest, layout, hop, ret);
	return error ? error : read_metrics(guest, layout, metrics, ret);
}

static struct error *visit_alias(struct guest *guest, struct gva alias, void *context)
{
	struct route_walk *walk = context;
	const struct route_layout *layout = &walk->layout;
	const uint32_t key = htobe32(walk->key);
	struct guest_route route = {0};
	uint64_t info, type, length, table, tos = 0;
	const struct member_read reads[] = {{&layout->info, &info},
					    {&layout->type, &type},
					    {&layout->length, &length},
					    {&layout->alias_table, &table}};
	struct error *error = guest_read_members(guest, alias, reads, ARRAY_SIZE(reads));

	/* The main and the local table share a tree until there are rules (4.1, 0ddcf43d5d4a). */
	if (error || table != walk->table)
		return error;
	if (layout->tos.present)
		error = guest_read_member(guest, alias, &layout->tos, &tos);
	if (!error && length > KEY_BITS)
		error = error_format(NULL, alias.v, "a route of the guest has a prefix of %d bits",
				     (int)KEY_BITS - (int)length);
	if (!error && info)
		error = read_info(guest, layout, info, &route);
	if (!error)
		error = step(walk, alias.v);
	if (!error)
		error = array_room(&walk->list->items, walk->list->n, sizeof(*walk->list->items));
	if (error)
		return error;
	memcpy(route.destination, &key, sizeof(key));
	route.prefix = (uint8_t)(KEY_BITS - length);
	route.type = (uint8_t)type;
	route.table = (uint32_t)table;
	route.tos = (uint8_t)tos;
	walk->list->items[walk->list->n++] = route;
	return NULL;
}

/* ---- The trie ---- */

static bool is_hopeless(const struct route_walk *walk)
{
	return walk->steps > ROUTES_MAX || walk->bad > BAD_MAX;
}

/* A node of the trie: a leaf has no bits. Children lie where a leaf has its list. */
static struct error *walk_node(struct route_walk *walk, uint64_t node, unsigned depth)
{
	const struct route_layout *layout = &walk->layout;
	uint64_t bits, key;
	const struct member_read reads[] = {{&layout->bits, &bits}, {&layout->key, &key}};
	struct error *error = step(walk, node);

	if (!error)
		error = guest_read_members(walk->guest, (struct gva){node}, reads, ARRAY_SIZE(reads));
	if (error)
		return error;
	if (bits == 0) {
		walk->key = (uint32_t)key;
		return hlist_walk(walk->guest, (struct gva){node + layout->leaf.offset}, layout->link.offset,
				  visit_alias, walk);
	}
	if (bits > KEY_BITS || depth >= DEPTH_MAX)
		return error_format(NULL, node, "a tree of the guest's routes does not end");
	for (uint64_t i = 0; i >> bits == 0; i++) {
		uint64_t child;

		error = step(walk, node);
		if (!error)
			error = memory_read_u64(&walk->guest->memory,
						(struct gva){node + layout->leaf.offset + i * sizeof(child)}, &child);
		if (!error && child)
			error = walk_node(walk, child, depth + 1);
		walk->bad += error != NULL;
		error = walk_note(&walk->list->incomplete, error);
		if (error || is_hopeless(walk))
			return error;
	}
	return NULL;
}

/* A table's data are a struct trie, which begins with a node of one child: the root. */
static struct error *visit_table(struct guest *guest, struct gva table, void *context)
{
	struct route_walk *walk = context;
	uint64_t data, root, id;
	const struct member_read reads[] = {{&walk->layout.table_data, &data}, {&walk->layout.table_id, &id}};
	struct error *error = guest_read_members(guest, table, reads, ARRAY_SIZE(reads));

	walk->table = error ? 0 : (uint32_t)id;
	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){data + walk->layout.leaf.offset}, &root);
	if (!error && root)
		error = walk_node(walk, root, 0);
	return walk_note(&walk->list->incomplete, error);
}

struct error *guest_routes(struct guest *guest, uint64_t task, struct guest_route_list *ret)
{
	_cleanup_(guest_route_list_deinit) struct guest_route_list list = {0};
	struct route_walk walk = {.guest = guest, .list = &list};
	uint64_t tables;
	unsigned n;
	struct gva net;
	struct error *error = load_layout(guest, &walk.layout);

	if (!error)
		error = network_namespace(guest, task, &net);
	if (!error)
		error = guest_read_member(guest, net, &walk.layout.tables, &tables);
	n = walk.layout.custom.present ? TABLES_MAX : TABLES_FIXED;
	for (unsigned i = 0; !error && i < n; i++)
		error = walk_note(&list.incomplete, hlist_walk(guest, (struct gva){tables + i * sizeof(uint64_t)},
							       walk.layout.table_node.offset, visit_table, &walk));
	if (error)
		return error_wrap(error, "the guest's routes");
	*ret = list;
	ret->incomplete = error_wrap(list.incomplete, "the guest's routes");
	list = (struct guest_route_list){0};
	return NULL;
}

void guest_route_list_deinit(struct guest_route_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_route_list){0};
}
