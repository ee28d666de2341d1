/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel as a whole: its log, modules, counters, settings and network. */
#include "dump.h"

#include "base/cleanup.h"

struct error *dump_log(struct guest *guest, json_t *root)
{
	_cleanup_(guest_log_deinit) struct guest_log log = {0};
	struct error *error = guest_kernel_log(guest, &log);
	json_t *array = add_list(root, "log", log.incomplete);

	for (size_t i = 0; !error && i < log.n; i++) {
		json_t *record = add_object(array);

		set_integer(record, "sequence", log.items[i].sequence);
		set_integer(record, "time_ns", log.items[i].time_ns);
		set_integer(record, "level", log.items[i].level);
		set_integer(record, "facility", log.items[i].facility);
		error = set_bytes(record, "text", &log.items[i].text);
	}
	return error;
}

struct error *dump_modules(struct guest *guest, json_t *root)
{
	_cleanup_(guest_module_list_deinit) struct guest_module_list list = {0};
	struct error *error = guest_modules(guest, &list);
	json_t *array = add_list(root, "modules", list.incomplete);

	for (size_t i = 0; !error && i < list.n; i++) {
		json_t *module = add_object(array);

		set_integer(module, "address", list.items[i].address);
		set_integer(module, "size", list.items[i].size);
		set_integer(module, "refcount", list.items[i].refcount);
		error = set_text(module, "name", list.items[i].name);
		if (!error)
			error = set_text(module, "users", list.items[i].users);
		if (!error)
			error = json_set_bytes(module, "state", &list.items[i].state, 1);
		if (!error)
			error = set_text(module, "taint", list.items[i].taint);
	}
	return error;
}

static struct error *dump_load(struct guest *guest, json_t *root)
{
	struct guest_load load;
	json_t *object = json_object();
	struct error *error = guest_load_average(guest, &load);

	json_object_set_new(root, "load", object);
	if (error)
		return error;
	set_integer(object, "milli_1", load.milli[0]);
	set_integer(object, "milli_5", load.milli[1]);
	set_integer(object, "milli_15", load.milli[2]);
	set_integer(object, "tasks", load.tasks);
	set_integer(object, "running", load.running);
	set_integer(object, "last_pid", load.last_pid);
	return NULL;
}

static struct error *dump_cpus(struct guest *guest, json_t *root)
{
	struct guest_cpus cpus;
	json_t *object = json_object();
	struct error *error = guest_cpus(guest, &cpus);

	json_object_set_new(root, "cpus", object);
	if (error)
		return error;
	set_integer(object, "possible", cpus.possible);
	set_integer(object, "present", cpus.present);
	set_integer(object, "online", cpus.online);
	return NULL;
}

struct error *dump_counters(struct guest *guest, json_t *root)
{
	struct guest_memory_counters counters;
	json_t *object = json_object();
	struct error *error = guest_memory_counters(guest, &counters);
	const struct {
		const char *key;
		const uint64_t *value;
	} fields[] = {
		{"MemTotal", &counters.total},
		{"MemFree", &counters.free},
		{"MemAvailable", &counters.available},
		{"Buffers", &counters.buffers},
		{"Cached", &counters.cached},
		{"SwapCached", &counters.swap_cached},
		{"Active", &counters.active},
		{"Inactive", &counters.inactive},
		{"SwapTotal", &counters.swap_total},
		{"SwapFree", &counters.swap_free},
		{"Dirty", &counters.dirty},
		{"Writeback", &counters.writeback},
		{"AnonPages", &counters.anonymous},
		{"Mapped", &counters.mapped},
		{"Shmem", &counters.shmem},
		{"SReclaimable", &counters.slab_reclaimable},
		{"SUnreclaim", &counters.slab_unreclaimable},
		{"KernelStack", &counters.kernel_stack},
		{"PageTables", &counters.page_tables},
		{"Committed_AS", &counters.committed},
	};

	json_object_set_new(root, "memory", object);
	for (size_t i = 0; !error && i < ARRAY_SIZE(fields); i++)
		if (*fields[i].value != UINT64_MAX)
			set_integer(object, fields[i].key, *fields[i].value);
	if (!error)
		error = dump_load(guest, root);
	return error ? error : dump_cpus(guest, root);
}

struct error *dump_sysctls(struct guest *guest, json_t *root)
{
	_cleanup_(guest_sysctl_list_deinit) struct guest_sysctl_list list = {0};
	struct error *error = guest_sysctls(guest, &list);
	json_t *array = add_list(root, "sysctls", list.incomplete);

	for (size_t i = 0; !error && i < list.n; i++) {
		json_t *object = add_object(array);

		set_integer(object, "mode", list.items[i].mode);
		error = set_text(object, "name", list.items[i].name);
		if (!error)
			error = set_text(object, "value", list.items[i].value);
	}
	return error;
}

static struct error *dump_interface(const struct guest_interface *interface, json_t *object)
{
	json_t *addresses = add_list(object, "addresses", NULL);
	struct error *error = set_text(object, "name", interface->name);

	set_integer(object, "index", interface->index);
	set_integer(object, "flags", interface->flags);
	set_integer(object, "mtu", interface->mtu);
	set_integer(object, "operstate", interface->operstate);
	set_integer(object, "type", interface->type);
	if (!error)
		error = json_set_bytes(object, "hardware", interface->hardware, interface->hardware_size);
	for (size_t i = 0; !error && i < interface->n_addresses; i++) {
		const struct guest_address *address = &interface->addresses[i];
		json_t *one = add_object(addresses);

		set_integer(one, "family", address->family);
		set_integer(one, "prefix", address->prefix);
		set_integer(one, "scope", address->scope);
		error = json_set_bytes(one, "bytes", address->bytes, address->family == 4 ? 4 : 16);
		if (!error)
			error = set_text(one, "label", address->label);
	}
	return error;
}

struct error *dump_interfaces(struct guest *guest, json_t *root)
{
	_cleanup_(guest_interface_list_deinit) struct guest_interface_list list = {0};
	struct error *error = guest_interfaces(guest, 0, &list);
	json_t *array = add_list(root, "interfaces", list.incomplete);

	for (size_t i = 0; !error && i < list.n; i++)
		error = dump_interface(&list.items[i], add_object(array));
	return error;
}

struct error *dump_apparmor(struct guest *guest, json_t *root)
{
	_cleanup_(guest_apparmor_features_deinit) struct guest_apparmor_features features = {0};
	struct error *error = guest_apparmor_features(guest, &features);
	json_t *array = add_list(root, "apparmor", NULL);

	for (size_t i = 0; !error && i < features.n; i++) {
		json_t *feature = add_object(array);

		error = set_text(feature, "path", features.items[i].path);
		if (!error)
			error = set_text(feature, "text", features.items[i].text);
	}
	return error;
}
