/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limit.h"

#include "base/io.h"

struct error *limit_set(__rlimit_resource_t resource, rlim_t value)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return error_system(errno, NULL, "cannot read a resource limit");
	limit.rlim_cur = limit.rlim_max = value < limit.rlim_max ? value : limit.rlim_max;
	if (setrlimit(resource, &limit) < 0)
		return error_system(errno, NULL, "cannot set a resource limit");
	return NULL;
}

uint64_t limit_data_now(void)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = io_read_file("/proc/self/statm", 4096, &text, NULL);
	unsigned long long data = 0;

	if (!error)
		(void)sscanf(text, "%*u %*u %*u %*u %*u %llu", &data);
	error_destroy(error);
	return data * (uint64_t)sysconf(_SC_PAGESIZE);
}
