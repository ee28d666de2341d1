/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One walk over the mappings and open files of every process, each looked up by its inode: what the update does not
 * touch keeps its number, so that a number is enough.
 */
#include <glib.h>
#include <string.h>

#include "base/array.h"
#include "base/deleted_file.h"
#include "base/io.h"
#include "base/unit_name.h"
#include "update/restart.h"

static bool ends_with(const char *text, const char *suffix)
{
	size_t length = strlen(text), n = strlen(suffix);

	return length >= n && !strcmp(text + length - n, suffix);
}

static bool begins_with(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

struct error *restart_reasons_add(struct restart_reasons *reasons, enum restart_reason_kind kind, const char *file)
{
	char *copy;

	for (size_t i = 0; i < reasons->n; i++)
		if (reasons->items[i].kind == kind && !strcmp(reasons->items[i].file, file))
			return NULL;
	if (reasons->n == RESTART_REASONS_MAX) {
		reasons->more = true;
		return NULL;
	}
	copy = strdup(file);
	if (!copy)
		return error_no_memory();
	reasons->items[reasons->n++] = (struct restart_reason){kind, copy};
	return NULL;
}

void restart_reasons_deinit(struct restart_reasons *reasons)
{
	for (size_t i = 0; i < reasons->n; i++)
		free(reasons->items[i].file);
	*reasons = (struct restart_reasons){0};
}

static struct error *add_relative(struct restart_reasons *reasons, enum restart_reason_kind kind, const char *path)
{
	_cleanup_(free_ptr) char *file = string_format("/%s", path);

	return file ? restart_reasons_add(reasons, kind, file) : error_no_memory();
}

static bool on_disk(const struct restart_input *input, uint32_t major, uint32_t minor)
{
	for (size_t i = 0; i < input->n_devices; i++)
		if (input->devices[i].major == major && input->devices[i].minor == minor)
			return true;
	return false;
}

/* "/usr/lib/x.so (deleted)" without its end. */
static struct error *add_deleted(struct restart_reasons *reasons, const char *path)
{
	_cleanup_(free_ptr) char *file = strndup(path, strlen(path) - strlen(DELETED_FILE_SUFFIX));

	return file ? restart_reasons_add(reasons, RESTART_DELETED, file) : error_no_memory();
}

static struct error *look_at_map(const struct restart_input *input, uint32_t who, const struct guest_map *map,
				 struct restart_reasons *reasons)
{
	struct restart_file *file;

	if (map->anonymous || map->kernel || !map->inode)
		return NULL;
	file = restart_changed_inode(input->changed, (struct restart_device){map->major, map->minor}, map->inode);
	if (file) {
		/* A library has four or five mappings in a row. */
		if (file->seen_by == who)
			return NULL;
		file->seen_by = who;
		return add_relative(reasons, RESTART_REPLACED, file->path);
	}
	/* Data that was deleted is nobody's old code. */
	if (map->perms[2] == 'x' && is_deleted_file(map->path) && on_disk(input, map->major, map->minor) &&
	    !is_made_to_be_deleted(map->path))
		return add_deleted(reasons, map->path);
	return NULL;
}

struct error *restart_look_at_maps(const struct restart_input *input, uint32_t who, const struct guest_map_list *maps,
				   struct restart_reasons *reasons)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < maps->n; i++)
		error = look_at_map(input, who, &maps->items[i], reasons);
	return error;
}

/* Shared objects ("libx.so.1.2"), and archives that a virtual machine loads classes and modules from while they are
 * open. */
static bool holds_code(const char *path, size_t length)
{
	static const char *const suffixes[] = {".so", ".jar", ".war", ".jmod", ".jsa", ".phar", ".egg", ".whl"};
	const char *name = memrchr(path, '/', length);
	const char *end = path + length;

	name = name ? name + 1 : path;
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t n = strlen(suffixes[i]);

		if ((size_t)(end - name) > n && !memcmp(end - n, suffixes[i], n))
			return true;
	}
	return memmem(name, (size_t)(end - name), ".so.", 4) != NULL;
}

/* Descriptors show no device: both the path and the inode must be the replaced file's. */
static bool is_replaced(const struct restart_input *input, const struct guest_fd *fd)
{
	for (size_t i = 0; i < input->n_devices; i++) {
		const struct restart_file *file = restart_changed_inode(input->changed, input->devices[i], fd->inode);

		if (file && !strcmp(file->path, fd->path + 1))
			return true;
	}
	return false;
}

static struct error *look_at_file(const struct restart_input *input, const struct guest_fd *fd,
				  struct restart_reasons *reasons)
{
	size_t length = fd->path ? strlen(fd->path) : 0;

	if (!length || *fd->path != '/')
		return NULL;
	if (is_deleted_file(fd->path)) {
		if (!holds_code(fd->path, length - strlen(DELETED_FILE_SUFFIX)) || is_made_to_be_deleted(fd->path))
			return NULL;
		return add_deleted(reasons, fd->path);
	}
	if (!holds_code(fd->path, length) || !is_replaced(input, fd))
		return NULL;
	return restart_reasons_add(reasons, RESTART_OPEN, fd->path);
}

