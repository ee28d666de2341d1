/* SPDX-License-Identifier: Apache-2.0 */
/* Packet and netlink sockets (net/packet/af_packet.c, net/netlink/af_netlink.c). */
#include <endian.h>
#include <stdlib.h>

#include "guest/containers.h"
#include "guest/network.h"

#define NETLINK_TABLES 32u        /* MAX_LINKS */
#define CHAINS_MAX     (1u << 22) /* of one netlink family */

struct other_walk {
	struct socket_layout layout;
	struct object_span span; /* of the whole structure, which begins with struct sock */
	struct gva net;
	struct guest_other_socket_list *list;
	uint64_t visited;
	/* packet */
	struct member type, interface, running, flags;
	uint64_t running_bit; /* of flags */
	/* netlink */
	struct member node, port, groups, dumping;
};

/* What both have in common; of another namespace: *ret_other. */
static struct error *read_common(struct guest *guest, struct other_walk *walk, struct gva place, uint8_t *sock,
				 struct guest_other_socket *ret, bool *ret_other)
{
	const struct socket_layout *layout = &walk->layout;
	struct guest_socket owner = {0};
	struct error *error = object_read(guest, place, walk->span, sock);

	if (!error && walk->visited++ > WALK_MAX)
		error = error_format(NULL, place.v, "a list of sockets does not end");
	*ret_other = !error && layout->net.present && object_field(sock, &layout->net) != walk->net.v;
	if (error || *ret_other)
		return error;
	ret->address = place.v;
	ret->type = (uint16_t)object_field(sock, &layout->type);
	ret->protocol = (uint16_t)object_field(sock, &layout->protocol);
	ret->receive_memory = (uint32_t)object_field(sock, &layout->read_memory);
	ret->send_memory = (uint32_t)object_field(sock, &layout->write_memory) - 1;
	error = socket_counts(guest, layout, sock, &owner);
	if (!error)
		error = socket_owner(guest, layout, sock, &owner);
	ret->references = owner.references;
	ret->drops = owner.drops;
	ret->uid = owner.uid;
	ret->inode = owner.inode;
	return error;
}

static struct error *append(struct other_walk *walk, const struct guest_other_socket *socket)
{
	struct error *error = array_room(&walk->list->items, walk->list->n, sizeof(*walk->list->items));

	if (!error)
		walk->list->items[walk->list->n++] = *socket;
	return error;
}

static struct error *begin(struct guest *guest, uint64_t task, struct other_walk *walk)
{
	struct error *error = socket_layout_load(guest, &walk->layout);

	walk->span = walk->layout.span;
	return error ? error : network_namespace(guest, task, &walk->net);
}

/* ---- Packet sockets ---- */

static struct error *visit_packet(struct guest *guest, struct gva place, void *context)
{
	struct other_walk *walk = context;
	struct guest_other_socket socket = {0};
	uint8_t sock[OBJECT_MAX];
	bool other;
	struct error *error = read_common(guest, walk, place, sock, &socket, &other);

	if (error || other)
		return error;
	socket.protocol = be16toh((uint16_t)object_field(sock, &walk->type));
	socket.interface = (uint32_t)object_field(sock, &walk->interface);
	socket.running = walk->running.present ? object_field(sock, &walk->running) != 0
					       : object_field(sock, &walk->flags) >> walk->running_bit & 1;
	return append(walk, &socket);
}

static struct error *load_packet(const struct types *types, struct other_walk *walk)
{
	const struct member_need needs[] = {
		{"packet_sock", "num", &walk->type},
		{"packet_sock", "ifindex", &walk->interface},
		{"packet_sock", "running", &walk->running, .optional = true},
		{"packet_sock", "flags", &walk->flags, .optional = true},
	};
	struct error *error = object_need(types, needs, ARRAY_SIZE(needs), &walk->span);

	/* A bit of flags since 6.4 (61edf479818e, in stable kernels too). */
	if (!error && !walk->running.present)
		error = types_get_enum(types, NULL, "PACKET_SOCK_RUNNING", &walk->running_bit);
	if (!error && walk->running_bit > 63)
		error = error_create(ERROR_UNSUPPORTED, "the guest has packet sockets of an unknown kind");
	return error;
}

struct error *guest_packet_sockets(struct guest *guest, uint64_t task, struct guest_other_socket_list *ret)
{
	struct guest_other_socket_list list = {0};
	struct other_walk walk = {.list = &list};
	struct member head;
	const struct types *types;
	struct error *error = guest_module_types(guest, "af_packet", &types);

	if (!error)
		error = begin(guest, task, &walk);
	if (!error)
		error = load_packet(types, &walk);
	if (!error)
		error = types_need(guest->types, &(struct member_need){"net", "packet.sklist", &head}, 1);
	if (error)
		return error_wrap(error, "the guest's packet sockets");
	list.incomplete = error_wrap(
		hlist_walk(guest, (struct gva){walk.net.v + head.offset}, walk.layout.node.offset, visit_packet, &walk),
		"the guest's packet sockets");
	*ret = list;
	return NULL;
}

