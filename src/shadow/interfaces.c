/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's network interfaces, made anew in the network namespace of a run, so that the kernel itself answers for
 * them: names, numbers, addresses, state, routes. Each is a tap whose other end nobody reads: it has a carrier, and
 * what is sent through it is dropped. Nothing can come in or go out by it, and the guest's root has no right over it.
 *
 * Only what looks like Ethernet can be made so; others, and what this host refuses, are missing.
 */
#include "shadow/interfaces.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define INTERFACES_MAX  64u
#define ADDRESSES_MAX   64u /* of one interface */
#define ROUTES_MAX      1024u
#define REPLY_MAX       4096u
#define QUEUE_MAX       10000u /* packets: memory of the host's, if anything ever waited */

#define OPERSTATE_DOWN  2
#define OPERSTATE_UP    6
#define NO_CARRIER_DOWN 3 /* IF_OPER_LOWERLAYERDOWN */

/* A request under way. */
struct message {
	union {
		struct nlmsghdr header;
		char space[1024];
	};
};

struct maker {
	int netlink;
	bool network; /* the namespace has a way out, which must go on working */
};

/* Room for one more attribute of `size` bytes; requests are small and of fixed shape. */
static void add(struct message *message, unsigned short type, const void *data, size_t size)
{
	struct rtattr *attribute = (struct rtattr *)(message->space + NLMSG_ALIGN(message->header.nlmsg_len));

	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(size);
	memcpy(RTA_DATA(attribute), data, size);
	message->header.nlmsg_len = NLMSG_ALIGN(message->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

static void add_number(struct message *message, unsigned short type, uint32_t value)
{
	add(message, type, &value, sizeof(value));
}

/* Sends it and returns the kernel's errno. */
static int talk(const struct maker *maker, struct message *message)
{
	char reply[REPLY_MAX];
	const struct nlmsghdr *header = (const struct nlmsghdr *)reply;
	const struct nlmsgerr *result;
	ssize_t n;

	message->header.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (send(maker->netlink, message->space, message->header.nlmsg_len, 0) < 0)
		return errno;
	n = recv(maker->netlink, reply, sizeof(reply), 0);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(*result)) || header->nlmsg_type != NLMSG_ERROR)
		return EIO;
	result = NLMSG_DATA(header);
	return -result->error;
}

static struct ifinfomsg *begin_link(struct message *message, unsigned index)
{
	struct ifinfomsg *link = NLMSG_DATA(&message->header);

	*message = (struct message){.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(*link)), .nlmsg_type = RTM_SETLINK}};
	link->ifi_family = AF_UNSPEC;
	link->ifi_index = (int)index;
	return link;
}

/* No address that the guest does not have. */
static int stop_autoconfiguration(const struct maker *maker, unsigned index)
{
	struct {
		struct rtattr family;
		struct rtattr mode;
		uint8_t value, padding[3];
	} inner = {
		.family = {sizeof(inner), AF_INET6},
		.mode = {RTA_LENGTH(1), IFLA_INET6_ADDR_GEN_MODE},
		.value = IN6_ADDR_GEN_MODE_NONE,
	};
	struct message message;

	begin_link(&message, index);
	add(&message, IFLA_AF_SPEC, &inner, sizeof(inner));
	return talk(maker, &message);
}

/* The kernel shows us our own namespace's settings. */
static void set_sysctl(const char *format, const char *name, const char *value)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), format, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, value, strlen(value));
	close_fd(&fd);
}

/*
 * Nobody is there. So no address waits to be told from another's, and who asks for a neighbour hears at once that there
 * is none: EHOSTUNREACH after 10 ms, not 3 s.
 */
static void stop_waiting(const char *name)
{
	set_sysctl("/proc/sys/net/ipv6/conf/%s/accept_dad", name, "0");
	set_sysctl("/proc/sys/net/ipv4/neigh/%s/mcast_solicit", name, "1");
	set_sysctl("/proc/sys/net/ipv4/neigh/%s/retrans_time_ms", name, "1");
	set_sysctl("/proc/sys/net/ipv6/neigh/%s/mcast_solicit", name, "1");
	set_sysctl("/proc/sys/net/ipv6/neigh/%s/retrans_time_ms", name, "1");
}

