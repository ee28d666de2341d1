/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/supervise.h"
#include "cli/verb.h"
#include "cli/version.h"

/* In the order of a VM's day, then what only reads its memory. */
static const struct verb *const verbs[] = {
	&verb_suspend, &verb_inspect, &verb_exec,  &verb_update,   &verb_show,      &verb_resume,  &verb_rollback,
	&verb_gate,    &verb_status,  &verb_ps,    &verb_services, &verb_mounts,    &verb_modules, &verb_maps,
	&verb_sockets, &verb_cat,     &verb_dmesg, &verb_ls,       &verb_diff_disk,
};

static void print_help(FILE *stream)
{
	fprintf(stream, "Usage: ouassister VERB VM [OPTIONS]\n\n"
			"Updates suspended virtual machines while they sleep.\n"
			"VM is a path to a VM file, or the name of one in the configuration directory;\n"
			"or libvirt:NAME, a domain of libvirt's.\n\nVerbs:\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(stream, "  %-10s %-22s %s\n", verbs[i]->name, verbs[i]->arguments, verbs[i]->summary);
	fprintf(stream, "\nOptions of every verb:\n");
	options_print(stream, common_options);
	fprintf(stream,
		"\nExit status: 0 done, 1 failed, 2 usage, 3 guest not supported, 4 conflict or verification failed,\n"
		"5 busy, 6 nothing to do; exec: the program's own, %d if ouassister failed.\n",
		EXIT_NOT_THE_PROGRAM);
}

/* The tables of a verb's options, in the order of its help. */
#define OPTION_TABLES 3

struct titled_options {
	const char *title;
	const struct option_spec *options; /* NULL: none */
};

static void list_options(const struct verb *verb, struct titled_options ret[OPTION_TABLES])
{
	ret[0] = (struct titled_options){"Options", verb->options};
	ret[1] = (struct titled_options){"Options of every verb that reads memory",
					 verb->reads_memory ? memory_options : NULL};
	ret[2] = (struct titled_options){"Options of every verb", common_options};
}

static void print_verb_help(const struct verb *verb)
{
	struct titled_options tables[OPTION_TABLES];

	list_options(verb, tables);
	printf("Usage: ouassister %s %s [OPTIONS]\n", verb->name, verb->arguments);
	if (verb->reads_memory)
		printf("       ouassister %s --memory FILE%s [OPTIONS]\n", verb->name, verb->arguments + strlen("VM"));
	printf("\n%s.\n", verb->summary);
	for (size_t i = 0; i < OPTION_TABLES; i++) {
		if (!tables[i].options)
			continue;
		printf("\n%s:\n", tables[i].title);
		options_print(stdout, tables[i].options);
	}
}

/* One line a verb, "NAME OPTION…": what a shell needs to complete. */
static void print_completion(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		struct titled_options tables[OPTION_TABLES];

		list_options(verbs[i], tables);
		printf("%s", verbs[i]->name);
		for (size_t k = 0; k < OPTION_TABLES; k++)
			for (const struct option_spec *o = tables[k].options; o && o->name; o++)
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

static void print_document(const struct verb *verb, bool json, const json_t *document)
{
	if (!json) {
		verb->print(document);
		return;
	}
	/* A terminal obeys more characters than JSON escapes by itself. */
	json_dumpf(document, stdout,
		   JSON_INDENT(2) | JSON_REAL_PRECISION(15) | (isatty(STDOUT_FILENO) == 1 ? JSON_ENSURE_ASCII : 0));
	putchar('\n');
}

/* Whether nobody reads standard output any more. */
static bool reader_is_gone(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	return poll(&out, 1, 0) == 1 && out.revents & POLLERR;
}

/* Whether all that was printed has arrived: a full disk shows here. */
static struct error *flush_output(void)
{
	bool lost = ferror(stdout);

	errno = 0;
	if (fflush(stdout) == 0 && !lost)
		return NULL;
	/* The failure may have been in the middle of a long list, and its errno with it. */
	if (errno == 0 && reader_is_gone())
		errno = EPIPE;
	if (errno == 0)
		return error_create(ERROR_FAILED, "cannot write to standard output: not all of it arrived");
	return error_system(errno, NULL, "cannot write to standard output");
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

/* The same after something was printed. A reader who has gone (`| head`) needs no word of it. */
static int conclude_output(struct error *error)
{
	struct error *lost = flush_output();

	if (error || !lost || lost->errnum != EPIPE) {
		int status = conclude(error ? error : lost);

		if (error)
			error_destroy(lost);
		return status;
	}
	error_destroy(lost);
	return 1;
}

static struct error *run_and_print(const struct verb *verb, const struct invocation *invocation)
{
	_cleanup_(json_decref_ptr) json_t *document = NULL;
	struct error *error = verb->run(invocation, &document);
	const char *why;

	/* A document beside a failure says what must be decided. */
	if (!document)
		return error;
	output_begin();
	print_document(verb, invocation->json, document);
	if (error)
		return error;
	why = json_string_value(json_object_get(document, "incomplete"));
	return why ? error_create(ERROR_FAILED, "incomplete: %s", why) : NULL;
}

/* The exit status for an error that a verb ends with. */
static int conclude_verb(const struct verb *verb, struct error *error)
{
	bool timeout = error && error->code == ERROR_TIMEOUT;
	int status = conclude(error);

	if (!verb->perform || status == 0)
		return status;
	return timeout ? EXIT_TIMEOUT : EXIT_NOT_THE_PROGRAM;
}

static int work(const struct verb *verb, const struct invocation *invocation)
{
	if (verb->perform) {
		int status = 0;
		struct error *error = verb->perform(invocation, &status);

		return error ? conclude_verb(verb, error) : status;
	}
	return conclude_output(verb->show ? verb->show(invocation) : run_and_print(verb, invocation));
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
	struct invocation invocation;
	struct error *error = options_parse(verb, argc, argv, &invocation);
	const char *progress;

	if (error)
		return conclude_verb(verb, error);
	if (invocation_option(&invocation, "help")) {
		print_verb_help(verb);
		return conclude_output(NULL);
	}
	/* Standard error is the program's. */
	progress = invocation_option(&invocation, "progress");
	error = output_setup(progress || !verb->perform ? progress : "none", invocation.verbose);
	if (error)
		return conclude_verb(verb, error);
	if (verb->perform)
		output_warnings_only();
	/* What only reads memory runs no program whose words could be quoted. */
	if (verb->run && !invocation.memory)
		output_keep_lines();
	if (verb->when_stopped)
		supervise_last_words(verb);
	/* Without a VM nothing is mounted and nothing is left behind. */
	return verb->supervised && invocation.vm ? supervise(verb, &invocation, work) : work(verb, &invocation);
}

static int unknown_verb(const char *word)
{
	return conclude(error_remedy(error_create(ERROR_USAGE, "unknown verb \"%s\"", word), "ouassister --help"));
}

/*
 * A standard descriptor that is closed would be the number of the next file that is opened, and output would be written
 * into it. What is opened here instead fails to be written to, as before.
 */
static bool hold_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	const struct verb *verb;

	if (!hold_standard_descriptors())
		return 1;
	/* A file above the limit of `ulimit -f` is then an error of the write that says which, and not our end. */
	signal(SIGXFSZ, SIG_IGN);
	if (argc < 2) {
		print_help(stderr);
		return conclude(error_create(ERROR_USAGE, "no verb"));
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		print_help(stdout);
		return conclude_output(NULL);
	}
	if (!strcmp(argv[1], "--version")) {
		printf("ouassister %s\n", OUASSISTER_VERSION);
		return conclude_output(NULL);
	}
	if (!strcmp(argv[1], "--completion")) {
		print_completion();
		return conclude_output(NULL);
	}
	verb = find_verb(argv[1]);
	return verb ? run_verb(verb, argc - 1, argv + 1) : unknown_verb(argv[1]);
}
