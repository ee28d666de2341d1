/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tests/unit/guest/walks.h"

/* Of how many tasks the maps, files, … are walked. */
#define TASKS_MAX     64u
#define ALL_TASKS_MAX 256u
#define DIRECTORY_MAX 2000u
#define DEPTH_MAX     8u
#define FILE_MAX      (64u << 10) /* bytes read of a file */

/* Takes what stopped a walk out of its list, so that the list can be thrown away. */
static struct error *take_incomplete(struct error **incomplete)
{
	return take_ptr(*incomplete);
}

static struct error *walk_system(struct guest *guest, size_t *ret_items)
{
	struct guest_memory_counters counters;
	struct guest_clock clock;
	struct guest_load load;
	struct guest_cpus cpus;
	struct guest_uts uts;
	uint8_t boot_id[16];
	struct error *error = guest_uts(guest, &uts);

	if (!error)
		error = guest_clock(guest, &clock);
	if (!error)
		error = guest_boot_id(guest, boot_id);
	if (!error)
		error = guest_load_average(guest, &load);
	if (!error)
		error = guest_memory_counters(guest, &counters);
	if (!error)
		error = guest_cpus(guest, &cpus);
	*ret_items = 6;
	return error;
}

/* A walk whose result is a list with items, n and incomplete. */
#define WALK_LIST(name, type, call, deinit)                                                                            \
	static struct error *walk_##name(struct guest *guest, size_t *ret_items)                                       \
	{                                                                                                              \
		struct type list = {0};                                                                                \
		struct error *error = call;                                                                            \
                                                                                                                       \
		if (error)                                                                                             \
			return error;                                                                                  \
		*ret_items = list.n;                                                                                   \
		error = take_incomplete(&list.incomplete);                                                             \
		deinit(&list);                                                                                         \
		return error;                                                                                          \
	}

WALK_LIST(processes, guest_task_list, guest_tasks(guest, GUEST_PROCESSES, &list), guest_task_list_deinit)
WALK_LIST(threads, guest_task_list, guest_tasks(guest, GUEST_THREADS, &list), guest_task_list_deinit)
WALK_LIST(modules, guest_module_list, guest_modules(guest, &list), guest_module_list_deinit)
WALK_LIST(mounts, guest_mount_list, guest_mounts(guest, 0, &list), guest_mount_list_deinit)
WALK_LIST(sysctls, guest_sysctl_list, guest_sysctls(guest, &list), guest_sysctl_list_deinit)
WALK_LIST(interfaces, guest_interface_list, guest_interfaces(guest, 0, &list), guest_interface_list_deinit)
WALK_LIST(sockets, guest_socket_list, guest_sockets(guest, 0, &list), guest_socket_list_deinit)
WALK_LIST(devices, guest_device_list, guest_devices(guest, 0, &list), guest_device_list_deinit)
WALK_LIST(addresses6, guest_address6_list, guest_addresses6(guest, 0, &list), guest_address6_list_deinit)
WALK_LIST(routes, guest_route_list, guest_routes(guest, 0, &list), guest_route_list_deinit)
WALK_LIST(routes6, guest_route_list, guest_routes6(guest, 0, &list), guest_route_list_deinit)
WALK_LIST(neighbours, guest_neighbour_list, guest_neighbours(guest, 0, &list), guest_neighbour_list_deinit)
WALK_LIST(protocols, guest_protocol_list, guest_protocols(guest, 0, &list), guest_protocol_list_deinit)
WALK_LIST(packet, guest_other_socket_list, guest_packet_sockets(guest, 0, &list), guest_other_socket_list_deinit)
WALK_LIST(netlink, guest_other_socket_list, guest_netlink_sockets(guest, 0, &list), guest_other_socket_list_deinit)
WALK_LIST(log, guest_log, guest_kernel_log(guest, &list), guest_log_deinit)
WALK_LIST(dirty, guest_dirty_list, guest_dirty_files(guest, &list), guest_dirty_list_deinit)

/* Counters of all protocols, and how pointers and sockets as a whole are shown. */
static struct error *walk_mibs(struct guest *guest, size_t *ret_items)
{
	struct guest_socket_totals totals;
	struct guest_pointers pointers;
	struct error *error = guest_socket_totals(guest, 0, &totals);

