/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <time.h>

#include "base/io.h"
#include "base/log.h"
#include "cli/output.h"
#include "cli/source.h"
#include "cli/verb.h"

#define OS_RELEASE_MAX 65536

static const struct option_spec options[] = {
	{"no-updates", 0, NULL, "do not ask the guest's package manager what waits"},
	DISK_OPTIONS,
	{0},
};

/* The first of the files in which os-release(5) may be, as far as the page cache has it; otherwise *ret stays NULL. */
static struct error *read_os_release(const struct source *source, char **ret)
{
	static const char *const paths[] = {"/etc/os-release", "/usr/lib/os-release"};

	for (size_t i = 0; !*ret && i < ARRAY_SIZE(paths); i++) {
		size_t size;
		struct error *error = source_text(source, paths[i], OS_RELEASE_MAX, ret, &size);

		if (error && error->code == ERROR_NO_MEMORY)
			return error;
		if (error)
			log_debug("%s", error->message);
		error_destroy(error);
	}
	return NULL;
}

static struct error *inspect_memory(const struct invocation *invocation, json_t **ret)
{
	_cleanup_(source_close) struct source source = {0};
	_cleanup_(free_ptr) char *os_release = NULL;
	struct error *error = source_open(invocation, &source);

	if (!error)
		error = read_os_release(&source, &os_release);
	return error ? error : update_inspect_memory(source.guest, os_release, ret);
}

static struct error *run(const struct invocation *invocation, json_t **ret)
{
	struct inspect_options inspect = {.updates = !invocation_option(invocation, "no-updates"),
					  .image = invocation->image,
					  .guest = invocation->guest};

	if (invocation->memory)
		return inspect_memory(invocation, ret);
	return source_hint(invocation, update_inspect(&invocation->settings, invocation->vm, &inspect, ret));
}

