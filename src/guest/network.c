/* SPDX-License-Identifier: Apache-2.0 */
/* Network namespaces, and what sockets of all families have in common. */
#include "guest/network.h"

#include <stdlib.h>
#include <string.h>

/* Heads of a hash table that are read at a time. */
#define HEADS_SIZE  16384u
/* Chains of a hash table: more than any kernel makes (tcp: thash_entries=). */
#define TABLE_MAX   (UINT64_C(1) << 26)
#define SOCKETS_MAX WALK_MAX

struct error *network_namespace(struct guest *guest, uint64_t task, struct gva *ret)
{
	struct member proxy, net;
	const struct member_need needs[] = {{"task_struct", "nsproxy", &proxy}, {"nsproxy", "net_ns", &net}};
	uint64_t address;
	struct error *error;

	if (!task)
		return symbols_get(guest->symbols, "init_net", ret);
	error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	if (!error)
		error = guest_read_member(guest, (struct gva){task}, &proxy, &address);
	if (!error && !address)
		error = error_create(ERROR_NOT_FOUND, "the task has ended and has no network any more");
	if (!error)
		error = guest_read_member(guest, (struct gva){address}, &net, &ret->v);
	return error;
}

/* ---- Sockets ---- */

struct error *socket_layout_load(struct guest *guest, struct socket_layout *ret)
{
	const struct member_need common[] = {
		{"sock_common", "skc_daddr", &ret->remote4},
		{"sock_common", "skc_rcv_saddr", &ret->local4},
		{"sock_common", "skc_v6_daddr", &ret->remote6, .optional = true}, /* CONFIG_IPV6=n */
		{"sock_common", "skc_v6_rcv_saddr", &ret->local6, .optional = true},
		{"sock_common", "skc_dport", &ret->remote_port},
		{"sock_common", "skc_num", &ret->local_port},
		{"sock_common", "skc_family", &ret->family},
		{"sock_common", "skc_state", &ret->state},
		{"sock_common", "skc_ipv6only", &ret->v6only},
		{"sock_common", "skc_bound_dev_if", &ret->bound},
		{"sock_common", "skc_net.net", &ret->net, .optional = true}, /* CONFIG_NET_NS=n */
		{"sock_common", "skc_node", &ret->node},
		{"sock_common", "skc_listener", &ret->listener},
		{"sock_common", "skc_refcnt", &ret->references},
	};
	const struct member_need sock[] = {
		{"sock", "sk_socket", &ret->socket},
		{"sock", "sk_uid", &ret->uid},
		{"sock", "sk_ino", &ret->inode, .optional = true},
		{"sock", "sk_ack_backlog", &ret->backlog},
		{"sock", "sk_max_ack_backlog", &ret->backlog_max},
		{"sock", "sk_backlog.rmem_alloc", &ret->read_memory},
		{"sock", "sk_wmem_alloc", &ret->write_memory},
		{"sock", "sk_type", &ret->type},
		{"sock", "sk_protocol", &ret->protocol},
		{"sock", "sk_receive_queue", &ret->receive_queue},
		{"sock", "sk_receive_queue.qlen", &ret->queue_length},
		{"sock", "sk_drops", &ret->drops},
		{"sock", "sk_drop_counters", &ret->drops_apart, .optional = true}, /* 6.18 */
	};
	struct member socket, inode;
	const struct member_need rest[] = {
		{"socket_alloc", "socket", &socket},
		{"socket_alloc", "vfs_inode", &inode},
		{"inode", "i_ino", &ret->number},
		{"inode", "i_uid", &ret->owner},
		{"numa_drop_counters", "drops0", &ret->drops0, .optional = true},
		{"numa_drop_counters", "drops1", &ret->drops1, .optional = true},
	};
	struct error *error;

	*ret = (struct socket_layout){0};
	error = object_need(guest->types, common, ARRAY_SIZE(common), &ret->common);
	if (!error)
		error = object_need(guest->types, sock, ARRAY_SIZE(sock), &ret->span);
	if (!error)
		error = types_need(guest->types, rest, ARRAY_SIZE(rest));
	if (error)
		return error;
	if (ret->span.size < ret->common.size)
		ret->span = ret->common;
	ret->inode_number = (int64_t)inode.offset + ret->number.offset - socket.offset;
	ret->inode_uid = (int64_t)inode.offset + ret->owner.offset - socket.offset;
	return NULL;
}

struct error *socket_owner(struct guest *guest, const struct socket_layout *layout, const uint8_t *sock,
			   struct guest_socket *ret)
{
	const uint64_t socket = object_field(sock, &layout->socket);
	struct error *error;

