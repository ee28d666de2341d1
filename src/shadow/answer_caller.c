/* SPDX-License-Identifier: Apache-2.0 */
/* The one who calls: its memory, its ids. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shadow/answer.h"
#include "shadow/status.h"

int answer_open_proc(struct answer_call *call, const char *name, int flags)
{
	uint64_t id = call->request->id;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/%s", call->request->pid, name);
	fd = open(path, flags | O_CLOEXEC);
	/* Between the request and the open the caller may have died and its pid be another's. */
	if (fd >= 0 && DEFENCE("still waiting") &&
	    ioctl(call->answers->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0)
		close_fd(&fd);
	return fd;
}

static int open_memory(struct answer_call *call)
{
	if (call->memory < 0)
		call->memory = answer_open_proc(call, "mem", O_RDWR);
	return call->memory < 0 ? ESRCH : 0;
}

int answer_read(struct answer_call *call, uint64_t address, void *buffer, size_t size)
{
	int errnum = open_memory(call);

	if (errnum)
		return errnum;
	if (address > INT64_MAX || pread(call->memory, buffer, size, (off_t)address) != (ssize_t)size)
		return EFAULT;
	return 0;
}

int answer_write(struct answer_call *call, uint64_t address, const void *buffer, size_t size)
{
	int errnum = open_memory(call);

	if (errnum)
		return errnum;
	if (address > INT64_MAX || pwrite(call->memory, buffer, size, (off_t)address) != (ssize_t)size)
		return EFAULT;
	return 0;
}

int answer_read_string(struct answer_call *call, uint64_t address, char *buffer, size_t size, int too_long)
{
	size_t n = 0;
	int errnum = open_memory(call);

	if (errnum)
		return errnum;
	while (n < size) {
		/* Up to the end of a page: the next one need not be there. */
		size_t part = 4096 - (address + n) % 4096;
		ssize_t got;

		if (part > size - n)
			part = size - n;
		got = address + n > INT64_MAX ? -1 : pread(call->memory, buffer + n, part, (off_t)(address + n));
		if (got <= 0)
			return EFAULT;
		if (memchr(buffer + n, '\0', (size_t)got))
			return 0;
		n += (size_t)got;
	}
	return too_long;
}

/* A host's id as the guest has it. */
static uint32_t guest_id(unsigned long long id)
{
	return id >= SHADOW_ID_BASE && id - SHADOW_ID_BASE < SHADOW_ID_COUNT ? (uint32_t)(id - SHADOW_ID_BASE)
									     : UINT32_MAX;
}

/* What /proc/PID/status says, NUL-terminated. */
static bool read_status(int fd, char text[4096])
{
	ssize_t n = fd < 0 ? -1 : read(fd, text, 4095);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
}

int answer_caller(struct answer_call *call, struct answer_caller *ret)
{
	unsigned long long ids[4], groups[4], umask, capabilities;
	_cleanup_(close_fd) int fd = answer_open_proc(call, "status", O_RDONLY);
	char text[4096];

	if (!read_status(fd, text) || status_numbers(text, "\nUmask:", 8, &umask, 1) != 1 ||
	    status_numbers(text, "\nUid:", 10, ids, 4) != 4 || status_numbers(text, "\nGid:", 10, groups, 4) != 4 ||
	    status_numbers(text, "\nCapEff:", 16, &capabilities, 1) != 1)
		return ESRCH;
	*ret = (struct answer_caller){.uid = guest_id(ids[0]),
				      .euid = guest_id(ids[1]),
				      .fsuid = guest_id(ids[3]),
				      .gid = guest_id(groups[0]),
				      .egid = guest_id(groups[1]),
				      .fsgid = guest_id(groups[3]),
				      .umask = (uint32_t)umask & 0777,
				      .capabilities = capabilities};
	return 0;
}

bool answer_capable(const struct answer_caller *caller, unsigned capability)
{
	return caller->euid == 0 || caller->capabilities >> capability & 1;
}

/* ---- Processes of the shadow ---- */

/* Its processes are two pid namespaces below ours, and nothing is below theirs. */
static size_t depth_of(const char *status, unsigned long long *ret_pid, unsigned long long *ret_tgid)
{
	unsigned long long pids[8], tgids[8];
	size_t n = status_numbers(status, "\nNSpid:", 10, pids, ARRAY_SIZE(pids));

	if (n == 0 || status_numbers(status, "\nNStgid:", 10, tgids, ARRAY_SIZE(tgids)) != n)
		return 0;
	*ret_pid = pids[n - 1];
	*ret_tgid = tgids[n - 1];
	return n;
}

bool answer_process_of(uint32_t host_pid, struct answer_process *ret)
{
	unsigned long long pid, tgid, parent;
	_cleanup_(close_fd) int fd = -1;
	char path[64], text[4096];

	snprintf(path, sizeof(path), "/proc/%u/status", host_pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (!read_status(fd, text) || depth_of(text, &pid, &tgid) != 3 ||
	    status_numbers(text, "\nPPid:", 10, &parent, 1) != 1)
		return false;
	*ret = (struct answer_process){(uint32_t)pid, (uint32_t)tgid, (uint32_t)parent};
	return true;
}

bool answer_process_find(uint32_t pid, struct answer_process *ret)
{
	_cleanup_(closedir_ptr) DIR *proc = opendir("/proc");
	const struct dirent *entry;

	while (proc && (entry = readdir(proc))) {
		struct answer_process process;

		if (isdigit((unsigned char)entry->d_name[0]) &&
		    answer_process_of((uint32_t)strtoul(entry->d_name, NULL, 10), &process) && process.pid == pid) {
			*ret = process;
			return true;
		}
	}
	return false;
}
