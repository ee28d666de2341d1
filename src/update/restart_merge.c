/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of a bundle, as actions of a running guest. A bundle may be hostile: of the plan only names are taken. */
#include <string.h>

#include "base/json.h"
#include "base/unit_name.h"
#include "update/restart.h"

static bool is_one_of(const char *word, const char *const *words, size_t n)
{
	for (size_t i = 0; word && i < n; i++)
		if (!strcmp(word, words[i]))
			return true;
	return false;
}

/* systemctl's and service's own words, and nothing that could be an option or a path. */
bool restart_is_unit(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= UNIT_NAME_MAX || *name == '-' || *name == '.')
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '/')
			return false;
	return true;
}

/* The unit is ended, or started anew, by what was recorded: the plan has nothing to add. A mere reload keeps old code.
 */
static bool is_settled(const struct action_list *recorded, const char *unit)
{
	static const char *const verbs[] = {"stop", "restart", "try-restart"};

	for (size_t i = 0; i < recorded->n; i++) {
		const struct action *action = &recorded->items[i];

		if (action->kind == ACTION_SYSTEMD && action->unit && !strcmp(action->unit, unit) &&
		    is_one_of(action->verb, verbs, ARRAY_SIZE(verbs)))
			return true;
	}
	return false;
}

static struct error *append(struct action_list *list, const char *verb, const char *unit)
{
	struct action action = {.kind = ACTION_SYSTEMD, .phase = ACTION_AFTER};

	action.verb = strdup(verb);
	action.unit = unit ? strdup(unit) : NULL;
	if (!action.verb || (unit && !action.unit)) {
		action_deinit(&action);
		return error_no_memory();
	}
	return action_list_append(list, action);
}

static struct error *take_entry(const json_t *entry, enum restart_mode mode, const struct action_list *recorded,
				struct action_list *list)
{
	static const char *const restarts[] = {"try-restart", "restart"};
	const char *verb = json_string_value(json_object_get(entry, "verb"));
	const char *policy, *name;
	struct error *error = json_get_string(entry, "policy", &policy);

	if (!error)
		error = json_get_string(entry, "name", &name);
	if (error || !verb || mode == RESTART_NONE)
		return error;
	if (mode != RESTART_ALL && strcmp(policy, "restart") != 0)
		return NULL;
	if (!strcmp(verb, "daemon-reexec"))
		return append(list, verb, NULL);
	if (!is_one_of(verb, restarts, ARRAY_SIZE(restarts)) || !restart_is_unit(name))
		return error_format(NULL, ERROR_NO_ADDRESS, "the restart plan holds no restart of a unit");
	return is_settled(recorded, name) ? NULL : append(list, verb, name);
}

struct error *restart_merge(const struct action_list *recorded, const json_t *plan, enum restart_mode mode,
			    struct action_list *ret)
{
	_cleanup_(action_list_deinit) struct action_list once = {0}, merged = {0};
	struct error *error = action_list_coalesce(recorded, &once);
	json_t *entry;
	size_t i;

	if (!error)
		error = action_list_coalesce(&once, &merged);
	json_array_foreach(plan, i, entry)
	{
		if (error || i == RESTART_ENTRIES_MAX)
			break;
		error = take_entry(entry, mode, &once, &merged);
	}
	return error ? error : action_list_coalesce(&merged, ret);
}

/* --- who still uses old files --- */

/* /proc/PID/stat counts in hundredths of a second. */
#define NS_PER_TICK 10000000

static bool has_process(const json_t *entry, const json_t *stale)
{
	json_int_t pid = json_integer_value(json_object_get(stale, "pid"));
	json_int_t ticks = json_integer_value(json_object_get(stale, "start_ticks"));
	json_t *process;
	size_t i;

	json_array_foreach(json_object_get(entry, "processes"), i,
			   process) if (json_integer_value(json_object_get(process, "pid")) == pid &&
					json_integer_value(json_object_get(process, "start_ns")) / NS_PER_TICK ==
						ticks) return true;
	return false;
}

/* Of a guest that was shut down the plan names unit files: restart_held_find() knows their instances. */
static const json_t *find_entry(const json_t *plan, const json_t *stale)
{
	const char *unit = json_string_value(json_object_get(stale, "unit"));
	json_t *entry;
	size_t i;

	json_array_foreach(plan, i, entry) if (has_process(entry, stale)) return entry;
	return unit ? restart_held_find(plan, unit) : NULL;
}

struct error *restart_explain(json_t *stale, const json_t *plan)
{
	json_t *process;
	size_t i;

	json_array_foreach(stale, i, process)
	{
		const json_t *entry = find_entry(plan, process);
		json_t *policy = json_object_get(entry, "policy"), *why = json_object_get(entry, "why");

		if (json_object_set_new(process, "policy", entry ? json_incref(policy) : json_string("not-planned")) <
			    0 ||
		    (why && json_object_set(process, "why", why) < 0))
			return error_no_memory();
	}
	return NULL;
}