struct error *restart_look_at_files(const struct restart_input *input, const struct guest_fd_list *files,
				    struct restart_reasons *reasons)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < files->n; i++)
		error = look_at_file(input, &files->items[i], reasons);
	return error;
}

/* --- whose process it is --- */

/* What container engines call the control groups of their containers, with systemd's help or without. */
static bool is_container(const char *cgroup)
{
	static const char *const parts[] = {"/docker-",
					    "/docker/",
					    "/libpod-",
					    "/libpod_parent/",
					    "/crio-",
					    "/kubepods",
					    "/cri-containerd-",
					    "/lxc.payload",
					    "/lxc/",
					    "/buildkit/",
					    "/machine.slice/machine-",
					    "/containerd-"};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (strstr(cgroup, parts[i]))
			return true;
	return false;
}

/* Those of no unit are told apart by their program. */
static char *program_name(const struct guest_task *task)
{
	return strdup(task->exe ? task->exe : task->comm);
}

struct error *restart_place(const struct guest_task *task, enum restart_kind *ret_kind, char **ret_name)
{
	char unit[UNIT_NAME_MAX];
	bool has_unit = task->cgroup && unit_of_cgroup(task->cgroup, unit);
	enum restart_kind kind = RESTART_OF_UNIT;
	char *name;

	if (task->pid == 1)
		kind = RESTART_OF_INIT;
	else if (task->cgroup && !ends_with(has_unit ? unit : "", ".service") && is_container(task->cgroup))
		kind = RESTART_OF_CONTAINER;
	else if (has_unit && begins_with(unit, "session-") && ends_with(unit, ".scope"))
		kind = RESTART_OF_SESSION;
	else if (!has_unit)
		kind = RESTART_OF_PROCESS;
	if (kind == RESTART_OF_CONTAINER && !has_unit)
		name = strdup(task->cgroup);
	else
		name = has_unit && kind != RESTART_OF_PROCESS ? strdup(unit) : program_name(task);
	if (!name)
		return error_no_memory();
	*ret_kind = kind;
	*ret_name = name;
	return NULL;
}

/* --- entries --- */

struct restart_finder {
	struct restart_plan *plan;
	GHashTable *entries; /* "KIND NAME" → index + 1 */
	GHashTable *units;   /* name → what of its files changes, "" for nothing */
	bool full;
};

struct error *restart_finder_create(struct restart_plan *plan, struct restart_finder **ret)
{
	struct restart_finder *finder = calloc(1, sizeof(*finder));

	if (!finder)
		return error_no_memory();
	finder->plan = plan;
	finder->entries = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);
	finder->units = g_hash_table_new_full(g_str_hash, g_str_equal, free, free);
	*ret = finder;
	return NULL;
}

static int compare_entries(const void *left, const void *right)
{
	const struct restart_entry *a = left, *b = right;

	return a->kind == b->kind ? strcmp(a->name, b->name) : (int)a->kind - (int)b->kind;
}

void restart_finder_destroy(struct restart_finder *finder)
{
	if (!finder)
		return;
	if (finder->plan->n)
		qsort(finder->plan->items, finder->plan->n, sizeof(*finder->plan->items), compare_entries);
	g_hash_table_destroy(finder->entries);
	g_hash_table_destroy(finder->units);
	free(finder);
}

/* *ret NULL: the plan is full. Takes `name`. */
static struct error *find_entry(struct restart_finder *finder, enum restart_kind kind, char *name,
				struct restart_entry **ret)
{
	_cleanup_(free_ptr) char *owned = name;
	_cleanup_(free_ptr) char *key = string_format("%d %s", kind, name);
	struct restart_plan *plan = finder->plan;
	size_t found = key ? GPOINTER_TO_SIZE(g_hash_table_lookup(finder->entries, key)) : 0;
	struct error *error;

	if (!key)
		return error_no_memory();
	if (found) {
		*ret = &plan->items[found - 1];
		return NULL;
	}
	*ret = NULL;
	if (plan->n == RESTART_ENTRIES_MAX) {
		if (finder->full)
			return NULL;
		finder->full = true;
		return restart_note(plan, "there are more than %u units, sessions and programs to restart",
				    RESTART_ENTRIES_MAX);
	}
	error = array_room(&plan->items, plan->n, sizeof(*plan->items));
	if (error)
		return error;
	plan->items[plan->n++] = (struct restart_entry){.kind = kind, .name = take_ptr(owned)};
	g_hash_table_insert(finder->entries, take_ptr(key), GSIZE_TO_POINTER(plan->n));
	*ret = &plan->items[plan->n - 1];
	return NULL;
}

