/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went through network interfaces (dev_get_stats() in net/core/dev.c). A driver counts in the interface itself, in
 * one of three kinds of per-CPU counters, or in queues of its own; which, is told by the function that sums them up.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/network.h"

/* enum netdev_stat_type, where an interface has no function of its own */
#define KIND_LSTATS 1u
#define KIND_TSTATS 2u
#define KIND_DSTATS 3u

/* Queues of one virtio interface (VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX). */
#define QUEUES_MAX  0x8000u

/* Where the numbers come from. */
enum source {
	SOURCE_UNKNOWN,
	SOURCE_DEVICE,      /* net_device.stats */
	SOURCE_LOOPBACK,    /* lstats: what was sent was received */
	SOURCE_LSTATS_SENT, /* lstats: nothing is ever received */
	SOURCE_TSTATS,      /* net_device.stats and tstats */
	SOURCE_DSTATS,      /* net_device.stats and dstats */
	SOURCE_VIRTIO,
};

struct per_cpu_layout {
	struct member packets, bytes, received_packets, received_bytes, sent_packets, sent_bytes, received_drops,
		sent_drops;
};

struct counters_layout {
	struct member list, name, index, operations, kind, lstats, tstats, dstats, own, core;
	struct member get64, get;               /* of struct net_device_ops */
	struct member dropped[2];               /* until 5.17: of the interface itself */
	struct member core_received, core_sent; /* of struct net_device_core_stats */
	uint32_t private;                       /* where a driver's own data are */
	struct per_cpu_layout light, tunnel, device;
};

struct counters_walk {
	struct counters_layout layout;
	struct cpu_sets cpus;
	struct guest_module_list modules;
	struct guest_device_list *list;
};

static struct error *load_layout(struct guest *guest, struct counters_layout *ret)
{
	const struct member_need needs[] = {
		{"net_device", "dev_list", &ret->list},
		{"net_device", "name", &ret->name},
		{"net_device", "ifindex", &ret->index},
		{"net_device", "netdev_ops", &ret->operations},
		{"net_device", "stats", &ret->own},
		{"net_device", "lstats", &ret->lstats},
		{"net_device", "tstats", &ret->tstats},
		{"net_device", "dstats", &ret->dstats},
		{"net_device", "pcpu_stat_type", &ret->kind, .optional = true}, /* 6.7 */
		{"net_device", "core_stats", &ret->core, .optional = true},     /* 5.18 (625788b58445) */
		{"net_device", "rx_dropped", &ret->dropped[0], .optional = true},
		{"net_device", "tx_dropped", &ret->dropped[1], .optional = true},
		{"net_device_core_stats", "rx_dropped", &ret->core_received, .optional = true},
		{"net_device_core_stats", "tx_dropped", &ret->core_sent, .optional = true},
		{"net_device_ops", "ndo_get_stats64", &ret->get64},
		{"net_device_ops", "ndo_get_stats", &ret->get},
		{"pcpu_lstats", "packets", &ret->light.packets},
		{"pcpu_lstats", "bytes", &ret->light.bytes},
		{"pcpu_sw_netstats", "rx_packets", &ret->tunnel.received_packets},
		{"pcpu_sw_netstats", "rx_bytes", &ret->tunnel.received_bytes},
		{"pcpu_sw_netstats", "tx_packets", &ret->tunnel.sent_packets},
		{"pcpu_sw_netstats", "tx_bytes", &ret->tunnel.sent_bytes},
		/* In the module vrf before 6.1. */
		{"pcpu_dstats", "rx_packets", &ret->device.received_packets, .optional = true},
		{"pcpu_dstats", "rx_bytes", &ret->device.received_bytes, .optional = true},
		{"pcpu_dstats", "tx_packets", &ret->device.sent_packets, .optional = true},
		{"pcpu_dstats", "tx_bytes", &ret->device.sent_bytes, .optional = true},
		{"pcpu_dstats", "rx_drops", &ret->device.received_drops, .optional = true},
		{"pcpu_dstats", "tx_drops", &ret->device.sent_drops, .optional = true},
	};
	struct error *error;
	struct member private;

