/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "cli/bundle_text.h"
#include "cli/output.h"
#include "cli/verb.h"

static const struct option_spec options[] = {
	{"keep", 0, "TIME", "how long the guest keeps the old files for rollback: 7d (default), 12h, none"},
	{"restart", 0, "WHAT", "of the restart plan: services (default), all, none"},
	{"reboot", 0, "WHEN", "if-needed: into a new kernel, before the network opens; never (default)"},
	{"verify", 0, "HOW", "full (default): contents are read back from the guest's disk; stat: attributes alone"},
	{"freeze", 0, "MS", "how long the guest's processes may stand still while files change (2000; 0: never)"},
	{"all-before-open", 0, NULL, "what takes effect at the next boot, too, before the network opens"},
	{"strict", 0, NULL, "go back to the old files if a recorded action fails"},
	{"without-update", 0, NULL, "wake it as it is; a bundle that waits is removed"},
	{"allow-device-nodes", 0, NULL,
	 "take a bundle that makes device nodes of more than null, zero, full and random"},
	{"verify-key", 0, "FILE", "only a bundle signed by a key of this file or directory (OUASSISTER_VERIFY_KEY)"},
	{"running", 0, "IMAGE",
	 "for tools/libvirt-hook: it was woken already, from this image (DEVICE:INODE:SIZE:MTIME)"},
	{"wait", 0, "SECONDS", "how long the guest may take to answer (300)"},
	{0},
};

static struct error *restart_mode(const struct invocation *invocation, enum restart_mode *ret)
{
	static const char *const words[] = {
		[RESTART_SERVICES] = "services", [RESTART_ALL] = "all", [RESTART_NONE] = "none"};
	const char *word = invocation_option(invocation, "restart");

	*ret = RESTART_SERVICES;
	if (!word)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i], word)) {
			*ret = (enum restart_mode)i;
			return NULL;
		}
	return error_create(ERROR_USAGE, "--restart wants services, all or none, not \"%s\"", word);
}

static struct error *reboot_mode(const struct invocation *invocation, bool *ret)
{
	const char *word = invocation_option(invocation, "reboot");

	*ret = word && !strcmp(word, "if-needed");
	if (!word || *ret || !strcmp(word, "never"))
		return NULL;
	return error_create(ERROR_USAGE, "--reboot wants if-needed or never, not \"%s\"", word);
}

static struct error *verify_mode(const struct invocation *invocation, bool *ret_stat)
{
	const char *word = invocation_option(invocation, "verify");

	*ret_stat = word && !strcmp(word, "stat");
	if (!word || *ret_stat || !strcmp(word, "full"))
		return NULL;
	return error_create(ERROR_USAGE, "--verify wants full or stat, not \"%s\"", word);
}

static struct error *run(const struct invocation *invocation, json_t **ret)
{
	struct resume_options resume = {
		.keep = invocation_option(invocation, "keep"),
		.freeze_ms = HELPER_FREEZE_MS,
		.all_before_open = invocation_option(invocation, "all-before-open"),
		.strict = invocation_option(invocation, "strict"),
		.without_update = invocation_option(invocation, "without-update"),
		.running = invocation_option(invocation, "running"),
		.allow_device_nodes = invocation_option(invocation, "allow-device-nodes"),
	};
	uint64_t wait_s = 300;
	struct error *error = invocation_number(invocation, "wait", 1, 100000, &wait_s);

	if (!error)
		error = restart_mode(invocation, &resume.restart);
	if (!error)
		error = reboot_mode(invocation, &resume.reboot);
	if (!error)
		error = verify_mode(invocation, &resume.verify_stat);
	if (!error)
		error = invocation_number(invocation, "freeze", 0, HELPER_FREEZE_MS_MAX, &resume.freeze_ms);
	resume.channel_timeout_ms = wait_s * 1000;
	return error ? error : update_resume(&invocation->settings, invocation->vm, &resume, ret);
}

