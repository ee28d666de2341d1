/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds of sockets and how many there are of each (net/core/sock.c, net/ipv4/proc.c). */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "guest/containers.h"
#include "guest/network.h"

/* In the order of /proc/net/protocols. */
static const char *const methods[GUEST_PROTOCOL_METHODS] = {"close",
							    "connect",
							    "disconnect",
							    "accept",
							    "ioctl",
							    "init",
							    "destroy",
							    "shutdown",
							    "setsockopt",
							    "getsockopt",
							    "sendmsg",
							    "recvmsg",
							    "sendpage",
							    "bind",
							    "backlog_rcv",
							    "hash",
							    "unhash",
							    "get_port",
							    "enter_memory_pressure"};

struct protocol_layout {
	struct object_span span;
	struct member name, size, header, slab, owner, allocated, pressure, number, node;
	struct member methods[GUEST_PROTOCOL_METHODS];
	struct member module_name, counts, values;
};

struct protocol_walk {
	struct protocol_layout layout;
	struct cpu_sets cpus;
	uint64_t counts; /* per CPU: the namespace's struct prot_inuse */
	struct guest_protocol_list *list;
};

static struct error *load_layout(struct guest *guest, struct protocol_layout *ret)
{
	const struct member_need protocol[] = {
		{"proto", "name", &ret->name},
		{"proto", "obj_size", &ret->size},
		{"proto", "max_header", &ret->header},
		{"proto", "slab", &ret->slab},
		{"proto", "owner", &ret->owner},
		{"proto", "memory_allocated", &ret->allocated},
		{"proto", "memory_pressure", &ret->pressure},
		{"proto", "inuse_idx", &ret->number},
		{"proto", "node", &ret->node},
	};
	const struct member_need rest[] = {
		{"module", "name", &ret->module_name},
		{"net", "core.prot_inuse", &ret->counts},
		{"prot_inuse", "val", &ret->values},
	};
	struct error *error = object_need(guest->types, protocol, ARRAY_SIZE(protocol), &ret->span);

	if (!error)
		error = types_need(guest->types, rest, ARRAY_SIZE(rest));
	/* sendpage ended in 6.5 (dc97391e6610). */
	for (size_t i = 0; !error && i < GUEST_PROTOCOL_METHODS; i++)
		error = object_need(guest->types,
				    &(struct member_need){"proto", methods[i], &ret->methods[i],
							  .optional = i == GUEST_METHOD_SENDPAGE},
				    1, &ret->span);
	return error;
}

/* Adds up a number of 4 bytes of all processors. */
static struct error *sum_percpu(struct guest *guest, const struct cpu_sets *cpus, uint64_t variable, int64_t *ret)
{
	int64_t sum = 0;

	for_each_cpu(cpu, cpus->possible_set) {
		struct gva copy;
		uint32_t value;
		struct error *error = guest_percpu(guest, (struct gva){variable}, cpu, &copy);

		if (!error)
			error = memory_read_u32(&guest->memory, copy, &value);
		if (error)
			return error;
		sum += (int32_t)value;
	}
	*ret = sum;
	return NULL;
}

static int64_t not_negative(int64_t value)
{
	return value < 0 ? 0 : value;
}

static struct error *read_memory(struct guest *guest, const struct protocol_layout *layout, const uint8_t *object,
				 struct guest_protocol *ret)
{
	const uint64_t allocated = object_field(object, &layout->allocated);
	const uint64_t pressure = object_field(object, &layout->pressure);
	uint64_t value;
	struct error *error = NULL;

	ret->memory = -1;
	if (allocated) {
		error = memory_read_u64(&guest->memory, (struct gva){allocated}, &value);
		ret->memory = error ? -1 : not_negative((int64_t)value);
	}
	ret->has_pressure = pressure != 0;
	if (!error && pressure) {
		error = memory_read_u64(&guest->memory, (struct gva){pressure}, &value);
		ret->pressure = !error && value;
	}
	return error;
}

