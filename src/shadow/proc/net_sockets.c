/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net/{tcp,udp,udplite,raw,icmp}{,6} and unix (net/ipv4/{tcp_ipv4,udp,raw,ping}.c, net/unix/af_unix.c). */
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "shadow/proc/net.h"

/* Widths to which lines are padded, without the newline. */
#define TCP_WIDTH      149
#define DATAGRAM_WIDTH 127

#define STATE_LISTEN   10u

#define ADDRESS_SIZE   48u /* eight digits a word, a port, NUL */

/* An address is shown as words in the guest's byte order, which is ours: x86-64 alone is read. */
static void address_text(const struct guest_socket *socket, const uint8_t *bytes, uint16_t port, char ret[ADDRESS_SIZE])
{
	uint32_t words[4];

	memcpy(words, bytes, sizeof(words));
	if (socket->family == 4)
		snprintf(ret, ADDRESS_SIZE, "%08" PRIX32 ":%04X", words[0], port);
	else
		snprintf(ret, ADDRESS_SIZE, "%08" PRIX32 "%08" PRIX32 "%08" PRIX32 "%08" PRIX32 ":%04X", words[0],
			 words[1], words[2], words[3], port);
}

struct line {
	const struct guest_socket *socket;
	char local[ADDRESS_SIZE], remote[ADDRESS_SIZE], pointer[GUEST_POINTER_SIZE];
};

static void make_line(const struct guest_pointers *pointers, const struct guest_socket *socket, struct line *ret)
{
	ret->socket = socket;
	address_text(socket, socket->local, socket->local_port, ret->local);
	address_text(socket, socket->remote, socket->remote_port, ret->remote);
	guest_pointer_text(pointers, socket->address, ret->pointer);
}

static void write_tcp_line(const struct line *line, uint64_t number, FILE *out)
{
	const struct guest_socket *socket = line->socket;
	const bool listens = socket->state == STATE_LISTEN;
	int n;

	n = fprintf(out,
		    "%4" PRIu64 ": %s %s %02X %08" PRIX32 ":%08" PRIX32 " %02X:%08" PRIX64 " %08" PRIX32 " %5" PRIu32
		    " %8" PRIu32 " %" PRIu64 " %" PRIu32 " %s",
		    number, line->local, line->remote, socket->state, listens ? 0 : socket->send_queue,
		    socket->receive_queue, socket->timer, socket->timer_ticks, socket->retransmits, socket->uid,
		    socket->probes, socket->inode, socket->references, line->pointer);
	if (!socket->stand_in)
		n += fprintf(out, " %" PRIu64 " %" PRIu64 " %" PRIu32 " %" PRIu32 " %" PRId32, socket->rto_ticks,
			     socket->ato_ticks, socket->ack_mode, socket->window, socket->threshold);
	net_pad(out, n, socket->family == 4 ? TCP_WIDTH : 0);
}

static void write_datagram_line(const struct line *line, bool raw, int width, FILE *out)
{
	const struct guest_socket *socket = line->socket;
	int n;

	/* Those of IPv6 and of UDP have a wider first column than raw ones of IPv4. */
	n = fprintf(out,
		    "%*" PRIu32 ": %s %s %02X %08" PRIX32 ":%08" PRIX32 " 00:00000000 00000000 %5" PRIu32
		    "        0 %" PRIu64 " %" PRIu32 " %s %" PRIu32,
		    raw && socket->family == 4 ? 4 : 5, socket->chain, line->local, line->remote, socket->state,
		    socket->send_queue, socket->receive_queue, socket->uid, socket->inode, socket->references,
		    line->pointer, socket->drops);
	net_pad(out, n, width);
}

#define COLUMNS_IPV4 "local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
#define COLUMNS_IPV6                                                                                                   \
	"local_address                         remote_address                        st tx_queue rx_queue tr "         \
	"tm->when retrnsmt   uid  timeout inode"
#define COLUMNS_DATAGRAM " ref pointer drops"

