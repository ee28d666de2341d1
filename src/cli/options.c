/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

const struct option_spec common_options[] = {
	{"json", 0, NULL, "print one JSON document on standard output"},
	{"progress", 0, "WHEN", "auto (default: a bar on a terminal), bar, lines, json or none"},
	{"connect", 'c', "URI", "VM is a domain of this libvirt (libvirt:VM is one of qemu:///system)"},
	{"verbose", 'v', NULL, "say more on standard error"},
	{"config-dir", 0, "DIR", "where VM files are (OUASSISTER_CONFIG_DIR, /etc/ouassister)"},
	{"state-dir", 0, "DIR", "where states and bundles are kept (OUASSISTER_STATE_DIR, /var/lib/ouassister)"},
	{"run-dir", 0, "DIR", "where locks are (OUASSISTER_RUN_DIR, /run/ouassister)"},
	{"help", 'h', NULL, "print this help"},
	{0},
};

const struct option_spec memory_options[] = {
	{"memory", 0, "FILE", "read this memory image instead of a VM's"},
	{"btf", 0, "FILE", "types of the guest's kernel (BTF, or vmlinux), if its memory has none"},
	{"layout", 0, "LAYOUT", "where a raw image's bytes lie: START-END[@OFFSET],…, or a hypervisor's name"},
	{"snapshot", 0, "NAME", "which snapshot, if a qcow2 file holds several"},
	{0},
};

/* getopt's own tables, made of ours; the index of an option is its value. */
struct getopt_tables {
	struct option long_options[OPTIONS_MAX + 1];
	char short_options[2 * OPTIONS_MAX + 2];
	const struct option_spec *specs[OPTIONS_MAX];
	int n;
};

#define FIRST_VALUE 0x100 /* above every letter */

static void add_specs(struct getopt_tables *tables, const struct option_spec *specs)
{
	for (; specs && specs->name && tables->n < OPTIONS_MAX; specs++) {
		size_t end = strlen(tables->short_options);

		tables->long_options[tables->n] = (struct option){
			.name = specs->name,
			.has_arg = specs->argument ? required_argument : no_argument,
			.val = FIRST_VALUE + tables->n,
		};
		if (specs->letter) {
			tables->short_options[end++] = specs->letter;
			if (specs->argument)
				tables->short_options[end] = ':';
		}
		tables->specs[tables->n++] = specs;
	}
}

static const struct option_spec *find_spec(const struct getopt_tables *tables, int value)
{
	for (int i = 0; i < tables->n; i++)
		if (value == FIRST_VALUE + i || (tables->specs[i]->letter && value == tables->specs[i]->letter))
			return tables->specs[i];
	return NULL;
}

/* A letter among others, as in -lx, is named alone. */
static struct error *refuse_option(const struct verb *verb, const char *word)
{
	if (optopt >= FIRST_VALUE)
		return error_create(ERROR_USAGE, "%s: %s: this option takes no value", verb->name, word);
	if (optopt)
		return error_create(ERROR_USAGE, "%s: unknown option -%c", verb->name, optopt);
	if (!strncmp(word, "--memory", 8) && (word[8] == '\0' || word[8] == '='))
		return error_create(ERROR_USAGE,
				    "%s: a memory image alone (--memory) is not enough: it needs the VM's disk",
				    verb->name);
	return error_create(ERROR_USAGE, "%s: unknown option %s", verb->name, word);
}

static struct error *collect(const struct verb *verb, int argc, char **argv, struct invocation *ret)
{
	struct getopt_tables tables = {.short_options = ":"};
	int value;

