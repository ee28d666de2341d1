/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of a sleeping guest, beyond its interfaces and sockets (guest/system.h): what its /proc/net shows.
 * `task` is guest_task.address, whose network namespace is meant; 0: the initial one. Included by guest/guest.h.
 */
#ifndef GUEST_NET_H
#define GUEST_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct guest;

/* ---- Interfaces: what went through them ---- */

/* In the order of struct rtnl_link_stats64. */
enum guest_device_counter {
	GUEST_RX_PACKETS,
	GUEST_TX_PACKETS,
	GUEST_RX_BYTES,
	GUEST_TX_BYTES,
	GUEST_RX_ERRORS,
	GUEST_TX_ERRORS,
	GUEST_RX_DROPPED,
	GUEST_TX_DROPPED,
	GUEST_MULTICAST,
	GUEST_COLLISIONS,
	GUEST_RX_LENGTH_ERRORS,
	GUEST_RX_OVER_ERRORS,
	GUEST_RX_CRC_ERRORS,
	GUEST_RX_FRAME_ERRORS,
	GUEST_RX_FIFO_ERRORS,
	GUEST_RX_MISSED_ERRORS,
	GUEST_TX_ABORTED_ERRORS,
	GUEST_TX_CARRIER_ERRORS,
	GUEST_TX_FIFO_ERRORS,
	GUEST_TX_HEARTBEAT_ERRORS,
	GUEST_TX_WINDOW_ERRORS,
	GUEST_RX_COMPRESSED,
	GUEST_TX_COMPRESSED,
	GUEST_DEVICE_COUNTERS,
};
struct guest_device {
	uint32_t index;
	char name[16];
	bool counted; /* else where this driver keeps its counters is not known */
	uint64_t counters[GUEST_DEVICE_COUNTERS];
};
struct guest_device_list {
	struct guest_device *items; /* by index */
	size_t n;
	struct error *incomplete;
};
struct error *guest_devices(struct guest *guest, uint64_t task, struct guest_device_list *ret) _must_check_;
void guest_device_list_deinit(struct guest_device_list *list);

/* An IPv6 address of an interface, as /proc/net/if_inet6 has it. */
struct guest_address6 {
	uint8_t address[16];
	uint32_t index;
	uint8_t prefix; /* bits */
	uint8_t scope;  /* IPV6_ADDR_*: 0x10 the host's, 0x20 the link's */
	uint8_t flags;  /* the lower eight of IFA_F_* */
	char interface[16];
};
struct guest_address6_list {
	struct guest_address6 *items; /* in the order of /proc/net/if_inet6 */
	size_t n;
	struct error *incomplete;
};
struct error *guest_addresses6(struct guest *guest, uint64_t task, struct guest_address6_list *ret) _must_check_;
void guest_address6_list_deinit(struct guest_address6_list *list);

/* ---- Multicast groups ---- */

enum guest_group_kind {
	GUEST_GROUPS_IP4,
	GUEST_GROUPS_IP6,
	GUEST_GROUPS_LINK, /* addresses of the interface itself */
};

/* A group that an interface listens to. */
struct guest_group {
	uint32_t index;
	char interface[16];
	uint8_t address[32]; /* network order */
	uint8_t address_size;
	uint32_t users;
	uint32_t flags;       /* of IPv6 MAF_*; of the link whether it counts everywhere */
	uint64_t timer_ticks; /* until a report is due, in hundredths of a second; 0: none is */
	/* Of IPv4: whether that timer runs, who reported last, and of the interface how many groups and which IGMP. */
	uint8_t timer, reporter, version;
	uint32_t count;
};
struct guest_group_list {
	struct guest_group *items; /* in the order of /proc/net/igmp, igmp6, dev_mcast */
	size_t n;
	struct error *incomplete;
};
struct error *guest_groups(struct guest *guest, uint64_t task, enum guest_group_kind kind, struct guest_group_list *ret)
	_must_check_;
void guest_group_list_deinit(struct guest_group_list *list);

/* ---- Routes ---- */

struct guest_route {
	uint32_t table; /* RT_TABLE_*; of IPv4 that of the entry, not that of a tree which two tables share */
	uint8_t prefix; /* bits */
	uint8_t type;   /* RTN_* of IPv4 */
	uint8_t scope;  /* RT_SCOPE_* of IPv4 */
	uint8_t tos;    /* of IPv4 */
	bool has_gateway;
	uint8_t destination[16], gateway[16]; /* network order; of IPv4 the first 4 bytes */
	char interface[16];                   /* "": none */
	uint32_t metric;                      /* "priority" of IPv4 */
	uint32_t mss, window, rtt;            /* of IPv4: RTAX_ADVMSS, RTAX_WINDOW, RTAX_RTT; 0: not set */
	uint32_t references, flags;           /* of IPv6: fib6_ref, RTF_* */
};
struct guest_route_list {
	struct guest_route *items;
	size_t n;
	struct error *incomplete;
};
/* All tables of IPv4, each in the order of its addresses. */
struct error *guest_routes(struct guest *guest, uint64_t task, struct guest_route_list *ret) _must_check_;
/* All tables of IPv6, in the order of /proc/net/ipv6_route. */
struct error *guest_routes6(struct guest *guest, uint64_t task, struct guest_route_list *ret) _must_check_;
void guest_route_list_deinit(struct guest_route_list *list);

