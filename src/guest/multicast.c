/* SPDX-License-Identifier: Apache-2.0 */
/* Multicast groups that interfaces listen to (net/ipv4/igmp.c, net/ipv6/mcast.c, net/core/net-procfs.c). */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "guest/containers.h"
#include "guest/network.h"

#define GROUPS_MAX (1u << 20)

struct group_walk {
	struct guest_group_list *list;
	struct gva net;
	uint64_t jiffies;
	uint32_t tick_rate;
	struct member index, name, own, devices; /* struct net_device; own: what it has of the protocol at hand */
	struct member groups, next, address, users, flags, timer, running, reporter;
	struct member count, seen[2], forced, forced_all; /* struct in_device; of IGMP 1 and 2 */
	struct member address_size;                       /* of the link */
	uint64_t forced_index;                            /* of IPV4_DEVCONF_FORCE_IGMP_VERSION in its settings */
	struct guest_group device;                        /* what the groups of the interface at hand have in common */
	struct error *(*read)(struct guest *guest, struct group_walk *walk, struct gva device);
};

/* ---- Layouts ---- */

static struct error *load_device(struct guest *guest, struct group_walk *ret, struct member *devices)
{
	const struct member_need needs[] = {
		{"net_device", "ifindex", &ret->index},
		{"net_device", "name", &ret->name},
		{"net_device", "dev_list", &ret->devices},
		{"net", "dev_base_head", devices},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = guest_tick_rate(guest, &ret->tick_rate);
	return error ? error : guest_symbol_u64(guest, "jiffies_64", &ret->jiffies);
}

static struct error *load4(struct guest *guest, struct group_walk *ret)
{
	const struct member_need needs[] = {
		{"net_device", "ip_ptr", &ret->own},           {"in_device", "mc_list", &ret->groups},
		{"in_device", "mc_count", &ret->count},        {"in_device", "mr_v1_seen", &ret->seen[0]},
		{"in_device", "mr_v2_seen", &ret->seen[1]},    {"in_device", "cnf.data", &ret->forced},
		{"net", "ipv4.devconf_all", &ret->forced_all}, {"ip_mc_list", "next_rcu", &ret->next},
		{"ip_mc_list", "multiaddr", &ret->address},    {"ip_mc_list", "users", &ret->users},
		{"ip_mc_list", "timer.expires", &ret->timer},  {"ip_mc_list", "tm_running", &ret->running},
		{"ip_mc_list", "reporter", &ret->reporter},
	};
	struct gva function;
	/* CONFIG_IP_MULTICAST=n: there is no such file. */
	struct error *error = symbols_get(guest->symbols, "igmp_mc_seq_show", &function);

	if (!error)
		error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	return error ? error
		     : types_get_enum(guest->types, NULL, "IPV4_DEVCONF_FORCE_IGMP_VERSION", &ret->forced_index);
}

/* The timer is a work item since 5.13 (2d9a93b4902b). */
static struct error *load6(struct guest *guest, struct group_walk *ret)
{
	const struct types *types;
	struct error *error = guest_module_types(guest, "ipv6", &types);
	bool work = !error && types_find(types, "ifmcaddr6", "mca_work").present;
	const struct member_need needs[] = {
		{"net_device", "ip6_ptr", &ret->own},
		{"inet6_dev", "mc_list", &ret->groups},
		{"ifmcaddr6", "next", &ret->next},
		{"ifmcaddr6", "mca_addr", &ret->address},
		{"ifmcaddr6", "mca_users", &ret->users},
		{"ifmcaddr6", "mca_flags", &ret->flags},
		{"ifmcaddr6", work ? "mca_work.timer.expires" : "mca_timer.expires", &ret->timer},
	};

	return error ? error : types_need(types, needs, ARRAY_SIZE(needs));
}

static struct error *load_link(struct guest *guest, struct group_walk *ret)
{
	const struct member_need needs[] = {
		{"net_device", "mc.list", &ret->groups},     {"net_device", "addr_len", &ret->address_size},
		{"netdev_hw_addr", "list", &ret->next},      {"netdev_hw_addr", "addr", &ret->address},
		{"netdev_hw_addr", "refcount", &ret->users}, {"netdev_hw_addr", "global_use", &ret->flags},
	};

