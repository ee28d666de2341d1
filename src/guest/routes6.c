/* SPDX-License-Identifier: Apache-2.0 */
/* Routes of IPv6: a radix tree a table, in the order in which the kernel walks it (net/ipv6/ip6_fib.c). */
#include "base/cleanup.h"
#include <string.h>

#include "guest/containers.h"
#include "guest/network.h"

#define TABLES_MAX   256u /* FIB6_TABLE_HASHSZ with CONFIG_IPV6_MULTIPLE_TABLES, else 1 */
#define NODE_ROUTES  4u   /* RTN_RTINFO: the node has routes of its own */
#define FLAG_GATEWAY 2u   /* RTF_GATEWAY */
#define ROUTES_MAX   (UINT64_C(1) << 21)
#define DEPTH_MAX    260u /* bits of an address and of a source, and both roots */
#define BAD_MAX      64u  /* nodes that lead nowhere: more mean that this is no tree */

struct route6_layout {
	struct member tables, custom;                                                     /* of struct net */
	struct member table_node, table_id, root;                                         /* struct fib6_table */
	struct member parent, left, right, subtree, leaf, flags;                          /* struct fib6_node */
	struct member next, destination, prefix, metric, references, route_flags, object; /* struct fib6_info */
	uint32_t next_hop;
	struct member device, gateway_family, gateway; /* struct fib_nh_common */
	struct member name;                            /* struct net_device */
	struct next_hop_layout objects;
};

struct route6_walk {
	struct guest *guest;
	struct route6_layout layout;
	struct guest_route_list *list;
	uint64_t steps;
	unsigned bad; /* nodes that cannot be followed */
	uint32_t table;
};

static struct error *load_layout(struct guest *guest, const struct types *types, struct route6_layout *ret)
{
	const struct member_need needs[] = {
		{"net", "ipv6.fib_table_hash", &ret->tables},
		{"net", "ipv6.fib6_has_custom_rules", &ret->custom, .optional = true},
		{"fib6_table", "tb6_hlist", &ret->table_node},
		{"fib6_table", "tb6_id", &ret->table_id},
		{"fib6_table", "tb6_root", &ret->root},
		{"fib6_node", "parent", &ret->parent},
		{"fib6_node", "left", &ret->left},
		{"fib6_node", "right", &ret->right},
		{"fib6_node", "subtree", &ret->subtree, .optional = true}, /* CONFIG_IPV6_SUBTREES */
		{"fib6_node", "leaf", &ret->leaf},
		{"fib6_node", "fn_flags", &ret->flags},
		{"fib6_info", "fib6_next", &ret->next},
		{"fib6_info", "fib6_dst.addr", &ret->destination},
		{"fib6_info", "fib6_dst.plen", &ret->prefix},
		{"fib6_info", "fib6_metric", &ret->metric},
		{"fib6_info", "fib6_ref", &ret->references},
		{"fib6_info", "fib6_flags", &ret->route_flags},
		{"fib6_info", "nh", &ret->object, .optional = true},
		{"fib_nh_common", "nhc_dev", &ret->device},
		{"fib_nh_common", "nhc_gw_family", &ret->gateway_family},
		{"fib_nh_common", "nhc_gw", &ret->gateway},
		{"net_device", "name", &ret->name},
	};
	struct error *error;

	*ret = (struct route6_layout){0};
	error = types_need(types, needs, ARRAY_SIZE(needs));
	if (!error)
		error = next_hop_layout_load(types, &ret->objects);
	/* An array at the end, of no size. */
	ret->next_hop = types_size(guest->types, "fib6_info");
	if (!error && (!ret->next_hop || ret->destination.size != 16 || ret->gateway.size != 16))
		error = error_create(ERROR_UNSUPPORTED, "the guest has IPv6 routes of an unknown kind");
	return error;
}

static struct error *step(struct route6_walk *walk, uint64_t place)
{
	if (walk->steps++ > ROUTES_MAX)
		return error_format(NULL, place, "the guest has more than %llu IPv6 routes",
				    (unsigned long long)ROUTES_MAX);
	return NULL;
}

/* Where the first next hop is: behind the route itself, or in a nexthop object or a group of them. */
static struct error *find_next_hop(struct guest *guest, const struct route6_layout *layout, uint64_t route,
				   uint64_t *ret)
{
	uint64_t object = 0;
	struct error *error = NULL;

	if (layout->object.present)
		error = guest_read_member(guest, (struct gva){route}, &layout->object, &object);
	if (error)
		return error;
	if (object)
		return next_hop_of_object(guest, &layout->objects, object, ret);
	*ret = route + layout->next_hop;
	return NULL;
}

static struct error *read_next_hop(struct guest *guest, const struct route6_layout *layout, uint64_t route,
				   struct guest_route *ret)
{
	uint64_t hop, device, family;
	const struct member_read reads[] = {{&layout->device, &device}, {&layout->gateway_family, &family}};
	struct error *error = find_next_hop(guest, layout, route, &hop);

	if (!error)
		error = guest_read_members(guest, (struct gva){hop}, reads, ARRAY_SIZE(reads));
	if (error)
		return error;
	ret->has_gateway = family != 0;
	if (ret->has_gateway) {
		ret->flags |= FLAG_GATEWAY;
		error = memory_read(&guest->memory, (struct gva){hop + layout->gateway.offset}, ret->gateway, 16);
	}
	if (!error && device)
		error = memory_read_string(&guest->memory, (struct gva){device + layout->name.offset}, ret->interface,
					   sizeof(ret->interface));
	return error;
}

