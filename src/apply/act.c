/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorded actions, in their order. One that fails is reported and counted, and is no reason
 * to go back: the files are right, and a service that does not start may not have run before.
 */
#include <stdlib.h>
#include <string.h>

#include "apply/events.h"
#include "apply/run.h"
#include "apply/transaction.h"

#define ACTION_TIMEOUT_MS 90000

static bool has_systemd(void)
{
	return access("/run/systemd/system", F_OK) == 0;
}

static struct error *act(struct transaction *t, char *const *argv, uint32_t *failed)
{
	_cleanup_(run_result_deinit) struct run_result result = {};
	struct event event;
	struct error *error;

	error = run(argv, ACTION_TIMEOUT_MS, &result);
	if (error)
		return error;
	event_begin(&event, "action");
	event_strings(&event, "argv", argv);
	event_number(&event, "status", result.status);
	event_string(&event, "output", result.output);
	event_write(&event, t->report_fd);
	*failed += result.status != 0;
	return NULL;
}

static struct error *act_systemd(struct transaction *t, const struct action *action, uint32_t *failed)
{
	char *argv[] = {
		(char *)"systemctl", (char *)"--no-ask-password", action->verb, (char *)"--", action->unit, NULL};

	if (!action->unit)
		argv[3] = NULL;
	return act(t, argv, failed);
}

/* Without systemd: "nginx.service" is the init script nginx, and nothing has to be told of new units. */
static struct error *act_service(struct transaction *t, const struct action *action, uint32_t *failed)
{
	_cleanup_(free_ptr) char *name = NULL;
	size_t n = action->unit ? strlen(action->unit) : 0;
	const char *suffix = ".service";

	if (!action->unit)
		return NULL;
	if (n > strlen(suffix) && !strcmp(action->unit + n - strlen(suffix), suffix))
		n -= strlen(suffix);
	name = strndup(action->unit, n);
	if (!name)
		return error_no_memory();
	return act(t, (char *[]){(char *)"service", name, action->verb, NULL}, failed);
}

static bool wants_reload_first(const struct action_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].kind == ACTION_SYSTEMD)
			return strcmp(list->items[i].verb, "daemon-reload") &&
			       strcmp(list->items[i].verb, "daemon-reexec");
	return false;
}

struct error *transaction_act(struct transaction *t, bool only_services, uint32_t *ret_failed)
{
	const struct action_list *list = &t->payload.actions;
	const struct action reload = {.kind = ACTION_SYSTEMD, .verb = (char *)"daemon-reload"};
	bool systemd = has_systemd();
	struct error *error = NULL;
	uint32_t failed = 0;

	if (systemd && wants_reload_first(list))
		error = act_systemd(t, &reload, &failed);
	for (size_t i = 0; i < list->n && !error; i++) {
		const struct action *action = &list->items[i];

		if (action->kind == ACTION_COMMAND)
			error = only_services ? NULL : act(t, action->argv, &failed);
		else
			error = systemd ? act_systemd(t, action, &failed) : act_service(t, action, &failed);
	}
	*ret_failed = failed;
	return error;
}
