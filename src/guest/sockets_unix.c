/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets, in the order of /proc/net/unix (net/unix/af_unix.c). */
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/network.h"

#define CHAINS            512u     /* 2 * UNIX_HASH_SIZE before 6.0, UNIX_HASH_SIZE since */
#define FLAG_LISTENS      0x10000u /* __SO_ACCEPTCON */
#define PATH_MAX_SIZE     108u     /* sun_path */

/* Of struct sock, which unix sockets use with TCP's numbers. */
#define STATE_ESTABLISHED 1u
#define STATE_LISTEN      10u

#define TYPE_STREAM       1u
#define TYPE_SEQPACKET    5u
/* Messages that wait in one socket. */
#define MESSAGES_MAX      100000u

/* What /proc/net/unix shows: enum socket_state. */
enum {
	SHOWN_UNCONNECTED = 1,
	SHOWN_CONNECTING = 2,
	SHOWN_CONNECTED = 3,
	SHOWN_DISCONNECTING = 4
};

struct unix_layout {
	struct object_span span;
	struct member address, peer, length;
	uint32_t name; /* where the name (a struct sockaddr_un) is behind its struct unix_address */
	struct member message_length;
	uint32_t consumed; /* offset in a struct sk_buff */
};

static struct error *load_layout(struct guest *guest, const struct socket_layout *sock, struct unix_layout *ret)
{
	struct member control, consumed;
	const struct types *types;
	const struct member_need own[] = {{"unix_sock", "addr", &ret->address}, {"unix_sock", "peer", &ret->peer}};
	const struct member_need needs[] = {
		{"unix_address", "len", &ret->length},
		{"sk_buff", "len", &ret->message_length},
		{"sk_buff", "cb", &control},
		{"unix_skb_parms", "consumed", &consumed},
	};
	struct error *error = guest_module_types(guest, "unix", &types);

	*ret = (struct unix_layout){.span = sock->span};
	if (!error)
		error = object_need(types, own, ARRAY_SIZE(own), &ret->span);
	if (!error)
		error = types_need(types, needs, ARRAY_SIZE(needs));
	if (error)
		return error;
	ret->name = types_size(types, "unix_address");
	ret->consumed = control.offset + consumed.offset;
	return NULL;
}

static struct error *read_name(struct guest *guest, const struct unix_layout *layout, uint64_t address,
			       struct guest_bytes *ret)
{
	char name[2 + PATH_MAX_SIZE + 1];
	uint64_t length;
	struct error *error;

	if (!address)
		return NULL;
	error = guest_read_member(guest, (struct gva){address}, &layout->length, &length);
	if (error)
		return error;
	if (length < 2 || length > sizeof(name))
		return error_format(NULL, address, "the name of a unix socket has %llu bytes",
				    (unsigned long long)length);
	error = memory_read(&guest->memory, (struct gva){address + layout->name}, name, length);
	if (error || length == 2)
		return error;
	/* The family comes first; a path in the file system has its NUL counted. */
	ret->size = length - 2;
	if (name[2] != '\0')
		ret->size = strnlen(name + 2, ret->size);
	ret->data = malloc(ret->size + 1);
	if (!ret->data)
		return error_no_memory();
	memcpy(ret->data, name + 2, ret->size);
	ret->data[ret->size] = '\0';
	return NULL;
}

/* ---- Queues, as ss shows them (unix_diag) ---- */

struct queue {
	const struct unix_layout *layout;
	bool stream; /* bytes count, whatever message they came in */
	uint64_t n, bytes;
};

/* Bytes of a message that are not read yet. */
static struct error *visit_message(struct guest *guest, struct gva message, void *context)
{
	struct queue *queue = context;
	uint64_t length;
	uint32_t consumed;
	struct error *error = guest_read_member(guest, message, &queue->layout->message_length, &length);

	if (!error)
		error = memory_read_u32(&guest->memory, (struct gva){message.v + queue->layout->consumed}, &consumed);
	if (error)
		return error;
	if (++queue->n > MESSAGES_MAX)
		return error_format(NULL, message.v, "a unix socket has more than %u messages", MESSAGES_MAX);
	/* Of datagrams only the first counts. */
	if (queue->stream || queue->n == 1)
		queue->bytes += length - consumed;
	return NULL;
}

