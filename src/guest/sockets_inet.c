/* SPDX-License-Identifier: Apache-2.0 */
/* TCP, UDP and raw sockets over IPv4 and IPv6, in the order of /proc/net (net/ipv4/tcp_ipv4.c, udp.c, raw.c). */
#include <endian.h>
#include <string.h>

#include "guest/network.h"

#define FAMILY_IPV4     2u
#define FAMILY_IPV6     10u

#define STATE_SYN_RECV  3u
#define STATE_TIME_WAIT 6u
#define STATE_LISTEN    10u
#define STATE_NEW_SYN   12u /* TCP_NEW_SYN_RECV: a struct request_sock, not yet a socket */

#define RAW_CHAINS      256u /* RAW_HTABLE_SIZE, MAX_INET_PROTOS */
#define PING_CHAINS     64u  /* PING_HTABLE_SIZE */

struct inet_walk {
	enum guest_socket_kind kind;
	struct object_span span; /* of the kind's own structure, which begins with struct sock */
	/* TCP */
	struct member written, unacknowledged, received, copied;
	struct member substate; /* of a struct inet_timewait_sock */
	struct tcp_timers timers;
	/* UDP */
	struct member deficit;
};

/* Names and addresses: in struct sock_common, so that those who stand in for a socket have them too. */
static struct error *read_common(const struct socket_layout *layout, struct gva address, const uint8_t *sock,
				 struct guest_socket *ret)
{
	const uint64_t family = object_field(sock, &layout->family);
	const struct member *local = &layout->local4, *remote = &layout->remote4;
	size_t size = 4;

	if (family == FAMILY_IPV6 && layout->local6.present && layout->remote6.present) {
		local = &layout->local6;
		remote = &layout->remote6;
		size = 16;
	} else if (family != FAMILY_IPV4) {
		return error_format(NULL, address.v, "a socket of the guest has the address family %llu",
				    (unsigned long long)family);
	}
	if (local->size != size || remote->size != size)
		return error_create(ERROR_UNSUPPORTED, "the guest's sockets have addresses of %u bytes", local->size);
	memcpy(ret->local, sock + local->offset, size);
	memcpy(ret->remote, sock + remote->offset, size);
	ret->family = family == FAMILY_IPV6 ? 6 : 4;
	ret->state = (uint8_t)object_field(sock, &layout->state);
	ret->local_port = (uint16_t)object_field(sock, &layout->local_port);
	ret->remote_port = be16toh((uint16_t)object_field(sock, &layout->remote_port));
	ret->interface = (uint32_t)object_field(sock, &layout->bound);
	ret->ipv6_only = object_field(sock, &layout->v6only);
	return NULL;
}

static uint32_t none_if_negative(uint64_t value)
{
	return (int32_t)value < 0 ? 0 : (uint32_t)value;
}

static void read_queues(const struct socket_layout *layout, const struct inet_walk *walk, const uint8_t *sock,
			struct guest_socket *ret)
{
	/* What is to be sent counts one more: the socket itself. */
	ret->send_queue = (uint32_t)object_field(sock, &layout->write_memory) - 1;
	ret->receive_queue = (uint32_t)object_field(sock, &layout->read_memory);
	if (walk->kind == GUEST_SOCKET_UDP || walk->kind == GUEST_SOCKET_UDPLITE)
		ret->receive_queue -= (uint32_t)object_field(sock, &walk->deficit);
	if (walk->kind != GUEST_SOCKET_TCP)
		return;
	if (ret->state == STATE_LISTEN) {
		ret->receive_queue = (uint32_t)object_field(sock, &layout->backlog);
		ret->send_queue = (uint32_t)object_field(sock, &layout->backlog_max);
		return;
	}
	ret->send_queue = (uint32_t)(object_field(sock, &walk->written) - object_field(sock, &walk->unacknowledged));
	ret->receive_queue = none_if_negative(object_field(sock, &walk->received) - object_field(sock, &walk->copied));
}

/* A connection that waits for its end has neither queues nor a file. */
static struct error *read_time_wait(struct guest *guest, const struct inet_walk *walk, struct gva address,
				    struct guest_socket *ret)
{
	uint64_t state;
	struct error *error;

	error = tcp_timers_read_wait(guest, &walk->timers, address, ret);
	if (error || !walk->substate.present)
		return error;
	error = guest_read_member(guest, address, &walk->substate, &state);
	if (!error)
		ret->state = (uint8_t)state;
	return error;
}

/* A connection that is being made belongs to the listener's user. */
static struct error *read_request(struct guest *guest, const struct socket_layout *layout, const uint8_t *request,
				  struct guest_socket *ret)
{
	uint8_t listener[OBJECT_MAX];
	uint64_t address = object_field(request, &layout->listener);
	struct error *error;

