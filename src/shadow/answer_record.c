/* SPDX-License-Identifier: Apache-2.0 */
/* What only the running guest can do is written down. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "shadow/answer.h"

#define ENVIRON_MAX 65536u

static void free_words(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		free(words[i]);
	free(words);
}

static char **copy_words(const char *const *words)
{
	size_t n = 0;
	char **copy;

	while (words[n])
		n++;
	copy = calloc(n + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < n; i++) {
		copy[i] = strdup(words[i]);
		if (!copy[i]) {
			free_words(copy);
			return NULL;
		}
	}
	return copy;
}

/* A package's name: what a bundle shows of it must be plain. */
static bool is_name(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return n > 0 && n < SHADOW_NAME_MAX;
}

/* The package whose script asks, which dpkg tells its scripts in their environment; NULL: not known. */
static char *find_origin(struct answer_call *call)
{
	static const char key[] = "DPKG_MAINTSCRIPT_PACKAGE=";
	_cleanup_(free_ptr) char *text = malloc(ENVIRON_MAX + 1);
	int fd = answer_open_proc(call, "environ", O_RDONLY);
	ssize_t n = fd >= 0 && text ? read(fd, text, ENVIRON_MAX) : -1;

	close_fd(&fd);
	if (n <= 0)
		return NULL;
	text[n] = '\0';
	for (const char *entry = text; entry < text + n; entry += strlen(entry) + 1)
		if (strncmp(entry, key, sizeof(key) - 1) == 0)
			return is_name(entry + sizeof(key) - 1) ? strdup(entry + sizeof(key) - 1) : NULL;
	return NULL;
}

int answer_record(struct answer_call *call, const char *const *argv)
{
	struct action action = {.kind = ACTION_COMMAND};
	struct error *error;

	if (call->shadow->actions.n >= SHADOW_ACTIONS_MAX)
		return EPERM;
	action.argv = copy_words(argv);
	if (!action.argv)
		return ENOMEM;
	action.origin = find_origin(call);
	log_debug("recorded: %s %s%s", argv[0], argv[1] ? argv[1] : "", argv[1] && argv[2] ? " …" : "");
	error = action_list_append(&call->shadow->actions, action);
	error_destroy(error);
	return error ? ENOMEM : 0;
}
