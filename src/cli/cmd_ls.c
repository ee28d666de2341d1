/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/output.h"
#include "cli/source.h"
#include "cli/verb.h"

static const struct option_spec options[] = {
	{"long", 'l', NULL, "with mode, links, owner, group, size and time"},
	{"directory", 'd', NULL, "directories themselves, not what they hold"},
	DISK_OPTIONS,
	{0},
};

static bool is_long; /* print() gets nothing but the document */

static struct error *check_paths(const char *const *paths)
{
	for (; paths && *paths; paths++)
		if (**paths != '/')
			return error_create(ERROR_USAGE, "ls: %s: the path must be absolute", *paths);
	return NULL;
}

static struct error *run(const struct invocation *invocation, json_t **ret)
{
	static const char *const root[] = {"/", NULL};
	struct list_options list = {.paths = invocation->rest ? invocation->rest : root,
				    .itself = invocation_option(invocation, "directory") != NULL};
	struct error *error = check_paths(invocation->rest);

	is_long = invocation_option(invocation, "long") != NULL;
	return error ? error : source_hint(invocation, update_list(&invocation->settings, invocation->vm, &list, ret));
}

/* "drwxr-sr-t" */
static void mode_text(uint32_t mode, char text[11])
{
	static const char bits[] = "rwxrwxrwx";
	const struct {
		uint32_t bit, also; /* the bit to execute in the same place */
		unsigned place;
		char with, without;
	} special[] = {
		{S_ISUID, S_IXUSR, 3, 's', 'S'}, {S_ISGID, S_IXGRP, 6, 's', 'S'}, {S_ISVTX, S_IXOTH, 9, 't', 'T'}};

	text[0] = S_ISDIR(mode)    ? 'd'
		  : S_ISLNK(mode)  ? 'l'
		  : S_ISCHR(mode)  ? 'c'
		  : S_ISBLK(mode)  ? 'b'
		  : S_ISFIFO(mode) ? 'p'
		  : S_ISSOCK(mode) ? 's'
				   : '-';
	for (unsigned i = 0; i < 9; i++)
		text[1 + i] = mode >> (8 - i) & 1 ? bits[i] : '-';
	for (size_t i = 0; i < ARRAY_SIZE(special); i++)
		if (mode & special[i].bit)
			text[special[i].place] = mode & special[i].also ? special[i].with : special[i].without;
	text[10] = 0;
}

static uint64_t member(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static void print_details(const json_t *entry)
{
	const json_t *device = json_object_get(entry, "device");
	time_t seconds = (time_t)member(entry, "mtime_s");
	char mode[11], when[32] = "-", size[32];
	struct tm local;

	mode_text((uint32_t)member(entry, "mode"), mode);
	if (localtime_r(&seconds, &local))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &local);
	if (device)
		snprintf(size, sizeof(size), "%lld, %lld", json_integer_value(json_array_get(device, 0)),
			 json_integer_value(json_array_get(device, 1)));
	else
		snprintf(size, sizeof(size), "%llu", (unsigned long long)member(entry, "size"));
	printf("%s %3llu %5llu %5llu %10s %s ", mode, (unsigned long long)member(entry, "links"),
	       (unsigned long long)member(entry, "uid"), (unsigned long long)member(entry, "gid"), size, when);
}

/* Of a name, or of a path, that could not be looked at. */
static bool print_error(const json_t *object)
{
	const char *error = json_string_value(json_object_get(object, "error"));

	if (!error)
		return false;
	printf("  (");
	output_text(error);
	printf(")\n");
	return true;
}

static void print_entry(const json_t *entry)
{
	const char *target = json_string_value(json_object_get(entry, "target"));
	bool unreadable = json_object_get(entry, "error");

	if (is_long && !unreadable)
		print_details(entry);
	output_text(json_string_value(json_object_get(entry, "name")));
	if (print_error(entry))
		return;
	if (is_long && target) {
		printf(" -> ");
		output_text(target);
	}
	if (json_object_get(entry, "unknown")) {
		printf("  (perhaps otherwise: ");
		output_text(json_string_value(json_object_get(entry, "unknown")));
		printf(")");
	}
	printf("\n");
}

static void print(const json_t *document)
{
	json_t *lists = json_object_get(document, "paths"), *list, *entry;
	size_t i, k;

	json_array_foreach(lists, i, list)
	{
		if (json_array_size(lists) > 1) {
			printf("%s", i ? "\n" : "");
			output_text(json_string_value(json_object_get(list, "path")));
			printf(":\n");
		}
		print_error(list);
		json_array_foreach(json_object_get(list, "entries"), k, entry) print_entry(entry);
	}
	if (member(document, "more"))
		printf("and %llu more\n", (unsigned long long)member(document, "more"));
}

const struct verb verb_ls = {
	.name = "ls",
	.arguments = "VM [PATH...]",
	.summary = "list files as the sleeping guest sees them",
	.takes_rest = true,
	.supervised = true,
	.options = options,
	.run = run,
	.print = print,
};