	return types_need(guest->types, needs, ARRAY_SIZE(needs));
}

/* ---- One group ---- */

static struct error *append(struct group_walk *walk, const struct guest_group *group)
{
	struct error *error;

	if (walk->list->n >= GROUPS_MAX)
		return error_create(ERROR_FORMAT, "the guest listens to more than %u groups", GROUPS_MAX);
	error = array_room(&walk->list->items, walk->list->n, sizeof(*walk->list->items));
	if (!error)
		walk->list->items[walk->list->n++] = *group;
	return error;
}

static uint64_t ticks_left(const struct group_walk *walk, uint64_t expires)
{
	int64_t left = (int64_t)(expires - walk->jiffies);

	return left > 0 ? jiffies_to_ticks((uint64_t)left, walk->tick_rate) : 0;
}

static struct error *read_address(struct guest *guest, const struct group_walk *walk, struct gva place, size_t size,
				  struct guest_group *ret)
{
	size = size < sizeof(ret->address) ? size : sizeof(ret->address);
	size = size < walk->address.size ? size : walk->address.size;
	ret->address_size = (uint8_t)size;
	return memory_read(&guest->memory, (struct gva){place.v + walk->address.offset}, ret->address, size);
}

static struct error *read_group4(struct guest *guest, struct group_walk *walk, struct gva place)
{
	struct guest_group group = walk->device;
	uint64_t users, expires, running, reporter;
	const struct member_read reads[] = {{&walk->users, &users},
					    {&walk->timer, &expires},
					    {&walk->running, &running},
					    {&walk->reporter, &reporter}};
	struct error *error = guest_read_members(guest, place, reads, ARRAY_SIZE(reads));

	if (!error)
		error = read_address(guest, walk, place, 4, &group);
	if (error)
		return error;
	group.users = (uint32_t)users;
	group.timer = (uint8_t)running;
	group.timer_ticks = running ? ticks_left(walk, expires) : 0;
	group.reporter = (uint8_t)reporter;
	return append(walk, &group);
}

#define TIMER_RUNNING 0x01u /* MAF_TIMER_RUNNING */

static struct error *read_group6(struct guest *guest, struct group_walk *walk, struct gva place)
{
	struct guest_group group = walk->device;
	uint64_t users, flags, expires;
	const struct member_read reads[] = {{&walk->users, &users}, {&walk->flags, &flags}, {&walk->timer, &expires}};
	struct error *error = guest_read_members(guest, place, reads, ARRAY_SIZE(reads));

	if (!error)
		error = read_address(guest, walk, place, 16, &group);
	if (error)
		return error;
	group.users = (uint32_t)users;
	group.flags = (uint32_t)flags;
	group.timer_ticks = flags & TIMER_RUNNING ? ticks_left(walk, expires) : 0;
	return append(walk, &group);
}

static struct error *read_link_group(struct guest *guest, struct gva place, void *context)
{
	struct group_walk *walk = context;
	struct guest_group group = walk->device;
	uint64_t users, global;
	const struct member_read reads[] = {{&walk->users, &users}, {&walk->flags, &global}};
	struct error *error = guest_read_members(guest, place, reads, ARRAY_SIZE(reads));

	if (!error)
		error = read_address(guest, walk, place, walk->device.address_size, &group);
	if (error)
		return error;
	group.users = (uint32_t)users;
	group.flags = (uint32_t)global;
	return append(walk, &group);
}

/* ---- Those of an interface ---- */

static struct error *walk_chain(struct guest *guest, struct group_walk *walk, uint64_t owner,
				struct error *(*read)(struct guest *, struct group_walk *, struct gva))
{
	struct loop_guard guard = {0};
	uint64_t next;
	struct error *error = guest_read_member(guest, (struct gva){owner}, &walk->groups, &next);

