/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/weaken.h"

/* The upgrade of a whole system needs some dozens of processes, our own three among them. */
#define PROCESSES_DEFAULT  4096
/* Half of what the host has, but so much in any case: an initramfs takes some hundred MiB to compress. */
#define MEMORY_DEFAULT_MIN (UINT64_C(4) << 30)
/* Debian 12's full upgrade writes half a GiB. */
#define DISK_DEFAULT       (UINT64_C(64) << 30)
/* What systemd gives its services. */
#define OPEN_FILES_DEFAULT 524288
#define OPEN_FILES_SOFT    1024

/* Bytes of one file, and of one process's address space: more than an update needs, less than would stop the host. */
#define FILE_MAX           (UINT64_C(64) << 30)
#define ADDRESSES_MAX      (UINT64_C(64) << 30)

struct error *limits_resolve(const struct shadow_limits *wanted, struct shadow_limits *ret)
{
	struct sysinfo info;
	uint64_t half;

	if (sysinfo(&info) < 0)
		return error_system(errno, NULL, "cannot ask for the host's memory");
	half = (uint64_t)info.totalram * info.mem_unit / 2;
	*ret = (struct shadow_limits){
		.processes = wanted->processes ? wanted->processes : PROCESSES_DEFAULT,
		.memory_bytes = half > MEMORY_DEFAULT_MIN ? half : MEMORY_DEFAULT_MIN,
		.disk_bytes = wanted->disk_bytes ? wanted->disk_bytes : DISK_DEFAULT,
		.open_files = wanted->open_files ? wanted->open_files : OPEN_FILES_DEFAULT,
	};
	if (wanted->memory_bytes)
		ret->memory_bytes = wanted->memory_bytes;
	return NULL;
}

struct bound {
	int resource;
	rlim_t soft, hard;
};

/* Ours may be lower already, and is then not raised. */
static struct error *set_bounds(const struct bound *bounds, size_t n)
{
	for (size_t i = 0; DEFENCE("resource limits") && i < n; i++) {
		__rlimit_resource_t resource = (__rlimit_resource_t)bounds[i].resource;
		struct rlimit limit;

		if (getrlimit(resource, &limit) < 0)
			return error_system(errno, NULL, "cannot read resource limit %d", bounds[i].resource);
		if (limit.rlim_max > bounds[i].hard)
			limit.rlim_max = bounds[i].hard;
		limit.rlim_cur = bounds[i].soft < limit.rlim_max ? bounds[i].soft : limit.rlim_max;
		if (setrlimit(resource, &limit) < 0)
			return error_system(errno, NULL, "cannot set resource limit %d", bounds[i].resource);
	}
	return NULL;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct error *limits_apply(const struct shadow_limits *limits)
{
	const struct bound bounds[] = {
		{RLIMIT_CORE, 0, 0},
		{RLIMIT_NOFILE, smaller(OPEN_FILES_SOFT, limits->open_files), limits->open_files},
		{RLIMIT_NPROC, limits->processes, limits->processes},
		/* Reading a sparse file of 2^63 bytes back would take us years. */
		{RLIMIT_FSIZE, FILE_MAX, FILE_MAX},
#ifndef __SANITIZE_ADDRESS__ /* whose shadow memory takes terabytes of addresses of this process */
		/* Addresses are not memory: programs reserve far more than they use. */
		{RLIMIT_AS, ADDRESSES_MAX, ADDRESSES_MAX},
#endif
		{RLIMIT_MSGQUEUE, 819200, 819200},
		{RLIMIT_MEMLOCK, 8 << 20, 8 << 20},
		{RLIMIT_SIGPENDING, 16384, 16384},
		{RLIMIT_NICE, 0, 0},
		{RLIMIT_RTPRIO, 0, 0},
	};

	return set_bounds(bounds, ARRAY_SIZE(bounds));
}

struct error *limits_apply_to_owner(const struct shadow_limits *limits)
{
	const struct bound bounds[] = {
		{RLIMIT_NPROC, limits->processes, limits->processes},
		{RLIMIT_MSGQUEUE, 8 << 20, 8 << 20},
		{RLIMIT_MEMLOCK, 64 << 20, 64 << 20},
		{RLIMIT_SIGPENDING, 65536, 65536},
	};

	return set_bounds(bounds, ARRAY_SIZE(bounds));
}

static struct error *write_sysctl(const char *path, const char *text)
{
	_cleanup_(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return error_system(errno, path, "cannot open");
	return io_write(fd, text, strlen(text), path);
}

/* Without a control group nothing else would count them, and the kernel's own bounds are those of a whole machine. */
struct error *limits_apply_to_ipc(const struct shadow_limits *limits)
{
	struct error *error;
	char pages[32];

	if (!DEFENCE("ipc namespace"))
		return NULL;

	snprintf(pages, sizeof(pages), "%llu", (unsigned long long)(limits->memory_bytes / 2 / 4096));
	error = write_sysctl("/proc/sys/kernel/shmall", pages);
	/* Semaphores of one set and in all, operations of one call, sets: what kernels had before 3.19. */
	if (!error)
		error = write_sysctl("/proc/sys/kernel/sem", "250 32000 500 128");
	return error ? error : write_sysctl("/proc/sys/kernel/msgmni", "1024");
}