struct error *restart_finder_take(struct restart_finder *finder, const struct guest_task *task,
				  const struct restart_reasons *reasons)
{
	struct restart_entry *entry = NULL;
	enum restart_kind kind;
	char *name;
	struct error *error;

	if (!reasons->n)
		return NULL;
	error = restart_place(task, &kind, &name);
	if (!error)
		error = find_entry(finder, kind, name, &entry);
	if (error || !entry)
		return error;
	if (entry->n_tasks < RESTART_TASKS_MAX)
		entry->tasks[entry->n_tasks] = task;
	entry->n_tasks++;
	entry->reasons.more |= reasons->more;
	for (size_t i = 0; !error && i < reasons->n; i++)
		error = restart_reasons_add(&entry->reasons, reasons->items[i].kind, reasons->items[i].file);
	return error;
}

/* --- the walk --- */

/* Takes a list's reason to be incomplete, and what came of the call, into the notes; no memory stays an error. */
static struct error *note_gap(struct restart_plan *plan, const struct guest_task *task, const char *what,
			      struct error *failure)
{
	struct error *error;

	if (!failure || failure->code == ERROR_NO_MEMORY)
		return failure;
	/* It ended meanwhile, or has no memory of its own. */
	error = failure->code == ERROR_NOT_FOUND ? NULL
						 : restart_note(plan, "%s of process %u are not known whole: %s", what,
								task->pid, failure->message);
	error_destroy(failure);
	return error;
}

static struct error *maps_of(const struct restart_input *input, struct restart_plan *plan,
			     const struct guest_task *task, uint32_t who, struct restart_reasons *reasons)
{
	_cleanup_(guest_map_list_deinit) struct guest_map_list maps = {0};
	struct error *error = note_gap(plan, task, "mappings", guest_task_maps(input->guest, task->address, &maps));

	if (!error)
		error = note_gap(plan, task, "mappings", take_ptr(maps.incomplete));
	return error ? error : restart_look_at_maps(input, who, &maps, reasons);
}

static struct error *files_of(const struct restart_input *input, struct restart_plan *plan,
			      const struct guest_task *task, struct restart_reasons *reasons)
{
	_cleanup_(guest_fd_list_deinit) struct guest_fd_list files = {0};
	struct error *error = note_gap(plan, task, "open files", guest_task_fds(input->guest, task->address, &files));

	if (!error)
		error = note_gap(plan, task, "open files", take_ptr(files.incomplete));
	return error ? error : restart_look_at_files(input, &files, reasons);
}

/* Each unit's files are looked at once, for the first of its processes. */
static struct error *unit_change(const struct restart_input *input, struct restart_finder *finder, const char *name,
				 const char **ret)
{
	_cleanup_(restart_unit_deinit) struct restart_unit unit = {0};
	const char *known = g_hash_table_lookup(finder->units, name);
	struct error *error;
	char *key, *value;

	*ret = known;
	if (known)
		return NULL;
	error = restart_unit_read(input->root_fd, input->changed, name, &unit);
	if (error)
		return error;
	key = strdup(name);
	value = unit.changed ? take_ptr(unit.changed) : strdup("");
	if (!key || !value) {
		free(key);
		free(value);
		return error_no_memory();
	}
	g_hash_table_insert(finder->units, key, value);
	*ret = value;
	return NULL;
}

static struct error *look_at_unit(const struct restart_input *input, struct restart_finder *finder,
				  const struct guest_task *task, struct restart_reasons *reasons)
{
	char unit[UNIT_NAME_MAX];
	const char *changed;
	struct error *error;

	if (!input->systemd || task->pid == 1 || !task->cgroup || !unit_of_cgroup(task->cgroup, unit) ||
	    !ends_with(unit, ".service"))
		return NULL;
	error = unit_change(input, finder, unit, &changed);
	return error || !*changed ? error : add_relative(reasons, RESTART_UNIT, changed);
}

static struct error *look_at_task(const struct restart_input *input, struct restart_finder *finder, uint32_t who,
				  const struct guest_task *task)
{
	_cleanup_(restart_reasons_deinit) struct restart_reasons reasons = {0};
	struct error *error = maps_of(input, finder->plan, task, who, &reasons);

	if (!error)
		error = files_of(input, finder->plan, task, &reasons);
	if (!error)
		error = restart_look_at_script(input, task, &reasons);
	if (!error)
		error = look_at_unit(input, finder, task, &reasons);
	return error ? error : restart_finder_take(finder, task, &reasons);
}

struct error *restart_find(const struct restart_input *input, struct restart_plan *plan)
{
	_cleanup_(restart_finder_destroy_ptr) struct restart_finder *finder = NULL;
	struct error *error = restart_finder_create(plan, &finder);

	guest_share_effort(input->guest, true);
	for (size_t i = 0; !error && i < input->processes->n; i++) {
		const struct guest_task *task = &input->processes->items[i];

		if (!task->kernel_thread && task->dumpable)
			error = look_at_task(input, finder, (uint32_t)i + 1, task);
	}
	guest_share_effort(input->guest, false);
	return error;
}
