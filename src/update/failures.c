/* SPDX-License-Identifier: Apache-2.0 */
#include "update/failures.h"

#include <stdbool.h>
#include <string.h>

#include "base/json.h"

/* With these dpkg begins to work on a package. */
static bool begins_package(const char *line)
{
	static const char *const words[] = {
		"Setting up ", "Preparing to unpack ",     "Unpacking ",
		"Removing ",   "Processing triggers for ", "Purging configuration files for "};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strncmp(line, words[i], strlen(words[i])))
			return true;
	return false;
}

static const char *next_line(const char *line)
{
	line += strcspn(line, "\n");
	return line + (*line == '\n');
}

/* A package's name ends with its architecture, an archive's with its version. */
static size_t name_length(const char **name, const char *end, bool archive)
{
	size_t n = (size_t)(end - *name);

	for (const char *p = *name; archive && p < end; p++)
		if (*p == '/')
			*name = p + 1;
	n = (size_t)(end - *name);
	return strcspn(*name, archive ? "_" : " ") < n ? strcspn(*name, archive ? "_" : " ") : n;
}

static struct error *append(json_t *list, const char *name, size_t n_name, const char *phase, size_t n_phase,
			    const char *why, const char *output, size_t n_output)
{
	json_t *object = json_object();
	size_t n_why = strcspn(why, "\n");
	struct error *error;

	if (!object || json_array_append_new(list, object) < 0)
		return error_no_memory();
	if (n_output > FAILURE_OUTPUT_MAX) {
		output += n_output - FAILURE_OUTPUT_MAX;
		n_output = FAILURE_OUTPUT_MAX;
	}
	error = json_set_bytes(object, "package", name, n_name);
	if (!error)
		error = json_set_bytes(object, "phase", phase, n_phase);
	if (!error)
		error = json_set_bytes(object, "why", why + strspn(why, " "), n_why - strspn(why, " "));
	return error ? error : json_set_bytes(object, "output", output, n_output);
}

/* It was tried again and failed again: what it said the first time has the reason. */
static bool is_repeated(const json_t *list, const char *name, size_t n_name, const char *phase, size_t n_phase)
{
	const json_t *failure;
	size_t i;

	json_array_foreach(list, i, failure)
	{
		const char *known = json_string_value(json_object_get(failure, "package"));
		const char *tried = json_string_value(json_object_get(failure, "phase"));

		if (known && tried && strlen(known) == n_name && !memcmp(known, name, n_name) &&
		    strlen(tried) == n_phase && !memcmp(tried, phase, n_phase))
			return true;
	}
	return false;
}

/* "dpkg: error processing package NAME (--configure):", and why in the line behind. *ret_is: it is such a line. */
static struct error *take_line(json_t *list, const char *line, const char *begin, bool *ret_is)
{
	static const char prefix[] = "dpkg: error processing ";
	size_t length = strcspn(line, "\n"), n_name;
	const char *name = memmem(line, length, prefix, strlen(prefix)), *phase;
	bool archive;

	/* A script that was ended in the middle of a line leaves its words before dpkg's. */
	if (!name || length < 3 || strncmp(line + length - 2, "):", 2) != 0)
		return NULL;
	length -= (size_t)(name - line);
	line = name;
	name = line + strlen(prefix);
	archive = !strncmp(name, "archive ", 8);
	if (!archive && strncmp(name, "package ", 8) != 0)
		return NULL;
	name += 8;
	phase = memmem(name, length - (size_t)(name - line), " (--", 4);
	if (!phase || phase == name)
		return NULL;
	length = (size_t)(line + length - 2 - (phase + 4));
	n_name = name_length(&name, phase, archive);
	*ret_is = true;
	if (is_repeated(list, name, n_name, phase + 4, length))
		return NULL;
	return append(list, name, n_name, phase + 4, length, next_line(line), begin, (size_t)(line - begin));
}

struct error *failures_find(const char *output, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *list = json_array();
	struct error *error = list ? NULL : error_no_memory();
	const char *begin = output;

	for (const char *line = output; !error && *line && json_array_size(list) < FAILURES_MAX;
	     line = next_line(line)) {
		bool is_failure = false;

		if (begins_package(line))
			begin = line;
		error = take_line(list, line, begin, &is_failure);
		/* What comes behind the reason is another's, until dpkg says whose. */
		if (!error && is_failure)
			begin = next_line(next_line(line));
	}
	if (!error)
		*ret = take_ptr(list);
	return error;
}

/* The second letter: what dpkg --audit complains of. "H" is refused by failures_check_states(). */
static const char *why_waiting(char state)
{
	switch (state) {
	case 'U':
	case 'F':
		return "left unconfigured";
	case 'W':
	case 't':
		return "waits for triggers";
	default:
		return NULL;
	}
}

