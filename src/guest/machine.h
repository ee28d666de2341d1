/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sleeping guest's kernel counts and knows of its machine: what the files of /proc that are of the whole system
 * are made of. Included by guest/guest.h.
 */
#ifndef GUEST_MACHINE_H
#define GUEST_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct guest;

/* ---- Time and work ---- */

/* The order of the columns of /proc/stat. */
enum guest_cpu_time {
	GUEST_TIME_USER,
	GUEST_TIME_NICE,
	GUEST_TIME_SYSTEM,
	GUEST_TIME_IDLE,
	GUEST_TIME_IOWAIT,
	GUEST_TIME_IRQ,
	GUEST_TIME_SOFTIRQ,
	GUEST_TIME_STEAL,
	GUEST_TIME_GUEST,
	GUEST_TIME_GUEST_NICE,
	GUEST_TIMES,
};

#define GUEST_SOFTIRQS 10u /* NR_SOFTIRQS */

/* What one CPU has done since the guest's boot. */
struct guest_cpu_work {
	uint32_t cpu;
	bool online;
	uint64_t times_ns[GUEST_TIMES];
	uint64_t context_switches;
	uint64_t interrupts; /* of all kinds, those of the architecture too */
	uint32_t softirqs[GUEST_SOFTIRQS];
	uint32_t running; /* tasks that run or wait for it */
	int32_t waiting;  /* tasks that wait for a disk and ran here last; of one CPU it can be below zero */
};
struct guest_cpu_work_list {
	struct guest_cpu_work *items; /* possible CPUs, by number */
	size_t n;
	struct error *incomplete;
};
struct error *guest_cpu_work(struct guest *guest, struct guest_cpu_work_list *ret) _must_check_;
void guest_cpu_work_list_deinit(struct guest_cpu_work_list *list);

/* How the kernel names its soft interrupts: "HI", "TIMER", … */
struct error *guest_softirq_names(struct guest *guest, char ret[GUEST_SOFTIRQS][16]) _must_check_;

struct guest_boot {
	int64_t time_s; /* when it was booted, since the epoch ("btime") */
	uint64_t forks; /* processes and threads since then */
};
struct error *guest_boot(struct guest *guest, struct guest_boot *ret) _must_check_;

/* What /proc/version holds, with its newline; owned by the caller. */
struct error *guest_banner(struct guest *guest, char **ret) _must_check_;

/* What the boot loader gave to the kernel, as /proc/cmdline has it but for the newline; owned by the caller. */
struct error *guest_command_line(struct guest *guest, char **ret) _must_check_;

/* ---- Interrupts ---- */

/* A line of /proc/interrupts. */
struct guest_interrupt {
	bool is_architecture;     /* one of the processor's own, below the others */
	bool is_total;            /* of these: one count for all CPUs */
	uint32_t number;          /* of the others */
	char label[8];            /* of the processor's own: "NMI" */
	char text[64];            /* of these: what is behind the counts; else the chip: "IO-APIC" */
	bool has_hardware_number; /* the rest is not for the processor's own */
	bool shown;               /* has a line in /proc/interrupts, not only a count in /proc/stat */
	uint64_t hardware_number;
	char flow[32];    /* "edge"; "" for none */
	char *actions;    /* "virtio0, eth0"; NULL: nobody listens; owned */
	uint64_t total;   /* as /proc/stat has it */
	uint64_t *counts; /* guest_interrupt_list.n_cpus; owned */
};
struct guest_interrupt_list {
	struct guest_interrupt *items; /* by number, then the processor's own in their order */
	size_t n;
	uint32_t n_numbers; /* interrupts can have: /proc/stat has a column for each */
	uint32_t *cpus;     /* the numbers of those that are online */
	size_t n_cpus;
	/* How wide the columns are, from 7.1 on; 0: as before. */
	uint32_t chip_width, number_width;
	struct error *incomplete;
};
struct error *guest_interrupts(struct guest *guest, struct guest_interrupt_list *ret) _must_check_;
void guest_interrupt_list_deinit(struct guest_interrupt_list *list);

/* ---- Processors ---- */

/* An online CPU, as /proc/cpuinfo has it. */
struct guest_processor {
	uint32_t number;
	char vendor[17], model_name[65]; /* "" for none */
	uint32_t family, model, stepping;
	int32_t cpuid_level;
	uint32_t microcode; /* 0: unknown */
	bool has_tsc;
	uint32_t khz;
	uint32_t cache_kib; /* 0: unknown */
	bool has_topology;  /* false: a kernel for one CPU, without the six below */
	uint32_t package, siblings, core, cores, apicid, initial_apicid;
	/* Each name with a blank before it; owned. */
	char *flags, *bugs, *power;
	char *vmx_flags; /* NULL: it has no VMX; owned */
	uint64_t loops_per_tick;
	int32_t tlb_size;
	uint32_t flush_size, alignment, physical_bits, virtual_bits;
};
struct guest_processor_list {
	struct guest_processor *items; /* by number */
	size_t n;
	uint32_t tick_rate; /* HZ */
	struct error *incomplete;
};
struct error *guest_processors(struct guest *guest, struct guest_processor_list *ret) _must_check_;
void guest_processor_list_deinit(struct guest_processor_list *list);

