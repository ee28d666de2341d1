/* SPDX-License-Identifier: Apache-2.0 */
/* Network interfaces and their addresses, as `ip address` shows them (net/core/rtnetlink.c, net/ipv4/devinet.c). */
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/network.h"

/* Flags that the kernel reports for what it knows otherwise (dev_get_flags). */
#define FLAG_RUNNING   0x40u
#define FLAG_PROMISC   0x100u
#define FLAG_ALLMULTI  0x200u
#define FLAG_LOWER_UP  0x10000u
#define FLAG_DORMANT   0x20000u

#define FLAG_PERMANENT 0x80u /* IFA_F_PERMANENT */

#define STATE_UNKNOWN  0u /* IF_OPER_UNKNOWN */
#define STATE_DOWN     2u
#define STATE_UP       6u

/* Bits of net_device.state, where BTF has no enumeration of them. */
#define BIT_START      0u
#define BIT_NOCARRIER  2u
#define BIT_DORMANT    4u

/* What an IPv6 address's scope (its kind) is as RT_SCOPE_*. */
#define KIND_LOOPBACK  0x10u
#define KIND_LINK      0x20u
#define KIND_SITE      0x40u
#define SCOPE_SITE     200u
#define SCOPE_LINK     253u
#define SCOPE_HOST     254u

/* Addresses of one interface. */
#define ADDRESSES_MAX  (1u << 20)
#define HARDWARE_MAX   32u /* MAX_ADDR_LEN */

struct device_layout {
	struct object_span span;
	struct member list, name, index, flags, global_flags, mtu, operstate, type, state, hardware, hardware_size, ip,
		ip6, queue;
	uint64_t start, no_carrier, dormant; /* bit numbers of state */
	uint64_t jiffies;                    /* now */
	uint32_t tick_rate;
	/* Of IPv4 */
	struct object_span span4;
	struct member list4, next4, local4, peer4, prefix4, scope4, flags4, label4, broadcast4, valid4, preferred4,
		since4;
	/* Of IPv6; not there: a kernel without it */
	bool has_ip6;
	struct object_span span6;
	struct member list6, node6, local6, peer6, prefix6, scope6, flags6, valid6, preferred6, since6;
};

static void load_state(struct guest *guest, struct device_layout *ret)
{
	ret->start = BIT_START;
	ret->no_carrier = BIT_NOCARRIER;
	ret->dormant = BIT_DORMANT;
	types_enum(guest->types, "netdev_state_t", "__LINK_STATE_START", &ret->start);
	types_enum(guest->types, "netdev_state_t", "__LINK_STATE_NOCARRIER", &ret->no_carrier);
	types_enum(guest->types, "netdev_state_t", "__LINK_STATE_DORMANT", &ret->dormant);
}

static struct error *load_ip6(struct guest *guest, struct device_layout *ret)
{
	const struct member_need list[] = {{"inet6_dev", "addr_list", &ret->list6}};
	const struct member_need address[] = {
		{"inet6_ifaddr", "if_list", &ret->node6},      {"inet6_ifaddr", "addr", &ret->local6},
		{"inet6_ifaddr", "peer_addr", &ret->peer6},    {"inet6_ifaddr", "scope", &ret->scope6},
		{"inet6_ifaddr", "prefix_len", &ret->prefix6}, {"inet6_ifaddr", "flags", &ret->flags6},
		{"inet6_ifaddr", "valid_lft", &ret->valid6},   {"inet6_ifaddr", "prefered_lft", &ret->preferred6},
		{"inet6_ifaddr", "tstamp", &ret->since6},
	};
	const struct types *types;
	struct error *error = guest_module_types(guest, "ipv6", &types);

	ret->has_ip6 = !error && ret->ip6.present && types_size(types, "inet6_ifaddr");
	if (!ret->has_ip6)
		return error;
	error = types_need(types, list, ARRAY_SIZE(list));
	return error ? error : object_need(types, address, ARRAY_SIZE(address), &ret->span6);
}