	add_specs(&tables, verb->options);
	if (verb->reads_memory)
		add_specs(&tables, memory_options);
	add_specs(&tables, common_options);
	opterr = 0;
	optind = 1;
	while ((value = getopt_long(argc, argv, tables.short_options, tables.long_options, NULL)) != -1) {
		const struct option_spec *spec = find_spec(&tables, value);

		if (value == ':')
			return error_create(ERROR_USAGE, "%s: option %s needs a value", verb->name, argv[optind - 1]);
		if (!spec)
			return refuse_option(verb, argv[optind - 1]);
		/* A script's unset variable: what was meant to be said must not be passed over. */
		if (spec->argument && !*optarg)
			return error_create(ERROR_USAGE, "%s: --%s is given an empty value", verb->name, spec->name);
		if (ret->n_given == GIVEN_MAX)
			return error_create(ERROR_USAGE, "%s: too many options", verb->name);
		ret->given[ret->n_given].spec = spec;
		ret->given[ret->n_given++].value = optarg ? optarg : "";
	}
	return NULL;
}

/* Flag, then environment, then the default; made absolute, because VMs run in directories of their own. */
static struct error *directory_setting(const struct invocation *invocation, const char *option, const char *variable,
				       const char *fallback, const char **ret)
{
	const char *value = invocation_option(invocation, option);
	_cleanup_(free_ptr) char *here = NULL;

	if (!value)
		value = getenv(variable);
	*ret = value && *value ? value : fallback;
	if (**ret == '/')
		return NULL;
	here = getcwd(NULL, 0);
	if (!here)
		return error_system(errno, NULL, "cannot find the working directory");
	/* Lives as long as the program. */
	*ret = string_format("%s/%s", here, *ret);
	return *ret ? NULL : error_no_memory();
}

static struct error *take_directories(struct invocation *ret)
{
	struct update_settings *settings = &ret->settings;
	struct error *error =
		directory_setting(ret, "config-dir", "OUASSISTER_CONFIG_DIR", "/etc/ouassister", &settings->config_dir);

	if (!error)
		error = directory_setting(ret, "state-dir", "OUASSISTER_STATE_DIR", "/var/lib/ouassister",
					  &settings->state_dir);
	if (!error)
		error = directory_setting(ret, "run-dir", "OUASSISTER_RUN_DIR", "/run/ouassister", &settings->run_dir);
	return error;
}

/* Flag, then environment; NULL: neither. Where a verb has no such flag the environment counts all the same. */
static const char *key_setting(const struct invocation *invocation, const char *option, const char *variable)
{
	const char *value = invocation_option(invocation, option);

	if (!value)
		value = getenv(variable);
	return value && *value ? value : NULL;
}

/* -c URI NAME is one word for all others: libvirt:URI#NAME, which lives as long as the program. */
static struct error *take_connection(struct invocation *ret)
{
	static const char prefix[] = "libvirt:";
	const char *uri = invocation_option(ret, "connect"), *name = ret->vm;

	if (!uri || !name)
		return NULL;
	if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
		name += sizeof(prefix) - 1;
	if (strstr(name, "://"))
		return error_create(ERROR_USAGE, "%s names a connection, and so does -c %s", ret->vm, uri);
	ret->vm = string_format("%s%s#%s", prefix, uri, name);
	return ret->vm ? NULL : error_no_memory();
}

static struct error *take_words(const struct verb *verb, char **words, struct invocation *ret)
{
	if (*words && !ret->memory)
		ret->vm = *words++;
	if (!ret->vm && !ret->memory && !verb->vm_optional)
		return error_create(ERROR_USAGE, "%s: which VM?%s", verb->name,
				    verb->reads_memory ? " (or --memory FILE)" : "");
	if (*words && !verb->takes_rest)
		return error_create(ERROR_USAGE, "%s: one word too many: %s", verb->name, *words);
	if (*words)
		ret->rest = (const char *const *)words;
	return take_connection(ret);
}

/* Refused before anything is opened. */
static struct error *take_disk(const struct verb *verb, struct invocation *ret)
{
	enum disk_way way;

	ret->settings.disk = key_setting(ret, "disk", "OUASSISTER_DISK");
	if (!ret->settings.disk)
		return NULL;
	return error_wrap(disk_way_parse(ret->settings.disk, &way), "%s: --disk", verb->name);
}

