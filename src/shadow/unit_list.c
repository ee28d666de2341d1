/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of units and of unit files. Who asks for some of them gets only those: systemctl does not look again before it
 * stops all that "stop 'name@*'" has found.
 */
#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "base/names.h"
#include "shadow/manager.h"

#define NAMES_MAX 5000

static void add_name(const char *name, void *data)
{
	struct names *names = data;

	/* One that there is no memory for is one that is not listed. */
	if (unit_name_is_valid(name) && names->n < NAMES_MAX)
		error_destroy(names_add(names, name));
}

static void sort_unique(struct names *names)
{
	size_t kept = 0;

	names_sort(names);
	for (size_t i = 0; i < names->n; i++) {
		if (kept && strcmp(names->items[kept - 1], names->items[i]) == 0)
			free(names->items[i]);
		else
			names->items[kept++] = names->items[i];
	}
	names->n = kept;
}

static void add_invoked(struct names *names)
{
	_cleanup_(closedir_ptr) DIR *dir = opendir("/run/systemd/units");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strncmp(entry->d_name, "invocation:", 11) == 0)
			add_name(entry->d_name + 11, names);
}

/* What targets pull in: DIRECTORY/TARGET.wants/NAME. */
static void add_wanted(struct names *names, const char *directory)
{
	_cleanup_(closedir_ptr) DIR *dir = opendir(directory);
	struct dirent *entry, *wanted;
	char path[PATH_MAX];

	while (dir && (entry = readdir(dir))) {
		_cleanup_(closedir_ptr) DIR *wants = NULL;
		size_t n = strlen(entry->d_name);

		if (!unit_has_suffix(entry->d_name, n, ".wants") && !unit_has_suffix(entry->d_name, n, ".requires"))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) >= (int)sizeof(path))
			continue;
		wants = opendir(path);
		while (wants && (wanted = readdir(wants)))
			if (wanted->d_name[0] != '.')
				add_name(wanted->d_name, names);
	}
}

static const char *const boot_targets[] = {"basic.target", "local-fs.target", "multi-user.target",
					   "paths.target", "slices.target",   "sockets.target",
					   "swap.target",  "sysinit.target",  "timers.target"};

static void collect(const struct guest_task_list *processes, struct names *names)
{
	char name[SHADOW_NAME_MAX];

	for (size_t i = 0; processes && i < processes->n; i++)
		if (unit_of_process(&processes->items[i], name))
			add_name(name, names);
	add_invoked(names);
	for (size_t i = 0; unit_directories[i]; i++)
		add_wanted(names, unit_directories[i]);
	if (processes && processes->n)
		unit_each_mount(add_name, names);
	for (size_t i = 0; i < ARRAY_SIZE(boot_targets); i++)
		add_name(boot_targets[i], names);
	sort_unique(names);
}

static int append_listed(sd_bus_message *reply, const struct unit *unit)
{
	_cleanup_(free_ptr) char *path = NULL;
	int r = sd_bus_path_encode(UNIT_PREFIX, unit->id, &path);

	return r < 0 ? r
		     : sd_bus_message_append(reply, "(ssssssouso)", unit->id,
					     unit->description[0] ? unit->description : unit->id, unit->load_state,
					     unit->active_state, unit->sub_state, "", path, 0u, "", "/");
}

/* The names that ListUnitsByNames asks for, each to be listed whatever it is. */
static int read_names(sd_bus_message *message, struct names *names)
{
	const char *name;
	int r = sd_bus_message_enter_container(message, 'a', "s");

	while (r >= 0 && (r = sd_bus_message_read(message, "s", &name)) > 0)
		add_name(name, names);
	return r;
}

/* What a list is to have, each as strings of any of which is enough; NULL or empty: all. */
struct filter {
	char **states, **patterns;
};

static void free_strings(char **strings)
{
	for (size_t i = 0; strings && strings[i]; i++)
		free(strings[i]);
	free(strings);
}

static void filter_deinit(struct filter *filter)
{
	free_strings(filter->states);
	free_strings(filter->patterns);
}

