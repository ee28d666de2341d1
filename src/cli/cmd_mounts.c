/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/print.h"
#include "cli/source.h"
#include "cli/verb.h"

static const struct option_spec options[] = {
	{"pid", 'p', "N", "as this process sees them (default: as the first process does)"},
	{"list", 'l', NULL, "in the order of /proc/mounts instead of a tree"},
	{0},
};

static struct error *show(const struct invocation *invocation)
{
	_cleanup_(source_close) struct source source = {0};
	_cleanup_(guest_mount_list_deinit) struct guest_mount_list list = {0};
	uint64_t task;
	struct error *error = source_check_pid(invocation);

	if (!error)
		error = source_open(invocation, &source);
	if (!error)
		error = source_find_task(&source, invocation, &task);
	if (!error)
		error = guest_mounts(source.guest, task, &list);
	if (!error && invocation->json)
		print_mounts_json(stdout, &list);
	else if (!error)
		error = print_mounts(stdout, &list, !invocation_option(invocation, "list"));
	return error ? error : source_conclude(&source, list.incomplete);
}

const struct verb verb_mounts = {
	.name = "mounts",
	.arguments = "VM",
	.summary = "list what is mounted as findmnt does",
	.reads_memory = true,
	.options = options,
	.show = show,
};