/* ---- Memory ---- */

/* What /proc/meminfo has beyond struct guest_memory_counters; in bytes, UINT64_MAX: this kernel has no such line. */
struct guest_memory_uses {
	uint64_t zswap, zswapped, secondary_page_tables, bounce, writeback_temporary, per_cpu, memtest_bad,
		hardware_corrupted, anonymous_huge, shmem_huge, shmem_mapped, file_huge, file_mapped, cma_total,
		cma_free, unaccepted, balloon, gpu_active, gpu_reclaim;
	uint64_t vmalloc_total;
	uint64_t direct_4k, direct_2m, direct_1g; /* of the mapping of all memory, by the size of its pages */
	bool has_huge;                            /* huge pages can be set aside: */
	uint64_t huge_size;                       /* of the default size, bytes */
	uint64_t huge_total, huge_free, huge_reserved, huge_surplus; /* pages of that size */
};
struct error *guest_memory_uses(struct guest *guest, struct guest_memory_uses *ret) _must_check_;

/* A counter by the kernel's own name for it. */
struct guest_count {
	char name[64];
	uint64_t value;
};
struct guest_count_list {
	struct guest_count *items;
	size_t n;
	struct error *incomplete;
};
/* /proc/vmstat, in its order. */
struct error *guest_vm_counts(struct guest *guest, struct guest_count_list *ret) _must_check_;
void guest_count_list_deinit(struct guest_count_list *list);

/* A zone of memory that has pages. */
#define GUEST_ORDERS 16u
struct guest_zone {
	uint32_t node;
	char name[16];
	uint32_t n_orders;
	uint64_t free[GUEST_ORDERS]; /* free blocks of 2^order pages */
};
struct guest_zone_list {
	struct guest_zone *items; /* as /proc/buddyinfo */
	size_t n;
	struct error *incomplete;
};
struct error *guest_zones(struct guest *guest, struct guest_zone_list *ret) _must_check_;
void guest_zone_list_deinit(struct guest_zone_list *list);

/* ---- Block devices ---- */

/* The order of the groups of /proc/diskstats. */
enum guest_transfer {
	GUEST_READ,
	GUEST_WRITE,
	GUEST_DISCARD,
	GUEST_FLUSH,
	GUEST_TRANSFERS,
};

/* A disk or a partition of one. */
struct guest_block_device {
	char name[48]; /* "vda1" */
	uint32_t major, minor;
	uint32_t partition; /* 0: the whole disk */
	bool hidden;        /* not in /proc/partitions */
	uint64_t sectors;   /* of 512 bytes */
	uint64_t start;     /* of a partition, in the same */
	struct {
		uint64_t requests, merges, sectors, time_ns;
	} transfers[GUEST_TRANSFERS];
	uint32_t in_flight;
	uint64_t busy_ticks; /* guest_block_device_list.tick_rate a second */
};
struct guest_block_device_list {
	struct guest_block_device *items; /* as /proc/diskstats: each disk with its partitions behind it */
	size_t n;
	uint32_t tick_rate;
	struct error *incomplete;
};
struct error *guest_block_devices(struct guest *guest, struct guest_block_device_list *ret) _must_check_;
void guest_block_device_list_deinit(struct guest_block_device_list *list);

/* ---- Tables ---- */

/* A type of file system that can be mounted. */
struct guest_file_system_type {
	char name[32];
	bool needs_device;
};
struct guest_file_system_type_list {
	struct guest_file_system_type *items; /* as /proc/filesystems */
	size_t n;
	struct error *incomplete;
};
struct error *guest_file_system_types(struct guest *guest, struct guest_file_system_type_list *ret) _must_check_;
void guest_file_system_type_list_deinit(struct guest_file_system_type_list *list);

/* An area of swap in use. */
struct guest_swap {
	char *path; /* as the first process sees it; NULL: unknown; owned */
	bool is_file;
	uint64_t size, used; /* bytes */
	int16_t priority;
};
struct guest_swap_list {
	struct guest_swap *items; /* as /proc/swaps */
	size_t n;
	struct error *incomplete;
};
struct error *guest_swaps(struct guest *guest, struct guest_swap_list *ret) _must_check_;
void guest_swap_list_deinit(struct guest_swap_list *list);

