/* SPDX-License-Identifier: Apache-2.0 */
/* For developers and tests: prints every fact that guest/ knows of a memory image, as JSON. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "guest/guest.h"
#include "image/image.h"

static char *uuid_text(const uint8_t id[16])
{
	return string_format("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0], id[1],
			     id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12], id[13],
			     id[14], id[15]);
}

static struct error *set_text(json_t *object, const char *key, const char *text)
{
	return text ? json_set_bytes(object, key, text, strlen(text)) : NULL;
}

static void set_integer(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

static struct error *set_uuid(json_t *object, const char *key, const uint8_t id[16])
{
	_cleanup_(free_ptr) char *text = uuid_text(id);

	return set_text(object, key, text);
}

static struct error *dump_uts(struct guest *guest, json_t *root)
{
	json_t *object = json_object();
	struct guest_uts uts;
	struct error *error = guest_uts(guest, &uts);
	const struct {
		const char *key, *text;
	} fields[] = {
		{"sysname", uts.sysname}, {"nodename", uts.nodename}, {"release", uts.release},
		{"version", uts.version}, {"machine", uts.machine},   {"domainname", uts.domainname},
	};

	json_object_set_new(root, "uts", object);
	for (size_t i = 0; !error && i < ARRAY_SIZE(fields); i++)
		error = set_text(object, fields[i].key, fields[i].text);
	return error;
}

static struct error *dump_clock(struct guest *guest, json_t *root)
{
	json_t *object = json_object();
	struct guest_clock clock;
	uint8_t id[16];
	struct error *error = guest_clock(guest, &clock);

	json_object_set_new(root, "clock", object);
	if (error)
		return error;
	set_integer(object, "realtime_ns", (uint64_t)clock.realtime_ns);
	set_integer(object, "monotonic_ns", clock.monotonic_ns);
	set_integer(object, "boottime_ns", clock.boottime_ns);
	error = guest_boot_id(guest, id);
	return error ? error : set_uuid(root, "boot_id", id);
}

static struct error *dump_file_systems(struct guest *guest, json_t *root)
{
	_cleanup_(free_ptr) struct guest_file_system *items = NULL;
	json_t *array = json_array();
	size_t n = 0;
	struct error *error = guest_file_systems(guest, &items, &n);

	json_object_set_new(root, "file_systems", array);
	for (size_t i = 0; !error && i < n; i++) {
		json_t *object = json_object();

		json_array_append_new(array, object);
		error = set_text(object, "type", items[i].type);
		if (!error)
			error = set_text(object, "id", items[i].id);
		if (!error)
			error = set_uuid(object, "uuid", items[i].uuid);
		if (!items[i].has_ext4)
			continue;
		set_integer(object, "ext4_mount_count", items[i].ext4_mount_count);
		set_integer(object, "ext4_mount_time_s", items[i].ext4_mount_time_s);
	}
	return error;
}

static struct error *dump_task(const struct guest_task *task, json_t *array)
{
	json_t *object = json_object();
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
		{"nice", (uint64_t)(int64_t)task->nice},
		{"start_ns", task->start_ns},
		{"user_ns", task->user_ns},
		{"system_ns", task->system_ns},
		{"virtual_size", task->virtual_size},
		{"resident_size", task->resident_size},
	};
	struct error *error;

	json_array_append_new(array, object);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		set_integer(object, numbers[i].key, numbers[i].value);
	json_object_set_new(object, "kernel_thread", json_boolean(task->kernel_thread));
	error = json_set_bytes(object, "state", &task->state, 1);
	if (!error)
		error = set_text(object, "comm", task->comm);
	if (!error && task->cmdline.data)
		error = json_set_bytes(object, "cmdline", task->cmdline.data, task->cmdline.size);
	if (!error)
		error = set_text(object, "cgroup", task->cgroup);
	return error ? error : set_text(object, "exe", task->exe);
}

static struct error *dump_maps(struct guest *guest, uint64_t task, json_t *object)
{
	_cleanup_(guest_map_list_deinit) struct guest_map_list list = {0};
	json_t *array = json_array();
	struct error *error = guest_task_maps(guest, task, &list);

	json_object_set_new(object, "maps", array);
	if (list.incomplete)
		fprintf(stderr, "guest-dump: maps: %s\n", list.incomplete->message);
	for (size_t i = 0; !error && i < list.n; i++) {
		const struct guest_map *map = &list.items[i];
		_cleanup_(free_ptr) char *line =
			string_format("%08llx-%08llx %s %08llx %02x:%02x %llu %s", (unsigned long long)map->start,
				      (unsigned long long)map->end, map->perms, (unsigned long long)map->offset,
				      map->major, map->minor, (unsigned long long)map->inode, map->path);

		json_array_append_new(array, json_object());
		error = set_text(json_array_get(array, i), "line", line);
	}
	return error;
}

static struct error *dump_fds(struct guest *guest, uint64_t task, json_t *object)
{
	_cleanup_(guest_fd_list_deinit) struct guest_fd_list list = {0};
	json_t *array = json_array();
	struct error *error = guest_task_fds(guest, task, &list);

	json_object_set_new(object, "fds", array);
	if (list.incomplete)
		fprintf(stderr, "guest-dump: fds: %s\n", list.incomplete->message);
	for (size_t i = 0; !error && i < list.n; i++) {
		json_t *fd = json_object();

		json_array_append_new(array, fd);
		set_integer(fd, "fd", list.items[i].fd);
		set_integer(fd, "flags", list.items[i].flags);
		set_integer(fd, "pos", list.items[i].position);
		set_integer(fd, "inode", list.items[i].inode);
		json_object_set_new(fd, "cloexec", json_boolean(list.items[i].close_on_exec));
		error = set_text(fd, "path", list.items[i].path);
	}
	return error;
}

static struct error *dump_namespaces(struct guest *guest, uint64_t task, json_t *object)
{
	struct guest_namespaces spaces;
	json_t *numbers = json_object();
	struct error *error = guest_task_namespaces(guest, task, &spaces);

	json_object_set_new(object, "ns", numbers);
	if (error)
		return error;
	set_integer(numbers, "cgroup", spaces.cgroup);
	set_integer(numbers, "ipc", spaces.ipc);
	set_integer(numbers, "mnt", spaces.mnt);
	set_integer(numbers, "net", spaces.net);
	set_integer(numbers, "pid", spaces.pid);
	set_integer(numbers, "time", spaces.time);
	set_integer(numbers, "user", spaces.user);
	set_integer(numbers, "uts", spaces.uts);
	return NULL;
}

/* What a task does not have (ERROR_NOT_FOUND) is left out. */
static struct error *unless_absent(struct error *error)
{
	if (!error || error->code != ERROR_NOT_FOUND)
		return error;
	error_destroy(error);
	return NULL;
}