static struct error *read_queues(struct socket_list *list, const struct unix_layout *layout, struct gva address,
				 const uint8_t *sock, struct guest_socket *ret)
{
	const uint64_t state = object_field(sock, &list->layout.state);
	struct queue queue = {.layout = layout, .stream = ret->type == TYPE_STREAM || ret->type == TYPE_SEQPACKET};
	struct error *error;

	if (state == STATE_LISTEN) {
		ret->receive_queue = (uint32_t)object_field(sock, &list->layout.queue_length);
		ret->send_queue = (uint32_t)object_field(sock, &list->layout.backlog_max);
		return NULL;
	}
	ret->send_queue = (uint32_t)object_field(sock, &list->layout.write_memory) - 1;
	error = list_walk(list->guest, (struct gva){address.v + list->layout.receive_queue.offset}, 0, visit_message,
			  &queue);
	ret->receive_queue = (uint32_t)queue.bytes;
	return error;
}

/* ---- Sockets ---- */

static struct error *read_peer(struct guest *guest, const struct socket_layout *layout, uint64_t peer,
			       struct guest_socket *ret)
{
	struct guest_socket other = {0};
	uint8_t sock[OBJECT_MAX];
	struct error *error;

	if (!peer)
		return NULL;
	error = object_read(guest, (struct gva){peer}, layout->span, sock);
	if (!error)
		error = socket_owner(guest, layout, sock, &other);
	if (!error)
		ret->peer_inode = other.inode;
	return error;
}

static uint8_t shown_state(uint64_t state, bool has_file)
{
	if (has_file)
		return state == STATE_ESTABLISHED ? SHOWN_CONNECTED : SHOWN_UNCONNECTED;
	return state == STATE_ESTABLISHED ? SHOWN_CONNECTING : SHOWN_DISCONNECTING;
}

static struct error *visit_unix(struct socket_list *list, struct gva address, void *context)
{
	const struct unix_layout *layout = context;
	const struct socket_layout *common = &list->layout;
	struct guest_socket socket = {.kind = GUEST_SOCKET_UNIX, .address = address.v};
	uint8_t sock[OBJECT_MAX];
	struct error *error = object_read(list->guest, address, layout->span, sock);
	uint64_t state;

	if (error || (common->net.present && object_field(sock, &common->net) != list->net.v))
		return error;
	if (object_field(sock, &common->family) != 1)
		return error_format(NULL, address.v, "a unix socket of the guest has another address family");
	state = object_field(sock, &common->state);
	socket.type = (uint16_t)object_field(sock, &common->type);
	socket.state = shown_state(state, object_field(sock, &common->socket) != 0);
	socket.flags = state == STATE_LISTEN ? FLAG_LISTENS : 0;
	socket.references = (uint32_t)object_field(sock, &common->references);
	error = socket_owner(list->guest, common, sock, &socket);
	if (!error)
		error = read_peer(list->guest, common, object_field(sock, &layout->peer), &socket);
	if (!error)
		error = read_queues(list, layout, address, sock, &socket);
	if (!error)
		error = read_name(list->guest, layout, object_field(sock, &layout->address), &socket.path);
	if (!error)
		error = socket_append(list, &socket);
	if (error)
		free(socket.path.data);
	return error;
}

/* Each namespace has its table since 6.0 (b6e811383062); before, the kernel has one. */
static struct error *find_table(struct socket_list *list, struct gva *ret)
{
	struct member own = types_find(list->guest->types, "net", "unx.table.buckets");

	if (own.present)
		return guest_read_member(list->guest, list->net, &own, &ret->v);
	return symbols_get(list->guest->symbols, "unix_socket_table", ret);
}

struct error *sockets_unix(struct socket_list *list)
{
	struct unix_layout layout;
	struct gva table;
	struct error *error = load_layout(list->guest, &list->layout, &layout);

	if (!error)
		error = find_table(list, &table);
	if (error)
		return walk_note(&list->list->incomplete, error_wrap(error, "unix sockets"));
	return socket_table_walk(list, (struct socket_table){table, CHAINS, sizeof(uint64_t)}, visit_unix, &layout);
}
