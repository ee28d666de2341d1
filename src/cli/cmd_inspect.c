/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/output.h"
#include "cli/source.h"
#include "cli/verb.h"

static const struct option_spec options[] = {
	{"no-updates", 0, NULL, "do not ask the guest's package manager what waits"},
	{0},
};

static struct error *inspect_memory(const struct invocation *invocation, json_t **ret)
{
	_cleanup_(source_close) struct source source = {0};
	struct error *error = source_open(invocation, &source);

	return error ? error : update_inspect_memory(source.guest, ret);
}

static struct error *run(const struct invocation *invocation, json_t **ret)
{
	struct inspect_options inspect = {.updates = !invocation_option(invocation, "no-updates"),
					  .image = invocation->image,
					  .guest = invocation->guest};

	if (invocation->memory)
		return inspect_memory(invocation, ret);
	return update_inspect(&invocation->settings, invocation->vm, &inspect, ret);
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
	}
}

static void print(const json_t *document)
{
	output_member("vm", document, "vm");
	output_member("os", document, "os");
	output_member("hostname", document, "hostname");
	output_member("kernel", document, "kernel");
	output_member("kernel version", document, "kernel_version");
	output_member("uptime (s)", document, "uptime_s");
	output_member("processes", document, "processes");
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
