/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel of a sleeping guest, read from nothing but its RAM: VMCOREINFO or a kallsyms scan
 * finds it, kallsyms names its variables, BTF tells its types. Nothing in it is believed: reads
 * are bounded, walks are capped, a bad pointer is an error. What moves between kernels is
 * decided by the member that BTF shows, never by a version number.
 */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/apparmor.h"
#include "guest/fd_info.h"
#include "guest/files.h"
#include "guest/ipc.h"
#include "guest/kernfs.h"
#include "guest/machine.h"
#include "guest/map_usage.h"
#include "guest/mounts.h"
#include "guest/net.h"
#include "guest/newer.h"
#include "guest/process.h"
#include "guest/system.h"
#include "guest/task_details.h"
#include "guest/task_spaces.h"
#include "guest/task_stack.h"
#include "image/image.h"

/* A guest-virtual address, in bytes. */
struct gva {
	uint64_t v;
};

struct guest;

/* What memory itself may not say. All zero: nothing more is known. */
struct guest_options {
	/*
	 * Type information (BTF) for a kernel that has none in its memory: a blob, or an ELF file (vmlinux) with a
	 * section .BTF. Used instead of the kernel's own; one of another kernel is ERROR_USAGE. Borrowed.
	 */
	const char *btf_path;
};

/*
 * Finds the kernel. `image` is borrowed and must outlive the guest; `options` NULL is all zero.
 * No kernel found, or one without BTF, is ERROR_UNSUPPORTED with what was looked for.
 */
struct error *guest_open(struct image *image, const struct guest_options *options, struct guest **ret) _must_check_;
void guest_close(struct guest *guest);
DEFINE_CLEANUP(struct guest *, guest_close)

/* The image's: see image_descriptor(). */
int guest_descriptor(const struct guest *guest);

/* How much was read of its memory until now, in pieces (image_work()): for a bound of many calls together. */
uint64_t guest_work(const struct guest *guest);

/*
 * How much one call may follow is bounded, so that a hostile guest cannot keep it busy. While this is on, the calls
 * share one bound: for a verb that makes one for every process. Turning it on or off starts anew; a list that was cut
 * by the bound is marked incomplete.
 */
void guest_share_effort(struct guest *guest, bool on);

/* What uname(2) answers in the guest, from init_uts_ns. Strings are as the guest has them, NUL-terminated. */
struct guest_uts {
	char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};
struct error *guest_uts(struct guest *guest, struct guest_uts *ret) _must_check_;

/*
 * The guest's clocks at the last timekeeping update before the suspend (tk_core). A guest with work to do updates them
 * at each tick; an idle one sleeps on until a timer is due, so that the suspend can have been up to idle_ns later.
 */
struct guest_clock {
	int64_t realtime_ns;   /* CLOCK_REALTIME, since the epoch */
	uint64_t monotonic_ns; /* CLOCK_MONOTONIC */
	uint64_t boottime_ns;  /* CLOCK_BOOTTIME: the uptime */
	uint64_t idle_ns;      /* until the first timer that a CPU waited for; 0: unknown */
};
struct error *guest_clock(struct guest *guest, struct guest_clock *ret) _must_check_;

/* The random boot id (/proc/sys/kernel/random/boot_id). All zero: not asked for yet in this boot. */
struct error *guest_boot_id(struct guest *guest, uint8_t ret[16]) _must_check_;

/* A mounted file system of the guest, from super_blocks. */
struct guest_file_system {
	char type[32];              /* file_system_type.name */
	char id[32];                /* super_block.s_id: "vda2" for a disk */
	uint8_t uuid[16];           /* super_block.s_uuid; all zero: none */
	uint32_t major, minor;      /* super_block.s_dev: as its mounts have it (guest_mount) */
	bool has_ext4;              /* the ext4 fields are valid; from its superblock as it is in memory */
	uint32_t ext4_mount_count;  /* s_mnt_count */
	uint64_t ext4_mount_time_s; /* s_mtime, seconds since the epoch */
	uint64_t address;           /* of its struct super_block: what the walks of guest/newer.h take */
};
/* The caller frees *ret. Pseudo file systems are included. */
struct error *guest_file_systems(struct guest *guest, struct guest_file_system **ret, size_t *ret_n) _must_check_;

#endif