	ret->state = STATE_SYN_RECV;
	if (!address)
		return NULL;
	error = object_read(guest, (struct gva){address}, layout->span, listener);
	if (!error)
		error = socket_owner(guest, layout, listener, ret);
	ret->inode = 0;
	return error;
}

static struct error *read_whole(struct guest *guest, const struct socket_layout *layout, const struct inet_walk *walk,
				const uint8_t *sock, struct guest_socket *ret)
{
	struct error *error;

	read_queues(layout, walk, sock, ret);
	if (walk->kind == GUEST_SOCKET_TCP)
		tcp_timers_read(&walk->timers, sock, ret);
	error = socket_counts(guest, layout, sock, ret);
	return error ? error : socket_owner(guest, layout, sock, ret);
}

static struct error *visit_inet(struct socket_list *list, struct gva address, void *context)
{
	const struct inet_walk *walk = context;
	const struct socket_layout *layout = &list->layout;
	struct guest_socket socket = {.kind = walk->kind, .address = address.v, .chain = (uint32_t)list->chain};
	uint8_t sock[OBJECT_MAX];
	struct error *error = object_read(list->guest, address, layout->common, sock);

	if (!error)
		error = read_common(layout, address, sock, &socket);
	if (error || (layout->net.present && object_field(sock, &layout->net) != list->net.v))
		return error;
	if (walk->kind == GUEST_SOCKET_TCP && socket.state == STATE_TIME_WAIT) {
		socket.references = (uint32_t)object_field(sock, &layout->references);
		error = read_time_wait(list->guest, walk, address, &socket);
	} else if (walk->kind == GUEST_SOCKET_TCP && socket.state == STATE_NEW_SYN) {
		error = read_request(list->guest, layout, sock, &socket);
		if (!error)
			error = tcp_timers_read_request(list->guest, &walk->timers, address, &socket);
	} else {
		error = object_read(list->guest, address, walk->span, sock);
		if (!error)
			error = read_whole(list->guest, layout, walk, sock, &socket);
	}
	return error ? error : socket_append(list, &socket);
}

/* ---- TCP ---- */

/* A namespace can have connections in a table of its own (6.1, d1e5e6408b30); else that of the kernel. */
static struct error *find_tcp_tables(struct socket_list *list, struct gva *ret)
{
	struct member own = types_find(list->guest->types, "net", "ipv4.tcp_death_row.hashinfo");
	struct error *error;

	if (!own.present)
		return symbols_get(list->guest->symbols, "tcp_hashinfo", ret);
	error = guest_read_member(list->guest, list->net, &own, &ret->v);
	if (!error && !ret->v)
		error = error_format(NULL, list->net.v, "a network of the guest has no table of connections");
	return error;
}

struct tcp_tables {
	struct member connections, connections_mask, listeners2, listeners2_mask, listeners;
	struct member head; /* in a chain of listeners */
	uint32_t listener_size;
};

static struct error *load_tcp(struct guest *guest, struct tcp_tables *tables, struct inet_walk *walk)
{
	const struct member_need needs[] = {
		{"inet_hashinfo", "ehash", &tables->connections},
		{"inet_hashinfo", "ehash_mask", &tables->connections_mask},
		{"inet_hashinfo", "lhash2", &tables->listeners2},
		{"inet_hashinfo", "lhash2_mask", &tables->listeners2_mask},
		/* Until 5.19 (cae3873c5b3a) in the structure; then lhash2 became the only table of listeners. */
		{"inet_hashinfo", "listening_hash", &tables->listeners, .optional = true},
		{"inet_listen_hashbucket", "nulls_head", &tables->head},
		{"inet_timewait_sock", "tw_substate", &walk->substate, .optional = true},
	};
	const struct member_need sock[] = {
		{"tcp_sock", "write_seq", &walk->written},
		{"tcp_sock", "snd_una", &walk->unacknowledged},
		{"tcp_sock", "rcv_nxt", &walk->received},
		{"tcp_sock", "copied_seq", &walk->copied},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	tables->listener_size = types_size(guest->types, "inet_listen_hashbucket");
	return error ? error : object_need(guest->types, sock, ARRAY_SIZE(sock), &walk->span);
}

static struct error *walk_tcp(struct socket_list *list)
{
	struct guest *guest = list->guest;
	struct inet_walk walk = {.kind = GUEST_SOCKET_TCP, .span = list->layout.span};
	struct tcp_tables tables = {0};
	uint64_t connections, mask, listeners, listeners_mask;
	const struct member_read reads[] = {
		{&tables.connections, &connections},
		{&tables.connections_mask, &mask},
		{&tables.listeners2, &listeners},
		{&tables.listeners2_mask, &listeners_mask},
	};
	struct gva info;
	struct error *error = load_tcp(guest, &tables, &walk);

