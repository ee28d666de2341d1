/* SPDX-License-Identifier: Apache-2.0 */
/* What the walks over interfaces and sockets share. Private to guest/. */
#ifndef GUEST_NETWORK_H
#define GUEST_NETWORK_H

#include "guest/object.h"

/* The struct net of the task's network namespace (guest_task.address); 0: the initial one. */
struct error *network_namespace(struct guest *guest, uint64_t task, struct gva *ret) _must_check_;

/* ---- Sockets ---- */

/* What all sockets have: struct sock, and of its first part those that stand in for one (struct sock_common). */
struct socket_layout {
	struct object_span common, span;
	struct member remote4, local4, remote6, local6, remote_port, local_port, family, state, v6only, bound, net,
		node, listener;
	struct member socket, uid, inode, backlog, backlog_max, read_memory, write_memory, type, protocol,
		receive_queue, queue_length, references, drops, drops_apart;
	struct member drops0, drops1; /* of what drops_apart points to */
	/* Of the socket's inode in sockfs, as offsets from its struct socket. */
	int64_t inode_number, inode_uid;
	struct member number, owner;
};
struct error *socket_layout_load(struct guest *guest, struct socket_layout *ret) _must_check_;

struct socket_list {
	struct guest *guest;
	struct gva net; /* only sockets of this namespace count */
	struct socket_layout layout;
	struct guest_socket_list *list;
	uint64_t visited; /* sockets looked at, of other namespaces too */
	uint64_t chain;   /* the one that is walked */
};

/* Sets uid and inode of a socket that was read: those of its inode; without a file it has none. */
struct error *socket_owner(struct guest *guest, const struct socket_layout *layout, const uint8_t *sock,
			   struct guest_socket *ret) _must_check_;

struct error *socket_append(struct socket_list *list, const struct guest_socket *socket) _must_check_;

/* Sets references and drops. */
struct error *socket_counts(struct guest *guest, const struct socket_layout *layout, const uint8_t *sock,
			    struct guest_socket *ret) _must_check_;

/* ---- Timers of TCP (sockets_timers.c) ---- */

struct tcp_timers {
	uint64_t jiffies;   /* now */
	uint32_t tick_rate; /* HZ */
	uint32_t both_ways; /* from what count on data is taken to go both ways */
	struct member pending, timeout, keepalive, keepalive_on, retransmits, probes, rto, ato, quick, both, window,
		threshold, fast_open;           /* of a struct tcp_sock */
	struct member wait_expires;             /* of a struct inet_timewait_sock */
	struct member request_expires, retries; /* of a struct request_sock */
};
/* Widens *span so that it holds what is read of a struct tcp_sock. */
struct error *tcp_timers_load(struct guest *guest, struct gva net, struct tcp_timers *ret, struct object_span *span)
	_must_check_;
/* Sets what /proc/net/tcp shows of a whole socket that was read. */
void tcp_timers_read(const struct tcp_timers *timers, const uint8_t *sock, struct guest_socket *ret);
/* The same of a TIME_WAIT and of a connection that is being made, at `address`. */
struct error *tcp_timers_read_wait(struct guest *guest, const struct tcp_timers *timers, struct gva address,
				   struct guest_socket *ret) _must_check_;
struct error *tcp_timers_read_request(struct guest *guest, const struct tcp_timers *timers, struct gva address,
				      struct guest_socket *ret) _must_check_;

/* Jiffies in hundredths of a second (USER_HZ), as the kernel rounds them. */
uint64_t jiffies_to_ticks(uint64_t jiffies, uint32_t tick_rate);

/* A hash table of chains: `n` heads, `stride` bytes apart, the first at `address`. */
struct socket_table {
	struct gva address;
	uint64_t n;
	uint32_t stride;
};
typedef struct error *(*socket_visit)(struct socket_list *list, struct gva sock, void *context);

/*
 * Visits the sockets of all chains, hlist or hlist_nulls. Heads are read by the page: a table for millions of
 * connections is mostly empty. A chain that cannot be followed is left and makes the list incomplete.
 */
struct error *socket_table_walk(struct socket_list *list, struct socket_table table, socket_visit visit, void *context)
	_must_check_;

struct error *sockets_inet(struct socket_list *list) _must_check_;
struct error *sockets_unix(struct socket_list *list) _must_check_;

/* --- next_hops.c --- */

/* Where an object of `ip nexthop` keeps its next hop; absent before 5.3. */
struct next_hop_layout {
	struct member info, is_group; /* struct nexthop */
	struct member entry;          /* struct nh_grp_entry */
	struct member common;         /* struct nh_info */
	uint32_t group_first;         /* bytes: the size of struct nh_group */
};
struct error *next_hop_layout_load(const struct types *types, struct next_hop_layout *ret) _must_check_;
/* The struct fib_nh_common of the object, or of the first one in it if it is a group. */
struct error *next_hop_of_object(struct guest *guest, const struct next_hop_layout *layout, uint64_t object,
				 uint64_t *ret) _must_check_;

#endif