	*ret_items = 0;
	if (!error)
		error = guest_pointers(guest, &pointers);
	for (unsigned i = 0; !error && i < GUEST_MIBS; i++) {
		struct guest_mib_list list = {0};

		error = guest_mib(guest, 0, (enum guest_mib)i, &list);
		*ret_items += list.n;
		guest_mib_list_deinit(&list);
		/* UDP-Lite and MPTCP are not in every kernel. */
		if (error && error->code == ERROR_NOT_FOUND) {
			error_destroy(error);
			error = NULL;
		}
	}
	return error;
}

static struct error *walk_file_systems(struct guest *guest, size_t *ret_items)
{
	_cleanup_(free_ptr) struct guest_file_system *items = NULL;

	return guest_file_systems(guest, &items, ret_items);
}

typedef struct error *(*task_walk)(struct guest *guest, const struct guest_task *task, size_t *ret_items);

/* Adds up `walk` of each of the first `max` tasks. All are walked; the first error is returned. */
static struct error *for_some(struct guest *guest, enum guest_task_which which, bool kernel_threads, size_t max,
			      size_t *ret_items, task_walk walk)
{
	struct guest_task_list tasks = {0};
	struct error *error = guest_tasks(guest, which, &tasks);
	size_t items = 0;

	if (error)
		return error;
	error = take_incomplete(&tasks.incomplete);
	for (size_t i = 0, walked = 0; i < tasks.n && walked < max; i++) {
		struct error *one;
		size_t n = 0;

		if (tasks.items[i].kernel_thread && !kernel_threads)
			continue;
		walked++;
		one = walk(guest, &tasks.items[i], &n);
		items += n;
		if (error)
			error_destroy(one);
		else
			error = one;
	}
	guest_task_list_deinit(&tasks);
	*ret_items = items;
	return error;
}

static struct error *for_tasks(struct guest *guest, size_t *ret_items, task_walk walk)
{
	return for_some(guest, GUEST_PROCESSES, false, TASKS_MAX, ret_items, walk);
}

/* For what kernel threads and the threads of processes tell as well. */
static struct error *for_all_tasks(struct guest *guest, size_t *ret_items, task_walk walk)
{
	return for_some(guest, GUEST_THREADS, true, ALL_TASKS_MAX, ret_items, walk);
}

/* What is not there, such as the memory of a zombie, is no failure of a walk. */
static struct error *forgive_absence(struct error *error)
{
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		return NULL;
	}
	return error;
}

static struct error *task_maps(struct guest *guest, const struct guest_task *task, size_t *ret_items)
{
	struct guest_map_list list = {0};
	struct error *error = guest_task_maps(guest, task->address, &list);

	if (error)
		return forgive_absence(error);
	*ret_items = list.n;
	error = take_incomplete(&list.incomplete);
	guest_map_list_deinit(&list);
	return error;
}

static struct error *task_fds(struct guest *guest, const struct guest_task *task, size_t *ret_items)
{
	struct guest_fd_list list = {0};
	struct error *error = guest_task_fds(guest, task->address, &list);

	if (error)
		return forgive_absence(error);
	*ret_items = list.n;
	error = take_incomplete(&list.incomplete);
	guest_fd_list_deinit(&list);
	return error;
}

static struct error *task_cgroups(struct guest *guest, const struct guest_task *task, size_t *ret_items)
{
	struct guest_cgroup_list list = {0};
	struct error *error = guest_task_cgroups(guest, task->address, &list);

	if (error)
		return forgive_absence(error);
	*ret_items = list.n;
	error = take_incomplete(&list.incomplete);
	guest_cgroup_list_deinit(&list);
	return error;
}

/* Environment, namespaces, working directory and root. */
static struct error *task_surroundings(struct guest *guest, const struct guest_task *task, size_t *ret_items)
{
	_cleanup_(free_ptr) char *cwd = NULL;
	_cleanup_(free_ptr) char *root = NULL;
	struct guest_namespaces namespaces;
	struct guest_bytes environment = {0};
	struct error *error = forgive_absence(guest_task_environ(guest, task->address, &environment));

	free(environment.data);
	if (!error)
		error = forgive_absence(guest_task_namespaces(guest, task->address, &namespaces));
	if (!error)
		error = forgive_absence(guest_task_cwd(guest, task->address, &cwd));
	if (!error)
		error = forgive_absence(guest_task_root(guest, task->address, &root));
	*ret_items = 4;
	return error;
}

