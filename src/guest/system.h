/* SPDX-License-Identifier: Apache-2.0 */
/* A sleeping guest's kernel as a whole: modules, counters, settings, network, log. Included by guest/guest.h. */
#ifndef GUEST_SYSTEM_H
#define GUEST_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/process.h"

struct guest;

/* A line of /proc/modules, in its order. */
struct guest_module {
	char name[64];
	uint64_t address; /* of its text: as root sees it */
	uint64_t size;    /* bytes */
	uint32_t refcount;
	char *users;    /* names of the modules that use it, in /proc/modules' order, separated by commas, with
			   "[permanent]" behind them for one that cannot be unloaded; "" for none; owned */
	char state;     /* L live, C coming, G going */
	char taint[32]; /* "OE", "" for none */
};
struct guest_module_list {
	struct guest_module *items;
	size_t n;
	struct error *incomplete;
};
struct error *guest_modules(struct guest *guest, struct guest_module_list *ret) _must_check_;
void guest_module_list_deinit(struct guest_module_list *list);

/* A record of the kernel's log, as /dev/kmsg gives it. */
struct guest_log_record {
	uint64_t sequence;
	uint64_t time_ns; /* since boot (the log's own clock) */
	uint8_t level;    /* 0..7 */
	uint8_t facility; /* 0: the kernel */
	uint32_t caller;  /* who wrote it: a thread's id, with bit 31 a CPU's number; 0: unknown. The guest itself
			     shows it only if built with CONFIG_PRINTK_CALLER */
	struct guest_bytes text; /* lines separated by newlines, none behind the last; data is never NULL */
};
struct guest_log {
	struct guest_log_record *items; /* oldest first; finished ones: an unfinished line is not shown by dmesg */
	size_t n;
	uint64_t cleared;         /* records of lower sequence were cleared: dmesg does not show them, /dev/kmsg does */
	struct error *incomplete; /* records that are damaged are left out */
};
struct error *guest_kernel_log(struct guest *guest, struct guest_log *ret) _must_check_;
void guest_log_deinit(struct guest_log *log);

/* avenrun counts in 1 / 2^this. */
#define GUEST_LOAD_SHIFT 11u
struct guest_load {
	uint64_t raw[3]; /* avenrun */
	/* 1, 5 and 15 minutes, in thousandths, rounded as /proc/loadavg does: its two digits are the first two. */
	uint32_t milli[3];
	uint32_t running, tasks, last_pid; /* as /proc/loadavg */
};
struct error *guest_load_average(struct guest *guest, struct guest_load *ret) _must_check_;

/* As /proc/meminfo, in bytes; UINT64_MAX: this kernel does not count it. */
struct guest_memory_counters {
	uint64_t total, free, available, buffers, cached, swap_cached, active, inactive, active_anonymous,
		inactive_anonymous, active_file, inactive_file, unevictable, locked, swap_total, swap_free, dirty,
		writeback, anonymous, mapped, shmem, slab_reclaimable, slab_unreclaimable;
	uint64_t kernel_reclaimable; /* "KReclaimable" */
	uint64_t kernel_stack, page_tables, commit_limit, committed, vmalloc_used;
	uint64_t huge; /* "Hugetlb" */
};
struct error *guest_memory_counters(struct guest *guest, struct guest_memory_counters *ret) _must_check_;

struct guest_cpus {
	uint32_t possible, present, online; /* counts */
};
struct error *guest_cpus(struct guest *guest, struct guest_cpus *ret) _must_check_;

/* Which processors are online. */
#define GUEST_CPUS_MAX 8192u /* CONFIG_NR_CPUS's maximum */
struct guest_cpu_set {
	uint32_t ids;                         /* numbers are below (nr_cpu_ids): the highest possible and one */
	uint64_t online[GUEST_CPUS_MAX / 64]; /* bit n: CPU n; gaps occur */
};
struct error *guest_cpu_set(struct guest *guest, struct guest_cpu_set *ret) _must_check_;

/* A sysctl, by its name with slashes below /proc/sys ("kernel/hostname"): value as a read gives it, without the
 * newline. Those of namespaces are the initial ones'. ERROR_NOT_FOUND: there is none, or only the running kernel can
 * compute it. */
struct error *guest_sysctl(struct guest *guest, const char *name, char **ret) _must_check_;
struct guest_sysctl {
	char *name;  /* owned */
	char *value; /* owned; NULL: only the running kernel can compute it */
	uint32_t mode;
	bool nothing; /* a read gives not a byte, no newline either; value is "" */
	bool fresh;   /* a random uuid, which is another one for each reader; value is NULL */
};
struct guest_sysctl_list {
	struct guest_sysctl *items; /* by name */
	size_t n;
	struct error *incomplete;
};
struct error *guest_sysctls(struct guest *guest, struct guest_sysctl_list *ret) _must_check_;
void guest_sysctl_list_deinit(struct guest_sysctl_list *list);

/*
 * How the guest's kernel writes pointers to its objects in /proc: hashed with a key of its own, so that what a
 * program reads here is what it would have read there. As root sees them.
 */