/* ---- Netlink sockets ---- */

static struct error *visit_netlink(struct guest *guest, struct gva place, void *context)
{
	struct other_walk *walk = context;
	struct guest_other_socket socket = {0};
	uint8_t sock[OBJECT_MAX];
	uint64_t groups;
	bool other;
	struct error *error = read_common(guest, walk, place, sock, &socket, &other);

	if (error || other)
		return error;
	groups = object_field(sock, &walk->groups);
	socket.port = (uint32_t)object_field(sock, &walk->port);
	socket.running = object_field(sock, &walk->dumping) != 0;
	if (groups)
		error = memory_read_u32(&guest->memory, (struct gva){groups}, &socket.groups);
	return error ? error : append(walk, &socket);
}

struct hash_layout {
	struct member table, size, nest, next;
	uint32_t buckets;
};

/* A resizable hash table: chains end in a number with bit 0 set; bit 0 of a head is a lock. */
static struct error *walk_hash(struct guest *guest, const struct hash_layout *layout, uint64_t table,
			       struct other_walk *walk)
{
	uint64_t size, nest;
	const struct member_read reads[] = {{&layout->size, &size}, {&layout->nest, &nest}};
	struct error *error = guest_read_members(guest, (struct gva){table}, reads, ARRAY_SIZE(reads));

	if (!error && (nest || size > CHAINS_MAX))
		error = error_create(ERROR_UNSUPPORTED, "the guest's netlink sockets are kept in an unusual way");
	for (uint64_t i = 0; !error && i < size; i++) {
		struct loop_guard guard = {0};
		uint64_t node, head = table + layout->buckets + i * sizeof(node);

		error = memory_read_u64(&guest->memory, (struct gva){head}, &node);
		/* An empty chain has its own place in it. */
		node = (node & ~UINT64_C(1)) == head ? 0 : node & ~UINT64_C(1);
		while (!error && node && !(node & 1)) {
			if (!loop_guard_step(&guard, node))
				error = error_format(NULL, node, "a chain of netlink sockets does not end");
			if (!error)
				error = visit_netlink(guest, (struct gva){node - walk->node.offset}, walk);
			if (!error)
				error = memory_read_u64(&guest->memory, (struct gva){node}, &node);
		}
	}
	return error;
}

static struct error *load_netlink(struct guest *guest, struct other_walk *walk, struct hash_layout *hash)
{
	const struct member_need sock[] = {
		{"netlink_sock", "node", &walk->node},
		{"netlink_sock", "portid", &walk->port},
		{"netlink_sock", "groups", &walk->groups},
		{"netlink_sock", "cb_running", &walk->dumping},
	};
	const struct member_need table[] = {
		{"netlink_table", "hash.tbl", &hash->table},
		{"bucket_table", "size", &hash->size},
		{"bucket_table", "nest", &hash->nest},
		{"bucket_table", "future_tbl", &hash->next},
	};
	struct error *error = object_need(guest->types, sock, ARRAY_SIZE(sock), &walk->span);

	if (!error)
		error = types_need(guest->types, table, ARRAY_SIZE(table));
	hash->buckets = types_size(guest->types, "bucket_table"); /* an array of no size at its end */
	return error;
}

struct error *guest_netlink_sockets(struct guest *guest, uint64_t task, struct guest_other_socket_list *ret)
{
	struct guest_other_socket_list list = {0};
	struct other_walk walk = {.list = &list};
	struct hash_layout hash;
	uint64_t tables;
	struct error *error = begin(guest, task, &walk);

	if (!error)
		error = load_netlink(guest, &walk, &hash);
	if (!error)
		error = guest_symbol_u64(guest, "nl_table", &tables);
	for (unsigned i = 0; !error && i < NETLINK_TABLES; i++) {
		const uint64_t place = tables + i * (uint64_t)types_size(guest->types, "netlink_table");
		struct error *one;
		uint64_t table;

		one = guest_read_member(guest, (struct gva){place}, &hash.table, &table);
		/* While a table grows, the larger one stands behind it. */
		for (unsigned n = 0; !one && table && n < 2; n++) {
			one = walk_hash(guest, &hash, table, &walk);
			if (!one)
				one = guest_read_member(guest, (struct gva){table}, &hash.next, &table);
		}
		error = walk_note(&list.incomplete, one);
	}
	if (error) {
		guest_other_socket_list_deinit(&list);
		return error_wrap(error, "the guest's netlink sockets");
	}
	list.incomplete = error_wrap(list.incomplete, "the guest's netlink sockets");
	*ret = list;
	return NULL;
}

void guest_other_socket_list_deinit(struct guest_other_socket_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_other_socket_list){0};
}