static int set_link(const struct maker *maker, const struct guest_interface *interface, unsigned index)
{
	const uint32_t flags = IFF_UP | IFF_NOARP | IFF_MULTICAST | IFF_ALLMULTI | IFF_PROMISC;
	struct message message;
	struct ifinfomsg *link = begin_link(&message, index);

	link->ifi_flags = interface->flags & flags;
	link->ifi_change = flags;
	if (interface->type == ARPHRD_ETHER && interface->hardware_size == 6)
		add(&message, IFLA_ADDRESS, interface->hardware, 6);
	if (interface->type == ARPHRD_ETHER && interface->mtu >= 68 && interface->mtu <= 65521)
		add_number(&message, IFLA_MTU, interface->mtu);
	if (interface->queue_length <= QUEUE_MAX)
		add_number(&message, IFLA_TXQLEN, interface->queue_length);
	/* A tap alone does not say so. Up is what it is by now, for the kernel takes the flags first. */
	if (interface->operstate == OPERSTATE_UP && interface->flags & IFF_UP)
		add(&message, IFLA_OPERSTATE, &interface->operstate, 1);
	return talk(maker, &message);
}

/* The tap, with the guest's number for it if that is free here. Negative: none. */
static int open_tap(const struct guest_interface *interface)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	unsigned index = interface->index, any = 0;
	int r, carrier = interface->operstate != OPERSTATE_DOWN && interface->operstate != NO_CARRIER_DOWN;

	if (fd < 0)
		return -1;
	/* A '%' would be a pattern to the kernel. */
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", strchr(interface->name, '%') ? "" : interface->name);
	(void)ioctl(fd, TUNSETIFINDEX, &index);
	r = request.ifr_name[0] ? ioctl(fd, TUNSETIFF, &request) : -1;
	if (r < 0 && errno == EBUSY && ioctl(fd, TUNSETIFINDEX, &any) == 0)
		r = ioctl(fd, TUNSETIFF, &request);
	if (r < 0) {
		close_fd(&fd);
		return -1;
	}
	(void)ioctl(fd, TUNSETCARRIER, &carrier);
	return fd;
}

/* The gateway and the resolver of the way out (slirp4netns): who has one of them himself does not reach it. */
static bool is_in_the_way(const struct guest_address *address)
{
	static const uint8_t net[] = {10, 0, 2};

	return address->family == 4 && memcmp(address->bytes, net, sizeof(net)) == 0 &&
	       (address->bytes[3] == 2 || address->bytes[3] == 3);
}

static int add_address(const struct maker *maker, const struct guest_address *address, unsigned index)
{
	static const uint8_t none[4];
	size_t size = address->family == 4 ? 4 : 16;
	struct ifa_cacheinfo lifetime = {0};
	uint32_t flags = address->flags & ~(uint32_t)(IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_OPTIMISTIC);
	struct message message = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
					     .nlmsg_type = RTM_NEWADDR,
					     .nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE}};
	struct ifaddrmsg *header = NLMSG_DATA(&message.header);

	if (maker->network && is_in_the_way(address))
		return EADDRINUSE;
	header->ifa_family = size == 4 ? AF_INET : AF_INET6;
	header->ifa_prefixlen = address->prefix;
	header->ifa_scope = address->scope;
	header->ifa_index = index;
	/* In the namespace with a way out, the guest's network may be that of the way out. */
	if (maker->network)
		flags |= IFA_F_NOPREFIXROUTE;
	add(&message, IFA_LOCAL, address->bytes, size);
	add(&message, IFA_ADDRESS, address->has_peer ? address->peer : address->bytes, size);
	if (size == 4 && address->label[0])
		add(&message, IFA_LABEL, address->label, strlen(address->label) + 1);
	if (size == 4 && memcmp(address->broadcast, none, sizeof(none)) != 0)
		add(&message, IFA_BROADCAST, address->broadcast, sizeof(none));
	/* Over already, and the guest did not see to it yet: without an end. */
	if (address->valid && (address->preferred != UINT32_MAX || address->valid != UINT32_MAX)) {
		lifetime.ifa_valid = address->valid;
		lifetime.ifa_prefered = address->preferred < address->valid ? address->preferred : address->valid;
		add(&message, IFA_CACHEINFO, &lifetime, sizeof(lifetime));
	}
	add_number(&message, IFA_FLAGS, flags);
	return talk(maker, &message);
}

static void note(int errnum, const struct guest_interface *interface, const char *what)
{
	if (errnum && errnum != EEXIST)
		log_debug("the shadow's interface %s lacks %s: %s", interface->name, what, strerror(errnum));
}

static void make(const struct maker *maker, const struct guest_interface *interface)
{
	bool loopback = interface->flags & IFF_LOOPBACK;
	unsigned index;

	if (!loopback && interface->type != ARPHRD_ETHER)
		return;
	/* Left open: with its last descriptor a tap goes away. */
	if (!loopback && open_tap(interface) < 0) {
		log_debug("the shadow lacks the interface %s: %s", interface->name, strerror(errno));
		return;
	}
	index = if_nametoindex(interface->name);
	if (index == 0)
		return;
	if (!strchr(interface->name, '/'))
		stop_waiting(interface->name);
	if (!loopback)
		note(stop_autoconfiguration(maker, index), interface, "the way its IPv6 addresses are made");
	note(set_link(maker, interface, index), interface, "state and hardware address");
	for (size_t i = 0; i < interface->n_addresses && i < ADDRESSES_MAX; i++)
		note(add_address(maker, &interface->addresses[i], index), interface, "an address");
}

