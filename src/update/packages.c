/* SPDX-License-Identifier: Apache-2.0 */
#include "update/packages.h"

#include <string.h>

#include "base/json.h"

/* Bytes of a program's name that a task keeps (TASK_COMM_LEN less its end, include/linux/sched.h). */
#define TASK_NAME_MAX 15

static const struct package_manager *const managers[] = {
	&dpkg_manager,
	/* A guest with both has dnf as a tool. */
	&zypper_manager,
	&dnf_manager,
	&pacman_manager,
	&apk_manager,
};

struct error *packages_detect(int root_fd, const struct package_manager **ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(managers); i++)
		if (managers[i]->detect(root_fd)) {
			*ret = managers[i];
			return NULL;
		}
	return error_remedy(
		error_create(ERROR_UNSUPPORTED,
			     "the guest has no package manager that is known here (apt, dnf, zypper, pacman, apk)"),
		"give a command of your own: ouassister update VM -- COMMAND");
}

/* Whether one of its arguments is the program or script of that name. */
static bool has_argument(const struct guest_bytes *cmdline, const char *name)
{
	const char *end = cmdline->data + cmdline->size;

	for (const char *word = cmdline->data; word < end; word += strnlen(word, (size_t)(end - word)) + 1) {
		size_t n = strnlen(word, (size_t)(end - word));
		const char *slash = memrchr(word, '/', n);
		const char *base = slash ? slash + 1 : word;

		if ((size_t)(word + n - base) == strlen(name) && !memcmp(base, name, strlen(name)))
			return true;
	}
	return false;
}

/* unattended-upgrade works, unattended-upgrade-shutdown waits: what the kernel keeps of both names is the same. */
static bool is_program(const struct guest_task *task, const char *name)
{
	if (task->kernel_thread || strncmp(task->comm, name, TASK_NAME_MAX) != 0)
		return false;
	return strlen(name) <= TASK_NAME_MAX || !task->cmdline.data || has_argument(&task->cmdline, name);
}

struct error *packages_not_busy(const struct guest_task_list *processes, const char *const *names)
{
	for (size_t i = 0; i < processes->n; i++)
		for (const char *const *name = names; *name; name++)
			if (is_program(&processes->items[i], *name))
				return error_remedy(error_create(ERROR_CONFLICT,
								 "the package manager was at work when the guest was "
								 "suspended: %s, process %u",
								 *name, processes->items[i].pid),
						    "wake the guest, let it finish, and suspend it again");
	return NULL;
}

struct error *packages_failed(const char *what, int status)
{
	const char *name = status > 128 ? sigabbrev_np(status - 128) : NULL;

	if (name)
		return error_create(ERROR_FAILED, "%s was ended by SIG%s in the shadow (exit status %d)", what, name,
				    status);
	return error_create(ERROR_FAILED, "%s failed in the shadow with exit status %d", what, status);
}

void packages_add_words(GPtrArray *argv, const char *const *words)
{
	for (; words && *words; words++)
		g_ptr_array_add(argv, strdup(*words));
}

/* A line "NAME VERSION" of a list. */
struct package_line {
	const char *name, *version;
	size_t name_length, version_length;
};

/* Takes the next line off the text; false at its end. */
static bool next_line(const char **text, struct package_line *ret)
{
	size_t length;

	while (**text) {
		length = strcspn(*text, "\n");
		*ret = (struct package_line){.name = *text, .name_length = strcspn(*text, " \n")};
		*text += length + ((*text)[length] == '\n');
		if (ret->name_length == 0 || ret->name_length >= length)
			continue;
		ret->version = ret->name + ret->name_length + 1;
		ret->version_length = length - ret->name_length - 1;
		return true;
	}
	return false;
}

static int compare_names(const struct package_line *a, const struct package_line *b)
{
	size_t shorter = a->name_length < b->name_length ? a->name_length : b->name_length;
	int order = memcmp(a->name, b->name, shorter);

	return order ? order : (a->name_length > b->name_length) - (a->name_length < b->name_length);
}

static bool same_version(const struct package_line *a, const struct package_line *b)
{
	return a->version_length == b->version_length && !memcmp(a->version, b->version, a->version_length);
}

static struct error *set_version(json_t *package, const char *key, const struct package_line *line)
{
	if (line)
		return json_set_bytes(package, key, line->version, line->version_length);
	return json_object_set_new(package, key, json_null()) < 0 ? error_no_memory() : NULL;
}

static struct error *append_difference(json_t *list, const struct package_line *before,
				       const struct package_line *after)
{
	const struct package_line *named = before ? before : after;
	json_t *package = json_object();
	struct error *error = json_set_bytes(package, "name", named->name, named->name_length);

	if (!error)
		error = set_version(package, "old", before);
	if (!error)
		error = set_version(package, "new", after);
	if (error) {
		json_decref(package);
		return error;
	}
	return json_array_append_new(list, package) < 0 ? error_no_memory() : NULL;
}

struct error *packages_difference(const char *before, const char *after, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *list = json_array();
	struct package_line old, new;
	bool has_old = next_line(&before, &old), has_new = next_line(&after, &new);

	while (has_old || has_new) {
		int order = !has_old ? 1 : !has_new ? -1 : compare_names(&old, &new);
		struct error *error = NULL;

		if (order != 0 || !same_version(&old, &new))
			error = append_difference(list, order <= 0 ? &old : NULL, order >= 0 ? &new : NULL);
		if (error)
			return error;
		if (order <= 0)
			has_old = next_line(&before, &old);
		if (order >= 0)
			has_new = next_line(&after, &new);
	}
	*ret = take_ptr(list);
	return NULL;
}
