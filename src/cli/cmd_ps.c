/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/print.h"
#include "cli/source.h"
#include "cli/verb.h"

static const struct option_spec options[] = {
	{"threads", 0, NULL, "all threads, not only processes"},
	{"every", 'e', NULL, "changes nothing: as in ps -ef, every process is listed"},
	{"full", 'f', NULL, "changes nothing: as in ps -ef, the listing is full"},
	{0},
};

static struct error *show_text(const struct source *source, const struct guest_task_list *list, bool threads)
{
	struct ps_view view = {.threads = threads};
	struct error *error = guest_clock(source->guest, &view.clock);

	if (error)
		return error;
	source_users(source, &view.users);
	print_ps(stdout, list, &view);
	users_deinit(&view.users);
	return NULL;
}

static struct error *show(const struct invocation *invocation)
{
	_cleanup_(source_close) struct source source = {0};
	_cleanup_(guest_task_list_deinit) struct guest_task_list list = {0};
	bool threads = invocation_option(invocation, "threads") != NULL;
	struct error *error = source_open(invocation, &source);

	if (!error)
		error = guest_tasks(source.guest, threads ? GUEST_THREADS : GUEST_PROCESSES, &list);
	if (!error && invocation->json)
		print_ps_json(stdout, &list);
	else if (!error)
		error = show_text(&source, &list, threads);
	return error ? error : source_conclude(&source, list.incomplete);
}

const struct verb verb_ps = {
	.name = "ps",
	.arguments = "VM",
	.summary = "list the guest's processes as ps -ef does",
	.reads_memory = true,
	.options = options,
	.show = show,
};