/* Given or not, all that is known without the words. */
static struct error *take_memory_options(const struct verb *verb, struct invocation *ret)
{
	ret->memory = invocation_option(ret, "memory");
	ret->guest.btf_path = invocation_option(ret, "btf");
	ret->image.layout = invocation_option(ret, "layout");
	ret->image.snapshot = invocation_option(ret, "snapshot");
	if (!ret->memory || strcmp(ret->memory, "-") != 0)
		return NULL;
	/* Pages are read where they are needed: what comes out of a pipe cannot serve. */
	return error_create(ERROR_USAGE,
			    "%s: --memory needs the name of a file (/dev/stdin, if one is redirected there)",
			    verb->name);
}

/* "update VM --" would be the full upgrade where a command was meant; getopt tells no difference. */
static struct error *refuse_empty_command(const struct verb *verb, int argc, char *const *argv)
{
	int i = 1;

	while (i < argc && strcmp(argv[i], "--") != 0)
		i++;
	if (!verb->takes_rest || i < argc - 1 || i == argc)
		return NULL;
	return error_create(ERROR_USAGE, "%s: nothing stands behind --", verb->name);
}

struct error *options_parse(const struct verb *verb, int argc, char **argv, struct invocation *ret)
{
	struct invocation invocation = {0};
	/* Before getopt changes the order of the words. */
	struct error *error = refuse_empty_command(verb, argc, argv);

	if (!error)
		error = collect(verb, argc, argv, &invocation);
	if (!error)
		error = take_memory_options(verb, &invocation);
	if (!error)
		error = take_disk(verb, &invocation);
	if (!error && !invocation_option(&invocation, "help"))
		error = take_words(verb, argv + optind, &invocation);
	if (error)
		return error_remedy(error, "ouassister %s --help", verb->name);
	error = take_directories(&invocation);
	if (error)
		return error;
	invocation.settings.sign_key = key_setting(&invocation, "sign-key", "OUASSISTER_SIGN_KEY");
	invocation.settings.verify_key = key_setting(&invocation, "verify-key", "OUASSISTER_VERIFY_KEY");
	invocation.settings.disk_alone = invocation_option(&invocation, "disk-alone") != NULL;
	invocation.json = invocation_option(&invocation, "json") != NULL;
	invocation.verbose = invocation_option(&invocation, "verbose") != NULL;
	*ret = invocation;
	return NULL;
}

const char *invocation_option(const struct invocation *invocation, const char *name)
{
	const char *value = NULL;

	for (size_t i = 0; i < invocation->n_given; i++)
		if (!strcmp(invocation->given[i].spec->name, name))
			value = invocation->given[i].value;
	return value;
}

struct error *invocation_number(const struct invocation *invocation, const char *name, uint64_t min, uint64_t max,
				uint64_t *ret)
{
	const char *text = invocation_option(invocation, name);
	unsigned long long value;
	char *end;

	if (!text)
		return NULL;
	errno = 0;
	value = strtoull(text, &end, 10);
	/* strtoull would take signs and spaces. */
	if (errno || *end || *text < '0' || *text > '9' || value < min || value > max)
		return error_create(ERROR_USAGE, "--%s: \"%s\" is not a whole number from %llu to %llu", name, text,
				    (unsigned long long)min, (unsigned long long)max);
	*ret = value;
	return NULL;
}

void options_print(FILE *stream, const struct option_spec *options)
{
	for (; options && options->name; options++) {
		char left[64];

		snprintf(left, sizeof(left), "%c%c%s--%s%s%s", options->letter ? '-' : ' ',
			 options->letter ? options->letter : ' ', options->letter ? ", " : "  ", options->name,
			 options->argument ? "=" : "", options->argument ? options->argument : "");
		fprintf(stream, "  %-28s %s\n", left, options->help);
	}
}
