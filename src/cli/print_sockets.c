/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "cli/escape.h"
#include "cli/json_out.h"
#include "cli/print.h"
#include "cli/table.h"

#define UNIX_LISTENS (1u << 16) /* __SO_ACCEPTCON, as /proc/net/unix shows it */

const char *socket_netid(const struct guest_socket *socket)
{
	switch (socket->kind) {
	case GUEST_SOCKET_TCP:
		return "tcp";
	case GUEST_SOCKET_UDP:
		return "udp";
	case GUEST_SOCKET_UDPLITE:
		return "udplite";
	case GUEST_SOCKET_RAW:
		return "raw";
	case GUEST_SOCKET_PING:
		return socket->family == 6 ? "icmp6" : "icmp";
	default:
		return socket->type == 1 ? "u_str" : socket->type == 2 ? "u_dgr" : socket->type == 5 ? "u_seq" : "unix";
	}
}

/* In ss's words. */
const char *socket_state(const struct guest_socket *socket)
{
	static const char *const tcp_states[] = {
		"UNKNOWN", "ESTAB",      "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT",
		"UNCONN",  "CLOSE-WAIT", "LAST-ACK", "LISTEN",   "CLOSING",    "SYN-RECV",
	};
	/* SS_* of linux/net.h. */
	static const char *const unix_states[] = {"UNKNOWN", "UNCONN", "SYN-SENT", "ESTAB", "CLOSING"};

	if (socket->kind != GUEST_SOCKET_UNIX)
		return socket->state < ARRAY_SIZE(tcp_states) ? tcp_states[socket->state] : "UNKNOWN";
	if (socket->flags & UNIX_LISTENS)
		return "LISTEN";
	return socket->state < ARRAY_SIZE(unix_states) ? unix_states[socket->state] : "UNKNOWN";
}

struct view {
	const struct guest_socket **items;
	const struct sockets_view *with;
};

static void format_address(const struct guest_socket *socket, const uint8_t address[16], char text[INET6_ADDRSTRLEN])
{
	if (!inet_ntop(socket->family == 6 ? AF_INET6 : AF_INET, address, text, INET6_ADDRSTRLEN))
		*text = 0;
}

/* The interface's name, escaped; its number where the guest has none of that number. */
static char *interface_name(const struct sockets_view *with, uint32_t index)
{
	for (size_t i = 0; with->interfaces && i < with->interfaces->n; i++) {
		const struct guest_interface *interface = &with->interfaces->items[i];

		if (interface->index == index)
			return escape_text(interface->name, strnlen(interface->name, sizeof(interface->name)),
					   ESCAPE_TEXT);
	}
	return string_format("%u", index);
}

/* "127.0.0.1", "[fe80::1]", "*" for any address of both families. */
static void format_host(const struct guest_socket *socket, const uint8_t address[16], char text[INET6_ADDRSTRLEN + 2])
{
	static const uint8_t any[16];
	char plain[INET6_ADDRSTRLEN];

	format_address(socket, address, plain);
	if (socket->family == 6 && !socket->ipv6_only && !memcmp(address, any, sizeof(any)))
		strcpy(text, "*");
	else
		sprintf(text, socket->family == 6 ? "[%s]" : "%s", plain);
}

/* "127.0.0.1:22", "[fe80::1]%eth0:546", "*" for no port. */
static char *inet_cell(const struct view *view, const struct guest_socket *socket, bool local)
{
	bool scoped = local && socket->interface;
	_cleanup_(free_ptr) char *interface = scoped ? interface_name(view->with, socket->interface) : strdup("");
	uint16_t number = local ? socket->local_port : socket->remote_port;
	char host[INET6_ADDRSTRLEN + 2], port[8] = "*";

	if (!interface)
		return NULL;
	format_host(socket, local ? socket->local : socket->remote, host);
	if (number)
		snprintf(port, sizeof(port), "%u", number);
	return string_format("%s%s%s:%s", host, scoped ? "%" : "", interface, port);
}

/* Names of the abstract space begin with a NUL, which is written as "@", as ss and /proc/net/unix do. */
static char *unix_name(const struct guest_bytes *path)
{
	_cleanup_(free_ptr) char *text = NULL;

	if (!path->data || path->size == 0)
		return strdup("*");
	if (path->data[0])
		return escape_text(path->data, path->size, ESCAPE_TEXT);
	text = escape_text(path->data + 1, path->size - 1, ESCAPE_TEXT);
	return text ? string_format("@%s", text) : NULL;
}

static char *unix_cell(const struct guest_socket *socket, bool local)
{
	_cleanup_(free_ptr) char *name = local ? unix_name(&socket->path) : strdup("*");

	return name ? string_format("%s %" PRIu64, name, local ? socket->inode : socket->peer_inode) : NULL;
}

/* users:(("nginx",pid=268,fd=6),…) */
static char *owners_cell(const struct sockets_view *with, const struct guest_socket *socket)
{
	size_t n = 0, size;
	const struct socket_owner *owner = with->owners ? socket_owners_find(with->owners, socket->inode, &n) : NULL;
	char *text = NULL;
	FILE *stream;

	if (!owner)
		return strdup("");
	stream = open_memstream(&text, &size);
	if (!stream)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		fputs(i ? ",(\"" : "users:((\"", stream);
		escape_print(stream, owner[i].comm, strnlen(owner[i].comm, sizeof(owner[i].comm)), ESCAPE_TEXT);
		fprintf(stream, "\",pid=%u,fd=%u)", owner[i].pid, owner[i].fd);
	}
	fputc(')', stream);
	if (fclose(stream) == 0)
		return text;
	free(text);
	return NULL;
}

