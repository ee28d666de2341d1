/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/output.h"
#include "cli/verb.h"

static struct error *run(const struct invocation *invocation, json_t **ret)
{
	return update_rollback(&invocation->settings, invocation->vm, ret);
}

static void print(const json_t *document)
{
	output_member("rolled back", document, "vm");
}

const struct verb verb_rollback = {
	.name = "rollback",
	.arguments = "VM",
	.summary = "undo the last applied bundle in the running guest",
	.when_stopped = "what the guest has begun it finishes; `ouassister status` says what is noted",
	.run = run,
	.print = print,
};
