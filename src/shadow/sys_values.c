/* SPDX-License-Identifier: Apache-2.0 */
/* Values of files in /sys; see shadow/sys_values.h. */
#include "shadow/sys_values.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/io.h"
#include "shadow/internal.h"

/* A task in a control group of the hierarchy at hand. */
struct member_of {
	char *path;
	uint32_t pid;
	bool leader;
};

struct sys_values {
	const struct shadow *shadow;
	struct guest_interface_list interfaces;
	struct guest_device_list devices;
	struct guest_module_list modules; /* by name */
	struct member_of *members;        /* by path, then pid */
	size_t n_members;
};

static struct error *unknown(void)
{
	return error_create(ERROR_NOT_FOUND, "memory does not tell");
}

static struct error *text(char **ret, char *made)
{
	*ret = made;
	return made ? NULL : error_no_memory();
}

/* ---- Interfaces ---- */

static struct error *show_hardware(const struct guest_interface *interface, char **ret)
{
	char line[3 * sizeof(interface->hardware) + 2] = "";

	for (size_t i = 0; i < interface->hardware_size && i < sizeof(interface->hardware); i++)
		snprintf(line + 3 * i, sizeof(line) - 3 * i, "%02x:", interface->hardware[i]);
	if (line[0])
		line[strlen(line) - 1] = '\0';
	return text(ret, string_format("%s\n", line));
}

static struct error *show_interface(const struct guest_interface *interface, const char *file, char **ret)
{
	static const char *const states[] = {"unknown", "notpresent", "down", "lowerlayerdown",
					     "testing", "dormant",    "up"};

	if (strcmp(file, "address") == 0)
		return show_hardware(interface, ret);
	if (strcmp(file, "addr_len") == 0)
		return text(ret, string_format("%u\n", interface->hardware_size));
	if (strcmp(file, "ifindex") == 0)
		return text(ret, string_format("%u\n", interface->index));
	if (strcmp(file, "mtu") == 0)
		return text(ret, string_format("%u\n", interface->mtu));
	if (strcmp(file, "type") == 0)
		return text(ret, string_format("%u\n", interface->type));
	if (strcmp(file, "flags") == 0)
		/* Without those that only dev_get_flags() adds: IFF_RUNNING, LOWER_UP, DORMANT. */
		return text(ret, string_format("0x%x\n", interface->flags & ~UINT32_C(0x30040)));
	if (strcmp(file, "operstate") == 0 && interface->operstate < ARRAY_SIZE(states))
		return text(ret, string_format("%s\n", states[interface->operstate]));
	if (strcmp(file, "carrier") == 0 && interface->flags & 1)
		return text(ret, string_format("%u\n", !!(interface->flags & 0x10000)));
	if (strcmp(file, "uevent") == 0)
		return text(ret, string_format("INTERFACE=%s\nIFINDEX=%u\n", interface->name, interface->index));
	return unknown();
}

/* Of the directory "statistics": the counters of /proc/net/dev one by one. */
static struct error *show_statistic(const struct sys_values *values, const char *interface, const char *file,
				    char **ret)
{
	static const char *const names[GUEST_DEVICE_COUNTERS] = {
		[GUEST_RX_PACKETS] = "rx_packets",
		[GUEST_TX_PACKETS] = "tx_packets",
		[GUEST_RX_BYTES] = "rx_bytes",
		[GUEST_TX_BYTES] = "tx_bytes",
		[GUEST_RX_ERRORS] = "rx_errors",
		[GUEST_TX_ERRORS] = "tx_errors",
		[GUEST_RX_DROPPED] = "rx_dropped",
		[GUEST_TX_DROPPED] = "tx_dropped",
		[GUEST_MULTICAST] = "multicast",
		[GUEST_COLLISIONS] = "collisions",
		[GUEST_RX_LENGTH_ERRORS] = "rx_length_errors",
		[GUEST_RX_OVER_ERRORS] = "rx_over_errors",
		[GUEST_RX_CRC_ERRORS] = "rx_crc_errors",
		[GUEST_RX_FRAME_ERRORS] = "rx_frame_errors",
		[GUEST_RX_FIFO_ERRORS] = "rx_fifo_errors",
		[GUEST_RX_MISSED_ERRORS] = "rx_missed_errors",
		[GUEST_TX_ABORTED_ERRORS] = "tx_aborted_errors",
		[GUEST_TX_CARRIER_ERRORS] = "tx_carrier_errors",
		[GUEST_TX_FIFO_ERRORS] = "tx_fifo_errors",
		[GUEST_TX_HEARTBEAT_ERRORS] = "tx_heartbeat_errors",
		[GUEST_TX_WINDOW_ERRORS] = "tx_window_errors",
		[GUEST_RX_COMPRESSED] = "rx_compressed",
		[GUEST_TX_COMPRESSED] = "tx_compressed",
	};
	const struct guest_device *device = NULL;

	for (size_t i = 0; i < values->devices.n && !device; i++)
		if (strcmp(values->devices.items[i].name, interface) == 0)
			device = &values->devices.items[i];
	for (size_t i = 0; device && device->counted && i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], file) == 0)
			return text(ret, string_format("%" PRIu64 "\n", device->counters[i]));
	return unknown();
}