static struct error *visit_protocol(struct guest *guest, struct gva address, void *context)
{
	struct protocol_walk *walk = context;
	const struct protocol_layout *layout = &walk->layout;
	struct guest_protocol protocol = {.has_sendpage = layout->methods[GUEST_METHOD_SENDPAGE].present};
	uint8_t object[OBJECT_MAX];
	uint64_t number, owner;
	int64_t sockets = 0;
	struct error *error = object_read(guest, address, layout->span, object);

	if (error)
		return error;
	memcpy(protocol.name, object + layout->name.offset,
	       layout->name.size < sizeof(protocol.name) ? layout->name.size : sizeof(protocol.name) - 1);
	protocol.name[sizeof(protocol.name) - 1] = '\0';
	protocol.size = (uint32_t)object_field(object, &layout->size);
	protocol.max_header = (uint32_t)object_field(object, &layout->header);
	protocol.has_slab = object_field(object, &layout->slab) != 0;
	for (size_t i = 0; i < GUEST_PROTOCOL_METHODS; i++)
		protocol.methods |= (uint32_t)(object_field(object, &layout->methods[i]) != 0) << i;
	number = object_field(object, &layout->number);
	owner = object_field(object, &layout->owner);
	if (number < layout->values.size / 4)
		error = sum_percpu(guest, &walk->cpus, walk->counts + layout->values.offset + 4 * number, &sockets);
	protocol.sockets = (int32_t)not_negative(sockets);
	if (!error)
		error = read_memory(guest, layout, object, &protocol);
	if (!error && owner)
		error = memory_read_string(&guest->memory, (struct gva){owner + layout->module_name.offset},
					   protocol.module, sizeof(protocol.module));
	if (!error)
		error = array_room(&walk->list->items, walk->list->n, sizeof(*walk->list->items));
	if (!error)
		walk->list->items[walk->list->n++] = protocol;
	return error;
}

struct error *guest_protocols(struct guest *guest, uint64_t task, struct guest_protocol_list *ret)
{
	struct guest_protocol_list list = {0};
	struct protocol_walk walk = {.list = &list};
	struct gva net, protocols;
	struct error *error = load_layout(guest, &walk.layout);

	if (!error)
		error = network_namespace(guest, task, &net);
	if (!error)
		error = cpu_sets_load(guest, &walk.cpus);
	if (!error)
		error = symbols_get(guest->symbols, "proto_list", &protocols);
	if (!error)
		error = guest_read_member(guest, net, &walk.layout.counts, &walk.counts);
	if (error)
		return error_wrap(error, "the guest's kinds of sockets");
	list.incomplete = error_wrap(list_walk(guest, protocols, walk.layout.node.offset, visit_protocol, &walk),
				     "the guest's kinds of sockets");
	*ret = list;
	return NULL;
}

void guest_protocol_list_deinit(struct guest_protocol_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_protocol_list){0};
}

/* ---- Totals ---- */

/* Per CPU since 5.16 (19757cebf0c5, in stable kernels too), before a struct percpu_counter. */
static struct error *read_orphans(struct guest *guest, const struct cpu_sets *cpus, uint64_t *ret)
{
	int64_t sum;
	struct gva orphans, start = {0}, end = {0};
	struct error *error = symbols_get(guest->symbols, "tcp_orphan_count", &orphans);

	if (error)
		return error;
	symbols_find(guest->symbols, "__per_cpu_start", &start);
	symbols_find(guest->symbols, "__per_cpu_end", &end);
	if (orphans.v < start.v || orphans.v >= end.v)
		return guest_percpu_counter(guest, orphans, ret);
	error = sum_percpu(guest, cpus, orphans.v, &sum);
	*ret = error || sum < 0 ? 0 : (uint64_t)sum;
	return error;
}

static struct error *read_used(struct guest *guest, const struct cpu_sets *cpus, struct gva net, int64_t *ret)
{
	struct member used = types_find(guest->types, "net", "core.sock_inuse");
	struct member all = types_find(guest->types, "prot_inuse", "all");
	uint64_t variable;
	struct error *error = NULL;

	/* With the counts by protocol since 5.17 (4199bae10c49). */
	if (!used.present)
		error = types_need(guest->types, &(struct member_need){"net", "core.prot_inuse", &used}, 1);
	if (!error)
		error = guest_read_member(guest, net, &used, &variable);
	if (!error)
		error = sum_percpu(guest, cpus, variable + (all.present ? all.offset : 0), ret);
	if (!error)
		*ret = not_negative(*ret);
	return error;
}

