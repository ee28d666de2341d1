/* SPDX-License-Identifier: Apache-2.0 */
/* What the walk over sysctls and the formatting of their values share. Private to guest/. */
#ifndef GUEST_SYSCTL_H
#define GUEST_SYSCTL_H

#include "guest/object.h"

/* A struct ctl_table: one file below /proc/sys. */
struct sysctl_entry {
	const char *name; /* below /proc/sys; borrowed */
	uint64_t data;    /* what it is about, for its handler; 0: only the handler knows */
	uint64_t size;    /* maxlen: of the data, in bytes */
	uint64_t handler; /* the function that reads it */
};

/* How a value is written. */
enum sysctl_form {
	FORM_INT,           /* int, as many as there are */
	FORM_UINT,          /* unsigned int */
	FORM_ULONG,         /* unsigned long */
	FORM_U8,            /* unsigned char */
	FORM_STRING,        /* char[], to its NUL */
	FORM_JIFFIES,       /* int, kept in jiffies, shown in seconds */
	FORM_MS_JIFFIES,    /* … in milliseconds */
	FORM_HZ_JIFFIES,    /* … in hundredths of a second (USER_HZ) */
	FORM_MS_ULONG,      /* unsigned long in jiffies, shown in milliseconds */
	FORM_BITMAP,        /* pointer to a bitmap, as ranges */
	FORM_UUID,          /* 16 bytes */
	FORM_KEY,           /* struct static_key: whether it is enabled */
	FORM_TAINT,         /* the kernel's taints */
	FORM_THREADS,       /* max_threads */
	FORM_QUEUE_BYTES,   /* int in bytes, shown in packets of Ethernet */
	FORM_PORTS,         /* net.ipv4's range of local ports */
	FORM_GROUPS,        /* two group ids */
	FORM_CONGESTION,    /* name of the default congestion control */
	FORM_QDISC,         /* name of the default queueing discipline */
	FORM_AVAILABLE,     /* names of the congestion controls there are */
	FORM_ALLOWED,       /* … of those that anybody may use */
	FORM_NEIGHBOUR,     /* a time in jiffies: what it is shown in depends on the file's name */
	FORM_CAPABILITIES,  /* a set of capabilities as two numbers */
	FORM_ZERO,          /* 0, whatever was written */
	FORM_HUGE,          /* huge pages of the default size */
	FORM_HUGE_MORE,     /* … that may be made beyond those */
	FORM_DELAYS,        /* delayacct_on */
	FORM_NUMA,          /* sysctl_numa_balancing_mode */
	FORM_WATCHDOG,      /* whether any of the two watchdogs runs */
	FORM_NMI_WATCHDOG,  /* … that for hard lockups */
	FORM_SOFT_WATCHDOG, /* … that for soft lockups */
	FORM_SYSRQ,         /* sysrq_enabled */
	FORM_NOTHING,       /* a read gives not a byte */
	FORM_ENERGY,        /* int, but nothing where the kernel can tell that it means nothing */
	/* sysctl_computed(): */
	FORM_COMPUTED,
	FORM_DENTRIES = FORM_COMPUTED,
	FORM_INODES,
	FORM_FILES,
	FORM_QUOTA,
	FORM_LAST_PID,
	FORM_CAD_PID,
	FORM_ACTIONS,     /* names of seccomp's actions that are logged */
	FORM_RECEIVE_KEY, /* netdev_rss_key */
	FORM_UPPER,       /* names of the protocols that may lie over TCP */
	FORM_FAST_OPEN,
	FORM_TCP_CHAINS,
	FORM_UDP_CHAINS,
	FORM_LOGGER,
	FORM_KEXEC_LIMIT,
	FORM_MEMFD,
	FORM_MULTIPATH_SEED,
	FORM_SCHED_STATS,
	FORM_TUNNEL_HOOKS,
	FORM_KPROBES,
	FORM_HUNG,
	FORM_ZONELIST,
	FORM_EVENTS,
};

struct sysctl_handlers;

/* Finds the known handlers in the guest. */
struct error *sysctl_handlers_create(struct guest *guest, struct sysctl_handlers **ret) _must_check_;
void sysctl_handlers_destroy(struct sysctl_handlers *handlers);
DEFINE_CLEANUP(struct sysctl_handlers *, sysctl_handlers_destroy)

/* The form in which the function at `address` shows values; false: it is not known. */
bool sysctl_handlers_find(const struct sysctl_handlers *handlers, uint64_t address, enum sysctl_form *ret);

/* Sets value, nothing and fresh. */
struct error *sysctl_value(struct guest *guest, const struct sysctl_handlers *handlers, uint32_t tick_rate,
			   const struct sysctl_entry *entry, struct guest_sysctl *ret) _must_check_;

/* The value of a form from FORM_COMPUTED on; malloc'd; *ret stays NULL: only the running kernel can compute it. */
struct error *sysctl_computed(struct guest *guest, enum sysctl_form form, const struct sysctl_entry *entry, char **ret)
	_must_check_;

#endif
