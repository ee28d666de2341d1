/* SPDX-License-Identifier: Apache-2.0 */
#include "update/memory_facts.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>

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

/* Notes why something is missing; the first reason stays. Takes the error, which may be NULL. */
static struct error *note_incomplete(json_t *document, struct error *why)
{
	struct error *error = NULL;

	if (why && !json_object_get(document, "incomplete"))
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
		error = set_new(document, "idle_s",
				clock.idle_ns ? json_real((double)clock.idle_ns / 1e9) : json_null());
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

static struct error *describe_load(struct guest *guest, json_t *document)
{
	struct guest_load load;
	struct error *error = guest_load_average(guest, &load);

	if (error)
		return error;
	/* Two digits, as everybody knows them. */
	return set_new(
		document, "load",
		json_pack("[f, f, f]", load.milli[0] / 10 / 1e2, load.milli[1] / 10 / 1e2, load.milli[2] / 10 / 1e2));
}

static struct error *describe_cpus(struct guest *guest, json_t *document)
{
	struct guest_cpus cpus;
	struct error *error = guest_cpus(guest, &cpus);

	if (error)
		return error;
	return set_new(document, "cpus",
		       json_pack("{s:i, s:i, s:i}", "possible", (int)cpus.possible, "present", (int)cpus.present,
				 "online", (int)cpus.online));
}

static struct error *describe_counters(struct guest *guest, json_t *document)
{
#define COUNTER(name)                                                                                                  \
	{                                                                                                              \
#name, offsetof(struct guest_memory_counters, name)                                                    \
	}
	static const struct {
		const char *key;
		size_t offset;
	} counters_of[] = {
		COUNTER(total),
		COUNTER(free),
		COUNTER(available),
		COUNTER(buffers),
		COUNTER(cached),
		COUNTER(swap_cached),
		COUNTER(active),
		COUNTER(inactive),
		COUNTER(swap_total),
		COUNTER(swap_free),
		COUNTER(dirty),
		COUNTER(writeback),
		COUNTER(anonymous),
		COUNTER(mapped),
		COUNTER(shmem),
		COUNTER(slab_reclaimable),
		COUNTER(slab_unreclaimable),
		COUNTER(kernel_stack),
		COUNTER(page_tables),
		COUNTER(committed),
	};
#undef COUNTER
	struct guest_memory_counters counters;
	json_t *memory = NULL;
	struct error *error = guest_memory_counters(guest, &counters);

	if (!error) {
		memory = json_object();
		error = set_new(document, "memory", memory);
	}
	for (size_t i = 0; !error && i < ARRAY_SIZE(counters_of); i++) {
		uint64_t value = *(const uint64_t *)((const char *)&counters + counters_of[i].offset);

		error = set_new(memory, counters_of[i].key,
				value == UINT64_MAX ? json_null() : json_integer((json_int_t)value));
	}
	return error;
}

/* Who runs: processes of users, threads of the kernel. */
static struct error *describe_processes(struct guest *guest, json_t *document)
{
	_cleanup_(guest_task_list_deinit) struct guest_task_list list = {0};
	size_t n_processes = 0, n_threads = 0, n_kernel = 0;
	struct error *error = guest_tasks(guest, GUEST_PROCESSES, &list);

	if (error)
		return error;
	for (size_t i = 0; i < list.n; i++) {
		n_kernel += list.items[i].kernel_thread;
		n_processes += !list.items[i].kernel_thread;
		n_threads += list.items[i].kernel_thread ? 0 : list.items[i].n_threads;
	}
	error = set_size(document, "processes", n_processes);
	if (!error)
		error = set_size(document, "threads", n_threads);
	if (!error)
		error = set_size(document, "kernel_threads", n_kernel);
	return error ? error : note_incomplete(document, take_ptr(list.incomplete));
}

static struct error *describe_mounts(struct guest *guest, json_t *document)
{
	_cleanup_(guest_mount_list_deinit) struct guest_mount_list list = {0};
	struct error *error = guest_mounts(guest, 0, &list);

	if (!error)
		error = set_size(document, "guest_mounts", list.n);
	return error ? error : note_incomplete(document, take_ptr(list.incomplete));
}

static struct error *describe_modules(struct guest *guest, json_t *document)
{
	_cleanup_(guest_module_list_deinit) struct guest_module_list list = {0};
	struct error *error = guest_modules(guest, &list);