	while (!error && next) {
		if (!loop_guard_step(&guard, next))
			return error_format(NULL, next, "the groups of an interface go in circles");
		error = read(guest, walk, (struct gva){next});
		if (!error)
			error = guest_read_member(guest, (struct gva){next}, &walk->next, &next);
	}
	return error;
}

/* The version of IGMP that is spoken: what an old router made of it, or the user. */
static struct error *find_version(struct guest *guest, struct group_walk *walk, uint64_t owner, uint8_t *ret)
{
	uint64_t all, at = (walk->forced_index - 1) * sizeof(uint32_t);
	uint32_t forced, forced_all;
	struct member data = types_find(guest->types, "ipv4_devconf", "data");
	struct error *error = guest_read_member(guest, walk->net, &walk->forced_all, &all);

	if (!error)
		error = memory_read_u32(&guest->memory, (struct gva){owner + walk->forced.offset + at}, &forced);
	if (!error)
		error = memory_read_u32(&guest->memory, (struct gva){all + data.offset + at}, &forced_all);
	*ret = 3;
	for (uint8_t version = 2; !error && version > 0; version--) {
		uint64_t seen;

		error = guest_read_member(guest, (struct gva){owner}, &walk->seen[version - 1], &seen);
		if (forced == version || forced_all == version || (!error && seen && ticks_left(walk, seen)))
			*ret = version;
	}
	return error;
}

static struct error *read_device4(struct guest *guest, struct group_walk *walk, struct gva device)
{
	uint64_t owner, count;
	struct error *error = guest_read_member(guest, device, &walk->own, &owner);

	if (error || !owner)
		return error;
	error = guest_read_member(guest, (struct gva){owner}, &walk->count, &count);
	if (!error)
		error = find_version(guest, walk, owner, &walk->device.version);
	if (error)
		return error;
	walk->device.count = (uint32_t)count;
	return walk_chain(guest, walk, owner, read_group4);
}

static struct error *read_device6(struct guest *guest, struct group_walk *walk, struct gva device)
{
	uint64_t owner;
	struct error *error = guest_read_member(guest, device, &walk->own, &owner);

	return error || !owner ? error : walk_chain(guest, walk, owner, read_group6);
}

static struct error *read_device_link(struct guest *guest, struct group_walk *walk, struct gva device)
{
	uint64_t size;
	struct error *error = guest_read_member(guest, device, &walk->address_size, &size);

	if (error)
		return error;
	walk->device.address_size = (uint8_t)size;
	return list_walk(guest, (struct gva){device.v + walk->groups.offset}, walk->next.offset, read_link_group, walk);
}

static struct error *visit_device(struct guest *guest, struct gva device, void *context)
{
	struct group_walk *walk = context;
	uint64_t index;
	struct error *error = guest_read_member(guest, device, &walk->index, &index);

	walk->device = (struct guest_group){.index = (uint32_t)index};
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){device.v + walk->name.offset},
					   walk->device.interface, sizeof(walk->device.interface));
	if (!error)
		error = walk->read(guest, walk, device);
	return walk_note(&walk->list->incomplete, error);
}

struct error *guest_groups(struct guest *guest, uint64_t task, enum guest_group_kind kind, struct guest_group_list *ret)
{
	static const struct {
		struct error *(*load)(struct guest *guest, struct group_walk *ret);
		struct error *(*read)(struct guest *guest, struct group_walk *walk, struct gva device);
	} kinds[] = {
		[GUEST_GROUPS_IP4] = {load4, read_device4},
		[GUEST_GROUPS_IP6] = {load6, read_device6},
		[GUEST_GROUPS_LINK] = {load_link, read_device_link},
	};
	struct guest_group_list list = {0};
	struct group_walk walk = {.list = &list, .read = kinds[kind].read};
	struct member devices;
	struct error *error = load_device(guest, &walk, &devices);

	if (!error)
		error = kinds[kind].load(guest, &walk);
	if (!error)
		error = network_namespace(guest, task, &walk.net);
	if (!error)
		error = walk_note(&list.incomplete, list_walk(guest, (struct gva){walk.net.v + devices.offset},
							      walk.devices.offset, visit_device, &walk));
	if (error) {
		guest_group_list_deinit(&list);
		return error_wrap(error, "the guest's multicast groups");
	}
	list.incomplete = error_wrap(list.incomplete, "the guest's multicast groups");
	*ret = list;
	return NULL;
}

void guest_group_list_deinit(struct guest_group_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_group_list){0};
}
