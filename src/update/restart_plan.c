/* SPDX-License-Identifier: Apache-2.0 */
/* `update` makes the plan when the changes are known. */
#include "update/restart_plan.h"

#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "update/restart.h"

/* The device of what is mounted there: of several, what was mounted last hides the others. */
static struct restart_device device_at(const struct sleeping *s, const char *target)
{
	struct restart_device device = {0};
	size_t n;
	const struct disk_mount *mounts = disk_mounts(s->disk, &n);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(mounts[i].target, target))
			device = (struct restart_device){mounts[i].major, mounts[i].minor};
	for (size_t i = 0; i < s->mounts.n; i++)
		if (!strcmp(s->mounts.items[i].target, target))
			device = (struct restart_device){s->mounts.items[i].major, s->mounts.items[i].minor};
	return device;
}

static struct error *find_devices(const struct sleeping *s, const struct shadow *shadow, struct restart_device **ret,
				  size_t *ret_n)
{
	size_t n;
	const struct change_layer *layers = shadow_layers(shadow, &n);
	struct restart_device *devices = calloc(n + 1, sizeof(*devices));

	if (!devices)
		return error_no_memory();
	for (size_t i = 0; i < n; i++)
		devices[i] = device_at(s, layers[i].target);
	*ret = devices;
	*ret_n = n;
	return NULL;
}

static bool is_systemd(const struct guest_task_list *processes)
{
	const struct guest_task *init = guest_task_list_find(processes, 1);

	return init && !strcmp(init->comm, "systemd");
}

static void log_plan(const struct restart_plan *plan)
{
	json_t *note;
	size_t i;

	json_array_foreach(plan->notes, i, note) log_warning("restart plan: %s", json_string_value(note));
}

struct error *restart_plan_make(const struct sleeping *s, struct shadow *shadow, const struct change_list *changes,
				json_t **ret)
{
	_cleanup_(restart_plan_destroy_ptr) struct restart_plan *plan = restart_plan_create();
	_cleanup_(restart_changed_deinit) struct restart_changed changed = {0};
	_cleanup_(free_ptr) struct restart_device *devices = NULL;
	struct restart_input input = {.guest = s->guest,
				      .processes = &s->processes,
				      .changed = &changed,
				      .root_fd = disk_root(s->disk),
				      .shadow = shadow,
				      .systemd = is_systemd(&s->processes)};
	struct error *error;

	if (!plan || !plan->notes)
		return error_no_memory();
	progress_step("restart", "finding out what must be restarted");
	if (!s->guest)
		return error_wrap(restart_held_make(&input, plan, ret), "the restart plan");
	error = find_devices(s, shadow, &devices, &input.n_devices);
	input.devices = devices;
	if (!error)
		error = restart_changed_init(changes, devices, input.n_devices, &changed);
	if (!error)
		error = restart_find(&input, plan);
	if (!error)
		error = restart_decide(&input, plan);
	if (error)
		return error_wrap(error, "the restart plan");
	log_plan(plan);
	return restart_document(plan, ret);
}
