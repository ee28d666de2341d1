/* SPDX-License-Identifier: Apache-2.0 */
#include "update/memory_facts.h"

#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"

static struct error *set_text(json_t *document, const char *key, const char *text)
{
	return json_set_bytes(document, key, text, strlen(text));
}

static struct error *set_new(json_t *document, const char *key, json_t *value)
{
	return json_object_set_new(document, key, value) < 0 ? error_no_memory() : NULL;
}

static struct error *set_size(json_t *document, const char *key, uint64_t value)
{
	return set_new(document, key, json_integer((json_int_t)value));
}

/* Notes why something is missing; the first reason stays. Takes the error. */
static struct error *note_incomplete(json_t *document, struct error *why)
{
	struct error *error = NULL;

	if (!json_object_get(document, "incomplete"))
		error = set_text(document, "incomplete", why->message);
	error_destroy(why);
	return error;
}

static struct error *describe_kernel(struct guest *guest, json_t *document)
{
	struct guest_uts uts;
	struct error *error = guest_uts(guest, &uts);

	if (!error)
		error = set_text(document, "kernel", uts.release);
	if (!error)
		error = set_text(document, "kernel_version", uts.version);
	if (!error)
		error = set_text(document, "machine", uts.machine);
	if (!error)
		error = set_text(document, "hostname", uts.nodename);
	return error;
}

static struct error *describe_clock(struct guest *guest, json_t *document)
{
	struct guest_clock clock;
	struct error *error = guest_clock(guest, &clock);

	if (!error)
		error = set_new(document, "uptime_s", json_real((double)clock.boottime_ns / 1e9));
	if (!error)
		error = set_new(document, "suspended_at_s", json_integer(clock.realtime_ns / 1000000000));
	return error;
}

static struct error *describe_boot(struct guest *guest, json_t *document)
{
	uint8_t id[16];
	char text[37], *out = text;
	struct error *error = guest_boot_id(guest, id);

	if (error)
		return error;
	for (size_t i = 0; i < sizeof(id); i++)
		out += sprintf(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", id[i]);
	return set_text(document, "boot_id", text);
}

static struct error *describe_processes(struct guest *guest, json_t *document)
{
	_cleanup_(guest_task_list_deinit) struct guest_task_list list = {0};
	size_t n = 0;
	struct error *error = guest_tasks(guest, GUEST_PROCESSES, &list);

	if (error)
		return error;
	for (size_t i = 0; i < list.n; i++)
		n += !list.items[i].kernel_thread;
	error = set_size(document, "processes", n);
	return error || !list.incomplete ? error : note_incomplete(document, take_ptr(list.incomplete));
}

/* Each adds its member, or several; the key is set to null where it fails. */
static const struct {
	const char *key;
	struct error *(*describe)(struct guest *guest, json_t *document);
} facts[] = {
	{"kernel", describe_kernel},
	{"uptime_s", describe_clock},
	{"boot_id", describe_boot},
	{"processes", describe_processes},
};

struct error *memory_facts_describe(struct guest *guest, json_t *document)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < ARRAY_SIZE(facts); i++) {
		struct error *failure = facts[i].describe(guest, document);
		bool unsupported = failure && failure->code == ERROR_UNSUPPORTED;

		if (!failure)
			continue;
		if (failure->code == ERROR_NO_MEMORY)
			return failure;
		log_info("%s is not known: %s", facts[i].key, failure->message);
		error = set_new(document, facts[i].key, json_null());
		if (error || unsupported)
			error_destroy(failure);
		else
			error = note_incomplete(document, failure);
	}
	return error;
}
