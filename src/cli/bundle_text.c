/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bundle_text.h"

#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "cli/output.h"

static void print_words(const json_t *words)
{
	size_t i;
	json_t *word;

	json_array_foreach(words, i, word)
	{
		if (i)
			printf(" ");
		output_text(json_string_value(word));
	}
}

void print_action(const json_t *action)
{
	const char *phase = json_string_value(json_object_get(action, "phase"));
	const char *package = json_string_value(json_object_get(action, "package"));
	const char *script = json_string_value(json_object_get(action, "script"));

	printf("  %-7s", phase ? phase : "");
	print_words(json_object_get(action, "words"));
	if (package) {
		printf(" (");
		output_text(package);
		printf(script ? " " : "");
		output_text(script ? script : "");
		printf(")");
	}
	printf("\n");
}

static void print_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	output_text(text ? text : "");
}

/* "maps /usr/lib/x86_64-linux-gnu/libssl.so.3", and how many more there are. */
static void print_reasons(const json_t *entry)
{
	const json_t *reasons = json_object_get(entry, "reasons"), *first = json_array_get(reasons, 0);
	size_t n = json_array_size(reasons);

	printf(": ");
	print_text(first, "kind");
	printf(" ");
	print_text(first, "file");
	if (n > 1)
		printf(" and %zu%s more", n - 1, json_object_get(entry, "more_reasons") ? " or" : "");
}

static void print_restart(const json_t *entry)
{
	printf("  ");
	print_text(entry, "policy");
	printf(" ");
	print_text(entry, "name");
	printf(" (%lld)", (long long)json_integer_value(json_object_get(entry, "n_processes")));
	print_reasons(entry);
	if (json_object_get(entry, "why")) {
		printf("; ");
		print_text(entry, "why");
	}
	printf("\n");
}

static void print_plan(const json_t *document)
{
	const json_t *plan = json_object_get(document, "restart");
	size_t i;
	json_t *item;

	if (!plan)
		return;
	printf("%-16s %zu\n", "restart plan", json_array_size(plan));
	json_array_foreach(plan, i, item) print_restart(item);
	json_array_foreach(json_object_get(document, "restart_notes"), i, item)
	{
		printf("  ");
		output_text(json_is_string(item) ? json_string_value(item) : "");
		printf("\n");
	}
}

void print_failures(const json_t *failures, bool with_output)
{
	size_t i;
	json_t *failure;

	if (!json_array_size(failures))
		return;
	printf("%-16s %zu\n", "packages failed", json_array_size(failures));
	json_array_foreach(failures, i, failure)
	{
		const char *output = json_string_value(json_object_get(failure, "output"));

		printf("  ");
		print_text(failure, "package");
		printf(" (");
		print_text(failure, "phase");
		printf("): ");
		print_text(failure, "why");
		printf("\n");
		if (with_output && output && *output)
			output_lines(output, "    ");
	}
}

static void print_deferral(const json_t *deferral)
{
	const json_t *packages = json_object_get(deferral, "packages");
	size_t i;
	json_t *name;

	printf("  ");
	print_text(deferral, "package");
	printf(" ");
	print_text(deferral, "script");
	printf(": ");
	print_text(deferral, "why");
	printf(json_is_true(json_object_get(deferral, "whole")) ? "; the guest installs the package" : "");
	json_array_foreach(packages, i, name)
	{
		printf(i ? ", " : "; with it: ");
		output_text(json_is_string(name) ? json_string_value(name) : "");
	}
	printf("\n");
}

void print_deferred(const json_t *document)
{
	const json_t *deferred = json_object_get(document, "deferred"), *scripts = json_object_get(document, "scripts");
	long long all = (long long)json_integer_value(json_object_get(scripts, "all"));
	long long failed = (long long)json_integer_value(json_object_get(scripts, "failed"));
	size_t i;
	json_t *item;

	if (all)
		printf("%-16s %lld of %lld script%s ran offline", "scripts",
		       (long long)json_integer_value(json_object_get(scripts, "offline")), all, plural((uint64_t)all));
	if (all && failed)
		printf(", %lld failed", failed);
	if (all)
		printf("\n");
	if (json_array_size(deferred))
		printf("%-16s %zu\n", "deferred", json_array_size(deferred));
	json_array_foreach(deferred, i, item) print_deferral(item);
}

static void print_signature(const json_t *document)
{
	const json_t *signature = json_object_get(document, "signature");
	const json_t *trusted = json_object_get(signature, "trusted");

	if (!json_is_object(signature)) {
		printf("%-16s no\n", "signed");
		return;
	}
	printf("%-16s by key %s", "signed", json_string_value(json_object_get(signature, "key")));
	if (json_is_true(trusted)) {
		printf(", trusted by ");
		print_text(signature, "key_file");
	}
	printf("%s\n", json_is_false(trusted) ? ", which is not trusted" : "");
}

/* What the guest gets when its network is open. */
static void print_late(const json_t *late)
{
	const json_t *files = json_object_get(late, "files"), *actions = json_object_get(late, "actions");
	size_t i;
	json_t *action;

	if (!late)
		return;
	printf("%-16s %zu package%s, after the network is open\n", "for the next boot",
	       json_array_size(json_object_get(late, "packages")),
	       plural(json_array_size(json_object_get(late, "packages"))));
	output_member("file", late, "bundle");
	printf("%-16s %lld written, %lld deleted, %s\n", "files",
	       (long long)json_integer_value(json_object_get(files, "written")),
	       (long long)json_integer_value(json_object_get(files, "deleted")),
	       output_size((uint64_t)json_integer_value(json_object_get(late, "payload_bytes"))));
	output_packages(json_object_get(late, "packages"));
	printf("%-16s %zu\n", "actions", json_array_size(actions));
	json_array_foreach(actions, i, action) print_action(action);
	print_deferred(late);
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
	print_signature(document);
	printf("%-16s %lld written, %lld deleted, %s\n", "files",
	       (long long)json_integer_value(json_object_get(files, "written")),
	       (long long)json_integer_value(json_object_get(files, "deleted")),
	       output_size((uint64_t)json_integer_value(json_object_get(document, "payload_bytes"))));
	output_member("new kernel", document, "kernel_pending");
	output_member("emulated in (s)", document, "emulation_s");
	printf("%-16s %zu\n", "packages", json_array_size(packages));
	output_packages(packages);
	print_failures(json_object_get(document, "failures"), true);
	printf("%-16s %zu\n", "actions", json_array_size(actions));
	json_array_foreach(actions, i, action) print_action(action);
	print_deferred(document);
	print_plan(document);
	print_late(json_object_get(document, "late"));
}
