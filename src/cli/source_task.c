/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/source.h"

static const struct guest_task *find_task(const struct guest_task_list *list, uint64_t pid)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].pid == pid)
			return &list->items[i];
	return NULL;
}

static struct error *option_pid(const struct invocation *invocation, uint64_t *ret)
{
	return invocation_number(invocation, "pid", 0, INT32_MAX, ret);
}

struct error *source_check_pid(const struct invocation *invocation)
{
	uint64_t pid;

	return option_pid(invocation, &pid);
}

struct error *source_find_task(const struct source *source, const struct invocation *invocation, uint64_t *ret)
{
	bool found = !invocation_option(invocation, "pid");
	uint64_t pid = 0, address = 0;
	struct error *error = option_pid(invocation, &pid);

	/* A thread that leads no process is the rare case, and its list the longer one. */
	for (int which = GUEST_PROCESSES; !error && !found && which <= GUEST_THREADS; which++) {
		_cleanup_(guest_task_list_deinit) struct guest_task_list list = {0};
		const struct guest_task *task;

		error = guest_tasks(source->guest, which, &list);
		task = error ? NULL : find_task(&list, pid);
		found = task != NULL;
		address = task ? task->address : 0;
	}
	if (error)
		return error;
	if (!found)
		return error_remedy(error_create(ERROR_NOT_FOUND, "%s: no process %llu sleeps there", source->path,
						 (unsigned long long)pid),
				    "ouassister ps lists them");
	*ret = address;
	return NULL;
}
