/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/print.h"
#include "cli/source.h"
#include "cli/verb.h"

static const struct option_spec options[] = {
	{"pid", 'p', "N", "of this process"},
	{0},
};

static struct error *show(const struct invocation *invocation)
{
	_cleanup_(source_close) struct source source = {0};
	_cleanup_(guest_map_list_deinit) struct guest_map_list list = {0};
	uint64_t task;
	struct error *error = NULL;

	if (!invocation_option(invocation, "pid"))
		return error_remedy(error_create(ERROR_USAGE, "maps: of which process? (--pid N)"),
				    "ouassister ps lists them");
	error = source_check_pid(invocation);
	if (!error)
		error = source_open(invocation, &source);
	if (!error)
		error = source_find_task(&source, invocation, &task);
	if (!error)
		error = error_wrap(guest_task_maps(source.guest, task, &list), "process %s",
				   invocation_option(invocation, "pid"));
	if (error)
		return error;
	(invocation->json ? print_maps_json : print_maps)(stdout, &list);
	return source_conclude(&source, list.incomplete);
}

const struct verb verb_maps = {
	.name = "maps",
	.arguments = "VM --pid N",
	.summary = "list what a process maps, as /proc/PID/maps does",
	.reads_memory = true,
	.options = options,
	.show = show,
};