static void print_words(const json_t *action)
{
	size_t i;
	json_t *word;

	json_array_foreach(json_object_get(action, "argv"), i, word)
	{
		output_text(json_string_value(word));
		printf(" ");
	}
}

static void print_text(const char *text)
{
	for (size_t n; text && *text; text += n + (text[n] == '\n')) {
		char line[512];

		n = strcspn(text, "\n");
		snprintf(line, sizeof(line), "%.*s", (int)n, text);
		printf("%-16s ", "");
		output_text(line);
		printf("\n");
	}
}

/* Those that failed, with what they and the unit's journal said, and those that made no sense. */
static void print_actions(const json_t *actions)
{
	size_t i;
	json_t *action;

	json_array_foreach(actions, i, action)
	{
		const char *skipped = json_string_value(json_object_get(action, "skipped"));
		json_int_t status = json_integer_value(json_object_get(action, "status"));

		if (status == 0 && !skipped)
			continue;
		printf("%-16s ", skipped ? "action skipped" : "action failed");
		print_words(action);
		if (skipped) {
			printf("(%s)\n", skipped);
			continue;
		}
		printf("(exit status %lld)\n", (long long)status);
		print_text(json_string_value(json_object_get(action, "output")));
		print_text(json_string_value(json_object_get(action, "journal")));
	}
}

static void print_member(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	output_text(text ? text : "");
}

/* Who still uses old files, and why it was left alone. */
static void print_stale(const json_t *stale)
{
	size_t i;
	json_t *process;

	json_array_foreach(stale, i, process)
	{
		printf("%-16s %lld ", "runs old code", (long long)json_integer_value(json_object_get(process, "pid")));
		print_member(process, "name");
		if (json_object_get(process, "unit")) {
			printf(" of ");
			print_member(process, "unit");
		}
		printf(": ");
		print_member(process, "file");
		printf(" (");
		print_member(process, json_object_get(process, "why") ? "why" : "policy");
		printf(")\n");
	}
}

/* What came after the network was open. */
static void print_late(const json_t *late)
{
	size_t i;
	json_t *event;

	/* One of an earlier resume has told of itself. */
	if (!json_object_get(late, "packages"))
		return;
	printf("%-16s %zu package%s for the next boot\n", "then", json_array_size(json_object_get(late, "packages")),
	       plural(json_array_size(json_object_get(late, "packages"))));
	json_array_foreach(json_object_get(late, "timeline"), i, event)
		printf("%13.2f s  %s\n", json_number_value(json_object_get(event, "t_s")),
		       json_string_value(json_object_get(event, "event")));
	output_member("files", late, "files");
	print_actions(json_object_get(late, "actions"));
}

static void print(const json_t *document)
{
	size_t i;
	json_t *event;

	output_member("resumed", document, "vm");
	json_array_foreach(json_object_get(document, "timeline"), i, event)
		printf("%13.2f s  %s\n", json_number_value(json_object_get(event, "t_s")),
		       json_string_value(json_object_get(event, "event")));
	output_member("files", document, "files");
	if (json_integer_value(json_object_get(document, "frozen_us")) > 0)
		printf("%-16s %.1f\n", "frozen (ms)",
		       (double)json_integer_value(json_object_get(document, "frozen_us")) / 1e3);
	output_member("online (s)", document, "online_s");
	output_time("rollback until", document, "keep_until_s");
	output_member("not kept", document, "not_kept");
	print_failures(json_object_get(document, "failures"), false);
	print_deferred(document);
	print_actions(json_object_get(document, "actions"));
	print_stale(json_object_get(document, "stale"));
	print_late(json_object_get(document, "late"));
	if (json_string_value(json_object_get(document, "kernel_pending"))) {
		output_member("new kernel", document, "kernel_pending");
		printf("%-16s it runs after the guest's next reboot\n", "");
	}
}

const struct verb verb_resume = {
	.name = "resume",
	.arguments = "VM",
	.summary = "wake it with the network cut, apply the bundle, verify, open the network",
	.when_stopped = "the gate stays as it is; the same command goes on from there",
	.options = options,
	.run = run,
	.print = print,
};