static struct error *load_layout(struct guest *guest, struct device_layout *ret)
{
	const struct member_need device[] = {
		{"net_device", "dev_list", &ret->list},
		{"net_device", "name", &ret->name},
		{"net_device", "ifindex", &ret->index},
		{"net_device", "flags", &ret->flags},
		{"net_device", "gflags", &ret->global_flags},
		{"net_device", "mtu", &ret->mtu},
		{"net_device", "operstate", &ret->operstate},
		{"net_device", "type", &ret->type},
		{"net_device", "state", &ret->state},
		{"net_device", "dev_addr", &ret->hardware},
		{"net_device", "addr_len", &ret->hardware_size},
		{"net_device", "ip_ptr", &ret->ip, .optional = true},
		{"net_device", "ip6_ptr", &ret->ip6, .optional = true},
		{"net_device", "tx_queue_len", &ret->queue},
	};
	const struct member_need address[] = {
		{"in_ifaddr", "ifa_next", &ret->next4},       {"in_ifaddr", "ifa_local", &ret->local4},
		{"in_ifaddr", "ifa_address", &ret->peer4},    {"in_ifaddr", "ifa_prefixlen", &ret->prefix4},
		{"in_ifaddr", "ifa_scope", &ret->scope4},     {"in_ifaddr", "ifa_flags", &ret->flags4},
		{"in_ifaddr", "ifa_label", &ret->label4},     {"in_ifaddr", "ifa_broadcast", &ret->broadcast4},
		{"in_ifaddr", "ifa_valid_lft", &ret->valid4}, {"in_ifaddr", "ifa_preferred_lft", &ret->preferred4},
		{"in_ifaddr", "ifa_tstamp", &ret->since4},
	};
	struct error *error;

	*ret = (struct device_layout){0};
	error = object_need(guest->types, device, ARRAY_SIZE(device), &ret->span);
	if (!error)
		error = object_need(guest->types, address, ARRAY_SIZE(address), &ret->span4);
	if (!error)
		error = types_need(guest->types, &(struct member_need){"in_device", "ifa_list", &ret->list4}, 1);
	if (!error)
		error = guest_tick_rate(guest, &ret->tick_rate);
	if (!error)
		error = guest_symbol_u64(guest, "jiffies_64", &ret->jiffies);
	load_state(guest, ret);
	return error ? error : load_ip6(guest, ret);
}

/* ---- Addresses ---- */

static struct error *append_address(struct guest_interface *interface, const struct guest_address *address)
{
	struct error *error = array_room(&interface->addresses, interface->n_addresses, sizeof(*interface->addresses));

	if (!error)
		interface->addresses[interface->n_addresses++] = *address;
	return error;
}

static struct error *copy_address(const uint8_t *object, const struct member *member, size_t size, uint8_t *ret)
{
	if (member->size != size)
		return error_create(ERROR_UNSUPPORTED, "the guest has addresses of %u bytes", member->size);
	memcpy(ret, object + member->offset, size);
	return NULL;
}

/* The name under which an address is known: at most the member's bytes. */
static void copy_name(const uint8_t *object, const struct member *member, char *ret, size_t size)
{
	size_t n = member->size < size - 1 ? member->size : size - 1;

	memcpy(ret, object + member->offset, n);
	ret[n] = '\0';
}

/* As the kernel tells it: what was left of it in seconds when it was set, at `since`, less what went by. */
static void set_lifetime(const struct device_layout *layout, uint64_t preferred, uint64_t valid, uint64_t since,
			 struct guest_address *ret)
{
	uint64_t gone = layout->jiffies > since ? (layout->jiffies - since) / layout->tick_rate : 0;

	ret->preferred = ret->valid = UINT32_MAX;
	if (preferred >= UINT32_MAX)
		return;
	ret->preferred = (uint32_t)(preferred > gone ? preferred - gone : 0);
	if (valid < UINT32_MAX)
		ret->valid = (uint32_t)(valid > gone ? valid - gone : 0);
}

static struct error *read_addresses4(struct guest *guest, const struct device_layout *layout, uint64_t in_device,
				     struct guest_interface *interface)
{
	struct loop_guard guard = {0};
	uint64_t next;
	struct error *error;

