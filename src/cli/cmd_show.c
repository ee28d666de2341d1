/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bundle_text.h"
#include "cli/verb.h"

static struct error *run(const struct invocation *invocation, json_t **ret)
{
	return update_show(&invocation->settings, invocation->vm, ret);
}

const struct verb verb_show = {
	.name = "show",
	.arguments = "VM",
	.summary = "show the bundle that waits: packages, files, actions, restart plan",
	.run = run,
	.print = print_bundle,
};
