/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/bundle_text.h"
#include "cli/output.h"
#include "cli/verb.h"

static struct error *run(const struct invocation *invocation, json_t **ret)
{
	return update_status(&invocation->settings, invocation->vm, ret);
}

static void print_one(const json_t *document)
{
	const json_t *report = json_object_get(document, "report");
	/* Of the bundle that waits, else of the one that was applied. */
	const json_t *update = json_object_get(document, "scripts") ? document : report;

	output_member("vm", document, "vm");
	output_member("state", document, "state");
	output_member("process", document, "process");
	output_member("bundle waits", document, "bundle");
	output_member("memory image", document, "memory");
	output_member("vm file", document, "vm_file");
	output_member("error", document, "error");
	output_member("not applied", json_object_get(report, "late"), "error");
	output_time("rollback until", document, "keep_until_s");
	print_failures(json_object_get(update, "failures"), false);
	print_deferred(update);
}

static void print(const json_t *document)
{
	const json_t *vms = json_object_get(document, "vms");
	size_t i;
	json_t *vm;

	if (!vms) {
		print_one(document);
		return;
	}
	json_array_foreach(vms, i, vm)
	{
		if (i)
			printf("\n");
		print_one(vm);
	}
}

const struct verb verb_status = {
	.name = "status",
	.arguments = "[VM]",
	.summary = "where the VM, or every VM, stands",
	.vm_optional = true,
	.run = run,
	.print = print,
};