struct guest_pointers {
	uint64_t key[2];
	bool ready;  /* the key exists; before, every pointer is "(____ptrval____)" */
	bool plain;  /* not hashed: kernel.kptr_restrict=1, no_hash_pointers */
	bool hidden; /* all zero: kernel.kptr_restrict=2 */
};
struct error *guest_pointers(struct guest *guest, struct guest_pointers *ret) _must_check_;
#define GUEST_POINTER_SIZE 17u
void guest_pointer_text(const struct guest_pointers *pointers, uint64_t address, char ret[GUEST_POINTER_SIZE]);

struct guest_address {
	uint8_t family;    /* 4 or 6 */
	uint8_t prefix;    /* bits */
	uint8_t bytes[16]; /* network order */
	uint8_t scope;     /* RT_SCOPE_* */
	uint32_t flags;    /* IFA_F_* */
	bool has_peer;     /* the other end of a point-to-point link has an address: then the prefix is the peer's */
	uint8_t peer[16];
	char label[16];            /* of IPv4: "eth0:1"; "" for IPv6 */
	uint8_t broadcast[4];      /* of IPv4; all zero: none */
	uint32_t preferred, valid; /* seconds that are left of it; UINT32_MAX: it does not end */
};
struct guest_interface {
	uint32_t index;
	char name[16];
	uint32_t flags; /* IFF_* as the kernel reports them */
	uint32_t mtu;
	uint8_t operstate;     /* IF_OPER_*, DOWN for one that is not up, as ip(8) shows it */
	uint16_t type;         /* ARPHRD_* */
	uint32_t queue_length; /* packets that may wait to be sent */
	uint8_t hardware[32];
	uint8_t hardware_size;
	struct guest_address *addresses; /* IPv4, then IPv6, each in the kernel's order; owned */
	size_t n_addresses;
};
struct guest_interface_list {
	struct guest_interface *items; /* by index */
	size_t n;
	struct error *incomplete;
};
/* Of the network namespace of the task (guest_task.address); 0: of the initial one. */
struct error *guest_interfaces(struct guest *guest, uint64_t task, struct guest_interface_list *ret) _must_check_;
void guest_interface_list_deinit(struct guest_interface_list *list);

enum guest_socket_kind {
	GUEST_SOCKET_TCP,
	GUEST_SOCKET_UDP,
	GUEST_SOCKET_UDPLITE,
	GUEST_SOCKET_RAW,
	GUEST_SOCKET_UNIX,
	GUEST_SOCKET_PING, /* ICMP echo without privilege: /proc/net/icmp and icmp6 */
};
struct guest_socket {
	enum guest_socket_kind kind;
	uint8_t family;                   /* 4 or 6; 0 for unix */
	uint8_t state;                    /* TCP_*; unix: SS_* as /proc/net/unix shows it */
	uint16_t type;                    /* unix: SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET */
	uint32_t flags;                   /* unix: as /proc/net/unix */
	uint8_t local[16], remote[16];    /* addresses in network order */
	bool ipv6_only;                   /* takes no IPv4 (family 6) */
	uint16_t local_port, remote_port; /* raw: the protocol, and 0 */
	uint32_t interface;               /* bound to this index; 0: any */
	uint32_t uid;
	uint64_t inode;                     /* as in "socket:[N]"; 0: belongs to no file (TIME_WAIT, …) */
	uint32_t receive_queue, send_queue; /* as ss shows them: bytes; of a listener (TCP: state 10, unix: flags) the
					       connections that wait, and how many may */
	struct guest_bytes path;            /* unix: its name; an abstract one begins with a NUL; NULL data: none */
	uint64_t peer_inode;                /* unix: of the other end; 0: none */

	/* What only /proc/net shows. */
	uint64_t address;     /* of the structure, guest-virtual: see guest_pointers() */
	uint32_t references;  /* its reference count */
	uint32_t chain;       /* number of its chain in the table: the "sl" of UDP and raw sockets */
	uint32_t drops;       /* messages that had no room */
	uint8_t timer;        /* TCP: 0 none, 1 retransmission, 2 keepalive, 3 TIME_WAIT, 4 zero window probe */
	uint64_t timer_ticks; /* TCP: until it fires, in hundredths of a second */
	uint32_t retransmits; /* TCP: without an answer */
	uint32_t probes;      /* TCP: zero window or keepalive probes without an answer */
	uint64_t rto_ticks;   /* TCP: retransmission timeout, in hundredths of a second */
	uint64_t ato_ticks;   /* TCP: time to a delayed acknowledgement, the same */
	uint32_t ack_mode;    /* TCP: quick acknowledgements left * 2 + whether data goes both ways */
	uint32_t window;      /* TCP: congestion window, in segments */
	int32_t threshold;    /* TCP: where slow start ends, -1: unknown yet; of a listener: fast open's queue */
	bool stand_in;        /* TCP: a TIME_WAIT or a connection being made, which has no more than its timer */
};
struct guest_socket_list {
	struct guest_socket *items;
	size_t n;
	struct error *incomplete;
};
/* TCP, UDP, UDP-Lite, raw and ping over IPv4 and IPv6, and unix sockets, each in the order of /proc/net, of the task's
 * network namespace; 0: of the initial one. */
struct error *guest_sockets(struct guest *guest, uint64_t task, struct guest_socket_list *ret) _must_check_;
void guest_socket_list_deinit(struct guest_socket_list *list);
/* Whether the guest's kernel has sockets of this kind at all, of the family 4 or 6. */
bool guest_knows_sockets(const struct guest *guest, enum guest_socket_kind kind, unsigned family);

#endif
