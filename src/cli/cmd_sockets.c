/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/log.h"
#include "cli/print.h"
#include "cli/source.h"
#include "cli/verb.h"

static const struct option_spec options[] = {
	{"pid", 0, "N", "of this process's network namespace (default: of the initial one)"},
	{"processes", 'p', NULL, "which processes have each open"},
	{"listening", 'l', NULL, "only those that wait for others"},
	{"tcp", 't', NULL, "TCP (with -u, -w, -x: those, too)"},
	{"udp", 'u', NULL, "UDP, and UDP-Lite"},
	{"raw", 'w', NULL, "raw"},
	{"unix", 'x', NULL, "unix"},
	{"all", 'a', NULL, "changes nothing: as in ss -a, all are listed"},
	{"numeric", 'n', NULL, "changes nothing: as in ss -n, ports are numbers"},
	{0},
};

static unsigned chosen_kinds(const struct invocation *invocation)
{
	static const struct {
		const char *option;
		enum guest_socket_kind kind;
	} kinds[] = {
		{"tcp", GUEST_SOCKET_TCP}, {"udp", GUEST_SOCKET_UDP},   {"udp", GUEST_SOCKET_UDPLITE},
		{"raw", GUEST_SOCKET_RAW}, {"unix", GUEST_SOCKET_UNIX},
	};
	unsigned chosen = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (invocation_option(invocation, kinds[i].option))
			chosen |= 1u << kinds[i].kind;
	return chosen;
}

/* Keeps the first reason why something is missing. */
static void keep_first(struct error **kept, struct error *why)
{
	if (*kept)
		error_destroy(why);
	else
		*kept = why;
}

static struct error *add_process(struct guest *guest, const struct guest_task *task, struct socket_owners *owners,
				 struct error **incomplete)
{
	_cleanup_(guest_fd_list_deinit) struct guest_fd_list fds = {0};
	struct error *error = guest_task_fds(guest, task->address, &fds);

	if (error && error->code == ERROR_NOT_FOUND) { /* it has no files: it is ending */
		error_destroy(error);
		return NULL;
	}
	if (error && error->code == ERROR_FORMAT) { /* a damaged one does not hide the others */
		keep_first(incomplete, error);
		return NULL;
	}
	if (error)
		return error;
	if (fds.incomplete)
		keep_first(incomplete, take_ptr(fds.incomplete));
	return socket_owners_add(owners, task, &fds);
}

static struct error *find_owners(struct guest *guest, struct socket_owners *owners, struct error **incomplete)
{
	_cleanup_(guest_task_list_deinit) struct guest_task_list list = {0};
	struct error *error = guest_tasks(guest, GUEST_PROCESSES, &list);

	guest_share_effort(guest,
			   true); /* of a hostile guest each process may have a table that is just not too long */
	for (size_t i = 0; !error && i < list.n; i++)
		if (!list.items[i].kernel_thread)
			error = add_process(guest, &list.items[i], owners, incomplete);
	guest_share_effort(guest, false);
	if (!error && list.incomplete)
		keep_first(incomplete, take_ptr(list.incomplete));
	socket_owners_sort(owners);
	return error;
}

/* Their names are a courtesy to people: without them there are numbers. */
static void find_interfaces(struct guest *guest, uint64_t task, struct guest_interface_list *ret)
{
	struct error *error = guest_interfaces(guest, task, ret);

	if (error)
		log_debug("interfaces are shown by number: %s", error->message);
	error_destroy(error);
}

static struct error *show_sockets(const struct invocation *invocation, const struct source *source, uint64_t task)
{
	_cleanup_(guest_socket_list_deinit) struct guest_socket_list list = {0};
	_cleanup_(guest_interface_list_deinit) struct guest_interface_list interfaces = {0};
	_cleanup_(socket_owners_deinit) struct socket_owners owners = {0};
	_cleanup_(error_destroy_ptr) struct error *incomplete = NULL;
	struct sockets_view view = {.kinds = chosen_kinds(invocation),
				    .interfaces = &interfaces,
				    .listening = invocation_option(invocation, "listening") != NULL};
	struct error *error = guest_sockets(source->guest, task, &list);

	if (!error && list.incomplete)
		keep_first(&incomplete, take_ptr(list.incomplete));
	if (!error && !invocation->json)
		find_interfaces(source->guest, task, &interfaces);
	if (!error && invocation_option(invocation, "processes")) {
		view.owners = &owners;
		error = find_owners(source->guest, &owners, &incomplete);
	}
	if (!error && invocation->json)
		print_sockets_json(stdout, &list, &view, incomplete ? incomplete->message : NULL);
	else if (!error)
		error = print_sockets(stdout, &list, &view);
	return error ? error : source_conclude(source, incomplete);
}

static struct error *show(const struct invocation *invocation)
{
	_cleanup_(source_close) struct source source = {0};
	uint64_t task;
	struct error *error = source_check_pid(invocation);

	if (!error)
		error = source_open(invocation, &source);
	if (!error)
		error = source_find_task(&source, invocation, &task);
	return error ? error : show_sockets(invocation, &source, task);
}

const struct verb verb_sockets = {
	.name = "sockets",
	.arguments = "VM",
	.summary = "list sockets as ss -a does",
	.reads_memory = true,
	.options = options,
	.show = show,
};