/* By the name alone, or with its architecture: dpkg leaves the latter out where there is but one. */
static bool is_listed(const json_t *list, const char *name, size_t n)
{
	const json_t *failure;
	size_t i;

	json_array_foreach(list, i, failure)
	{
		const char *listed = json_string_value(json_object_get(failure, "package"));
		size_t bare = listed ? strcspn(listed, ":") : 0;

		if (!listed || strncmp(listed, name, bare) != 0)
			continue;
		if (strlen(listed) == n && !memcmp(listed, name, n))
			return true;
		if ((bare == n) != !listed[bare] && (n == bare || name[bare] == ':'))
			return true;
	}
	return false;
}

struct error *failures_add_waiting(const char *states, json_t *list)
{
	struct error *error = NULL;

	for (const char *line = states; !error && *line; line = next_line(line)) {
		size_t length = strcspn(line, "\n"), n;
		const char *why = length > 3 ? why_waiting(line[1]) : NULL;

		n = length > 3 ? strcspn(line + 3, " \n") : 0;
		if (why && n && !is_listed(list, line + 3, n))
			error = append(list, line + 3, n, "configure", 9, why, "", 0);
	}
	return error;
}

/* Whether the line, "ii nginx" or "ii  libc6:amd64", says that all is well with this one. */
static bool is_well(const char *line, const char *name)
{
	const char *listed = line + 2 + strspn(line + 2, " ");
	size_t n = strlen(name);

	/* The name with or without its architecture, in either. */
	return !strncmp(line, "ii", 2) && line[2] == ' ' && !strncmp(listed, name, n) && strchr(": \n", listed[n]);
}

void failures_drop_configured(const char *states, json_t *list)
{
	for (size_t i = json_array_size(list); i--;) {
		const json_t *failure = json_array_get(list, i);
		const char *name = json_string_value(json_object_get(failure, "package"));
		const char *phase = json_string_value(json_object_get(failure, "phase"));
		bool well = false;

		if (!name || !phase || strcmp(phase, "configure") != 0)
			continue;
		for (const char *line = states; !well && *line; line = next_line(line))
			well = is_well(line, name);
		if (well)
			json_array_remove(list, i);
	}
}

void failures_drop_deferred(const struct deferrals *deferrals, json_t *list)
{
	for (size_t i = json_array_size(list); i--;) {
		const char *name = json_string_value(json_object_get(json_array_get(list, i), "package"));

		if (name && deferrals_excuse(deferrals, name, strlen(name)))
			json_array_remove(list, i);
	}
}

/* Which script dpkg's reason is about: "installed NAME package post-installation script subprocess returned…". */
static const char *script_of(const char *why)
{
	static const char *const scripts[] = {"pre-installation script", "post-installation script",
					      "pre-removal script", "post-removal script"};

	for (size_t i = 0; why && i < ARRAY_SIZE(scripts); i++)
		if (strstr(why, scripts[i]))
			return scripts[i];
	return NULL;
}

/* A package's postinst that fails for its own sake and for a trigger's is one script. */
static bool is_counted(const json_t *failures, size_t i)
{
	const json_t *failure = json_array_get(failures, i);
	const char *name = json_string_value(json_object_get(failure, "package"));
	const char *script = script_of(json_string_value(json_object_get(failure, "why")));

	while (i--) {
		const json_t *other = json_array_get(failures, i);
		const char *other_name = json_string_value(json_object_get(other, "package"));

		if (name && other_name && !strcmp(name, other_name) &&
		    script == script_of(json_string_value(json_object_get(other, "why"))))
			return true;
	}
	return false;
}

struct error *failures_count_scripts(const json_t *failures, json_t *scripts)
{
	json_int_t offline = json_integer_value(json_object_get(scripts, "offline")), failed = 0;
	const json_t *failure;
	size_t i;

	json_array_foreach(failures, i, failure) failed +=
		script_of(json_string_value(json_object_get(failure, "why"))) && !is_counted(failures, i);
	/* dpkg's words are the guest's. */
	if (failed > offline)
		failed = offline;
	if (json_object_set_new(scripts, "offline", json_integer(offline - failed)) < 0 ||
	    json_object_set_new(scripts, "failed", json_integer(failed)) < 0)
		return error_no_memory();
	return NULL;
}

static struct error *add_names(const json_t *failures, size_t first, struct action_list *actions)
{
	const char *argv[FAILURES_MAX + 3] = {"true", ACTION_FAILED_PACKAGES};
	const struct action action = {.kind = ACTION_COMMAND, .phase = ACTION_AFTER, .argv = (char **)argv};
	struct action copy;
	struct error *error;

	for (size_t i = 0; i < FAILURES_MAX && first + i < json_array_size(failures); i++) {
		const char *name = json_string_value(json_object_get(json_array_get(failures, first + i), "package"));

		argv[i + 2] = name ? name : "";
	}
	error = action_copy(&action, &copy);
	return error ? error : action_list_append(actions, copy);
}

struct error *failures_add(const json_t *failures, struct action_list *actions)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < json_array_size(failures); i += FAILURES_MAX)
		error = add_names(failures, i, actions);
	return error;
}