static const struct guest_interface *find_interface(const struct sys_values *values, const char *name)
{
	for (size_t i = 0; i < values->interfaces.n; i++)
		if (strcmp(values->interfaces.items[i].name, name) == 0)
			return &values->interfaces.items[i];
	return NULL;
}

/* ---- Modules ---- */

static int compare_modules(const void *a, const void *b)
{
	return strcmp(((const struct guest_module *)a)->name, ((const struct guest_module *)b)->name);
}

static struct error *show_module(const struct sys_values *values, const char *name, const char *file, char **ret)
{
	const struct guest_module *module;
	struct guest_module key = {0};

	snprintf(key.name, sizeof(key.name), "%s", name);
	module = bsearch(&key, values->modules.items, values->modules.n, sizeof(key), compare_modules);
	if (!module)
		return unknown();
	if (strcmp(file, "refcnt") == 0)
		return text(ret, string_format("%u\n", module->refcount));
	if (strcmp(file, "taint") == 0)
		return text(ret, string_format("%s\n", module->taint));
	/* What only its beginning needed is counted, too, for as long as it is there. */
	if (strcmp(file, "coresize") == 0 && module->state == 'L')
		return text(ret, string_format("%" PRIu64 "\n", (uint64_t)module->size));
	if (strcmp(file, "initstate") == 0)
		return text(ret, string_format("%s\n", module->state == 'L'   ? "live"
						       : module->state == 'C' ? "coming"
									      : "going"));
	return unknown();
}

/* ---- All of sysfs ---- */

struct error *sys_value(struct sys_values *values, const struct guest_kernfs *tree, uint32_t index, const char *path,
			char **ret)
{
	const struct guest_kernfs_node *node = &tree->items[index], *directory = &tree->items[node->parent];
	const struct guest_kernfs_node *above = &tree->items[directory->parent];
	const struct guest_interface *interface = NULL;

	if (strcmp(above->name, "net") == 0)
		interface = find_interface(values, directory->name);
	if (interface)
		return show_interface(interface, node->name, ret);
	if (strcmp(directory->name, "statistics") == 0 && strcmp(tree->items[above->parent].name, "net") == 0)
		return show_statistic(values, above->name, node->name, ret);
	if (strncmp(path, "module/", 7) == 0 && above->parent == 0 && strcmp(above->name, "module") == 0)
		return show_module(values, directory->name, node->name, ret);
	return guest_sysfs_value(values->shadow->guest, tree, index, ret);
}

/* ---- Control groups ---- */

