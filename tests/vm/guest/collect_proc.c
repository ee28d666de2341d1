/* SPDX-License-Identifier: Apache-2.0 */
/* The files of /proc. */
#include "collect.h"

#include <stdio.h>
#include <string.h>

/* --- of the whole system --- */

/*
 * What is no text, has no end, or begins something when it is read; in "sys" the first is different each time, the
 * others mount something.
 */
static bool is_left_out(const char *path)
{
	static const char *const names[] = {
		"/proc/kcore",
		"/proc/kmsg",
		"/proc/kpagecount",
		"/proc/kpageflags",
		"/proc/kpagecgroup",
		"/proc/sysrq-trigger",
		"/proc/vmcore",
		"/proc/sys/kernel/random/uuid",
		"/proc/self",
		"/proc/thread-self",
		"/proc/sys/fs/binfmt_misc",
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(path, names[i]))
			return true;
	return is_number(path + strlen("/proc/"));
}

static void put_below(const char *path)
{
	struct stat st;

	if (is_left_out(path) || lstat(path, &st) < 0)
		return;
	put_stat(path, &st);
	if (S_ISLNK(st.st_mode))
		put_link(path);
	else if (S_ISDIR(st.st_mode))
		for_entries(path, NULL, put_below);
	else if (st.st_mode & 0444)
		put_file(path);
}

void put_system(void)
{
	for_entries("/proc", NULL, put_below);
	/* A link to self/net, which is followed here. */
	for_entries("/proc/net", NULL, put_below);
}

void put_moving_system(void)
{
	static const char *const files[] = {"modules",
					    "meminfo",
					    "loadavg",
					    "pressure/io",
					    "pressure/memory",
					    "pressure/cpu",
					    "stat",
					    "uptime",
					    "vmstat",
					    "interrupts",
					    "softirqs",
					    "diskstats",
					    "buddyinfo",
					    "zoneinfo",
					    "swaps",
					    "locks",
					    "net/dev",
					    "net/snmp",
					    "net/snmp6",
					    "net/netstat",
					    "net/sockstat",
					    "net/arp",
					    "net/route",
					    "net/protocols",
					    "sys/fs/file-nr",
					    "sys/fs/inode-nr",
					    "sys/fs/inode-state",
					    "sys/fs/dentry-state",
					    "sys/kernel/random/boot_id",
					    "sys/kernel/ns_last_pid",
					    "sys/kernel/pty/nr",
					    "sys/kernel/random/entropy_avail",
					    NULL};

	put_all("/proc", files, put_file);
}

/* --- of a process --- */

static void put_thread(const char *directory)
{
	static const char *const files[] = {"stat",  "comm",      "status", "cgroup", "cmdline",      "statm",
					    "wchan", "schedstat", "io",     "limits", "attr/current", NULL};
	static const char *const links[] = {"exe", NULL};

	put_all(directory, files, put_file);
	put_all(directory, links, put_link);
}

static void put_thread_in_short(const char *directory)
{
	static const char *const files[] = {"stat", "comm", "status", "cgroup", "cmdline", NULL};
	static const char *const links[] = {"exe", NULL};

	put_all(directory, files, put_file);
	put_all(directory, links, put_link);
}

void put_process_in_short(const char *directory)
{
	static const char *const files[] = {"stat", "status", "comm", "cmdline", "cgroup", "mounts", "maps", NULL};
	static const char *const links[] = {"exe", "root", "ns/mnt", NULL};
	char path[64];

	put_all(directory, files, put_file);
	put_all(directory, links, put_link);
	sprintf(path, "%s/task", directory);
	for_entries(path, is_number, put_thread_in_short);
}

void put_process(const char *directory)
{
	static const char *const files[] = {"stat",
					    "status",
					    "statm",
					    "comm",
					    "cmdline",
					    "environ",
					    "cgroup",
					    "mounts",
					    "mountinfo",
					    "mountstats",
					    "maps",
					    "smaps",
					    "smaps_rollup",
					    "limits",
					    "oom_score",
					    "oom_score_adj",
					    "oom_adj",
					    "sessionid",
					    "loginuid",
					    "wchan",
					    "io",
					    "sched",
					    "schedstat",
					    "auxv",
					    "personality",
					    "timerslack_ns",
					    "coredump_filter",
					    "cpuset",
					    "uid_map",
					    "gid_map",
					    "projid_map",
					    "setgroups",
					    "attr/current",
					    "autogroup",
					    "syscall",
					    "stack",
					    "timers",
					    "cpu_resctrl_groups",
					    "arch_status",
					    "patch_state",
					    "timens_offsets",
					    "ksm_stat",
					    NULL};
	static const char *const links[] = {"exe", "cwd", "root", NULL};
	static const char *const links_in[] = {"ns", "fd", NULL};
	char path[64];

	put_all(directory, files, put_file);
	put_all(directory, links, put_link);
	for (const char *const *name = links_in; *name; name++) {
		sprintf(path, "%s/%s", directory, *name);
		for_entries(path, NULL, put_link);
	}
	sprintf(path, "%s/fdinfo", directory);
	for_entries(path, NULL, put_file);
	sprintf(path, "%s/task", directory);
	for_entries(path, is_number, put_thread);
}