/* A number with its name: a line of /proc/devices, /proc/misc. */
struct guest_numbered {
	uint32_t number;
	char name[64];
};
struct guest_numbered_list {
	struct guest_numbered *items; /* in the order of the file */
	size_t n;
	struct error *incomplete;
};
/* Major numbers. */
struct error *guest_character_majors(struct guest *guest, struct guest_numbered_list *ret) _must_check_;
struct error *guest_block_majors(struct guest *guest, struct guest_numbered_list *ret) _must_check_;
/* Minor numbers of major 10. */
struct error *guest_misc_devices(struct guest *guest, struct guest_numbered_list *ret) _must_check_;
/* Channels of the old DMA controller. */
struct error *guest_dma_channels(struct guest *guest, struct guest_numbered_list *ret) _must_check_;
/* Frame buffers. */
struct error *guest_frame_buffers(struct guest *guest, struct guest_numbered_list *ret) _must_check_;
void guest_numbered_list_deinit(struct guest_numbered_list *list);

/* A driver of terminals. */
struct guest_tty_driver {
	char driver[64]; /* "" for none */
	char name[64];
	uint32_t major, minor, n; /* the first number, and how many there are */
	uint32_t type, subtype;   /* 1 system, 2 console, 3 serial, 4 pty, …; and what is under it */
};
struct guest_tty_driver_list {
	struct guest_tty_driver *items; /* as /proc/tty/drivers */
	size_t n;
	struct error *incomplete;
};
struct error *guest_tty_drivers(struct guest *guest, struct guest_tty_driver_list *ret) _must_check_;
void guest_tty_driver_list_deinit(struct guest_tty_driver_list *list);

/* Where the kernel's log goes. */
struct guest_console {
	char name[16];
	int16_t index;
	bool reads, writes, unblanks;
	char flags[16]; /* as /proc/consoles has them, blanks included */
	bool has_device;
	uint32_t major, minor;
};
struct guest_console_list {
	struct guest_console *items; /* as /proc/consoles */
	size_t n;
	struct error *incomplete;
};
struct error *guest_consoles(struct guest *guest, struct guest_console_list *ret) _must_check_;
void guest_console_list_deinit(struct guest_console_list *list);

/* How long tasks waited for want of something. */
enum guest_pressure_kind {
	GUEST_PRESSURE_IO,
	GUEST_PRESSURE_MEMORY,
	GUEST_PRESSURE_CPU,
};
struct guest_pressure_line {
	uint64_t averages[3]; /* of the last 10, 60, 300 seconds, in 1/2048 of a percent */
	uint64_t total_us;
};
struct guest_pressure {
	struct guest_pressure_line some, full; /* one task waited; all that had something to do */
	bool has_full;
};
/* As its kernel would have told at the suspend. */
struct error *guest_pressure(struct guest *guest, enum guest_pressure_kind kind, struct guest_pressure *ret)
	_must_check_;

/* A controller of control groups. */
struct guest_controller {
	char name[32];
	uint32_t hierarchy, groups;
	bool enabled;
};
struct guest_controller_list {
	struct guest_controller *items; /* as /proc/cgroups */
	size_t n;
	struct error *incomplete;
};
struct error *guest_controllers(struct guest *guest, struct guest_controller_list *ret) _must_check_;
void guest_controller_list_deinit(struct guest_controller_list *list);

/* A range of addresses or ports that something uses. */
struct guest_resource {
	uint64_t start, end; /* the last one included */
	uint32_t depth;      /* 0: in no other */
	char *name;          /* owned */
};
struct guest_resource_list {
	struct guest_resource *items; /* as /proc/iomem, depth first */
	size_t n;
	uint64_t limit; /* the last address that there can be */
	struct error *incomplete;
};
struct error *guest_memory_resources(struct guest *guest, struct guest_resource_list *ret) _must_check_;
struct error *guest_port_resources(struct guest *guest, struct guest_resource_list *ret) _must_check_;
void guest_resource_list_deinit(struct guest_resource_list *list);

/* ---- Symbols ---- */

/* A line of /proc/kallsyms. Borrowed, for the time of the call. */
struct guest_symbol {
	uint64_t address;
	char type; /* as nm has it: 'T', 'd', … */
	const char *name;
	const char *module; /* who has it: a module, "bpf"; NULL: the kernel itself */
};

/*
 * Calls `visit` with each, in the order of /proc/kallsyms. What dynamic tracing has put into the kernel is left out.
 * *ret_incomplete: what stopped it, as in the lists; owned by the caller.
 */
struct error *guest_symbols(struct guest *guest, void (*visit)(const struct guest_symbol *symbol, void *context),
			    void *context, struct error **ret_incomplete) _must_check_;

/* Whether its root sees addresses of the kernel (kptr_restrict). */
struct error *guest_shows_addresses(struct guest *guest, bool *ret) _must_check_;

#endif