/* What /proc/PID/stat and its like tell. */
static struct error *task_details(struct guest *guest, const struct guest_task *task, size_t *ret_items)
{
	struct guest_task_details details;
	struct error *error = guest_task_details(guest, task->address, true, &details);

	if (error)
		return error;
	guest_task_details_deinit(&details);
	error = guest_task_details(guest, task->address, false, &details);
	if (error)
		return error;
	guest_task_details_deinit(&details);
	*ret_items = 2;
	return NULL;
}

static struct error *fd_info(struct guest *guest, const struct guest_task *task, size_t *ret_items)
{
	struct guest_fd_list list = {0};
	struct error *error = guest_task_fds(guest, task->address, &list);

	if (error)
		return forgive_absence(error);
	for (size_t i = 0; !error && i < list.n; i++) {
		struct guest_fd_info info;

		error = guest_fd_info(guest, task->address, list.items[i].file, &info);
		if (error)
			break;
		error = take_incomplete(&info.incomplete);
		guest_fd_info_deinit(&info);
	}
	*ret_items = list.n;
	guest_fd_list_deinit(&list);
	return error;
}

/* Where it is in the kernel. */
static struct error *task_stack(struct guest *guest, const struct guest_task *task, size_t *ret_items)
{
	struct guest_stack stack = {0};
	struct guest_task_syscall call;
	char name[512];
	struct error *error = guest_task_stack(guest, task->address, &stack);

	if (error)
		return error;
	*ret_items = stack.n;
	guest_stack_deinit(&stack);
	error = guest_task_wchan(guest, task->address, name);
	return error ? error : guest_task_syscall(guest, task->address, &call);
}

static struct error *task_usage(struct guest *guest, const struct guest_task *task, size_t *ret_items)
{
	struct guest_map_list list = {0};
	struct guest_usage_format format;
	_cleanup_(free_ptr) struct guest_map_usage *usages = NULL;
	struct error *error = guest_task_maps(guest, task->address, &list);

	if (error)
		return forgive_absence(error);
	usages = calloc(list.n + 1, sizeof(*usages));
	if (usages)
		error = guest_map_usage(guest, task->address, &list, usages);
	*ret_items = list.n;
	guest_map_list_deinit(&list);
	return error ? error : guest_usage_format(guest, &format);
}

/* Ids, clocks, groups and children. */
static struct error *task_spaces(struct guest *guest, const struct guest_task *task, size_t *ret_items)
{
	_cleanup_(free_ptr) char *cpuset = NULL;
	struct guest_child_list children = {0};
	struct guest_clock_offsets offsets;
	struct guest_autogroup group;
	struct guest_id_map map;
	bool allowed;
	int32_t state;
	struct error *error = forgive_absence(guest_task_id_map(guest, task->address, GUEST_USERS, &map));

	if (!error)
		error = forgive_absence(guest_task_setgroups(guest, task->address, &allowed));
	if (!error)
		error = forgive_absence(guest_task_clock_offsets(guest, task->address, &offsets));
	if (!error)
		error = forgive_absence(guest_task_cpuset(guest, task->address, &cpuset));
	if (!error)
		error = forgive_absence(guest_task_autogroup(guest, task->address, &group));
	if (!error)
		error = forgive_absence(guest_task_patch_state(guest, task->address, &state));
	if (!error)
		error = forgive_absence(guest_task_children(guest, task->address, &children));
	if (!error)
		error = take_incomplete(&children.incomplete);
	*ret_items = children.n;
	guest_child_list_deinit(&children);
	return error;
}

static struct error *walk_maps(struct guest *guest, size_t *ret_items)
{
	return for_tasks(guest, ret_items, task_maps);
}

static struct error *walk_fds(struct guest *guest, size_t *ret_items)
{
	return for_tasks(guest, ret_items, task_fds);
}

static struct error *walk_cgroups(struct guest *guest, size_t *ret_items)
{
	return for_tasks(guest, ret_items, task_cgroups);
}

static struct error *walk_surroundings(struct guest *guest, size_t *ret_items)
{
	return for_tasks(guest, ret_items, task_surroundings);
}

static struct error *walk_details(struct guest *guest, size_t *ret_items)
{
	return for_all_tasks(guest, ret_items, task_details);
}