	if (!in_device)
		return NULL;
	error = guest_read_member(guest, (struct gva){in_device}, &layout->list4, &next);
	while (!error && next) {
		struct guest_address address = {.family = 4};
		uint8_t object[OBJECT_MAX];

		if (!loop_guard_step(&guard, next) || interface->n_addresses >= ADDRESSES_MAX)
			return error_format(NULL, next, "the addresses of interface %s do not end", interface->name);
		error = object_read(guest, (struct gva){next}, layout->span4, object);
		if (!error)
			error = copy_address(object, &layout->local4, 4, address.bytes);
		if (!error)
			error = copy_address(object, &layout->peer4, 4, address.peer);
		if (!error)
			error = copy_address(object, &layout->broadcast4, 4, address.broadcast);
		if (error)
			return error;
		address.prefix = (uint8_t)object_field(object, &layout->prefix4);
		address.scope = (uint8_t)object_field(object, &layout->scope4);
		address.flags = (uint32_t)object_field(object, &layout->flags4);
		address.has_peer = memcmp(address.bytes, address.peer, 4) != 0;
		copy_name(object, &layout->label4, address.label, sizeof(address.label));
		set_lifetime(layout, object_field(object, &layout->preferred4), object_field(object, &layout->valid4),
			     object_field(object, &layout->since4), &address);
		if (address.flags & FLAG_PERMANENT)
			address.preferred = address.valid = UINT32_MAX;
		next = object_field(object, &layout->next4);
		error = append_address(interface, &address);
	}
	return error;
}

static uint8_t scope_of(uint64_t kind)
{
	if (kind & KIND_LOOPBACK)
		return SCOPE_HOST;
	if (kind & KIND_LINK)
		return SCOPE_LINK;
	return kind & KIND_SITE ? SCOPE_SITE : 0;
}

struct addresses6 {
	const struct device_layout *layout;
	struct guest_interface *interface;
};

static struct error *visit_address6(struct guest *guest, struct gva place, void *context)
{
	static const uint8_t none[16];
	const struct device_layout *layout = ((struct addresses6 *)context)->layout;
	struct guest_interface *interface = ((struct addresses6 *)context)->interface;
	struct guest_address address = {.family = 6};
	uint8_t object[OBJECT_MAX];
	struct error *error = object_read(guest, place, layout->span6, object);

	if (!error && interface->n_addresses >= ADDRESSES_MAX)
		error = error_format(NULL, place.v, "interface %s has more than %u addresses", interface->name,
				     ADDRESSES_MAX);
	if (!error)
		error = copy_address(object, &layout->local6, 16, address.bytes);
	if (!error)
		error = copy_address(object, &layout->peer6, 16, address.peer);
	if (error)
		return error;
	address.prefix = (uint8_t)object_field(object, &layout->prefix6);
	address.scope = scope_of(object_field(object, &layout->scope6));
	address.flags = (uint32_t)object_field(object, &layout->flags6);
	address.has_peer = memcmp(address.peer, none, sizeof(none)) != 0;
	/* A permanent one may still end to be preferred: then its lifetimes are told. */
	set_lifetime(layout, object_field(object, &layout->preferred6), object_field(object, &layout->valid6),
		     object_field(object, &layout->since6), &address);
	return append_address(interface, &address);
}

static struct error *read_addresses6(struct guest *guest, const struct device_layout *layout, uint64_t inet6_dev,
				     struct guest_interface *interface)
{
	struct addresses6 addresses = {layout, interface};

	if (!inet6_dev || !layout->has_ip6)
		return NULL;
	return list_walk(guest, (struct gva){inet6_dev + layout->list6.offset}, layout->node6.offset, visit_address6,
			 &addresses);
}

/* ---- Interfaces ---- */

struct interfaces {
	const struct device_layout *layout;
	struct guest_interface_list *list;
};

static bool has_bit(uint64_t state, uint64_t bit)
{
	return bit < 64 && state >> bit & 1;
}