/* The arguments of "...Filtered" (states) and "...ByPatterns" (states, patterns); the others have none. */
static int filter_read(const struct method *method, sd_bus_message *message, struct filter *ret)
{
	size_t n = strlen(method->member);
	bool by_patterns = unit_has_suffix(method->member, n, "ByPatterns");
	int r = 0;

	if (by_patterns || unit_has_suffix(method->member, n, "Filtered"))
		r = sd_bus_message_read_strv(message, &ret->states);
	if (r >= 0 && by_patterns)
		r = sd_bus_message_read_strv(message, &ret->patterns);
	return r;
}

static bool has_string(char *const *strings, const char *string)
{
	for (size_t i = 0; strings[i]; i++)
		if (strcmp(strings[i], string) == 0)
			return true;
	return false;
}

static bool filter_has_state(const struct filter *filter, const char *state)
{
	return !filter->states || !filter->states[0] || has_string(filter->states, state);
}

static bool filter_has_name(const struct filter *filter, const char *name)
{
	if (!filter->patterns || !filter->patterns[0])
		return true;
	for (size_t i = 0; filter->patterns[i]; i++)
		/* Longer ones match no name of a unit, and take their time. */
		if (strlen(filter->patterns[i]) < SHADOW_NAME_MAX && !fnmatch(filter->patterns[i], name, FNM_NOESCAPE))
			return true;
	return false;
}

static bool filter_has_unit(const struct filter *filter, const struct unit *unit)
{
	return filter_has_name(filter, unit->id) &&
	       (filter_has_state(filter, unit->load_state) || filter_has_state(filter, unit->active_state) ||
		filter_has_state(filter, unit->sub_state));
}

int manager_list_units(struct manager *manager, const struct method *method, sd_bus_message *message,
		       sd_bus_error *error)
{
	const struct guest_task_list *processes = manager->options->processes;
	_cleanup_(sd_bus_message_unref_ptr) sd_bus_message *reply = NULL;
	_cleanup_(filter_deinit) struct filter filter = {0};
	_cleanup_(names_deinit) struct names names = {0};
	bool named = strcmp(method->member, "ListUnitsByNames") == 0;
	int r = filter_read(method, message, &filter);

	if (r >= 0 && named)
		r = read_names(message, &names);
	else if (r >= 0)
		collect(processes, &names);
	if (r >= 0)
		r = sd_bus_message_new_method_return(message, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(ssssssouso)");
	for (size_t i = 0; r >= 0 && i < names.n; i++) {
		struct unit unit;

		unit_lookup(processes, names.items[i], &unit);
		/* An alias is listed under its own name only. */
		if (!named && (strcmp(unit.id, names.items[i]) != 0 ||
			       (strcmp(unit.load_state, "loaded") != 0 && strcmp(unit.active_state, "active") != 0) ||
			       !filter_has_unit(&filter, &unit)))
			continue;
		r = append_listed(reply, &unit);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* One line of `systemctl --root=/ list-unit-files`: NAME STATE [PRESET]. */
static int append_file(sd_bus_message *reply, const struct filter *filter, char *line)
{
	char *save = NULL, *name = strtok_r(line, " \t", &save), *state = strtok_r(NULL, " \t", &save);
	struct unit unit;

	if (!name || !state || !unit_name_is_valid(name) || !filter_has_name(filter, name) ||
	    !filter_has_state(filter, state))
		return 0;
	unit_lookup(NULL, name, &unit);
	return unit.fragment[0] ? sd_bus_message_append(reply, "(ss)", unit.fragment, state) : 0;
}

/* As the guest's own systemctl finds them without asking anybody. */
int manager_list_unit_files(struct manager *manager, const struct method *method, sd_bus_message *message,
			    sd_bus_error *error)
{
	static const char *const words[] = {"--no-legend", "--no-pager", "--full", NULL};
	_cleanup_(sd_bus_message_unref_ptr) sd_bus_message *reply = NULL;
	_cleanup_(filter_deinit) struct filter filter = {0};
	_cleanup_(free_ptr) char *output = NULL;
	char *save = NULL;
	int r = filter_read(method, message, &filter);

	if (r >= 0)
		r = manager_run_systemctl(manager, "list-unit-files", words, &output);

	if (r >= 0)
		r = sd_bus_message_new_method_return(message, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(ss)");
	for (char *line = output ? strtok_r(output, "\n", &save) : NULL; r >= 0 && line;
	     line = strtok_r(NULL, "\n", &save))
		r = append_file(reply, &filter, line);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