	*ret = (struct counters_layout){0};
	error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	if (error)
		return error;
	/* A member since 6.11 (13cabc47f8ae); before, whatever follows, aligned. */
	private = types_find(guest->types, "net_device", "priv");
	ret->private = private.present ? private.offset : (types_size(guest->types, "net_device") + 31) & ~31u;
	return NULL;
}

/* ---- Which source ---- */

/* The module in whose text an address lies; "": none's. Of all that begin below it the nearest is meant. */
static const char *module_at(const struct guest_module_list *modules, uint64_t address)
{
	const struct guest_module *nearest = NULL;

	for (size_t i = 0; i < modules->n; i++) {
		const struct guest_module *module = &modules->items[i];

		if (module->address <= address && address - module->address < module->size &&
		    (!nearest || nearest->address < module->address))
			nearest = module;
	}
	return nearest ? nearest->name : "";
}

static bool is_symbol(const struct guest *guest, const char *name, uint64_t address)
{
	struct gva symbol;

	return symbols_find(guest->symbols, name, &symbol) && symbol.v == address;
}

/* What an interface's own function counts: drivers built in are told by its name, others by their module's. */
static enum source source_of_function(const struct guest *guest, const struct guest_module_list *modules,
				      uint64_t function)
{
	static const struct {
		const char *name;
		enum source source;
	} functions[] = {
		{"loopback_get_stats64", SOURCE_LOOPBACK}, {"dev_get_tstats64", SOURCE_TSTATS},
		{"ip_tunnel_get_stats64", SOURCE_TSTATS},  {"virtnet_stats", SOURCE_VIRTIO},
		{"dummy_get_stats64", SOURCE_LSTATS_SENT}, {"br_get_stats64", SOURCE_TSTATS},
		{"dev_get_dstats64", SOURCE_DSTATS},
	};
	static const struct {
		const char *name;
		enum source source;
	} drivers[] = {
		{"virtio_net", SOURCE_VIRTIO},
		{"dummy", SOURCE_LSTATS_SENT},
	};
	const char *module;

	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (is_symbol(guest, functions[i].name, function))
			return functions[i].source;
	module = module_at(modules, function);
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (strcmp(drivers[i].name, module) == 0)
			return drivers[i].source;
	return SOURCE_UNKNOWN;
}

static struct error *find_source(struct guest *guest, const struct counters_walk *walk, struct gva device,
				 enum source *ret)
{
	uint64_t operations, get64, get, kind = 0;
	const struct member_read reads[] = {{&walk->layout.get64, &get64}, {&walk->layout.get, &get}};
	struct error *error = guest_read_member(guest, device, &walk->layout.operations, &operations);

	if (!error && walk->layout.kind.present)
		error = guest_read_member(guest, device, &walk->layout.kind, &kind);
	if (!error)
		error = guest_read_members(guest, (struct gva){operations}, reads, ARRAY_SIZE(reads));
	if (error)
		return error;
	if (get64)
		*ret = source_of_function(guest, &walk->modules, get64);
	else if (get) /* old drivers: some copy registers of the card, some return what is there */
		*ret = SOURCE_UNKNOWN;
	else if (kind == KIND_TSTATS)
		*ret = SOURCE_TSTATS;
	else
		*ret = kind == KIND_DSTATS ? SOURCE_DSTATS : SOURCE_DEVICE;
	return NULL;
}

/* ---- Reading ---- */

struct percpu_counter {
	const struct member *member;
	enum guest_device_counter counter;
};

/* Adds up what each processor counted. */
static struct error *add_percpu(struct guest *guest, const struct cpu_sets *cpus, uint64_t variable,
				const struct percpu_counter *counters, size_t n, struct guest_device *ret)
{
	if (!variable)
		return error_format(NULL, 0, "interface %s has no counters", ret->name);
	for_each_cpu(cpu, cpus->possible_set) {
		struct gva copy;
		struct error *error = guest_percpu(guest, (struct gva){variable}, cpu, &copy);

		for (size_t i = 0; !error && i < n; i++) {
			uint64_t value;

			error = guest_read_member(guest, copy, counters[i].member, &value);
			if (!error)
				ret->counters[counters[i].counter] += value;
		}
		if (error)
			return error;
	}
	return NULL;
}

