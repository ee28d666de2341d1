/* SPDX-License-Identifier: Apache-2.0 */
/* Private to proc/: writers of files of the whole system, by subject; the tables are in system.c and devices.c. */
#ifndef SHADOW_PROC_SYSTEM_H
#define SHADOW_PROC_SYSTEM_H

#include "shadow/proc/proc.h"

/* --- system_work.c --- */

struct error *proc_write_stat(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_uptime(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_softirqs(const struct proc_facts *facts, FILE *out) _must_check_;

/* --- system_memory.c --- */

struct error *proc_write_meminfo(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_vmstat(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_buddyinfo(const struct proc_facts *facts, FILE *out) _must_check_;

/* --- system_processors.c --- */

struct error *proc_write_cpuinfo(const struct proc_facts *facts, FILE *out) _must_check_;

/* --- devices_interrupts.c --- */

struct error *proc_write_interrupts(const struct proc_facts *facts, FILE *out) _must_check_;

/* --- devices_disks.c --- */

struct error *proc_write_partitions(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_diskstats(const struct proc_facts *facts, FILE *out) _must_check_;

/* --- devices_tables.c --- */

struct error *proc_write_devices(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_misc(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_dma(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_fb(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_consoles(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_tty_drivers(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_iomem(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_ioports(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_swaps(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_cgroups(const struct proc_facts *facts, FILE *out) _must_check_;

/* --- process_fd.c --- */

struct error *proc_write_locks(const struct proc_facts *facts, FILE *out) _must_check_;

/* --- system_ipc.c --- */

struct error *proc_write_shm(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_sem(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_msg(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_key_users(const struct proc_facts *facts, FILE *out) _must_check_;

/* --- system_pressure.c --- */

struct error *proc_write_pressure_io(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_pressure_memory(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_pressure_cpu(const struct proc_facts *facts, FILE *out) _must_check_;

/* --- system_symbols.c --- */

struct error *proc_write_kallsyms(const struct proc_facts *facts, FILE *out) _must_check_;
struct error *proc_write_modules(const struct proc_facts *facts, FILE *out) _must_check_;

#endif