static void set_state(const struct device_layout *layout, const uint8_t *device, struct guest_interface *ret)
{
	const uint32_t computed = FLAG_RUNNING | FLAG_LOWER_UP | FLAG_DORMANT;
	const uint32_t counted = FLAG_PROMISC | FLAG_ALLMULTI; /* set for as long as somebody wants it */
	const uint64_t state = object_field(device, &layout->state);

	ret->operstate = (uint8_t)object_field(device, &layout->operstate);
	ret->flags = (uint32_t)object_field(device, &layout->flags) & ~(computed | counted);
	ret->flags |= (uint32_t)object_field(device, &layout->global_flags) & counted;
	if (!has_bit(state, layout->start)) {
		ret->operstate = STATE_DOWN;
		return;
	}
	if (ret->operstate == STATE_UP || ret->operstate == STATE_UNKNOWN)
		ret->flags |= FLAG_RUNNING;
	if (!has_bit(state, layout->no_carrier))
		ret->flags |= FLAG_LOWER_UP;
	if (has_bit(state, layout->dormant))
		ret->flags |= FLAG_DORMANT;
}

static struct error *read_hardware(struct guest *guest, const struct device_layout *layout, const uint8_t *device,
				   struct guest_interface *ret)
{
	uint64_t size = object_field(device, &layout->hardware_size);
	struct error *error;

	if (size > HARDWARE_MAX)
		return error_create(ERROR_FORMAT, "interface %s has a hardware address of %llu bytes", ret->name,
				    (unsigned long long)size);
	if (size == 0)
		return NULL;
	error = memory_read(&guest->memory, (struct gva){object_field(device, &layout->hardware)}, ret->hardware, size);
	if (!error)
		ret->hardware_size = (uint8_t)size;
	return error;
}

static struct error *visit_device(struct guest *guest, struct gva address, void *context)
{
	const struct device_layout *layout = ((struct interfaces *)context)->layout;
	struct guest_interface_list *list = ((struct interfaces *)context)->list;
	struct guest_interface interface = {0};
	uint8_t device[OBJECT_MAX];
	struct error *error = object_read(guest, address, layout->span, device);

	if (error)
		return error;
	copy_name(device, &layout->name, interface.name, sizeof(interface.name));
	interface.index = (uint32_t)object_field(device, &layout->index);
	interface.mtu = (uint32_t)object_field(device, &layout->mtu);
	interface.type = (uint16_t)object_field(device, &layout->type);
	interface.queue_length = (uint32_t)object_field(device, &layout->queue);
	set_state(layout, device, &interface);
	error = read_hardware(guest, layout, device, &interface);
	if (!error)
		error = read_addresses4(guest, layout, object_field(device, &layout->ip), &interface);
	if (!error)
		error = read_addresses6(guest, layout, object_field(device, &layout->ip6), &interface);
	if (!error)
		error = array_room(&list->items, list->n, sizeof(*list->items));
	if (error) {
		free(interface.addresses);
		return error_wrap(error, "interface %s", interface.name);
	}
	list->items[list->n++] = interface;
	return NULL;
}

static int by_index(const void *a, const void *b)
{
	const struct guest_interface *left = a, *right = b;

	return (left->index > right->index) - (left->index < right->index);
}

struct error *guest_interfaces(struct guest *guest, uint64_t task, struct guest_interface_list *ret)
{
	struct guest_interface_list list = {0};
	struct device_layout layout;
	struct interfaces interfaces = {&layout, &list};
	struct member devices;
	struct gva net;
	struct error *error = load_layout(guest, &layout);

	if (!error)
		error = types_need(guest->types, &(struct member_need){"net", "dev_base_head", &devices}, 1);
	if (!error)
		error = network_namespace(guest, task, &net);
	if (error)
		return error_wrap(error, "the guest's network interfaces");
	error = list_walk(guest, (struct gva){net.v + devices.offset}, layout.list.offset, visit_device, &interfaces);
	list.incomplete = error_wrap(error, "the guest's network interfaces");
	if (list.n > 0)
		qsort(list.items, list.n, sizeof(*list.items), by_index);
	*ret = list;
	return NULL;
}

void guest_interface_list_deinit(struct guest_interface_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].addresses);
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_interface_list){0};
}