static struct error *read_percpu(struct guest *guest, const struct counters_walk *walk, struct gva device,
				 enum source source, struct guest_device *ret)
{
	const struct counters_layout *layout = &walk->layout;
	const struct percpu_counter light[] = {{&layout->light.packets, GUEST_TX_PACKETS},
					       {&layout->light.bytes, GUEST_TX_BYTES}};
	const struct percpu_counter tunnel[] = {{&layout->tunnel.received_packets, GUEST_RX_PACKETS},
						{&layout->tunnel.received_bytes, GUEST_RX_BYTES},
						{&layout->tunnel.sent_packets, GUEST_TX_PACKETS},
						{&layout->tunnel.sent_bytes, GUEST_TX_BYTES}};
	const struct percpu_counter full[] = {
		{&layout->device.received_packets, GUEST_RX_PACKETS}, {&layout->device.received_bytes, GUEST_RX_BYTES},
		{&layout->device.sent_packets, GUEST_TX_PACKETS},     {&layout->device.sent_bytes, GUEST_TX_BYTES},
		{&layout->device.received_drops, GUEST_RX_DROPPED},   {&layout->device.sent_drops, GUEST_TX_DROPPED}};
	const struct member *pointer = source == SOURCE_TSTATS   ? &layout->tstats
				       : source == SOURCE_DSTATS ? &layout->dstats
								 : &layout->lstats;
	uint64_t variable;
	struct error *error = guest_read_member(guest, device, pointer, &variable);

	if (error)
		return error;
	if (source == SOURCE_TSTATS)
		return add_percpu(guest, &walk->cpus, variable, tunnel, ARRAY_SIZE(tunnel), ret);
	if (source == SOURCE_DSTATS)
		return add_percpu(guest, &walk->cpus, variable, full, ARRAY_SIZE(full), ret);
	error = add_percpu(guest, &walk->cpus, variable, light, ARRAY_SIZE(light), ret);
	if (source == SOURCE_LOOPBACK) {
		ret->counters[GUEST_RX_PACKETS] = ret->counters[GUEST_TX_PACKETS];
		ret->counters[GUEST_RX_BYTES] = ret->counters[GUEST_TX_BYTES];
	}
	return error;
}

/* struct net_device_stats: unsigned longs in the order of enum guest_device_counter. */
static struct error *read_own(struct guest *guest, const struct counters_layout *layout, struct gva device,
			      uint64_t ret[GUEST_DEVICE_COUNTERS])
{
	if (layout->own.size < GUEST_DEVICE_COUNTERS * sizeof(ret[0]))
		return error_create(ERROR_UNSUPPORTED, "the guest's interfaces have %u bytes of counters",
				    layout->own.size);
	return memory_read(&guest->memory, (struct gva){device.v + layout->own.offset}, ret,
			   GUEST_DEVICE_COUNTERS * sizeof(ret[0]));
}

/* What the network's core itself dropped counts with each of them. */
static struct error *add_core(struct guest *guest, const struct counters_walk *walk, struct gva device,
			      struct guest_device *ret)
{
	const struct counters_layout *layout = &walk->layout;
	const struct percpu_counter counters[] = {{&layout->core_received, GUEST_RX_DROPPED},
						  {&layout->core_sent, GUEST_TX_DROPPED}};
	uint64_t variable;
	struct error *error = NULL;

	for (unsigned i = 0; !error && i < 2 && layout->dropped[i].present; i++) {
		error = guest_read_member(guest, device, &layout->dropped[i], &variable);
		if (!error)
			ret->counters[i ? GUEST_TX_DROPPED : GUEST_RX_DROPPED] += variable;
	}
	if (error || !layout->core.present)
		return error;
	/* Made when the first packet is dropped. */
	error = guest_read_member(guest, device, &layout->core, &variable);
	if (error || !variable)
		return error;
	return add_percpu(guest, &walk->cpus, variable, counters, ARRAY_SIZE(counters), ret);
}

