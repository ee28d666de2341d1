/* SPDX-License-Identifier: Apache-2.0 */
/* The writers of one task's files, by subject. Private to the shadow room; process.c has the table. */
#ifndef SHADOW_PROC_PROCESS_H
#define SHADOW_PROC_PROCESS_H

#include "shadow/proc/proc.h"

#define PROC_TASK_WRITER(name)                                                                                         \
	struct error *name(const struct proc_facts *facts, const struct guest_task *task, FILE *out) _must_check_

/* process_stat.c */
PROC_TASK_WRITER(process_write_stat);
PROC_TASK_WRITER(process_write_thread_stat);
PROC_TASK_WRITER(process_write_statm);

/* process_status.c */
PROC_TASK_WRITER(process_write_status);

/* process_memory.c */
PROC_TASK_WRITER(process_write_maps);
PROC_TASK_WRITER(process_write_auxv);
PROC_TASK_WRITER(process_write_coredump_filter);

/* process_text.c */
PROC_TASK_WRITER(process_write_cmdline);
PROC_TASK_WRITER(process_write_comm);
PROC_TASK_WRITER(process_write_environ);
PROC_TASK_WRITER(process_write_cgroup);
PROC_TASK_WRITER(process_write_limits);
PROC_TASK_WRITER(process_write_loginuid);
PROC_TASK_WRITER(process_write_sessionid);
PROC_TASK_WRITER(process_write_oom_adj);
PROC_TASK_WRITER(process_write_oom_score);
PROC_TASK_WRITER(process_write_oom_score_adj);
PROC_TASK_WRITER(process_write_personality);
PROC_TASK_WRITER(process_write_timerslack);
PROC_TASK_WRITER(process_write_schedstat);
PROC_TASK_WRITER(process_write_io);
PROC_TASK_WRITER(process_write_thread_io);

/* A line of maps. */
void process_write_map(const struct guest_map *map, FILE *out);

/* process_usage.c */
PROC_TASK_WRITER(process_write_smaps);
PROC_TASK_WRITER(process_write_smaps_rollup);

/* process_spaces.c */
PROC_TASK_WRITER(process_write_uid_map);
PROC_TASK_WRITER(process_write_gid_map);
PROC_TASK_WRITER(process_write_projid_map);
PROC_TASK_WRITER(process_write_setgroups);
PROC_TASK_WRITER(process_write_timens_offsets);
PROC_TASK_WRITER(process_write_cpuset);
PROC_TASK_WRITER(process_write_autogroup);
PROC_TASK_WRITER(process_write_patch_state);
PROC_TASK_WRITER(process_write_children);

/* process_kernel.c */
PROC_TASK_WRITER(process_write_wchan);
PROC_TASK_WRITER(process_write_stack);
PROC_TASK_WRITER(process_write_syscall);

/* The text with each of its characters that is in `special` as a backslash and three octal digits. */
void proc_write_escaped(FILE *out, const char *text, const char *special);

#endif