/* A route of the main table that was set, not one that comes of an address. */
static void add_route(const struct maker *maker, const struct guest_route *route, int family)
{
	size_t size = family == AF_INET ? 4 : 16;
	unsigned index = route->interface[0] ? if_nametoindex(route->interface) : 0;
	struct message message = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
					     .nlmsg_type = RTM_NEWROUTE,
					     .nlmsg_flags = NLM_F_CREATE}};
	struct rtmsg *header = NLMSG_DATA(&message.header);
	int errnum;

	if (route->table != RT_TABLE_MAIN || index == 0 || (family == AF_INET && route->type != RTN_UNICAST))
		return;
	*header = (struct rtmsg){.rtm_family = (unsigned char)family,
				 .rtm_dst_len = route->prefix,
				 .rtm_tos = route->tos,
				 .rtm_table = RT_TABLE_MAIN,
				 .rtm_protocol = RTPROT_BOOT,
				 .rtm_scope = family == AF_INET ? route->scope : RT_SCOPE_UNIVERSE,
				 .rtm_type = RTN_UNICAST};
	if (route->prefix)
		add(&message, RTA_DST, route->destination, size);
	if (route->has_gateway)
		add(&message, RTA_GATEWAY, route->gateway, size);
	add_number(&message, RTA_OIF, index);
	add_number(&message, RTA_PRIORITY, route->metric);
	errnum = talk(maker, &message);
	if (errnum && errnum != EEXIST)
		log_debug("the shadow lacks a route over %s: %s", route->interface, strerror(errnum));
}

static bool has_prefix(const uint8_t *address, const uint8_t *prefix, unsigned bits)
{
	return memcmp(address, prefix, bits / 8) == 0 &&
	       (bits % 8 == 0 || (address[bits / 8] ^ prefix[bits / 8]) >> (8 - bits % 8) == 0);
}

/* Whether an address brings the route with it. */
static bool comes_by_itself(const struct guest_interface_list *list, const struct guest_route *route, int family)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct guest_interface *interface = &list->items[i];

		if (route->has_gateway || strcmp(interface->name, route->interface) != 0)
			continue;
		for (size_t k = 0; k < interface->n_addresses; k++) {
			const struct guest_address *address = &interface->addresses[k];

			if (address->family == (family == AF_INET ? 4 : 6) && address->prefix == route->prefix &&
			    route->prefix <= (family == AF_INET ? 32 : 128) &&
			    !(address->flags & IFA_F_NOPREFIXROUTE) &&
			    has_prefix(address->has_peer ? address->peer : address->bytes, route->destination,
				       route->prefix))
				return true;
		}
	}
	return false;
}

/* Those without a gateway first: the way to a gateway must be known. */
static void add_routes(const struct maker *maker, const struct guest_interface_list *list,
		       const struct guest_route_list *routes, int family)
{
	for (int gateway = 0; gateway < 2; gateway++)
		for (size_t i = 0; i < routes->n && i < ROUTES_MAX; i++)
			if (routes->items[i].has_gateway == gateway &&
			    !comes_by_itself(list, &routes->items[i], family))
				add_route(maker, &routes->items[i], family);
}

static void make_routes(const struct maker *maker, struct guest *guest, const struct guest_interface_list *list)
{
	struct guest_route_list routes = {0};
	struct error *error = guest_routes(guest, 0, &routes);

	if (!error) {
		add_routes(maker, list, &routes, AF_INET);
		guest_route_list_deinit(&routes);
	}
	error_destroy(error);
	routes = (struct guest_route_list){0};
	error = guest_routes6(guest, 0, &routes);
	if (!error) {
		add_routes(maker, list, &routes, AF_INET6);
		guest_route_list_deinit(&routes);
	}
	error_destroy(error);
}

struct error *interfaces_make(struct guest *guest, bool network)
{
	_cleanup_(close_fd) int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	const struct maker maker = {.netlink = netlink, .network = network};
	struct guest_interface_list list = {0};
	struct error *error;

	if (netlink < 0)
		return error_system(errno, NULL, "cannot reach the kernel's network configuration");
	error = guest_interfaces(guest, 0, &list);
	if (error) {
		log_info("the shadow has none of the guest's network interfaces: %s", error->message);
		error_destroy(error);
		return NULL;
	}
	for (size_t i = 0; i < list.n && i < INTERFACES_MAX; i++)
		make(&maker, &list.items[i]);
	/* Its own way out has its own routes. */
	if (!network)
		make_routes(&maker, guest, &list);
	guest_interface_list_deinit(&list);
	return NULL;
}