	if (!error)
		error = tcp_timers_load(guest, list->net, &walk.timers, &walk.span);
	if (!error)
		error = find_tcp_tables(list, &info);
	if (!error)
		error = guest_read_members(guest, info, reads, ARRAY_SIZE(reads));
	if (error)
		return walk_note(&list->list->incomplete, error_wrap(error, "TCP"));
	if (tables.listeners.present) {
		listeners = info.v + tables.listeners.offset;
		listeners_mask = (uint64_t)tables.listeners.count - 1;
	}
	error = socket_table_walk(
		list, (struct socket_table){{listeners + tables.head.offset}, listeners_mask + 1, tables.listener_size},
		visit_inet, &walk);
	if (!error)
		error = socket_table_walk(list, (struct socket_table){{connections}, mask + 1, sizeof(uint64_t)},
					  visit_inet, &walk);
	return error;
}

/* ---- UDP and raw ---- */

/* A table can be a namespace's own (6.2, 9804985bf27f). */
static struct error *find_udp_table(struct socket_list *list, enum guest_socket_kind kind, struct gva *ret)
{
	struct member own = types_find(list->guest->types, "net", "ipv4.udp_table");

	if (kind == GUEST_SOCKET_UDP && own.present)
		return guest_read_member(list->guest, list->net, &own, &ret->v);
	return symbols_get(list->guest->symbols, kind == GUEST_SOCKET_UDP ? "udp_table" : "udplite_table", ret);
}

static struct error *walk_udp(struct socket_list *list, enum guest_socket_kind kind)
{
	struct guest *guest = list->guest;
	struct inet_walk walk = {.kind = kind, .span = list->layout.span};
	struct member hash, mask, head;
	const struct member_need needs[] = {
		{"udp_table", "hash", &hash},
		{"udp_table", "mask", &mask},
		{"udp_hslot", "head", &head},
	};
	const struct member_need sock[] = {{"udp_sock", "forward_deficit", &walk.deficit, .optional = true}};
	uint64_t chains, last;
	const struct member_read reads[] = {{&hash, &chains}, {&mask, &last}};
	struct gva table;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = object_need(guest->types, sock, ARRAY_SIZE(sock), &walk.span);
	if (!error)
		error = find_udp_table(list, kind, &table);
	if (!error)
		error = guest_read_members(guest, table, reads, ARRAY_SIZE(reads));
	if (error)
		return walk_note(&list->list->incomplete, error_wrap(error, "UDP"));
	return socket_table_walk(
		list, (struct socket_table){{chains + head.offset}, last + 1, types_size(guest->types, "udp_hslot")},
		visit_inet, &walk);
}

static struct error *walk_raw(struct socket_list *list, const char *symbol)
{
	struct inet_walk walk = {.kind = GUEST_SOCKET_RAW, .span = list->layout.span};
	struct member chains;
	struct gva table;
	struct error *error = types_need(list->guest->types, &(struct member_need){"raw_hashinfo", "ht", &chains}, 1);

	if (!error)
		error = symbols_get(list->guest->symbols, symbol, &table);
	if (error)
		return walk_note(&list->list->incomplete, error_wrap(error, "raw sockets"));
	return socket_table_walk(list, (struct socket_table){{table.v + chains.offset}, RAW_CHAINS, sizeof(uint64_t)},
				 visit_inet, &walk);
}

static struct error *walk_ping(struct socket_list *list)
{
	struct inet_walk walk = {.kind = GUEST_SOCKET_PING, .span = list->layout.span};
	struct member chains = types_find(list->guest->types, "ping_table", "hash");
	struct gva table;

	if (!chains.present || !symbols_find(list->guest->symbols, "ping_table", &table))
		return NULL;
	return socket_table_walk(list, (struct socket_table){{table.v + chains.offset}, PING_CHAINS, sizeof(uint64_t)},
				 visit_inet, &walk);
}

struct error *sockets_inet(struct socket_list *list)
{
	struct gva table;
	struct error *error = walk_tcp(list);

	if (!error)
		error = walk_udp(list, GUEST_SOCKET_UDP);
	/* Gone in 7.1. */
	if (!error && symbols_find(list->guest->symbols, "udplite_table", &table))
		error = walk_udp(list, GUEST_SOCKET_UDPLITE);
	if (!error)
		error = walk_raw(list, "raw_v4_hashinfo");
	/* In a module, or not there at all, on some kernels. */
	if (!error && symbols_find(list->guest->symbols, "raw_v6_hashinfo", &table))
		error = walk_raw(list, "raw_v6_hashinfo");
	if (!error)
		error = walk_ping(list);
	return error;
}
