/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of every kind and state. */
#define _GNU_SOURCE
#include "actor.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netpacket/packet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_storage inet(const char *address, int port, socklen_t *size)
{
	struct sockaddr_storage result = {0};
	struct sockaddr_in *four = (void *)&result;
	struct sockaddr_in6 *six = (void *)&result;

	if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)port);
		*size = sizeof(*four);
		return result;
	}
	memset(&result, 0, sizeof(result));
	if (inet_pton(AF_INET6, address, &six->sin6_addr) != 1)
		die(address);
	six->sin6_family = AF_INET6;
	six->sin6_port = htons((uint16_t)port);
	*size = sizeof(*six);
	return result;
}

static int bound(int type, const char *address, int port)
{
	socklen_t size;
	struct sockaddr_storage to = inet(address, port, &size);
	int fd = socket(to.ss_family, type, 0), one = 1;

	MUST(fd);
	MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	if (to.ss_family == AF_INET6 && !strcmp(address, "::1"))
		MUST(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)));
	if (bind(fd, (void *)&to, size) < 0)
		die(address);
	return fd;
}

static int listening(const char *address, int port, int backlog)
{
	int fd = bound(SOCK_STREAM, address, port);

	MUST(listen(fd, backlog));
	return fd;
}

static int connected(int type, const char *address, int port)
{
	socklen_t size;
	struct sockaddr_storage to = inet(address, port, &size);
	int fd = socket(to.ss_family, type, 0);

	MUST(fd);
	if (connect(fd, (void *)&to, size) < 0)
		die(address);
	return fd;
}

static void make_tcp(void)
{
	int four = listening("127.0.0.1", 8080, 5), six = listening("::1", 8081, 128), any = listening("::", 8082, 16);
	int wild = listening("0.0.0.0", 8083, 1), client, server;

	MUST(setsockopt(wild, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	client = connected(SOCK_STREAM, "127.0.0.1", 8080);
	server = accept(four, NULL, NULL);
	/* Data that nobody reads. */
	MUST(write(client, "unread data", 11));
	connected(SOCK_STREAM, "::1", 8081);
	accept(six, NULL, NULL);
	/* IPv4 in an IPv6 socket; and one that waits in the listener's queue. */
	connected(SOCK_STREAM, "::ffff:127.0.0.1", 8082);
	accept(any, NULL, NULL);
	connected(SOCK_STREAM, "127.0.0.1", 8082);
	/* Half closed: FIN_WAIT2 here, CLOSE_WAIT there. */
	client = connected(SOCK_STREAM, "127.0.0.1", 8080);
	server = accept(four, NULL, NULL);
	MUST(shutdown(client, SHUT_WR));
	/* Closed: TIME_WAIT belongs to no file. */
	client = connected(SOCK_STREAM, "127.0.0.1", 8080);
	server = accept(four, NULL, NULL);
	close(client);
	close(server);
	client = connected(SOCK_STREAM, "::1", 8081);
	server = accept(six, NULL, NULL);
	close(client);
	close(server);
	/* Bound, no more; nothing at all. */
	bound(SOCK_STREAM, "127.0.0.1", 8090);
	MUST(socket(AF_INET, SOCK_STREAM, 0));
}

/* Asks one that will never answer. */
static void make_waiting(void)
{
	socklen_t size;
	struct sockaddr_storage to = inet("192.0.2.77", 80, &size);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	connect(fd, (void *)&to, size);
}

static void make_datagrams(void)
{
	int fd = bound(SOCK_DGRAM, "127.0.0.1", 5353);

	bound(SOCK_DGRAM, "0.0.0.0", 68);
	bound(SOCK_DGRAM, "::", 546);
	connected(SOCK_DGRAM, "::1", 546);
	fd = connected(SOCK_DGRAM, "127.0.0.1", 5353);
	MUST(write(fd, "datagram", 8));
	MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	MUST(socket(AF_INET, SOCK_RAW, IPPROTO_RAW));
	MUST(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
	TRY(socket(AF_PACKET, SOCK_DGRAM, 0));
	MUST(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int unix_bound(int type, const void *path, size_t size)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type, 0);

	memcpy(to.sun_path, path, size);
	MUST(bind(fd, (void *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)));
	return fd;
}

static int unix_connected(int type, const void *path, size_t size)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type, 0);

	memcpy(to.sun_path, path, size);
	MUST(connect(fd, (void *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)));
	return fd;
}

#define PATH(text)     text, sizeof(text)
#define ABSTRACT(text) text, sizeof(text) - 1

static void make_unix(void)
{
	static char longest[108];
	int fd, pair[2];

	fd = unix_bound(SOCK_STREAM, PATH("/run/stream.sock"));
	MUST(listen(fd, 7));
	unix_connected(SOCK_STREAM, PATH("/run/stream.sock"));
	accept(fd, NULL, NULL);
	/* In the queue. */
	unix_connected(SOCK_STREAM, PATH("/run/stream.sock"));
	unix_bound(SOCK_DGRAM, PATH("/run/dgram.sock"));
	fd = unix_connected(SOCK_DGRAM, PATH("/run/dgram.sock"));
	MUST(write(fd, "waits", 5));
	fd = unix_bound(SOCK_SEQPACKET, ABSTRACT("\0abstract name"));
	MUST(listen(fd, 3));
	unix_connected(SOCK_SEQPACKET, ABSTRACT("\0abstract name"));
	unix_bound(SOCK_DGRAM, ABSTRACT("\0nul\0inside\xff\n"));
	unix_bound(SOCK_DGRAM, PATH("/run/new\nline \xff.sock"));
	MUST(chdir("/run"));
	unix_bound(SOCK_STREAM, PATH("relative.sock"));
	MUST(chdir("/"));
	fd = unix_bound(SOCK_STREAM, PATH("/run/unlinked.sock"));
	MUST(unlink("/run/unlinked.sock"));
	memset(longest, 'u', sizeof(longest));
	memcpy(longest, "/run/", 5);
	unix_bound(SOCK_DGRAM, longest, sizeof(longest));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	MUST(write(pair[0], "unread", 6));
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	close(pair[1]);
	MUST(socket(AF_UNIX, SOCK_STREAM, 0));
}

void act_sockets(void)
{
	make_unix();
	make_datagrams();
	make_waiting();
	/* Another user's. */
	MUST(seteuid(1234));
	bound(SOCK_DGRAM, "127.0.0.1", 6000);
	unix_bound(SOCK_DGRAM, ABSTRACT("\0of another user"));
	MUST(seteuid(0));
	make_tcp();
}
