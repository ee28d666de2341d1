/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks with all that the verbs do not print of them: ids, namespaces, directories, open files, control groups, mounts.
 */
#include "dump.h"

#include "base/cleanup.h"

/* What this task has not is no failure. */
static struct error *unless_absent(struct error *error)
{
	if (!error || error->code != ERROR_NOT_FOUND)
		return error;
	error_destroy(error);
	return NULL;
}

static void dump_numbers(const struct guest_task *task, json_t *object)
{
	const struct {
		const char *key;
		uint64_t value;
	} numbers[] = {
		{"pid", task->pid},
		{"tgid", task->tgid},
		{"ppid", task->ppid},
		{"pgid", task->pgid},
		{"sid", task->sid},
		{"uid", task->uid},
		{"euid", task->euid},
		{"suid", task->suid},
		{"fsuid", task->fsuid},
		{"gid", task->gid},
		{"egid", task->egid},
		{"sgid", task->sgid},
		{"fsgid", task->fsgid},
		{"tty", task->tty},
		{"n_threads", task->n_threads},
		{"start_ns", task->start_ns},
		{"user_ns", task->user_ns},
		{"system_ns", task->system_ns},
		{"virtual_size", task->virtual_size},
		{"resident_size", task->resident_size},
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		set_integer(object, numbers[i].key, numbers[i].value);
	set_signed(object, "nice", task->nice);
	json_object_set_new(object, "kernel_thread", json_boolean(task->kernel_thread));
	json_object_set_new(object, "dumpable", json_boolean(task->dumpable));
}

static struct error *dump_namespaces(struct guest *guest, const struct guest_task *task, json_t *object)
{
	struct guest_namespaces ns;
	struct error *error = guest_task_namespaces(guest, task->address, &ns);
	json_t *inner;

	if (error)
		return unless_absent(error);
	inner = json_object();
	json_object_set_new(object, "ns", inner);
	set_integer(inner, "cgroup", ns.cgroup);
	set_integer(inner, "ipc", ns.ipc);
	set_integer(inner, "mnt", ns.mnt);
	set_integer(inner, "net", ns.net);
	set_integer(inner, "pid", ns.pid);
	set_integer(inner, "time", ns.time);
	set_integer(inner, "user", ns.user);
	set_integer(inner, "uts", ns.uts);
	return NULL;
}

static struct error *dump_path(struct guest *guest, const struct guest_task *task, json_t *object, const char *key,
			       struct error *(*get)(struct guest *, uint64_t, char **))
{
	_cleanup_(free_ptr) char *path = NULL;
	struct error *error = get(guest, task->address, &path);

	return error ? unless_absent(error) : set_text(object, key, path);
}

static struct error *dump_environ(struct guest *guest, const struct guest_task *task, json_t *object)
{
	struct guest_bytes bytes = {0};
	struct error *error = guest_task_environ(guest, task->address, &bytes);

	if (error)
		return unless_absent(error);
	error = set_bytes(object, "environ", &bytes);
	free(bytes.data);
	return error;
}

static struct error *dump_fds(struct guest *guest, const struct guest_task *task, json_t *object)
{
	_cleanup_(guest_fd_list_deinit) struct guest_fd_list list = {0};
	struct error *error = guest_task_fds(guest, task->address, &list);
	json_t *array;

	if (error)
		return unless_absent(error);
	array = add_list(object, "fds", list.incomplete);
	for (size_t i = 0; !error && i < list.n; i++) {
		json_t *fd = add_object(array);

		set_integer(fd, "fd", list.items[i].fd);
		set_integer(fd, "flags", list.items[i].flags);
		json_object_set_new(fd, "close_on_exec", json_boolean(list.items[i].close_on_exec));
		set_integer(fd, "position", list.items[i].position);
		set_integer(fd, "inode", list.items[i].inode);
		error = set_text(fd, "path", list.items[i].path);
	}
	return error;
}

static struct error *dump_cgroups(struct guest *guest, const struct guest_task *task, json_t *object)
{
	_cleanup_(guest_cgroup_list_deinit) struct guest_cgroup_list list = {0};
	struct error *error = guest_task_cgroups(guest, task->address, &list);
	json_t *array;

	if (error)
		return unless_absent(error);
	array = add_list(object, "cgroups", list.incomplete);
	for (size_t i = 0; !error && i < list.n; i++) {
		json_t *group = add_object(array);

		set_integer(group, "hierarchy", list.items[i].hierarchy);
		error = set_text(group, "controllers", list.items[i].controllers);
		if (!error)
			error = set_text(group, "path", list.items[i].path);
	}
	return error;
}

static struct error *dump_mount(const struct guest_mount *mount, json_t *object)
{
	const struct {
		const char *key, *text;
	} texts[] = {
		{"root", mount->root},     {"target", mount->target},   {"fstype", mount->fstype},
		{"source", mount->source}, {"options", mount->options},
	};
	struct error *error = NULL;

	set_signed(object, "id", mount->id);
	set_signed(object, "parent", mount->parent);
	set_integer(object, "major", mount->major);
	set_integer(object, "minor", mount->minor);
	set_integer(object, "peer_group", mount->peer_group);
	set_integer(object, "master", mount->master);
	json_object_set_new(object, "unbindable", json_boolean(mount->unbindable));
	for (size_t i = 0; !error && i < ARRAY_SIZE(texts); i++)
		error = set_text(object, texts[i].key, texts[i].text);
	return error;
}

static struct error *dump_mounts(struct guest *guest, const struct guest_task *task, json_t *object)
{
	_cleanup_(guest_mount_list_deinit) struct guest_mount_list list = {0};
	struct error *error = guest_mounts(guest, task->address, &list);
	json_t *array;

	if (error)
		return unless_absent(error);
	array = add_list(object, "mounts", list.incomplete);
	for (size_t i = 0; !error && i < list.n; i++)
		error = dump_mount(&list.items[i], add_object(array));
	return error;
}

static struct error *dump_task(struct guest *guest, const struct guest_task *task, json_t *object)
{
	struct error *error = set_text(object, "comm", task->comm);

	dump_numbers(task, object);
	if (!error)
		error = json_set_bytes(object, "state", &task->state, 1);
	if (!error)
		error = set_bytes(object, "cmdline", &task->cmdline);
	if (!error)
		error = set_text(object, "exe", task->exe);
	if (!error)
		error = set_text(object, "cgroup", task->cgroup);
	if (!error)
		error = dump_namespaces(guest, task, object);
	if (!error)
		error = dump_path(guest, task, object, "cwd", guest_task_cwd);
	if (!error)
		error = dump_path(guest, task, object, "root", guest_task_root);
	if (!error)
		error = dump_environ(guest, task, object);
	if (!error)
		error = dump_fds(guest, task, object);
	if (!error)
		error = dump_cgroups(guest, task, object);
	return error ? error : dump_mounts(guest, task, object);
}

struct error *dump_tasks(struct guest *guest, json_t *root)
{
	_cleanup_(guest_task_list_deinit) struct guest_task_list list = {0};
	struct error *error = guest_tasks(guest, GUEST_THREADS, &list);
	json_t *array = add_list(root, "tasks", list.incomplete);

	for (size_t i = 0; !error && i < list.n; i++)
		error = dump_task(guest, &list.items[i], add_object(array));
	return error;
}
