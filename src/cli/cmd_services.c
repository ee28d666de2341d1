/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/print.h"
#include "cli/source.h"
#include "cli/verb.h"

static struct error *show(const struct invocation *invocation)
{
	_cleanup_(source_close) struct source source = {0};
	_cleanup_(guest_task_list_deinit) struct guest_task_list list = {0};
	_cleanup_(services_deinit) struct services services = {0};
	struct error *error = source_open(invocation, &source);

	if (!error)
		error = guest_tasks(source.guest, GUEST_PROCESSES, &list);
	if (!error)
		error = services_find(&list, &services);
	if (error)
		return error;
	if (invocation->json)
		print_services_json(stdout, &services, list.incomplete ? list.incomplete->message : NULL);
	else
		print_services(stdout, &services);
	return source_conclude(&source, list.incomplete);
}

const struct verb verb_services = {
	.name = "services",
	.arguments = "VM",
	.summary = "list systemd's units and their processes",
	.reads_memory = true,
	.show = show,
};
