/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One action: its copy, its words, and whether it can be one at all. Like list.c this needs nothing but base/error.h,
 * because the guest helper is linked with it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "changes/changes.h"

static const char *const kind_words[] = {
	[ACTION_SYSTEMD] = "systemd", [ACTION_COMMAND] = "command", [ACTION_SIGNAL] = "signal",
	[ACTION_WRITE] = "write",     [ACTION_MODULE] = "module",   [ACTION_MOUNT] = "mount",
	[ACTION_RUNTIME] = "runtime",
};

const char *action_kind_word(enum action_kind kind)
{
	return (size_t)kind < ARRAY_SIZE(kind_words) ? kind_words[kind] : NULL;
}

enum action_kind action_kind_of(const char *word)
{
	for (size_t i = ACTION_SYSTEMD; i < ARRAY_SIZE(kind_words); i++)
		if (strcmp(kind_words[i], word) == 0)
			return (enum action_kind)i;
	return 0;
}

void action_deinit(struct action *action)
{
	free(action->verb);
	free(action->unit);
	for (size_t i = 0; action->argv && action->argv[i]; i++)
		free(action->argv[i]);
	free(action->argv);
	free(action->package);
	free(action->script);
	free(action->path);
	free(action->data);
	*action = (struct action){};
}

static struct error *copy_string(const char *from, char **to)
{
	if (!from)
		return NULL;
	*to = strdup(from);
	return *to ? NULL : error_no_memory();
}

static struct error *copy_argv(char *const *from, char ***to)
{
	struct error *error = NULL;
	size_t n = 0;

	if (!from)
		return NULL;
	while (from[n])
		n++;
	*to = calloc(n + 1, sizeof(**to));
	if (!*to)
		return error_no_memory();
	for (size_t i = 0; !error && i < n; i++)
		error = copy_string(from[i], &(*to)[i]);
	return error;
}

static struct error *copy_data(const struct action *from, struct action *to)
{
	if (!from->data)
		return NULL;
	to->data = malloc(from->size + 1);
	if (!to->data)
		return error_no_memory();
	memcpy(to->data, from->data, from->size);
	return NULL;
}

struct error *action_copy(const struct action *action, struct action *ret)
{
	struct action copy = *action;
	struct error *error;

	copy.verb = copy.unit = copy.package = copy.script = copy.path = NULL;
	copy.argv = NULL;
	copy.data = NULL;
	if ((error = copy_string(action->verb, &copy.verb)) || (error = copy_string(action->unit, &copy.unit)) ||
	    (error = copy_argv(action->argv, &copy.argv)) || (error = copy_string(action->package, &copy.package)) ||
	    (error = copy_string(action->script, &copy.script)) || (error = copy_string(action->path, &copy.path)) ||
	    (error = copy_data(action, &copy))) {
		action_deinit(&copy);
		return error;
	}
	*ret = copy;
	return NULL;
}

/* --- what comes from outside --- */

static bool is_one_of(const char *word, const char *const *words)
{
	for (; word && *words; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return false;
}

static size_t count(char *const *argv)
{
	size_t n = 0;

	while (argv && argv[n])
		n++;
	return n;
}

/* Absolute, below one of the two, without a component that leads out of it. */
static bool is_setting(const char *path)
{
	if (!path || (strncmp(path, "/proc/sys/", 10) != 0 && strncmp(path, "/sys/", 5) != 0))
		return false;
	for (const char *name = path; *name; name += strcspn(name, "/")) {
		size_t n = strcspn(++name, "/");

		if (n == 0 || (n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.'))
			return false;
	}
	return true;
}

static const char *systemd_problem(const struct action *action)
{
	if (!action->verb || !action->verb[0] || action->verb[0] == '-')
		return "request to the service manager without a verb";
	for (size_t i = 0; i < count(action->argv); i++)
		if (strncmp(action->argv[i], "--", 2) != 0)
			return "request to the service manager with a bad option";
	return NULL;
}

static const char *module_problem(const struct action *action)
{
	static const char *const verbs[] = {"load", "unload", NULL};
	size_t n = count(action->argv);

	if (!is_one_of(action->verb, verbs))
		return "module with an unknown verb";
	if (n < 1 || (n > 1 && strcmp(action->verb, "unload") == 0) || !action->argv[0][0] ||
	    action->argv[0][0] == '-' || strchr(action->argv[0], '/'))
		return "module without a proper name";
	for (size_t i = 1; i < n; i++)
		if (action->argv[i][0] == '-')
			return "module with a bad parameter";
	return NULL;
}

static const char *mount_problem(const struct action *action)
{
	static const char *const others[] = {"umount", "swapon", "swapoff", NULL};

	if (!action->path || action->path[0] != '/')
		return "mount without an absolute path";
	if (is_one_of(action->verb, others))
		return action->argv ? "mount with too many words" : NULL;
	if (!action->verb || strcmp(action->verb, "mount") != 0)
		return "mount with an unknown verb";
	return count(action->argv) == 3 ? NULL : "mount without source, type and options";
}

/* Whether a member is set that its kind does not have. */
static bool has_too_much(const struct action *action)
{
	enum action_kind kind = action->kind;

	if (kind != ACTION_SIGNAL && (action->signal || action->queued || action->value))
		return true;
	if (kind != ACTION_SIGNAL && kind != ACTION_COMMAND && (action->pid || action->start_ns))
		return true;
	if ((kind != ACTION_MOUNT && action->flags) || (kind != ACTION_SYSTEMD && action->unit))
		return true;
	if (action->size && kind != ACTION_WRITE && kind != ACTION_RUNTIME)
		return true;
	if (action->path && kind != ACTION_WRITE && kind != ACTION_MOUNT && kind != ACTION_RUNTIME)
		return true;
	if (action->argv && (kind == ACTION_SIGNAL || kind == ACTION_WRITE))
		return true;
	return action->verb && (kind == ACTION_SIGNAL || kind == ACTION_WRITE);
}

bool action_is_deferred(const struct action *action)
{
	return action->kind == ACTION_COMMAND && action->verb && strcmp(action->verb, "deferred") == 0;
}

const char *action_problem(const struct action *action)
{
	if (has_too_much(action))
		return "action with what its kind does not have";
	if (action->phase != ACTION_AFTER && action->phase != ACTION_BEFORE)
		return "action of no phase";
	switch (action->kind) {
	case ACTION_SYSTEMD:
		return systemd_problem(action);
	case ACTION_COMMAND:
		if (action->verb && strcmp(action->verb, "daemon") != 0 && !action_is_deferred(action))
			return "command with an unknown verb";
		return count(action->argv) && action->argv[0][0] ? NULL : "command without a word";
	case ACTION_SIGNAL:
		if (action->pid < 1 || action->pid > INT32_MAX)
			return "signal to no process";
		return action->signal >= 1 && action->signal <= 64 ? NULL : "signal of no number";
	case ACTION_WRITE:
		if (!is_setting(action->path))
			return "write to a path not below /proc/sys or /sys";
		return action->size <= ACTION_DATA_MAX ? NULL : "write of too many bytes";
	case ACTION_MODULE:
		return module_problem(action);
	case ACTION_MOUNT:
		return mount_problem(action);
	case ACTION_RUNTIME:
		return runtime_problem(action);
	}
	return "action of an unknown kind";
}