static char *cell(const void *data, size_t row, size_t column)
{
	const struct view *view = data;
	const struct guest_socket *socket = view->items[row];
	bool local = column == 4;

	switch (column) {
	case 0:
		return strdup(socket_netid(socket));
	case 1:
		return strdup(socket_state(socket));
	case 2:
		return string_format("%u", socket->receive_queue);
	case 3:
		return string_format("%u", socket->send_queue);
	case 4:
	case 5:
		return socket->kind == GUEST_SOCKET_UNIX ? unix_cell(socket, local) : inet_cell(view, socket, local);
	default:
		return owners_cell(view->with, socket);
	}
}

static bool is_shown(const struct guest_socket *socket, const struct sockets_view *view)
{
	if (view->kinds && !(view->kinds >> socket->kind & 1))
		return false;
	return !view->listening || !strcmp(socket_state(socket), "LISTEN") ||
	       (socket->kind != GUEST_SOCKET_UNIX && socket->kind != GUEST_SOCKET_TCP &&
		!strcmp(socket_state(socket), "UNCONN"));
}

struct error *print_sockets(FILE *stream, const struct guest_socket_list *list, const struct sockets_view *with)
{
	static const char *const titles[] = {
		"Netid", "State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port", "Process",
	};
	_cleanup_(free_ptr) const struct guest_socket **items = calloc(list->n + 1, sizeof(*items));
	struct view view = {items, with};
	struct table table = {
		.titles = titles,
		.n_columns = with->owners ? ARRAY_SIZE(titles) : ARRAY_SIZE(titles) - 1,
		.gap = 1,
		.cell = cell,
		.data = &view,
	};

	if (!items)
		return error_no_memory();
	for (size_t i = 0; i < list->n; i++)
		if (is_shown(&list->items[i], with))
			items[table.n_rows++] = &list->items[i];
	return table_print(stream, &table);
}

static void put_inet(struct json_out *out, const struct guest_socket *socket)
{
	char address[INET6_ADDRSTRLEN];

	format_address(socket, socket->local, address);
	json_out_text(out, "local_address", address);
	json_out_u64(out, "local_port", socket->local_port);
	format_address(socket, socket->remote, address);
	json_out_text(out, "peer_address", address);
	json_out_u64(out, "peer_port", socket->remote_port);
	json_out_bool(out, "ipv6_only", socket->ipv6_only);
	json_out_u64(out, "interface", socket->interface);
}

static void put_unix(struct json_out *out, const struct guest_socket *socket)
{
	const struct guest_bytes *path = &socket->path;
	bool abstract = path->data && path->size && path->data[0] == 0;

	/* The NUL that makes it abstract is said by a member of its own. */
	json_out_bytes(out, "path", abstract ? path->data + 1 : path->data, abstract ? path->size - 1 : path->size);
	json_out_bool(out, "abstract", abstract);
	json_out_u64(out, "peer_inode", socket->peer_inode);
}

static void put_owners(struct json_out *out, const struct socket_owners *owners, uint64_t inode)
{
	size_t n;
	const struct socket_owner *owner = socket_owners_find(owners, inode, &n);

	json_out_array_begin(out, "processes");
	for (size_t i = 0; i < n; i++) {
		json_out_object_begin(out, NULL);
		json_out_u64(out, "pid", owner[i].pid);
		json_out_u64(out, "fd", owner[i].fd);
		json_out_bytes(out, "comm", owner[i].comm, strnlen(owner[i].comm, sizeof(owner[i].comm)));
		json_out_object_end(out);
	}
	json_out_array_end(out);
}

static void put_socket(struct json_out *out, const struct guest_socket *socket, const struct sockets_view *with)
{
	json_out_entry_begin(out);
	json_out_text(out, "netid", socket_netid(socket));
	json_out_u64(out, "family", socket->family);
	json_out_text(out, "state", socket_state(socket));
	json_out_u64(out, "recv_q", socket->receive_queue);
	json_out_u64(out, "send_q", socket->send_queue);
	if (socket->kind == GUEST_SOCKET_UNIX)
		put_unix(out, socket);
	else
		put_inet(out, socket);
	json_out_u64(out, "uid", socket->uid);
	json_out_u64(out, "inode", socket->inode);
	if (with->owners)
		put_owners(out, with->owners, socket->inode);
	json_out_object_end(out);
}

void print_sockets_json(FILE *stream, const struct guest_socket_list *list, const struct sockets_view *with,
			const char *incomplete)
{
	struct json_out out = json_out_begin(stream);

	json_out_list_begin(&out, "sockets");
	for (size_t i = 0; i < list->n && !ferror(stream); i++)
		if (is_shown(&list->items[i], with))
			put_socket(&out, &list->items[i], with);
	json_out_list_end(&out);
	json_out_end(&out, incomplete);
}
