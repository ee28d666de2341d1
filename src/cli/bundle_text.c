/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bundle_text.h"

#include <stdio.h>
#include <string.h>

#include "cli/output.h"

static void print_action(const json_t *action)
{
	const char *verb = json_string_value(json_object_get(action, "verb"));
	const char *unit = json_string_value(json_object_get(action, "unit"));
	size_t i;
	json_t *word;

	printf("  ");
	if (verb)
		output_text(verb);
	if (unit) {
		printf(" ");
		output_text(unit);
	}
	json_array_foreach(json_object_get(action, "argv"), i, word)
	{
		printf(i ? " " : "run ");
		output_text(json_string_value(word));
	}
	printf("\n");
}

void print_bundle(const json_t *document)
{
	const json_t *files = json_object_get(document, "files");
	const json_t *packages = json_object_get(document, "packages");
	const json_t *actions = json_object_get(document, "actions");
	size_t i;
	json_t *action;

	output_member("bundle for", document, "vm");
	output_member("file", document, "bundle");
	printf("%-16s %lld written, %lld deleted, %s\n", "files",
	       (long long)json_integer_value(json_object_get(files, "written")),
	       (long long)json_integer_value(json_object_get(files, "deleted")),
	       output_size((uint64_t)json_integer_value(json_object_get(document, "payload_bytes"))));
	output_member("new kernel", document, "kernel_pending");
	output_member("emulated in (s)", document, "emulation_s");
	printf("%-16s %zu\n", "packages", json_array_size(packages));
	output_packages(packages);
	printf("%-16s %zu\n", "actions", json_array_size(actions));
	json_array_foreach(actions, i, action) print_action(action);
}
