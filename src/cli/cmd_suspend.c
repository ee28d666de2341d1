/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/output.h"
#include "cli/verb.h"

static struct error *run(const struct invocation *invocation, json_t **ret)
{
	return update_suspend(&invocation->settings, invocation->vm, ret);
}

static void print(const json_t *document)
{
	output_member("suspended", document, "vm");
	output_member("memory", document, "memory");
	output_member("synced", document, "synced");
}

const struct verb verb_suspend = {
	.name = "suspend",
	.arguments = "VM",
	.summary = "put the running VM to sleep, its memory in a file",
	.when_stopped = "`ouassister status` says what became of it",
	.run = run,
	.print = print,
};
