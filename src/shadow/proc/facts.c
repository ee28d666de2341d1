/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"
#include "base/log.h"
#include "shadow/proc/proc.h"

uint64_t proc_uptime_ns(const struct proc_facts *facts)
{
	int64_t now_ns = (int64_t)clock_boottime_ns() + facts->boottime_offset_ns;

	return now_ns > 0 ? (uint64_t)now_ns : 0;
}

const struct guest_task *proc_find_task(const struct proc_facts *facts, uint32_t pid)
{
	return guest_task_list_find(facts->tasks, pid);
}

struct error *proc_list(struct error *error, struct error **incomplete, const size_t *n)
{
	if (error || !*incomplete)
		return error;
	if (*n == 0)
		return take_ptr(*incomplete);
	log_debug("a file of /proc tells less than there is: %s", (*incomplete)->message);
	return NULL;
}
