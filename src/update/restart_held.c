/* SPDX-License-Identifier: Apache-2.0 */
/* Of a guest that was shut down: the services that would not be restarted, whoever they will be found to use. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/array.h"
#include "base/io.h"
#include "base/json.h"
#include "base/unit_name.h"
#include "update/restart.h"

static const char *const directories[] = {"/etc/systemd/system", "/usr/local/lib/systemd/system", "/lib/systemd/system",
					  "/usr/lib/systemd/system"};

static bool is_service(const char *name)
{
	size_t n = strlen(name);

	return n > 8 && !strcmp(name + n - 8, ".service") && restart_is_unit(name);
}

static bool has_entry(const struct restart_plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->n; i++)
		if (!strcmp(plan->items[i].name, name))
			return true;
	return false;
}

/* As if it were certain that the service uses what changes. */
static struct error *add_service(struct restart_plan *plan, const char *name)
{
	struct restart_entry entry = {.kind = RESTART_OF_UNIT};
	struct error *error = array_room(&plan->items, plan->n, sizeof(*plan->items));

	if (!error)
		error = restart_reasons_add(&entry.reasons, RESTART_REPLACED, "/");
	if (!error) {
		entry.name = strdup(name);
		error = entry.name ? NULL : error_no_memory();
	}
	if (error) {
		restart_reasons_deinit(&entry.reasons);
		return error;
	}
	plan->items[plan->n++] = entry;
	return NULL;
}

static struct error *add_services_of(int root_fd, const char *path, struct restart_plan *plan)
{
	_cleanup_(closedir_ptr) DIR *directory = NULL;
	_cleanup_(close_fd) int fd = -1;
	struct dirent *item;
	struct error *error = io_open_in_root(root_fd, path, O_RDONLY | O_DIRECTORY, &fd);

	if (error) {
		error_destroy(error);
		return NULL;
	}
	directory = fdopendir(fd);
	if (!directory)
		return error_system(errno, path, "cannot read the guest's");
	fd = -1;
	while (!error && plan->n < RESTART_ENTRIES_MAX && (item = readdir(directory)))
		if (is_service(item->d_name) && !has_entry(plan, item->d_name))
			error = add_service(plan, item->d_name);
	return error;
}

static struct error *add_held(json_t *list, const struct restart_entry *entry)
{
	json_t *object = json_pack("{s:s}", "policy", "report");
	struct error *error;

	if (json_array_append_new(list, object) < 0)
		return error_no_memory();
	error = json_set_bytes(object, "name", entry->name, strlen(entry->name));
	if (!error && entry->why)
		error = json_set_bytes(object, "why", entry->why, strlen(entry->why));
	return error;
}

struct error *restart_held_make(const struct restart_input *input, struct restart_plan *plan, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *held = json_array();
	struct error *error = restart_note(plan, "the guest was shut down: who uses old files is found out when it has "
						 "booted");

	for (size_t i = 0; !error && i < ARRAY_SIZE(directories); i++)
		error = add_services_of(input->root_fd, directories[i], plan);
	if (!error)
		error = restart_decide(input, plan);
	for (size_t i = 0; !error && i < plan->n; i++)
		if (!plan->items[i].restart)
			error = add_held(held, &plan->items[i]);
	if (error)
		return error;
	*ret = json_pack("{s:[], s:O, s:O}", "restart", "restart_notes", plan->notes, "restart_held", held);
	return *ret ? NULL : error_no_memory();
}

/* "getty@tty1.service" is "getty@.service" as well. */
static bool is_named(const char *name, const char *unit)
{
	const char *at = strchr(unit, '@'), *dot = strrchr(unit, '.');
	size_t prefix = at ? (size_t)(at - unit) + 1 : 0;

	if (!strcmp(name, unit))
		return true;
	return at && dot > at && strlen(name) == prefix + strlen(dot) && !strncmp(name, unit, prefix) &&
	       !strcmp(name + prefix, dot);
}

const json_t *restart_held_find(const json_t *held, const char *unit)
{
	json_t *entry;
	size_t i;

	json_array_foreach(held, i, entry)
	{
		const char *name = json_string_value(json_object_get(entry, "name"));

		if (name && is_named(name, unit))
			return entry;
	}
	return NULL;
}
