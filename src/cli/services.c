/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/services.h"

#include <stdlib.h>
#include <string.h>

#include "base/unit_name.h"

/* A process, and the unit that its control group names. */
struct member {
	const struct guest_task *task;
	char *unit;
};

static int by_unit_and_pid(const void *left, const void *right)
{
	const struct member *a = left, *b = right;
	int order = strcmp(a->unit, b->unit);

	if (order)
		return order;
	return a->task->pid < b->task->pid ? -1 : a->task->pid > b->task->pid;
}

static struct error *collect(const struct guest_task_list *list, struct member *members, size_t *n)
{
	char unit[UNIT_NAME_MAX];

	for (size_t i = 0; i < list->n; i++) {
		const struct guest_task *task = &list->items[i];

		if (task->kernel_thread || !task->cgroup || !unit_of_cgroup(task->cgroup, unit))
			continue;
		members[*n].unit = strdup(unit);
		if (!members[*n].unit)
			return error_no_memory();
		members[(*n)++].task = task;
	}
	return NULL;
}

/* Takes the units' names of the sorted members. */
static struct error *group(struct member *members, size_t n, struct services *ret)
{
	ret->items = calloc(n + 1, sizeof(*ret->items));
	ret->tasks = calloc(n + 1, sizeof(*ret->tasks));
	if (!ret->items || !ret->tasks)
		return error_no_memory();
	for (size_t i = 0; i < n; i++) {
		struct service *service = ret->n ? &ret->items[ret->n - 1] : NULL;

		if (!service || strcmp(service->unit, members[i].unit) != 0) {
			service = &ret->items[ret->n++];
			service->unit = take_ptr(members[i].unit);
			service->first = i;
		}
		service->n++;
		ret->tasks[i] = members[i].task;
	}
	return NULL;
}

struct error *services_find(const struct guest_task_list *list, struct services *ret)
{
	_cleanup_(free_ptr) struct member *members = calloc(list->n + 1, sizeof(*members));
	struct services services = {0};
	size_t n = 0;
	struct error *error;

	if (!members)
		return error_no_memory();
	error = collect(list, members, &n);
	if (!error) {
		qsort(members, n, sizeof(*members), by_unit_and_pid);
		error = group(members, n, &services);
	}
	for (size_t i = 0; i < n; i++)
		free(members[i].unit);
	if (error)
		services_deinit(&services);
	else
		*ret = services;
	return error;
}

void services_deinit(struct services *services)
{
	for (size_t i = 0; i < services->n; i++)
		free(services->items[i].unit);
	free(services->items);
	free(services->tasks);
	*services = (struct services){0};
}
