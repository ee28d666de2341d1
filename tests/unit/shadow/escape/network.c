/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts over the network, and on the sockets of the host. */
#include "tests/unit/shadow/escape/escape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(const char *address)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)given_number("CANARY_PORT"))};
	struct timeval limit = {.tv_sec = 3};
	char byte;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, address, &to.sin_addr);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -1;
	/* slirp4netns accepts for somebody who may then refuse: the host's server sends a byte. */
	return recv(fd, &byte, 1, 0) == 1 ? 0 : -1;
}

static int host_loopback(void)
{
	return connect_to("127.0.0.1");
}

static int host_gateway(void)
{
	return connect_to("10.0.2.2");
}

static int host_address(void)
{
	return connect_to(given("CANARY_HOST"));
}

static int abstract_socket(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *name = given("CANARY_ABSTRACT");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strncpy(to.sun_path + 1, name, sizeof(to.sun_path) - 2);
	if (fd < 0)
		return -1;
	return connect(fd, (struct sockaddr *)&to,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
}

static int packet_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0);
}

static int raw_socket(void)
{
	return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static int vm_socket(void)
{
	return socket(AF_VSOCK, SOCK_STREAM, 0);
}

static int crypto_socket(void)
{
	return socket(AF_ALG, SOCK_SEQPACKET, 0);
}

static int device_events(void)
{
	return socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT);
}

static int audit(void)
{
	return socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);
}

static int packet_filter(void)
{
	return socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
}

static int change_interface(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_mtu = 1400};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? -1 : ioctl(fd, SIOCSIFMTU, &request);
}

const struct attempt network_attempts[] = {
	{"host-loopback", host_loopback},
	{"host-gateway", host_gateway},
	{"host-address", host_address},
	{"abstract-socket", abstract_socket},
	{"packet-socket", packet_socket},
	{"raw-socket", raw_socket},
	{"vm-socket", vm_socket},
	{"crypto-socket", crypto_socket},
	{"device-events", device_events},
	{"audit", audit},
	{"packet-filter", packet_filter},
	{"change-interface", change_interface},
	{0},
};