static uint64_t member(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

/* What of a file system only memory has. */
static void print_newer(const json_t *newer)
{
	uint64_t files = member(newer, "files"), blocks = member(newer, "blocks"),
		 changes = member(newer, "open_changes");
	size_t unknown = json_array_size(json_object_get(newer, "unknown"));

	if (!json_is_object(newer))
		return;
	printf("%-16s   only in memory: %llu file%s with %s, %llu block%s of metadata", "", (unsigned long long)files,
	       plural(files), output_size(member(newer, "bytes")), (unsigned long long)blocks, plural(blocks));
	if (changes)
		printf(", %llu change%s cut", (unsigned long long)changes, plural(changes));
	if (unknown)
		printf(", %zu file%s unknown", unknown, plural(unknown));
	printf("\n");
}

static void print_mounts(const json_t *mounts)
{
	size_t i;
	json_t *mount;

	json_array_foreach(mounts, i, mount)
	{
		printf("%-16s ", i ? "" : "disk");
		output_text(json_string_value(json_object_get(mount, "target")));
		printf("  %s  %s\n", json_string_value(json_object_get(mount, "fstype")),
		       json_string_value(json_object_get(mount, "uuid")));
		print_newer(json_object_get(mount, "newer"));
	}
}

/* "3 days, 4:05:06"; an idle guest may have slept on for a while before it was suspended. */
static void print_uptime(const json_t *uptime, const json_t *idle)
{
	uint64_t s = (uint64_t)json_real_value(uptime);

	if (!json_is_real(uptime))
		return;
	printf("%-16s ", "uptime");
	if (s >= 86400)
		printf("%llu day%s, ", (unsigned long long)(s / 86400), s >= 2 * 86400 ? "s" : "");
	printf("%u:%02u:%02u", (unsigned)(s / 3600 % 24), (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	if (json_real_value(idle) > 1)
		printf(", or up to %.1f s more: it was idle", json_real_value(idle));
	printf("\n");
}

static void print_suspended(const json_t *at)
{
	time_t when = (time_t)json_integer_value(at);
	struct tm local;
	char text[64];

	if (json_is_integer(at) && localtime_r(&when, &local) && strftime(text, sizeof(text), "%F %T %Z", &local))
		printf("%-16s %s\n", "suspended", text);
}

static void print_load(const json_t *load)
{
	if (json_is_array(load))
		printf("%-16s %.2f %.2f %.2f\n", "load average", json_real_value(json_array_get(load, 0)),
		       json_real_value(json_array_get(load, 1)), json_real_value(json_array_get(load, 2)));
}

static void print_memory(const json_t *memory)
{
	if (!json_is_object(memory))
		return;
	printf("%-16s %s, ", "memory", output_size(member(memory, "total")));
	printf("%s available\n", output_size(member(memory, "available")));
	if (member(memory, "swap_total"))
		printf("%-16s %s, ", "swap", output_size(member(memory, "swap_total")));
	if (member(memory, "swap_total"))
		printf("%s free\n", output_size(member(memory, "swap_free")));
}

static void print_processes(const json_t *document)
{
	if (json_is_integer(json_object_get(document, "processes")))
		printf("%-16s %llu with %llu thread%s, and %llu of the kernel\n", "processes",
		       (unsigned long long)member(document, "processes"),
		       (unsigned long long)member(document, "threads"), plural(member(document, "threads")),
		       (unsigned long long)member(document, "kernel_threads"));
}

/* A line an interface: name, state, hardware, addresses. */
static void print_interfaces(const json_t *interfaces)
{
	size_t i, k;
	json_t *interface, *address;

	json_array_foreach(interfaces, i, interface)
	{
		printf("%-16s ", i ? "" : "network");
		output_text(json_string_value(json_object_get(interface, "name")));
		printf("  %s", json_is_true(json_object_get(interface, "up")) ? "up" : "down");
		if (*json_string_value(json_object_get(interface, "hardware")))
			printf("  %s", json_string_value(json_object_get(interface, "hardware")));
		json_array_foreach(json_object_get(interface, "addresses"), k, address)
			printf("  %s", json_string_value(address));
		printf("\n");
	}
}

static void print_unsynced(const json_t *unsynced)
{
	uint64_t files = member(unsynced, "files"), inodes = member(unsynced, "inodes");

	if (json_is_object(unsynced))
		printf("%-16s %llu file%s with %s, %llu inode%s\n", "not on disk yet", (unsigned long long)files,
		       files == 1 ? "" : "s", output_size(member(unsynced, "bytes")), (unsigned long long)inodes,
		       inodes == 1 ? "" : "s");
}

static void print(const json_t *document)
{
	output_member("vm", document, "vm");
	output_member("os", document, "os");
	output_member("shut down", document, "shut_down");
	output_member("hostname", document, "hostname");
	output_member("kernel", document, "kernel");
	output_member("kernel version", document, "kernel_version");
	print_uptime(json_object_get(document, "uptime_s"), json_object_get(document, "idle_s"));
	print_suspended(json_object_get(document, "suspended_at_s"));
	print_load(json_object_get(document, "load"));
	output_member("processors", json_object_get(document, "cpus"), "online");
	print_memory(json_object_get(document, "memory"));
	print_processes(document);
	output_member("mounts", document, "guest_mounts");
	output_member("modules", document, "modules");
	print_interfaces(json_object_get(document, "interfaces"));
	print_unsynced(json_object_get(document, "unsynced"));
	print_mounts(json_object_get(document, "mounts"));
	output_member("memory image", document, "memory_format");
	output_member("packages", document, "package_manager");
	output_member("updates waiting", document, "updates_waiting");
	output_member("state", document, "state");
}

const struct verb verb_inspect = {
	.name = "inspect",
	.arguments = "VM",
	.summary = "say what sleeps there: system, kernel, disk, waiting updates",
	.reads_memory = true,
	.supervised = true,
	.options = options,
	.run = run,
	.print = print,
};
