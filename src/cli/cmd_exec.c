/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "cli/limits.h"
#include "cli/verb.h"

#define WHICH_PROGRAM "ouassister exec VM -- bash"

static const struct option_spec options[] = {
	{"user", 'u', "USER[:GROUP]", "run it as this user of the guest (root)"},
	{"env", 'e', "NAME=VALUE", "set a variable of its environment; may be repeated"},
	{"workdir", 'w', "DIR", "run it in this directory of the guest (/)"},
	{"tty", 't', NULL, "give it a terminal, even if input or output is none"},
	{"no-tty", 'T', NULL, "give it no terminal, even if input and output are one"},
	{"network", 0, NULL, "give it the network"},
	{"keep-changes", 0, "DIR", "keep what it wrote there, as an overlay's upper directory"},
	{"timeout", 0, "SECONDS", "end it if it runs longer (0: never)"},
	LIMIT_OPTIONS,
	DISK_OPTIONS,
	{"btf", 0, "FILE", "types of the guest's kernel (BTF, or vmlinux), if its memory has none"},
	{"layout", 0, "LAYOUT", "where a raw image's bytes lie: START-END[@OFFSET],…, or a hypervisor's name"},
	{"snapshot", 0, "NAME", "which snapshot, if a qcow2 file holds several"},
	{0},
};

/* With both at a terminal somebody sits there, as the shell would have it. */
static struct error *choose_terminal(const struct invocation *invocation, bool *ret)
{
	bool yes = invocation_option(invocation, "tty"), no = invocation_option(invocation, "no-tty");

	if (yes && no)
		return error_create(ERROR_USAGE, "exec: --tty and --no-tty contradict each other");
	*ret = yes || (!no && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1);
	return NULL;
}

/* The only thing of the host's environment that goes in, so nothing but what a terminal's name is made of. */
static const char *terminal_name(void)
{
	const char *term = getenv("TERM");

	return term && *term && strlen(term) < 64 &&
			       !term[strspn(term, "abcdefghijklmnopqrstuvwxyz"
						  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._")]
		       ? term
		       : NULL;
}

static struct error *take_variables(const struct invocation *invocation, const char **ret)
{
	size_t n = 0;

	for (size_t i = 0; i < invocation->n_given; i++) {
		const char *value = invocation->given[i].value;

		if (strcmp(invocation->given[i].spec->name, "env") != 0)
			continue;
		if (!strchr(value, '=') || *value == '=')
			return error_create(ERROR_USAGE, "exec: --env: \"%s\" is not NAME=VALUE", value);
		ret[n++] = value;
	}
	ret[n] = NULL;
	return NULL;
}

/* Our own may be number 0, which means "none" to those who relay it. */
static struct error *open_input(int *ret)
{
	*ret = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	return *ret < 0 ? error_system(errno, NULL, "cannot duplicate standard input") : NULL;
}

static struct error *check_words(const struct invocation *invocation)
{
	const char *directory = invocation_option(invocation, "workdir");

	if (invocation->json)
		return error_create(ERROR_USAGE, "exec: --json: what is printed is the program's own");
	if (!invocation->rest || !*invocation->rest[0])
		return error_remedy(error_create(ERROR_USAGE, "exec: which program?"), "for example: " WHICH_PROGRAM);
	if (directory && *directory != '/')
		return error_create(ERROR_USAGE, "exec: --workdir: \"%s\" does not begin with /", directory);
	return NULL;
}

static struct error *perform(const struct invocation *invocation, int *ret_status)
{
	_cleanup_(free_ptr) const char **env = calloc(invocation->n_given + 1, sizeof(*env));
	struct exec_options exec = {
		.command = invocation->rest,
		.user = invocation_option(invocation, "user"),
		.env = env,
		.directory = invocation_option(invocation, "workdir"),
		.keep_changes = invocation_option(invocation, "keep-changes"),
		.network = invocation_option(invocation, "network"),
		.term = terminal_name(),
		.output_fd = STDOUT_FILENO,
		.error_fd = STDERR_FILENO,
		.image = invocation->image,
		.guest = invocation->guest,
	};
	struct error *error = env ? check_words(invocation) : error_no_memory();

	if (!error)
		error = choose_terminal(invocation, &exec.terminal);
	if (!error)
		error = take_variables(invocation, env);
	if (!error)
		error = invocation_number(invocation, "timeout", 0, 1000000000, &exec.timeout_s);
	if (!error)
		error = invocation_limits(invocation, &exec.limits);
	if (!error)
		error = open_input(&exec.stdin_fd);
	return error ? error : update_exec(&invocation->settings, invocation->vm, &exec, ret_status);
}

const struct verb verb_exec = {
	.name = "exec",
	.arguments = "VM -- CMD [ARG…]",
	.summary = "run a program of the sleeping VM in its shadow, throw its changes away",
	.takes_rest = true,
	.supervised = true,
	.options = options,
	.perform = perform,
};
