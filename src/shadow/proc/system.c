/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the whole system: what runs and with what. */
#include "shadow/proc/system.h"

static struct error *write_version(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(free_ptr) char *banner = NULL;
	struct error *error = guest_banner(facts->guest, &banner);

	if (!error)
		fputs(banner, out);
	return error;
}

static struct error *write_cmdline(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(free_ptr) char *line = NULL;
	struct error *error = guest_command_line(facts->guest, &line);

	if (!error)
		fprintf(out, "%s\n", line);
	return error;
}

static struct error *write_loadavg(const struct proc_facts *facts, FILE *out)
{
	struct guest_load load;
	struct error *error = guest_load_average(facts->guest, &load);

	if (error)
		return error;
	for (size_t i = 0; i < ARRAY_SIZE(load.milli); i++)
		fprintf(out, "%u.%02u ", load.milli[i] / 1000, load.milli[i] % 1000 / 10);
	fprintf(out, "%u/%u %u\n", load.running, load.tasks, load.last_pid);
	return NULL;
}

static struct error *write_filesystems(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_file_system_type_list_deinit) struct guest_file_system_type_list list = {0};
	struct error *error = PROC_LIST(guest_file_system_types(facts->guest, &list), list);

	for (size_t i = 0; !error && i < list.n; i++)
		fprintf(out, "%s\t%s\n", list.items[i].needs_device ? "" : "nodev", list.items[i].name);
	return error;
}

/* The last execution domain there is; the kernel has the text in its code (kernel/exec_domain.c). */
static struct error *write_execdomains(const struct proc_facts *facts, FILE *out)
{
	fputs("0-0\tLinux           \t[kernel]\n", out);
	return NULL;
}

const struct proc_file proc_system_files[] = {
	{"version", 0444, false, write_version},
	{"cmdline", 0444, false, write_cmdline},
	{"cpuinfo", 0444, false, proc_write_cpuinfo},
	{"uptime", 0444, true, proc_write_uptime},
	{"loadavg", 0444, false, write_loadavg},
	{"pressure/io", 0444, false, proc_write_pressure_io},
	{"pressure/memory", 0444, false, proc_write_pressure_memory},
	{"pressure/cpu", 0444, false, proc_write_pressure_cpu},
	{"sysvipc/shm", 0444, false, proc_write_shm},
	{"sysvipc/sem", 0444, false, proc_write_sem},
	{"sysvipc/msg", 0444, false, proc_write_msg},
	{"key-users", 0444, false, proc_write_key_users},
	{"stat", 0444, true, proc_write_stat},
	{"softirqs", 0444, false, proc_write_softirqs},
	{"meminfo", 0444, false, proc_write_meminfo},
	{"vmstat", 0444, false, proc_write_vmstat},
	{"modules", 0444, false, proc_write_modules},
	{"filesystems", 0444, false, write_filesystems},
	{"execdomains", 0444, false, write_execdomains},
	{"cgroups", 0444, false, proc_write_cgroups},
	{"kallsyms", 0444, false, proc_write_kallsyms},
	{"buddyinfo", 0444, false, proc_write_buddyinfo},
	{"locks", 0444, false, proc_write_locks},
	{0},
};
