/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/bundle_text.h"
#include "cli/limits.h"
#include "cli/output.h"
#include "cli/verb.h"

static const struct option_spec options[] = {
	{"allow-remove", 0, NULL, "the upgrade may remove packages"},
	{"keep-caches", 0, NULL, "carry the package manager's archives, lists and caches to the guest, too"},
	{"network", 0, NULL, "give CMD the network for all of its run, not only while apt downloads"},
	{"timeout", 0, "SECONDS", "end a program in the shadow that runs longer (7200; 0: never)"},
	{"script-timeout", 0, "SECONDS", "end a package's script that runs longer (1800; 0: never)"},
	{"conffiles", 0, "WHAT", "changed configuration files: keep (default), new, ask, or a FILE of answers"},
	{"one-bundle", 0, NULL, "do not leave what takes effect at the next boot to a second bundle"},
	{"keep-going", 0, NULL, "bundle what works although scripts of packages fail"},
	{"preseed", 0, "FILE", "answers for debconf, as debconf-set-selections takes them"},
	{"sign-key", 0, "FILE", "sign the bundle with this Ed25519 key (OUASSISTER_SIGN_KEY)"},
	LIMIT_OPTIONS,
	DISK_OPTIONS,
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
		.script_timeout_s = 1800,
		.one_bundle = invocation_option(invocation, "one-bundle"),
		.keep_going = invocation_option(invocation, "keep-going"),
		.preseed = invocation_option(invocation, "preseed"),
		.conffiles = invocation_option(invocation, "conffiles"),
	};
	struct error *error;

	if (invocation->rest && !*invocation->rest[0])
		return error_create(ERROR_USAGE, "update: the command is empty");
	error = invocation_number(invocation, "timeout", 0, 1000000, &emulate.timeout_s);
	if (!error)
		error = invocation_number(invocation, "script-timeout", 0, 1000000, &emulate.script_timeout_s);
	if (!error)
		error = invocation_limits(invocation, &emulate.limits);
	return error ? error : update_emulate(&invocation->settings, invocation->vm, &emulate, ret);
}

static void print_decision(const json_t *file)
{
	const char *path = json_string_value(json_object_get(file, "path"));
	const char *package = json_string_value(json_object_get(file, "package"));
	const char *changed = json_string_value(json_object_get(file, "changed"));
	const char *new_version = json_string_value(json_object_get(file, "new"));

	output_text(path ? path : "");
	printf(" (");
	output_text(package ? package : "no package");
	printf(")\n");
	if (changed) {
		printf("  what was changed in the guest:\n");
		output_lines(changed, "    ");
	}
	printf("  what the new version would change:\n");
	output_lines(new_version ? new_version : "", "    ");
}

static void print(const json_t *document)
{
	const json_t *undecided = json_object_get(document, "undecided");
	size_t i;
	json_t *file;

	if (!undecided) {
		print_bundle(document);
		return;
	}
	json_array_foreach(undecided, i, file) print_decision(file);
}

const struct verb verb_update = {
	.name = "update",
	.arguments = "VM [-- CMD]",
	.summary = "update the sleeping VM in its shadow and bundle the result",
	.takes_rest = true,
	.supervised = true,
	.options = options,
	.run = run,
	.print = print,
};
