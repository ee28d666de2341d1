/* SPDX-License-Identifier: Apache-2.0 */
/* IPv6 addresses in the order of their hash table, as /proc/net/if_inet6 has them (net/ipv6/addrconf.c). */
#include <stdlib.h>

#include "guest/containers.h"
#include "guest/network.h"

#define CHAINS        256u /* IN6_ADDR_HSIZE */
#define ADDRESSES_MAX (1u << 20)

struct address6_walk {
	struct guest_address6_list *list;
	struct gva net;
	struct member address, prefix, scope, flags, owner, node; /* struct inet6_ifaddr */
	struct member device;                                     /* struct inet6_dev */
	struct member index, name, space;                         /* struct net_device */
};

static struct error *load_layout(const struct types *types, struct address6_walk *ret)
{
	const struct member_need needs[] = {
		{"inet6_ifaddr", "addr", &ret->address},
		{"inet6_ifaddr", "prefix_len", &ret->prefix},
		{"inet6_ifaddr", "scope", &ret->scope},
		{"inet6_ifaddr", "flags", &ret->flags},
		{"inet6_ifaddr", "idev", &ret->owner},
		{"inet6_ifaddr", "addr_lst", &ret->node},
		{"inet6_dev", "dev", &ret->device},
		{"net_device", "ifindex", &ret->index},
		{"net_device", "name", &ret->name},
		{"net_device", "nd_net.net", &ret->space, .optional = true}, /* CONFIG_NET_NS=n */
	};
	struct error *error = types_need(types, needs, ARRAY_SIZE(needs));

	if (!error && ret->address.size != 16)
		error = error_create(ERROR_UNSUPPORTED, "the guest has IPv6 addresses of %u bytes", ret->address.size);
	return error;
}

static struct error *visit_address(struct guest *guest, struct gva place, void *context)
{
	struct address6_walk *walk = context;
	struct guest_address6 address;
	uint64_t prefix, scope, flags, owner, device, index, space = walk->net.v;
	const struct member_read reads[] = {
		{&walk->prefix, &prefix}, {&walk->scope, &scope}, {&walk->flags, &flags}, {&walk->owner, &owner}};
	struct error *error = guest_read_members(guest, place, reads, ARRAY_SIZE(reads));

	if (!error)
		error = guest_read_member(guest, (struct gva){owner}, &walk->device, &device);
	if (!error && walk->space.present)
		error = guest_read_member(guest, (struct gva){device}, &walk->space, &space);
	if (error || space != walk->net.v)
		return error;
	error = memory_read(&guest->memory, (struct gva){place.v + walk->address.offset}, address.address,
			    sizeof(address.address));
	if (!error)
		error = guest_read_member(guest, (struct gva){device}, &walk->index, &index);
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){device + walk->name.offset}, address.interface,
					   sizeof(address.interface));
	if (!error && walk->list->n >= ADDRESSES_MAX)
		error = error_format(NULL, place.v, "the guest has more than %u IPv6 addresses", ADDRESSES_MAX);
	if (!error)
		error = array_room(&walk->list->items, walk->list->n, sizeof(*walk->list->items));
	if (error)
		return error;
	address.index = (uint32_t)index;
	address.prefix = (uint8_t)prefix;
	address.scope = (uint8_t)scope;
	address.flags = (uint8_t)flags;
	walk->list->items[walk->list->n++] = address;
	return NULL;
}

/* Each namespace has its table since 5.18 (21a216a8fc63); before, the kernel has one. */
static struct error *find_table(struct guest *guest, struct gva net, struct gva *ret)
{
	struct member own = types_find(guest->types, "net", "ipv6.inet6_addr_lst");

	if (own.present)
		return guest_read_member(guest, net, &own, &ret->v);
	return symbols_get(guest->symbols, "inet6_addr_lst", ret);
}

struct error *guest_addresses6(struct guest *guest, uint64_t task, struct guest_address6_list *ret)
{
	struct guest_address6_list list = {0};
	struct address6_walk walk = {.list = &list};
	const struct types *types;
	struct gva table;
	struct error *error = guest_module_types(guest, "ipv6", &types);

	if (!error)
		error = load_layout(types, &walk);
	if (!error)
		error = network_namespace(guest, task, &walk.net);
	if (!error)
		error = find_table(guest, walk.net, &table);
	for (unsigned i = 0; !error && i < CHAINS; i++)
		error = walk_note(&list.incomplete, hlist_walk(guest, (struct gva){table.v + i * sizeof(uint64_t)},
							       walk.node.offset, visit_address, &walk));
	if (error) {
		guest_address6_list_deinit(&list);
		return error_wrap(error, "the guest's IPv6 addresses");
	}
	list.incomplete = error_wrap(list.incomplete, "the guest's IPv6 addresses");
	*ret = list;
	return NULL;
}

void guest_address6_list_deinit(struct guest_address6_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_address6_list){0};
}