	/* Kept in the socket itself since 6.17 (5d6b58c932ec). */
	if (layout->inode.present) {
		ret->inode = object_field(sock, &layout->inode);
		ret->uid = (uint32_t)object_field(sock, &layout->uid);
		return NULL;
	}
	ret->inode = 0;
	ret->uid = 0;
	if (!socket)
		return NULL;
	error = memory_read_u64(&guest->memory, (struct gva){socket + (uint64_t)layout->inode_number}, &ret->inode);
	if (!error)
		error = memory_read_u32(&guest->memory, (struct gva){socket + (uint64_t)layout->inode_uid}, &ret->uid);
	return error;
}

struct error *socket_counts(struct guest *guest, const struct socket_layout *layout, const uint8_t *sock,
			    struct guest_socket *ret)
{
	const uint64_t apart = object_field(sock, &layout->drops_apart);
	uint64_t drops[2];
	const struct member_read reads[] = {{&layout->drops0, &drops[0]}, {&layout->drops1, &drops[1]}};
	struct error *error;

	ret->references = (uint32_t)object_field(sock, &layout->references);
	ret->drops = (uint32_t)object_field(sock, &layout->drops);
	if (!apart || !layout->drops0.present || !layout->drops1.present)
		return NULL;
	error = guest_read_members(guest, (struct gva){apart}, reads, ARRAY_SIZE(reads));
	if (!error)
		ret->drops = (uint32_t)(drops[0] + drops[1]);
	return error;
}

struct error *socket_append(struct socket_list *list, const struct guest_socket *socket)
{
	struct guest_socket_list *sockets = list->list;
	struct error *error = array_room(&sockets->items, sockets->n, sizeof(*sockets->items));

	if (!error)
		sockets->items[sockets->n++] = *socket;
	return error;
}

static struct error *walk_chain(struct socket_list *list, uint64_t node, socket_visit visit, void *context)
{
	struct loop_guard guard = {0};

	/* A chain of hlist_nulls ends in a number with bit 0 set, not in 0. */
	while (node && !(node & 1)) {
		struct error *error;

		if (!loop_guard_step(&guard, node) || list->visited++ > SOCKETS_MAX)
			return error_format(NULL, node, "a chain of sockets does not end");
		error = visit(list, (struct gva){node - list->layout.node.offset}, context);
		if (!error)
			error = memory_read_u64(&list->guest->memory, (struct gva){node}, &node);
		if (error)
			return error;
	}
	return NULL;
}

struct error *socket_table_walk(struct socket_list *list, struct socket_table table, socket_visit visit, void *context)
{
	uint8_t heads[HEADS_SIZE];

	if (table.n > TABLE_MAX || table.stride < sizeof(uint64_t) || table.stride > HEADS_SIZE)
		return walk_note(&list->list->incomplete,
				 error_format(NULL, table.address.v, "a table of sockets with %llu chains of %u bytes",
					      (unsigned long long)table.n, table.stride));
	for (uint64_t done = 0; done < table.n;) {
		uint64_t n = HEADS_SIZE / table.stride;
		struct gva address = {table.address.v + done * table.stride};
		struct error *error;

		n = n < table.n - done ? n : table.n - done;
		/* Of the last one only the head is sure to be there. */
		error = memory_read(&list->guest->memory, address, heads, (n - 1) * table.stride + sizeof(uint64_t));
		if (error)
			return walk_note(&list->list->incomplete, error);
		for (uint64_t i = 0; i < n; i++) {
			uint64_t node;

			memcpy(&node, heads + i * table.stride, sizeof(node));
			list->chain = done + i;
			error = walk_note(&list->list->incomplete, walk_chain(list, node, visit, context));
			if (error)
				return error;
		}
		done += n;
	}
	return NULL;
}

struct error *guest_sockets(struct guest *guest, uint64_t task, struct guest_socket_list *ret)
{
	struct guest_socket_list sockets = {0};
	struct socket_list list = {.guest = guest, .list = &sockets};
	struct error *error = socket_layout_load(guest, &list.layout);

	if (!error)
		error = network_namespace(guest, task, &list.net);
	if (error)
		return error_wrap(error, "the guest's sockets");
	error = sockets_inet(&list);
	if (!error)
		error = sockets_unix(&list);
	if (error) {
		error_destroy(sockets.incomplete);
		sockets.incomplete = error;
	}
	sockets.incomplete = error_wrap(sockets.incomplete, "the guest's sockets");
	*ret = sockets;
	return NULL;
}

bool guest_knows_sockets(const struct guest *guest, enum guest_socket_kind kind, unsigned family)
{
	struct gva address;

	/* UDP-Lite ended in 7.1. */
	if (kind == GUEST_SOCKET_UDPLITE && !symbols_find(guest->symbols, "udplite_table", &address))
		return false;
	return family != 6 || symbols_find(guest->symbols, "tcpv6_prot", &address);
}

void guest_socket_list_deinit(struct guest_socket_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].path.data);
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_socket_list){0};
}
