/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/supervise.h"
#include "cli/verb.h"
#include "cli/version.h"

/* In the order of a VM's day. */
static const struct verb *const verbs[] = {
	&verb_suspend, &verb_inspect, &verb_update, &verb_show, &verb_resume, &verb_rollback, &verb_gate, &verb_status,
};

static void print_help(FILE *stream)
{
	fprintf(stream, "Usage: ouassister VERB VM [OPTIONS]\n\n"
			"Updates suspended virtual machines while they sleep.\n"
			"VM is a path to a VM file, or the name of one in the configuration directory.\n\nVerbs:\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(stream, "  %-10s %-22s %s\n", verbs[i]->name, verbs[i]->arguments, verbs[i]->summary);
	fprintf(stream, "\nOptions of every verb:\n");
	options_print(stream, common_options);
	fprintf(stream,
		"\nExit status: 0 done, 1 failed, 2 usage, 3 guest not supported, 4 conflict or verification failed,\n"
		"5 busy, 6 nothing to do.\n");
}

static void print_verb_help(const struct verb *verb)
{
	printf("Usage: ouassister %s %s [OPTIONS]\n\n%s.\n", verb->name, verb->arguments, verb->summary);
	if (verb->options) {
		printf("\nOptions:\n");
		options_print(stdout, verb->options);
	}
	printf("\nOptions of every verb:\n");
	options_print(stdout, common_options);
}

/* One line a verb, "NAME OPTION…": what a shell needs to complete. */
static void print_completion(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		printf("%s", verbs[i]->name);
		for (const struct option_spec *o = verbs[i]->options; o && o->name; o++)
			printf(" --%s", o->name);
		for (const struct option_spec *o = common_options; o->name; o++)
			printf(" --%s", o->name);
		printf("\n");
	}
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

static struct error *print_document(const struct verb *verb, bool json, const json_t *document)
{
	if (!json) {
		verb->print(document);
	} else {
		json_dumpf(document, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	if (fflush(stdout) != 0)
		return error_system(errno, NULL, "cannot write to standard output");
	return NULL;
}

/* Prints the error, if it is one, and yields the exit status. */
static int conclude(struct error *error)
{
	int status = 0;

	if (error) {
		output_error(error);
		status = error_exit_status(error->code);
	}
	error_destroy(error);
	return status;
}

static int work(const struct invocation *invocation, const void *data)
{
	_cleanup_(json_decref_ptr) json_t *document = NULL;
	const struct verb *verb = data;
	struct error *error = verb->run(invocation, &document);

	return conclude(error ? error : print_document(verb, invocation->json, document));
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
	struct invocation invocation;
	struct error *error = options_parse(verb, argc, argv, &invocation);

	if (error)
		return conclude(error);
	if (invocation_option(&invocation, "help")) {
		print_verb_help(verb);
		return 0;
	}
	error = output_setup(invocation_option(&invocation, "progress"), invocation.verbose);
	if (error)
		return conclude(error);
	return verb->supervised ? supervise(&invocation, work, verb) : work(&invocation, verb);
}

static int unknown_verb(const char *word)
{
	return conclude(error_remedy(error_create(ERROR_USAGE, "unknown verb \"%s\"", word), "ouassister --help"));
}

int main(int argc, char **argv)
{
	const struct verb *verb;

	if (argc < 2) {
		print_help(stderr);
		return conclude(error_create(ERROR_USAGE, "no verb"));
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		print_help(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("ouassister %s\n", OUASSISTER_VERSION);
		return 0;
	}
	if (!strcmp(argv[1], "--completion")) {
		print_completion();
		return 0;
	}
	verb = find_verb(argv[1]);
	return verb ? run_verb(verb, argc - 1, argv + 1) : unknown_verb(argv[1]);
}
