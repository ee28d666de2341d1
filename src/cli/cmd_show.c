/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bundle_text.h"
#include "cli/verb.h"

static const struct option_spec options[] = {
	{"verify-key", 0, "FILE", "say whether a key of this file or directory signed it (OUASSISTER_VERIFY_KEY)"},
	{0},
};

static struct error *run(const struct invocation *invocation, json_t **ret)
{
	return update_show(&invocation->settings, invocation->vm, ret);
}

const struct verb verb_show = {
	.name = "show",
	.arguments = "VM",
	.summary = "show the bundle that waits: packages, files, actions, restart plan",
	.options = options,
	.run = run,
	.print = print_bundle,
};