struct virtio_layout {
	struct member receivers, senders, n;
	struct member sent_packets, sent_bytes, timeouts, received_packets, received_bytes, received_drops;
	uint32_t receiver_size, sender_size;
};

/*
 * Before 5.11 no types of modules are kept. Of 5.10 the place of the counters of each queue is known (from the source,
 * with what is of varying size from the kernel's types), but not the size of a queue: one is all that can be told.
 */
static void virtio_layout_known(struct guest *guest, struct virtio_layout *ret)
{
	const uint32_t list = types_size(guest->types, "scatterlist") * 19,
		       poll = types_size(guest->types, "napi_struct");
	const uint32_t sent = 8 + list + 40, received = 8 + poll + 8;

	*ret = (struct virtio_layout){
		.senders = {.present = true, .offset = 24, .size = 8},
		.receivers = {.present = true, .offset = 32, .size = 8},
		.n = {.present = true, .offset = 44, .size = 2},
		.sent_packets = {.present = true, .offset = sent, .size = 8},
		.sent_bytes = {.present = true, .offset = sent + 8, .size = 8},
		.received_packets = {.present = true, .offset = received, .size = 8},
		.received_bytes = {.present = true, .offset = received + 8, .size = 8},
		.received_drops = {.present = true, .offset = received + 16, .size = 8},
	};
}

static struct error *virtio_layout_load(struct guest *guest, struct virtio_layout *ret)
{
	const struct member_need needs[] = {
		{"virtnet_info", "sq", &ret->senders},
		{"virtnet_info", "rq", &ret->receivers},
		{"virtnet_info", "max_queue_pairs", &ret->n},
		{"send_queue", "stats.packets", &ret->sent_packets},
		{"send_queue", "stats.bytes", &ret->sent_bytes},
		{"send_queue", "stats.tx_timeouts", &ret->timeouts, .optional = true},
		{"receive_queue", "stats.packets", &ret->received_packets},
		{"receive_queue", "stats.bytes", &ret->received_bytes},
		{"receive_queue", "stats.drops", &ret->received_drops},
	};
	const struct types *types;
	struct gva list;
	struct error *error = guest_module_types(guest, "virtio_net", &types);

	if (error)
		return error;
	if (!types_size(types, "virtnet_info") && !symbols_find(guest->symbols, "btf_modules", &list)) {
		virtio_layout_known(guest, ret);
		return NULL;
	}
	*ret = (struct virtio_layout){0};
	error = types_need(types, needs, ARRAY_SIZE(needs));
	ret->receiver_size = types_size(types, "receive_queue");
	ret->sender_size = types_size(types, "send_queue");
	return error;
}

static struct error *add_queue(struct guest *guest, struct gva queue, const struct percpu_counter *counters, size_t n,
			       struct guest_device *ret)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < n; i++) {
		uint64_t value = 0;

		if (!counters[i].member->present)
			continue;
		error = guest_read_member(guest, queue, counters[i].member, &value);
		ret->counters[counters[i].counter] += value;
	}
	return error;
}

static struct error *read_virtio(struct guest *guest, const struct counters_walk *walk, struct gva device,
				 struct guest_device *ret)
{
	static const enum guest_device_counter own[] = {GUEST_TX_FIFO_ERRORS, GUEST_RX_LENGTH_ERRORS,
							GUEST_RX_FRAME_ERRORS};
	const struct gva private = {device.v + walk->layout.private};
	struct virtio_layout layout;
	uint64_t senders, receivers, n, stats[GUEST_DEVICE_COUNTERS];
	const struct member_read reads[] = {
		{&layout.senders, &senders}, {&layout.receivers, &receivers}, {&layout.n, &n}};
	struct error *error = virtio_layout_load(guest, &layout);
	const struct percpu_counter sent[] = {{&layout.sent_packets, GUEST_TX_PACKETS},
					      {&layout.sent_bytes, GUEST_TX_BYTES},
					      {&layout.timeouts, GUEST_TX_ERRORS}};
	const struct percpu_counter received[] = {{&layout.received_packets, GUEST_RX_PACKETS},
						  {&layout.received_bytes, GUEST_RX_BYTES},
						  {&layout.received_drops, GUEST_RX_DROPPED}};