static int compare_members(const void *a, const void *b)
{
	const struct member_of *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	if (order)
		return order;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static void drop_members(struct sys_values *values)
{
	for (size_t i = 0; i < values->n_members; i++)
		free(values->members[i].path);
	free(values->members);
	values->members = NULL;
	values->n_members = 0;
}

/* Whether the line of /proc/PID/cgroup is of the hierarchy that is mounted so: "rw,cpu,cpuacct". */
static bool is_hierarchy(const struct guest_cgroup *line, const struct guest_mount *mount)
{
	const char *options = mount->super_options ? mount->super_options : mount->options, *p;
	size_t n = strlen(line->controllers);

	if (strcmp(mount->fstype, "cgroup2") == 0)
		return line->hierarchy == 0;
	if (line->hierarchy == 0 || n == 0)
		return false;
	for (p = strstr(options, line->controllers); p; p = strstr(p + 1, line->controllers))
		if (p > options && p[-1] == ',' && (p[n] == ',' || p[n] == '\0'))
			return true;
	return false;
}

static struct error *add_member(struct sys_values *values, const struct guest_task *task,
				const struct guest_mount *mount)
{
	struct guest_cgroup_list list = {0};
	struct error *error = guest_task_cgroups(values->shadow->guest, task->address, &list);

	for (size_t i = 0; !error && i < list.n; i++) {
		if (!is_hierarchy(&list.items[i], mount))
			continue;
		error = array_room(&values->members, values->n_members, sizeof(*values->members));
		if (!error)
			values->members[values->n_members++] =
				(struct member_of){strdup(list.items[i].path), task->pid, task->pid == task->tgid};
		if (!error && !values->members[values->n_members - 1].path) {
			values->n_members--;
			error = error_no_memory();
		}
		break;
	}
	guest_cgroup_list_deinit(&list);
	/* A task without groups, or that cannot be read, is in none of these files. */
	if (error && error->code != ERROR_NO_MEMORY)
		error_destroy(take_ptr(error));
	return error;
}

struct error *sys_values_begin(struct sys_values *values, const struct guest_mount *mount)
{
	const struct guest_task_list *threads = &values->shadow->threads;
	struct error *error = NULL;

	drop_members(values);
	if (strcmp(mount->fstype, "sysfs") == 0)
		return NULL;
	for (size_t i = 0; !error && i < threads->n; i++)
		error = add_member(values, &threads->items[i], mount);
	if (values->n_members > 1)
		qsort(values->members, values->n_members, sizeof(*values->members), compare_members);
	return error;
}

/* The members of the group at `path` (without the slash in front), a line each. */
static struct error *show_members(const struct sys_values *values, const char *path, size_t size, bool threads,
				  char **ret)
{
	size_t low = 0, high = values->n_members, length;
	char *made = NULL;
	FILE *out = open_memstream(&made, &length);

	if (!out)
		return error_no_memory();
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strncmp(values->members[middle].path + 1, path, size);

		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low; i < values->n_members; i++) {
		const struct member_of *member = &values->members[i];

		if (strncmp(member->path + 1, path, size) != 0)
			break;
		if (member->path[size + 1] == '\0' && (threads || member->leader))
			fprintf(out, "%" PRIu32 "\n", member->pid);
	}
	if (fclose(out) != 0) {
		free(made);
		return error_no_memory();
	}
	*ret = made;
	return NULL;
}

struct error *sys_cgroup_value(struct sys_values *values, const struct guest_kernfs *tree, uint32_t index,
			       const char *path, char **ret)
{
	const char *name = tree->items[index].name;
	size_t size = strlen(path) - strlen(name);
	bool threads = strcmp(name, "tasks") == 0 || strcmp(name, "cgroup.threads") == 0;

	if (threads || strcmp(name, "cgroup.procs") == 0)
		return show_members(values, path, size ? size - 1 : 0, threads, ret);
	return guest_cgroup_value(values->shadow->guest, tree, index, ret);
}

/* ---- All ---- */

/* A list that cannot be had leaves its files out. */
static struct error *optional(struct error *error)
{
	if (!error || error->code == ERROR_NO_MEMORY)
		return error;
	error_destroy(error);
	return NULL;
}

struct error *sys_values_create(const struct shadow *shadow, struct sys_values **ret)
{
	_cleanup_(sys_values_destroy_ptr) struct sys_values *values = calloc(1, sizeof(*values));
	struct error *error;

	if (!values)
		return error_no_memory();
	values->shadow = shadow;
	error = optional(guest_interfaces(shadow->guest, 0, &values->interfaces));
	if (!error)
		error = optional(guest_devices(shadow->guest, 0, &values->devices));
	if (!error)
		error = optional(guest_modules(shadow->guest, &values->modules));
	if (error)
		return error;
	if (values->modules.n > 1)
		qsort(values->modules.items, values->modules.n, sizeof(*values->modules.items), compare_modules);
	*ret = take_ptr(values);
	return NULL;
}

void sys_values_destroy(struct sys_values *values)
{
	if (!values)
		return;
	drop_members(values);
	guest_interface_list_deinit(&values->interfaces);
	guest_device_list_deinit(&values->devices);
	guest_module_list_deinit(&values->modules);
	free(values);
}