/* ---- Neighbours ---- */

struct guest_neighbour {
	uint8_t address[4];
	uint16_t type;  /* ARPHRD_* of the interface */
	uint16_t state; /* NUD_* */
	uint8_t hardware[32];
	uint8_t hardware_size;
	char interface[16];
};
struct guest_neighbour_list {
	struct guest_neighbour *items;
	size_t n;
	struct error *incomplete;
};
/* Of IPv4, in the order of /proc/net/arp; those that need no resolution are left out, as there. */
struct error *guest_neighbours(struct guest *guest, uint64_t task, struct guest_neighbour_list *ret) _must_check_;
void guest_neighbour_list_deinit(struct guest_neighbour_list *list);

/* ---- Counters of protocols ---- */

enum guest_mib {
	GUEST_MIB_IP,
	GUEST_MIB_ICMP,
	GUEST_MIB_ICMP_MESSAGES,
	GUEST_MIB_TCP,
	GUEST_MIB_UDP,
	GUEST_MIB_UDPLITE,
	GUEST_MIB_NET,    /* TcpExt */
	GUEST_MIB_IP_EXT, /* of the same numbers as GUEST_MIB_IP, under other names */
	GUEST_MIB_IP6,
	GUEST_MIB_ICMP6,
	GUEST_MIB_ICMP6_MESSAGES,
	GUEST_MIB_UDP6,
	GUEST_MIB_UDPLITE6,
	GUEST_MIB_XFRM,
	GUEST_MIB_MPTCP,
	GUEST_MIBS,
};
struct guest_mib_counter {
	char name[48];  /* as the kernel names it: "InReceives"; "" where only numbers tell them apart */
	uint32_t entry; /* its number */
	uint64_t value; /* of all processors */
};
struct guest_mib_list {
	struct guest_mib_counter *items; /* in the order in which the kernel shows them */
	size_t n;
	struct error *incomplete;
};
/* ERROR_NOT_FOUND: this kernel or this namespace has no such protocol. */
struct error *guest_mib(struct guest *guest, uint64_t task, enum guest_mib mib, struct guest_mib_list *ret)
	_must_check_;
void guest_mib_list_deinit(struct guest_mib_list *list);

/* ---- Sockets as a whole: /proc/net/sockstat and protocols ---- */

/* A kind of socket that the kernel knows (struct proto), in the order of /proc/net/protocols. */
struct guest_protocol {
	char name[32];
	char module[64]; /* "": the kernel itself */
	uint32_t size;   /* of a socket, in bytes */
	int32_t sockets; /* of the namespace */
	int64_t memory;  /* pages; -1: not counted */
	uint32_t max_header;
	bool has_slab;
	bool has_pressure; /* `pressure` means something */
	bool pressure;
	uint32_t has_sendpage; /* 1: the kernel knows sendpage (until 6.5), 0: it does not */
	uint32_t methods;      /* bit n: has GUEST_PROTOCOL_METHODS[n] */
};
/* "cl co di …" of /proc/net/protocols: which functions it has. */
#define GUEST_PROTOCOL_METHODS 19u
#define GUEST_METHOD_SENDPAGE  12u
struct guest_protocol_list {
	struct guest_protocol *items;
	size_t n;
	struct error *incomplete;
};
struct error *guest_protocols(struct guest *guest, uint64_t task, struct guest_protocol_list *ret) _must_check_;
void guest_protocol_list_deinit(struct guest_protocol_list *list);

/* What /proc/net/sockstat counts beyond protocols. */
struct guest_socket_totals {
	int32_t used;                /* sockets of any kind in the namespace */
	int32_t orphans;             /* of TCP, all namespaces */
	int32_t waiting;             /* TIME_WAIT */
	int64_t allocated;           /* of TCP, all namespaces */
	uint32_t fragments[2];       /* queues of fragments: of IPv4, IPv6 */
	uint64_t fragment_memory[2]; /* bytes */
	bool forwards;               /* IPv4: it is a router */
	uint8_t ttl;                 /* of packets of IPv4 */
};
struct error *guest_socket_totals(struct guest *guest, uint64_t task, struct guest_socket_totals *ret) _must_check_;

/* ---- Sockets of other families ---- */

struct guest_other_socket {
	uint64_t address; /* see guest_pointers() */
	uint32_t references;
	uint16_t type, protocol; /* packet: the Ethernet type; netlink: NETLINK_* */
	uint32_t interface;      /* packet: bound to this index; 0: any */
	bool running;            /* packet: it listens; netlink: a dump is under way */
	uint32_t port, groups;   /* netlink */
	uint32_t receive_memory, send_memory, drops, uid;
	uint64_t inode;
};
struct guest_other_socket_list {
	struct guest_other_socket *items;
	size_t n;
	struct error *incomplete;
};
/* In the order of /proc/net/packet and netlink. */
struct error *guest_packet_sockets(struct guest *guest, uint64_t task, struct guest_other_socket_list *ret)
	_must_check_;
struct error *guest_netlink_sockets(struct guest *guest, uint64_t task, struct guest_other_socket_list *ret)
	_must_check_;
void guest_other_socket_list_deinit(struct guest_other_socket_list *list);

/* Whether the kernel's read-only data hold these bytes: how a line is written that kernels write in several ways. */
bool guest_has_text(struct guest *guest, const char *text);

#endif