	if (!error)
		error = guest_read_members(guest, private, reads, ARRAY_SIZE(reads));
	if (!error && (n > QUEUES_MAX || (n > 1 && !layout.sender_size)))
		error = error_create(ERROR_UNSUPPORTED, "interface %s has %llu queues", ret->name,
				     (unsigned long long)n);
	for (uint64_t i = 0; !error && i < n; i++) {
		error = add_queue(guest, (struct gva){senders + i * layout.sender_size}, sent, ARRAY_SIZE(sent), ret);
		if (!error)
			error = add_queue(guest, (struct gva){receivers + i * layout.receiver_size}, received,
					  ARRAY_SIZE(received), ret);
	}
	if (!error)
		error = read_own(guest, &walk->layout, device, stats);
	for (size_t i = 0; !error && i < ARRAY_SIZE(own); i++)
		ret->counters[own[i]] = stats[own[i]];
	return error;
}

static struct error *read_counters(struct guest *guest, const struct counters_walk *walk, struct gva device,
				   struct guest_device *ret)
{
	enum source source;
	struct error *error = find_source(guest, walk, device, &source);

	if (error || source == SOURCE_UNKNOWN)
		return error;
	if (source == SOURCE_DEVICE || source == SOURCE_TSTATS || source == SOURCE_DSTATS)
		error = read_own(guest, &walk->layout, device, ret->counters);
	if (!error && source == SOURCE_VIRTIO)
		error = read_virtio(guest, walk, device, ret);
	else if (!error && source != SOURCE_DEVICE)
		error = read_percpu(guest, walk, device, source, ret);
	if (!error)
		error = add_core(guest, walk, device, ret);
	ret->counted = !error;
	return error;
}

/* ---- The list ---- */

static struct error *visit_device(struct guest *guest, struct gva address, void *context)
{
	struct counters_walk *walk = context;
	struct guest_device device = {0};
	uint64_t index;
	struct error *error = guest_read_member(guest, address, &walk->layout.index, &index);

	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){address.v + walk->layout.name.offset},
					   device.name, sizeof(device.name));
	if (error)
		return error;
	device.index = (uint32_t)index;
	/* An interface whose counters cannot be read is still one. */
	error = walk_note(&walk->list->incomplete, read_counters(guest, walk, address, &device));
	if (!error)
		error = array_room(&walk->list->items, walk->list->n, sizeof(*walk->list->items));
	if (!error)
		walk->list->items[walk->list->n++] = device;
	return error;
}

static int by_index(const void *a, const void *b)
{
	const struct guest_device *left = a, *right = b;

	return (left->index > right->index) - (left->index < right->index);
}

struct error *guest_devices(struct guest *guest, uint64_t task, struct guest_device_list *ret)
{
	struct guest_device_list list = {0};
	struct counters_walk walk = {.list = &list};
	struct member devices;
	struct gva net;
	struct error *error = load_layout(guest, &walk.layout);

	if (!error)
		error = types_need(guest->types, &(struct member_need){"net", "dev_base_head", &devices}, 1);
	if (!error)
		error = network_namespace(guest, task, &net);
	if (!error)
		error = cpu_sets_load(guest, &walk.cpus);
	if (!error)
		error = guest_modules(guest, &walk.modules);
	if (error)
		return error_wrap(error, "the guest's network interfaces");
	list.incomplete = take_ptr(walk.modules.incomplete);
	error = list_walk(guest, (struct gva){net.v + devices.offset}, walk.layout.list.offset, visit_device, &walk);
	guest_module_list_deinit(&walk.modules);
	error = walk_note(&list.incomplete, error);
	if (error) {
		guest_device_list_deinit(&list);
		return error;
	}
	list.incomplete = error_wrap(list.incomplete, "the guest's network interfaces");
	if (list.n > 0)
		qsort(list.items, list.n, sizeof(*list.items), by_index);
	*ret = list;
	return NULL;
}

void guest_device_list_deinit(struct guest_device_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_device_list){0};
}