	if (!error)
		error = set_size(document, "modules", list.n);
	return error ? error : note_incomplete(document, take_ptr(list.incomplete));
}

/* "10.0.2.15/24" */
static struct error *add_address(json_t *addresses, const struct guest_address *address)
{
	char text[INET6_ADDRSTRLEN], whole[INET6_ADDRSTRLEN + 8];

	if (!inet_ntop(address->family == 6 ? AF_INET6 : AF_INET, address->bytes, text, sizeof(text)))
		return NULL;
	snprintf(whole, sizeof(whole), "%s/%u", text, address->prefix);
	return json_array_append_new(addresses, json_string(whole)) < 0 ? error_no_memory() : NULL;
}

/* Six bytes as everybody writes them; other hardware, too. Empty: it has none. */
static void format_hardware(const struct guest_interface *interface, char text[3 * sizeof(interface->hardware) + 1])
{
	*text = 0;
	for (size_t i = 0; i < interface->hardware_size && i < sizeof(interface->hardware); i++)
		text += sprintf(text, i ? ":%02x" : "%02x", interface->hardware[i]);
}

static struct error *add_interface(json_t *interfaces, const struct guest_interface *interface)
{
	char hardware[3 * sizeof(interface->hardware) + 1];
	json_t *addresses = json_array(), *object = json_object();
	struct error *error = json_array_append_new(interfaces, object) < 0 ? error_no_memory() : NULL;

	if (!error)
		error = json_set_bytes(object, "name", interface->name,
				       strnlen(interface->name, sizeof(interface->name)));
	format_hardware(interface, hardware);
	if (!error)
		error = set_size(object, "index", interface->index);
	if (!error)
		error = set_new(object, "up", json_boolean(interface->flags & IFF_UP));
	if (!error)
		error = set_size(object, "mtu", interface->mtu);
	if (!error)
		error = set_text(object, "hardware", hardware);
	if (error) {
		json_decref(addresses);
		return error;
	}
	error = set_new(object, "addresses", addresses);
	for (size_t i = 0; !error && i < interface->n_addresses; i++)
		error = add_address(addresses, &interface->addresses[i]);
	return error;
}

static struct error *describe_interfaces(struct guest *guest, json_t *document)
{
	_cleanup_(guest_interface_list_deinit) struct guest_interface_list list = {0};
	json_t *interfaces = NULL;
	struct error *error = guest_interfaces(guest, 0, &list);

	if (!error) {
		interfaces = json_array();
		error = set_new(document, "interfaces", interfaces);
	}
	for (size_t i = 0; !error && i < list.n; i++)
		error = add_interface(interfaces, &list.items[i]);
	return error ? error : note_incomplete(document, take_ptr(list.incomplete));
}

/* What the disk does not have yet: the guest's kernel would write it out. */
static struct error *describe_unsynced(struct guest *guest, json_t *document)
{
	_cleanup_(guest_dirty_list_deinit) struct guest_dirty_list list = {0};
	uint64_t n_files = 0, n_pages = 0, n_metadata = 0;
	json_t *unsynced;
	struct error *error = guest_dirty_files(guest, &list);

	if (error)
		return error;
	for (size_t i = 0; i < list.n; i++) {
		n_files += list.items[i].dirty_pages > 0;
		n_pages += list.items[i].dirty_pages;
		n_metadata += list.items[i].metadata;
	}
	unsynced = json_object();
	error = set_new(document, "unsynced", unsynced);
	if (!error)
		error = set_size(unsynced, "files", n_files);
	if (!error)
		error = set_size(unsynced, "bytes", n_pages * 4096);
	if (!error)
		error = set_size(unsynced, "inodes", n_metadata);
	return error ? error : note_incomplete(document, take_ptr(list.incomplete));
}

/* Each adds its member, or several; the key is set to null where it fails. */
static const struct {
	const char *key;
	struct error *(*describe)(struct guest *guest, json_t *document);
} facts[] = {
	{"kernel", describe_kernel},       {"uptime_s", describe_clock},
	{"boot_id", describe_boot},        {"load", describe_load},
	{"cpus", describe_cpus},           {"memory", describe_counters},
	{"processes", describe_processes}, {"guest_mounts", describe_mounts},
	{"modules", describe_modules},     {"interfaces", describe_interfaces},
	{"unsynced", describe_unsynced},
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