static struct error *walk_fd_info(struct guest *guest, size_t *ret_items)
{
	return for_tasks(guest, ret_items, fd_info);
}

static struct error *walk_stacks(struct guest *guest, size_t *ret_items)
{
	return for_all_tasks(guest, ret_items, task_stack);
}

static struct error *walk_usage(struct guest *guest, size_t *ret_items)
{
	return for_tasks(guest, ret_items, task_usage);
}

static struct error *walk_spaces(struct guest *guest, size_t *ret_items)
{
	return for_tasks(guest, ret_items, task_spaces);
}

static struct error *read_file(struct guest *guest, const struct guest_file *file)
{
	size_t size = file->size < FILE_MAX ? (size_t)file->size : FILE_MAX, got = 0;
	_cleanup_(free_ptr) char *buffer = malloc(size + 1);

	return forgive_absence(guest_file_read(guest, file, 0, buffer, size, &got));
}

static struct error *read_acls(struct guest *guest, const struct guest_file *file)
{
	struct guest_acl acl;
	struct error *error = forgive_absence(guest_file_acl(guest, file, false, &acl));

	return error ? error : forgive_absence(guest_file_acl(guest, file, true, &acl));
}

/* Lists a directory of tmpfs and reads what is in it, and so on down. */
static struct error *walk_directory(struct guest *guest, const struct guest_file *directory, unsigned depth,
				    size_t *items)
{
	struct guest_file_list list = {0};
	struct error *error = guest_directory(guest, directory, &list);

	if (error)
		return error;
	error = take_incomplete(&list.incomplete);
	for (size_t i = 0; !error && i < list.n && *items < DIRECTORY_MAX; i++) {
		const struct guest_file *file = &list.items[i];

		++*items;
		if ((file->mode & 0170000) == 0040000 && depth < DEPTH_MAX)
			error = walk_directory(guest, file, depth + 1, items);
		else if ((file->mode & 0170000) == 0100000)
			error = read_file(guest, file);
		if (!error)
			error = read_acls(guest, file);
	}
	guest_file_list_deinit(&list);
	return error;
}

static struct error *walk_files(struct guest *guest, size_t *ret_items)
{
	struct guest_file run = {0};
	struct error *error = guest_file_find(guest, "/run", true, &run);

	if (error)
		return error;
	*ret_items = 0;
	error = walk_directory(guest, &run, 0, ret_items);
	guest_file_deinit(&run);
	return error;
}

const struct walk walks[] = {
	{"system", walk_system},
	{"file-systems", walk_file_systems},
	{"processes", walk_processes},
	{"threads", walk_threads},
	{"maps", walk_maps},
	{"fds", walk_fds},
	{"cgroups", walk_cgroups},
	{"surroundings", walk_surroundings},
	{"details", walk_details},
	{"fd-info", walk_fd_info},
	{"stacks", walk_stacks},
	{"usage", walk_usage},
	{"spaces", walk_spaces},
	{"mounts", walk_mounts},
	{"modules", walk_modules},
	{"log", walk_log},
	{"sysctls", walk_sysctls},
	{"interfaces", walk_interfaces},
	{"sockets", walk_sockets},
	{"devices", walk_devices},
	{"addresses6", walk_addresses6},
	{"routes", walk_routes},
	{"routes6", walk_routes6},
	{"neighbours", walk_neighbours},
	{"protocols", walk_protocols},
	{"packet", walk_packet},
	{"netlink", walk_netlink},
	{"mibs", walk_mibs},
	{"files", walk_files},
	{"dirty", walk_dirty},
	{"processors", walk_processors},
	{"counts", walk_counts},
	{"tables", walk_tables},
	{"disks", walk_disks},
	{"symbols", walk_symbols},
	{"sysfs", walk_sysfs},
	{"cgroup-files", walk_cgroup_files},
	{"statfs", walk_statfs},
	{"ipc", walk_ipc},
	{"groups", walk_groups},
	{"pressure", walk_pressure},
};
const size_t n_walks = ARRAY_SIZE(walks);

const struct walk *walk_find(const char *name)
{
	for (size_t i = 0; i < n_walks; i++) {
		if (strcmp(walks[i].name, name) == 0)
			return &walks[i];
	}
	return NULL;
}
