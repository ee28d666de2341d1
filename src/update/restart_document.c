/* SPDX-License-Identifier: Apache-2.0 */
/* The plan as JSON: in the bundle's manifest, in what `update` and `show` say, and beside what the guest reports. */
#include <stdarg.h>
#include <string.h>

#include "base/json.h"
#include "update/restart.h"

#define NOTES_MAX 64

static const char *const kind_words[] = {
	[RESTART_OF_UNIT] = "unit",           [RESTART_OF_INIT] = "init",       [RESTART_OF_SESSION] = "session",
	[RESTART_OF_CONTAINER] = "container", [RESTART_OF_PROCESS] = "process",
};

static const char *const reason_words[] = {
	[RESTART_REPLACED] = "maps",  [RESTART_OPEN] = "open",         [RESTART_DELETED] = "deleted-before",
	[RESTART_MODULE] = "imports", [RESTART_POSSIBLY] = "possibly", [RESTART_UNIT] = "unit-file",
};

struct restart_plan *restart_plan_create(void)
{
	struct restart_plan *plan = calloc(1, sizeof(*plan));

	if (plan)
		plan->notes = json_array();
	return plan;
}

void restart_plan_destroy(struct restart_plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->n; i++) {
		free(plan->items[i].name);
		free(plan->items[i].why);
		restart_reasons_deinit(&plan->items[i].reasons);
	}
	free(plan->items);
	json_decref(plan->notes);
	free(plan);
}

struct error *restart_note(struct restart_plan *plan, const char *format, ...)
{
	_cleanup_(free_ptr) char *text = NULL;
	va_list arguments;
	int n;

	if (json_array_size(plan->notes) >= NOTES_MAX)
		return NULL;
	va_start(arguments, format);
	n = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (n < 0) {
		text = NULL;
		return error_no_memory();
	}
	/* What the guest's own words make of it need not be UTF-8. */
	for (char *c = text; *c; c++)
		if ((unsigned char)*c >= 0x80 || (unsigned char)*c < ' ')
			*c = '?';
	return json_array_append_new(plan->notes, json_string(text)) < 0 ? error_no_memory() : NULL;
}

static struct error *set_text(json_t *object, const char *key, const char *text)
{
	return json_set_bytes(object, key, text, strlen(text));
}

/* A new object at the end; borrowed. NULL without memory. */
static json_t *append_object(json_t *array)
{
	json_t *object = json_object();

	return json_array_append_new(array, object) < 0 ? NULL : object;
}

static struct error *add_reasons(json_t *object, const struct restart_reasons *reasons)
{
	json_t *list = json_array();
	struct error *error = json_object_set_new(object, "reasons", list) < 0 ? error_no_memory() : NULL;

	for (size_t i = 0; !error && i < reasons->n; i++) {
		json_t *item = append_object(list);

		error = item ? set_text(item, "kind", reason_words[reasons->items[i].kind]) : error_no_memory();
		if (!error)
			error = set_text(item, "file", reasons->items[i].file);
	}
	if (!error && reasons->more && json_object_set_new(object, "more_reasons", json_true()) < 0)
		error = error_no_memory();
	return error;
}

static struct error *add_processes(json_t *object, const struct restart_entry *entry)
{
	json_t *list = json_array();
	struct error *error = json_object_set_new(object, "processes", list) < 0 ? error_no_memory() : NULL;

	for (size_t i = 0; !error && i < entry->n_tasks && i < RESTART_TASKS_MAX; i++) {
		const struct guest_task *task = entry->tasks[i];
		json_t *item = append_object(list);

		if (!item || json_object_set_new(item, "pid", json_integer(task->pid)) < 0 ||
		    json_object_set_new(item, "start_ns", json_integer((json_int_t)task->start_ns)) < 0)
			return error_no_memory();
		error = set_text(item, "name", task->comm);
	}
	if (!error && json_object_set_new(object, "n_processes", json_integer((json_int_t)entry->n_tasks)) < 0)
		error = error_no_memory();
	return error;
}

static struct error *add_entry(json_t *list, const struct restart_entry *entry)
{
	json_t *object = append_object(list);
	struct error *error = object ? set_text(object, "kind", kind_words[entry->kind]) : error_no_memory();

	if (!error)
		error = set_text(object, "name", entry->name);
	if (!error)
		error = set_text(object, "policy", entry->restart ? "restart" : "report");
	if (!error && entry->verb)
		error = set_text(object, "verb", entry->verb);
	if (!error && entry->why)
		error = set_text(object, "why", entry->why);
	if (!error)
		error = add_processes(object, entry);
	return error ? error : add_reasons(object, &entry->reasons);
}

struct error *restart_document(const struct restart_plan *plan, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *list = json_array();
	struct error *error = list ? NULL : error_no_memory();

	for (size_t i = 0; !error && i < plan->n; i++)
		error = add_entry(list, &plan->items[i]);
	if (error)
		return error;
	*ret = json_pack("{s:O, s:O}", "restart", list, "restart_notes", plan->notes);
	return *ret ? NULL : error_no_memory();
}
