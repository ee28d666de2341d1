/* SPDX-License-Identifier: Apache-2.0 */
#include "update/deferral_command.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static size_t count(const char *const *command)
{
	size_t n = 0;

	while (command[n])
		n++;
	return n;
}

/* apt's options whose value is a word of its own. */
static bool takes_value(const char *word)
{
	static const char *const options[] = {"-o",
					      "-c",
					      "-t",
					      "-a",
					      "--option",
					      "--config-file",
					      "--target-release",
					      "--default-release",
					      "--host-architecture"};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (strcmp(word, options[i]) == 0)
			return true;
	return false;
}

/* Neither an option nor the value of one. */
static bool is_plain(const char *const *command, size_t word)
{
	return word > 0 && command[word][0] != '-' && (word == 1 || !takes_value(command[word - 1]));
}

/* Where the word is that says what is to be done; 0: nowhere. */
static size_t find_verb(const char *const *command)
{
	for (size_t i = 1; command[0] && command[i]; i++)
		if (is_plain(command, i))
			return i;
	return 0;
}

bool command_installs(const char *const *command)
{
	size_t verb = find_verb(command);

	return verb && strcmp(command[verb], "install") == 0;
}

bool command_names_package(const char *const *command, size_t word, size_t *ret_n)
{
	const char *text = command[word];
	size_t n = strlen(text);

	if (word <= find_verb(command) || !is_plain(command, word) || strchr("./", text[0]) || text[n - 1] == '-')
		return false;
	*ret_n = strcspn(text, ":=/");
	/* The name may end with it: g++. */
	if (*ret_n == n && text[n - 1] == '+' && n > 1 && text[n - 2] != '+')
		*ret_n = n - 1;
	return true;
}

const char **command_without(const char *const *command, const bool *leave)
{
	const char **made = calloc(count(command) + 1, sizeof(*made));
	size_t n = 0;

	for (size_t i = 0; made && command[i]; i++)
		if (!leave[i])
			made[n++] = command[i];
	return made;
}

const char **command_with_only(const char *const *command, size_t word)
{
	const char **made = calloc(count(command) + 1, sizeof(*made));
	size_t n = 0, length;

	for (size_t i = 0; made && command[i]; i++)
		if (i == word || !command_names_package(command, i, &length))
			made[n++] = command[i];
	return made;
}
