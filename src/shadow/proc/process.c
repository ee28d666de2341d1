/* SPDX-License-Identifier: Apache-2.0 */
/* The files of each guest process; their writers are in process_*.c, by subject. */
#include "shadow/proc/process.h"

#include <string.h>

static struct error *read_exe(const struct proc_facts *facts, const struct guest_task *task, char **ret)
{
	(void)facts;
	if (!task->exe)
		return error_create(ERROR_NOT_FOUND, "process %u runs no program that is known", task->pid);
	*ret = strdup(task->exe);
	return *ret ? NULL : error_no_memory();
}

typedef struct error *(*directory_of)(struct guest *guest, uint64_t task, char **ret);

static struct error *read_directory(const struct proc_facts *facts, const struct guest_task *task, directory_of which,
				    char **ret)
{
	char *path = NULL;
	struct error *error = which(facts->guest, task->address, &path);

	if (error)
		return error;
	if (!path)
		return error_create(ERROR_NOT_FOUND, "process %u is in a directory without a known path", task->pid);
	*ret = path;
	return NULL;
}

static struct error *read_cwd(const struct proc_facts *facts, const struct guest_task *task, char **ret)
{
	return read_directory(facts, task, guest_task_cwd, ret);
}

static struct error *read_root(const struct proc_facts *facts, const struct guest_task *task, char **ret)
{
	return read_directory(facts, task, guest_task_root, ret);
}

const struct proc_task_file proc_task_files[] = {
	{"auxv", 0400, .write = process_write_auxv},
	{"autogroup", 0644, .process_only = true, .write = process_write_autogroup},
	{"cgroup", 0444, .write = process_write_cgroup},
	{"children", 0444, .thread_only = true, .write = process_write_children},
	{"cmdline", 0444, .write = process_write_cmdline},
	{"comm", 0644, .write = process_write_comm},
	{"coredump_filter", 0644, .process_only = true, .write = process_write_coredump_filter},
	{"cpuset", 0444, .write = process_write_cpuset},
	{"environ", 0400, .write = process_write_environ},
	{"gid_map", 0644, .write = process_write_gid_map},
	{"io", 0400, .write = process_write_io, .write_thread = process_write_thread_io},
	{"limits", 0444, .write = process_write_limits},
	{"loginuid", 0644, .write = process_write_loginuid},
	{"maps", 0444, .write = process_write_maps},
	{"mountinfo", 0444, .write = proc_write_mountinfo},
	{"mounts", 0444, .write = proc_write_mounts},
	{"mountstats", 0400, .process_only = true, .write = proc_write_mountstats},
	{"oom_adj", 0644, .write = process_write_oom_adj},
	{"oom_score", 0444, .write = process_write_oom_score},
	{"oom_score_adj", 0644, .write = process_write_oom_score_adj},
	{"patch_state", 0400, .write = process_write_patch_state},
	{"personality", 0400, .write = process_write_personality},
	{"projid_map", 0644, .write = process_write_projid_map},
	{"schedstat", 0444, .write = process_write_schedstat},
	{"sessionid", 0444, .write = process_write_sessionid},
	{"setgroups", 0644, .write = process_write_setgroups},
	{"smaps", 0444, .write = process_write_smaps},
	{"smaps_rollup", 0444, .write = process_write_smaps_rollup},
	{"stack", 0400, .write = process_write_stack},
	{"stat", 0444, .write = process_write_stat, .write_thread = process_write_thread_stat},
	{"statm", 0444, .write = process_write_statm},
	{"status", 0444, .write = process_write_status},
	{"syscall", 0400, .write = process_write_syscall},
	{"timens_offsets", 0644, .process_only = true, .write = process_write_timens_offsets},
	{"timerslack_ns", 0666, .process_only = true, .write = process_write_timerslack},
	{"uid_map", 0644, .write = process_write_uid_map},
	{"wchan", 0444, .write = process_write_wchan},
	{0},
};

const struct proc_task_link proc_task_links[] = {
	{"cwd", read_cwd},
	{"exe", read_exe},
	{"root", read_root},
	{0},
};