static struct error *dump_details(struct guest *guest, uint64_t task, json_t *object)
{
	_cleanup_(free_ptr) char *cwd = NULL, *top = NULL;
	struct guest_bytes environment = {0};
	struct error *error = unless_absent(guest_task_cwd(guest, task, &cwd));

	if (!error)
		error = set_text(object, "cwd", cwd);
	if (!error)
		error = unless_absent(guest_task_root(guest, task, &top));
	if (!error)
		error = set_text(object, "root", top);
	if (!error)
		error = unless_absent(guest_task_environ(guest, task, &environment));
	if (!error && environment.data)
		error = json_set_bytes(object, "environ", environment.data, environment.size);
	free(environment.data);
	if (!error)
		error = dump_namespaces(guest, task, object);
	if (!error)
		error = unless_absent(dump_fds(guest, task, object));
	return error ? error : unless_absent(dump_maps(guest, task, object));
}

static struct error *dump_tasks(struct guest *guest, bool all, json_t *root)
{
	_cleanup_(guest_task_list_deinit) struct guest_task_list list = {0};
	json_t *processes = json_array(), *threads = json_array();
	uint64_t start = clock_monotonic_ns();
	struct error *error = guest_tasks(guest, GUEST_THREADS, &list);

	set_integer(json_object_get(root, "timing_ms"), "tasks", (clock_monotonic_ns() - start) / 1000000);
	json_object_set_new(root, "processes", processes);
	json_object_set_new(root, "threads", threads);
	json_object_set_new(root, "processes_incomplete", json_boolean(list.incomplete));
	if (list.incomplete)
		fprintf(stderr, "guest-dump: processes: %s\n", list.incomplete->message);
	for (size_t i = 0; !error && i < list.n; i++) {
		json_t *array = list.items[i].pid == list.items[i].tgid ? processes : threads;

		error = dump_task(&list.items[i], array);
		if (!error && all)
			error = dump_details(guest, list.items[i].address,
					     json_array_get(array, json_array_size(array) - 1));
	}
	return error;
}

static struct error *dump(const char *path, bool all, json_t *root)
{
	_cleanup_(image_close_ptr) struct image *image = NULL;
	_cleanup_(guest_close_ptr) struct guest *guest = NULL;
	json_t *timing = json_object();
	uint64_t start = clock_monotonic_ns();
	struct error *error = image_open(path, NULL, &image);

	json_object_set_new(root, "version", json_integer(1));
	json_object_set_new(root, "timing_ms", timing);
	set_integer(timing, "index", (clock_monotonic_ns() - start) / 1000000);
	if (error)
		return error;
	json_object_set_new(root, "format", json_string(image_format(image)));
	set_integer(root, "ram_size", image_ram_size(image));
	start = clock_monotonic_ns();
	error = guest_open(image, NULL, &guest);
	set_integer(timing, "guest", (clock_monotonic_ns() - start) / 1000000);
	start = clock_monotonic_ns();
	if (!error)
		error = dump_uts(guest, root);
	if (!error)
		error = dump_clock(guest, root);
	if (!error)
		error = dump_file_systems(guest, root);
	if (!error)
		error = dump_tasks(guest, all, root);
	set_integer(timing, "facts", (clock_monotonic_ns() - start) / 1000000);
	return error;
}

int main(int argc, char **argv)
{
	_cleanup_(error_destroy_ptr) struct error *error = NULL;
	json_t *root = json_object();

	bool all = argc == 3 && strcmp(argv[1], "--all") == 0;

	if (argc != 2 + all) {
		fprintf(stderr, "usage: guest-dump [--all] MEMORY-IMAGE\n");
		return 2;
	}
	error = dump(argv[1 + all], all, root);
	if (error)
		fprintf(stderr, "guest-dump: %s\n%s\n", error->message, error->remedy ? error->remedy : "");
	else
		json_dumpf(root, stdout, JSON_INDENT(1));
	json_decref(root);
	return error ? error_exit_status(error->code) : 0;
}