/* One less than the references since 6.0 (0dad4087a86a); the structure was apart from struct net in 5.17 to 6.0. */
static struct error *read_waiting(struct guest *guest, struct gva net, int64_t *ret)
{
	struct member count = types_find(guest->types, "net", "ipv4.tcp_death_row.tw_count");
	struct member references = types_find(guest->types, "net", "ipv4.tcp_death_row.tw_refcount");
	uint64_t value;
	struct error *error;

	if (!count.present && !references.present)
		return error_create(ERROR_UNSUPPORTED, "the guest counts waiting connections in an unknown way");
	error = guest_read_member(guest, net, count.present ? &count : &references, &value);
	if (!error)
		*ret = (int64_t)value - !count.present;
	return error;
}

static struct error *read_fragments(struct guest *guest, struct gva net, const char *path, uint32_t *ret_queues,
				    uint64_t *ret_memory)
{
	struct member directory, queues, memory;
	const struct member_need needs[] = {
		{"net", path, &directory}, {"fqdir", "rhashtable.nelems", &queues}, {"fqdir", "mem", &memory}};
	uint64_t address, n;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = guest_read_member(guest, net, &directory, &address);
	if (!error)
		error = guest_read_member(guest, (struct gva){address}, &queues, &n);
	if (!error)
		error = guest_read_member(guest, (struct gva){address}, &memory, ret_memory);
	*ret_queues = error ? 0 : (uint32_t)n;
	return error;
}

static struct error *read_router(struct guest *guest, struct gva net, struct guest_socket_totals *ret)
{
	struct member pointer, data, ttl;
	const struct member_need needs[] = {{"net", "ipv4.devconf_all", &pointer},
					    {"ipv4_devconf", "data", &data},
					    {"net", "ipv4.sysctl_ip_default_ttl", &ttl}};
	uint64_t all, value;
	uint32_t forwards;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = guest_read_member(guest, net, &pointer, &all);
	/* IPV4_DEVCONF_FORWARDING is the first. */
	if (!error)
		error = memory_read_u32(&guest->memory, (struct gva){all + data.offset}, &forwards);
	if (!error)
		error = guest_read_member(guest, net, &ttl, &value);
	if (error)
		return error;
	ret->forwards = forwards == 1;
	ret->ttl = (uint8_t)value;
	return NULL;
}

struct error *guest_socket_totals(struct guest *guest, uint64_t task, struct guest_socket_totals *ret)
{
	struct guest_socket_totals totals = {0};
	struct member allocated = types_find(guest->types, "proto", "sockets_allocated");
	struct cpu_sets cpus;
	struct gva net, tcp;
	int64_t used = 0, waiting = 0;
	uint64_t counter, orphans = 0, sockets = 0;
	struct error *error = network_namespace(guest, task, &net);

	if (!error)
		error = cpu_sets_load(guest, &cpus);
	if (!error)
		error = read_used(guest, &cpus, net, &used);
	if (!error)
		error = read_orphans(guest, &cpus, &orphans);
	if (!error)
		error = read_waiting(guest, net, &waiting);
	if (!error)
		error = symbols_get(guest->symbols, "tcp_prot", &tcp);
	if (!error)
		error = guest_read_member(guest, tcp, &allocated, &counter);
	if (!error)
		error = guest_percpu_counter(guest, (struct gva){counter}, &sockets);
	if (!error)
		error = read_fragments(guest, net, "ipv4.fqdir", &totals.fragments[0], &totals.fragment_memory[0]);
	if (!error && types_find(guest->types, "net", "ipv6.fqdir").present)
		error = read_fragments(guest, net, "ipv6.fqdir", &totals.fragments[1], &totals.fragment_memory[1]);
	if (!error)
		error = read_router(guest, net, &totals);
	if (error)
		return error_wrap(error, "the guest's sockets");
	totals.used = (int32_t)used;
	totals.orphans = (int32_t)orphans;
	totals.allocated = (int64_t)sockets;
	totals.waiting = (int32_t)waiting;
	*ret = totals;
	return NULL;
}