static struct error *append_route(struct route6_walk *walk, uint64_t address)
{
	const struct route6_layout *layout = &walk->layout;
	struct guest *guest = walk->guest;
	struct guest_route route = {.table = walk->table};
	uint64_t prefix, metric, references, flags;
	const struct member_read reads[] = {{&layout->prefix, &prefix},
					    {&layout->metric, &metric},
					    {&layout->references, &references},
					    {&layout->route_flags, &flags}};
	struct error *error = guest_read_members(guest, (struct gva){address}, reads, ARRAY_SIZE(reads));

	if (error)
		return error;
	route.prefix = (uint8_t)prefix;
	route.metric = (uint32_t)metric;
	route.references = (uint32_t)references;
	route.flags = (uint32_t)flags;
	error = memory_read(&guest->memory, (struct gva){address + layout->destination.offset}, route.destination, 16);
	if (!error)
		error = read_next_hop(guest, layout, address, &route);
	if (!error)
		error = array_room(&walk->list->items, walk->list->n, sizeof(*walk->list->items));
	if (!error)
		walk->list->items[walk->list->n++] = route;
	return error;
}

static struct error *walk_leaf(struct route6_walk *walk, uint64_t route)
{
	struct loop_guard guard = {0};
	struct error *error = NULL;

	while (!error && route) {
		if (!loop_guard_step(&guard, route))
			return error_format(NULL, route, "a list of the guest's IPv6 routes does not end");
		error = step(walk, route);
		if (!error)
			error = append_route(walk, route);
		if (!error)
			error = guest_read_member(walk->guest, (struct gva){route}, &walk->layout.next, &route);
	}
	return error;
}

/* What is noted, for the walk to go on; more than a few such nodes are no tree. */
static struct error *note(struct route6_walk *walk, struct error *error)
{
	walk->bad += error != NULL;
	return walk_note(&walk->list->incomplete, error);
}

/*
 * Those below a node come before its own; routes with a source before all. That every node points back to where it was
 * come from, and none has one child twice, means that each is met once.
 */
static struct error *walk_node(struct route6_walk *walk, uint64_t node, uint64_t parent, unsigned depth)
{
	const struct route6_layout *layout = &walk->layout;
	uint64_t below[3] = {0}, leaf, flags, back;
	const struct member_read reads[] = {{&layout->parent, &back},
					    {&layout->left, &below[1]},
					    {&layout->right, &below[2]},
					    {&layout->leaf, &leaf},
					    {&layout->flags, &flags}};
	struct error *error = step(walk, node);

	if (!error && depth >= DEPTH_MAX)
		error = error_format(NULL, node, "a tree of the guest's IPv6 routes does not end");
	if (!error)
		error = guest_read_members(walk->guest, (struct gva){node}, reads, ARRAY_SIZE(reads));
	if (!error && (back != parent || (below[1] && below[1] == below[2])))
		error = error_format(NULL, node, "a tree of the guest's IPv6 routes has a node in two places");
	if (!error && layout->subtree.present)
		error = guest_read_member(walk->guest, (struct gva){node}, &layout->subtree, &below[0]);
	if (!error && below[0] && (below[0] == below[1] || below[0] == below[2]))
		error = error_format(NULL, node, "a tree of the guest's IPv6 routes has a node twice");
	for (unsigned i = 0; !error && i < ARRAY_SIZE(below) && walk->bad <= BAD_MAX; i++)
		if (below[i])
			error = note(walk, walk_node(walk, below[i], node, depth + 1));
	if (error || !(flags & NODE_ROUTES) || walk->steps > ROUTES_MAX || walk->bad > BAD_MAX)
		return error;
	return walk_leaf(walk, leaf);
}

static struct error *visit_table(struct guest *guest, struct gva table, void *context)
{
	struct route6_walk *walk = context;
	uint64_t id;
	struct error *error = guest_read_member(guest, table, &walk->layout.table_id, &id);

	walk->table = (uint32_t)id;
	if (!error)
		error = walk_node(walk, table.v + walk->layout.root.offset, 0, 0);
	return walk_note(&walk->list->incomplete, error);
}

struct error *guest_routes6(struct guest *guest, uint64_t task, struct guest_route_list *ret)
{
	_cleanup_(guest_route_list_deinit) struct guest_route_list list = {0};
	struct route6_walk walk = {.guest = guest, .list = &list};
	const struct types *types;
	uint64_t tables;
	unsigned n;
	struct gva net;
	struct error *error = guest_module_types(guest, "ipv6", &types);

	if (!error)
		error = load_layout(guest, types, &walk.layout);
	if (!error)
		error = network_namespace(guest, task, &net);
	if (!error)
		error = guest_read_member(guest, net, &walk.layout.tables, &tables);
	n = walk.layout.custom.present ? TABLES_MAX : 1;
	for (unsigned i = 0; !error && i < n; i++)
		error = walk_note(&list.incomplete, hlist_walk(guest, (struct gva){tables + i * sizeof(uint64_t)},
							       walk.layout.table_node.offset, visit_table, &walk));
	if (error)
		return error_wrap(error, "the guest's IPv6 routes");
	*ret = list;
	ret->incomplete = error_wrap(list.incomplete, "the guest's IPv6 routes");
	list = (struct guest_route_list){0};
	return NULL;
}
