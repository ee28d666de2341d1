/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/bundle_text.h"
#include "cli/limits.h"
#include "cli/verb.h"

static const struct option_spec options[] = {
	{"allow-remove", 0, NULL, "the upgrade may remove packages"},
	{"keep-caches", 0, NULL, "carry the package manager's archives, lists and caches to the guest, too"},
	{"network", 0, NULL, "give CMD the network for all of its run, not only while apt downloads"},
	{"timeout", 0, "SECONDS", "end a program in the shadow that runs longer (7200; 0: never)"},
	LIMIT_OPTIONS,
	{0},
};

static struct error *run(const struct invocation *invocation, json_t **ret)
{
	struct emulate_options emulate = {
		.command = invocation->rest,
		.allow_remove = invocation_option(invocation, "allow-remove"),
		.keep_caches = invocation_option(invocation, "keep-caches"),
		.network = invocation_option(invocation, "network"),
		.timeout_s = 7200,
	};
	struct error *error;

	if (invocation->rest && !*invocation->rest[0])
		return error_create(ERROR_USAGE, "update: the command is empty");
	error = invocation_number(invocation, "timeout", 1000000, &emulate.timeout_s);
	if (!error)
		error = invocation_limits(invocation, &emulate.limits);
	return error ? error : update_emulate(&invocation->settings, invocation->vm, &emulate, ret);
}

const struct verb verb_update = {
	.name = "update",
	.arguments = "VM [-- CMD]",
	.summary = "update the sleeping VM in its shadow and bundle the result",
	.takes_rest = true,
	.supervised = true,
	.options = options,
	.run = run,
	.print = print_bundle,
};