static struct error *write_inet(const struct proc_facts *facts, uint64_t task, enum guest_socket_kind kind,
				unsigned family, FILE *out)
{
	_cleanup_(guest_socket_list_deinit) struct guest_socket_list sockets = {0};
	const bool tcp = kind == GUEST_SOCKET_TCP, raw = kind == GUEST_SOCKET_RAW;
	const int width = raw || family == 6 ? 0 : tcp ? TCP_WIDTH : DATAGRAM_WIDTH;
	struct guest_pointers pointers;
	uint64_t number = 0;
	struct error *error;

	if (!guest_knows_sockets(facts->guest, kind, family))
		return error_create(ERROR_NOT_FOUND, "the guest's kernel has no such sockets");
	error = guest_pointers(facts->guest, &pointers);
	if (!error)
		error = PROC_LIST(guest_sockets(facts->guest, task, &sockets), sockets);
	if (error)
		return error;
	net_pad(out,
		fprintf(out, "%s%s%s",
			(kind == GUEST_SOCKET_UDP || kind == GUEST_SOCKET_UDPLITE) && family == 4 ? "   sl  "
												  : "  sl  ",
			family == 4 ? COLUMNS_IPV4 : COLUMNS_IPV6, tcp ? "" : COLUMNS_DATAGRAM),
		width);
	for (size_t i = 0; i < sockets.n; i++) {
		const struct guest_socket *socket = &sockets.items[i];
		struct line line;

		if (socket->kind != kind || socket->family != family)
			continue;
		make_line(&pointers, socket, &line);
		if (tcp)
			write_tcp_line(&line, number++, out);
		else
			write_datagram_line(&line, raw, width, out);
	}
	return NULL;
}

#define INET_FILE(function, kind, family)                                                                              \
	struct error *net_write_##function(const struct proc_facts *facts, uint64_t task, FILE *out)                   \
	{                                                                                                              \
		return write_inet(facts, task, kind, family, out);                                                     \
	}

INET_FILE(tcp, GUEST_SOCKET_TCP, 4)
INET_FILE(tcp6, GUEST_SOCKET_TCP, 6)
INET_FILE(udp, GUEST_SOCKET_UDP, 4)
INET_FILE(udp6, GUEST_SOCKET_UDP, 6)
INET_FILE(udplite, GUEST_SOCKET_UDPLITE, 4)
INET_FILE(udplite6, GUEST_SOCKET_UDPLITE, 6)
INET_FILE(raw, GUEST_SOCKET_RAW, 4)
INET_FILE(raw6, GUEST_SOCKET_RAW, 6)
INET_FILE(icmp, GUEST_SOCKET_PING, 4)
INET_FILE(icmp6, GUEST_SOCKET_PING, 6)

/* Abstract names begin with a NUL; wherever one stands in a name, it is shown as @. */
static void write_path(const struct guest_bytes *path, FILE *out)
{
	fputc(' ', out);
	for (size_t i = 0; i < path->size; i++)
		fputc(path->data[i] ? path->data[i] : '@', out);
}

struct error *net_write_unix(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_socket_list_deinit) struct guest_socket_list sockets = {0};
	struct guest_pointers pointers;
	struct error *error = guest_pointers(facts->guest, &pointers);

	if (!error)
		error = PROC_LIST(guest_sockets(facts->guest, task, &sockets), sockets);
	if (error)
		return error;
	fputs("Num       RefCount Protocol Flags    Type St Inode Path\n", out);
	for (size_t i = 0; i < sockets.n; i++) {
		const struct guest_socket *socket = &sockets.items[i];
		char pointer[GUEST_POINTER_SIZE];

		if (socket->kind != GUEST_SOCKET_UNIX)
			continue;
		guest_pointer_text(&pointers, socket->address, pointer);
		fprintf(out, "%s: %08" PRIX32 " 00000000 %08" PRIX32 " %04X %02X %5" PRIu64, pointer,
			socket->references, socket->flags, socket->type, socket->state, socket->inode);
		if (socket->path.data)
			write_path(&socket->path, out);
		fputc('\n', out);
	}
	return NULL;
}
