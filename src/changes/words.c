/* SPDX-License-Identifier: Apache-2.0 */
/* An action as the words of a command that a user would type. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "changes/changes.h"

struct words {
	char **items;
	size_t n;
	bool failed;
};

void action_words_free(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		free(words[i]);
	free(words);
}

/* NULL adds nothing. */
static void add(struct words *words, const char *word)
{
	char **larger;

	if (!word || words->failed)
		return;
	larger = reallocarray(words->items, words->n + 2, sizeof(*larger));
	if (!larger) {
		words->failed = true;
		return;
	}
	words->items = larger;
	words->items[words->n] = strdup(word);
	words->items[words->n + 1] = NULL;
	words->failed = !words->items[words->n++];
}

static void add_all(struct words *words, char *const *argv)
{
	for (; argv && *argv; argv++)
		add(words, *argv);
}

static void add_number(struct words *words, const char *format, long long number)
{
	char text[32];

	snprintf(text, sizeof(text), format, number);
	add(words, text);
}

/* The names that have been the same everywhere. */
static void add_signal(struct words *words, const struct action *action)
{
	static const char *const names[32] = {
		[SIGHUP] = "-HUP",   [SIGINT] = "-INT",     [SIGQUIT] = "-QUIT", [SIGABRT] = "-ABRT",
		[SIGKILL] = "-KILL", [SIGUSR1] = "-USR1",   [SIGUSR2] = "-USR2", [SIGPIPE] = "-PIPE",
		[SIGALRM] = "-ALRM", [SIGTERM] = "-TERM",   [SIGCHLD] = "-CHLD", [SIGCONT] = "-CONT",
		[SIGSTOP] = "-STOP", [SIGWINCH] = "-WINCH",
	};

	add(words, "kill");
	if (action->queued) {
		add(words, "-q");
		add_number(words, "%lld", action->value);
	}
	if (action->signal > 0 && action->signal < 32 && names[action->signal])
		add(words, names[action->signal]);
	else
		add_number(words, "-%lld", action->signal);
	add_number(words, "%lld", action->pid);
}

/* The data as text. */
static void add_value(struct words *words, const struct action *action)
{
	char text[ACTION_DATA_MAX + 1];
	size_t n = action->size < ACTION_DATA_MAX ? action->size : ACTION_DATA_MAX;

	while (n > 0 && action->data[n - 1] == '\n')
		n--;
	for (size_t i = 0; i < n; i++)
		text[i] = action->data[i] < ' ' || action->data[i] > '~' ? '?' : (char)action->data[i];
	text[n] = '\0';
	add(words, text);
}

/* "write PATH VALUE", "mkdir 0755 0:0 PATH", "symlink TARGET PATH", "remove PATH". */
static void add_runtime(struct words *words, const struct action *action)
{
	struct runtime_state after;
	char text[64];

	if (!runtime_state_parse(action->argv[1], &after))
		return;
	add(words, action->verb);
	if (after.type == RUNTIME_SYMLINK)
		add(words, after.target);
	if (after.type == RUNTIME_DIRECTORY || strcmp(action->verb, "attributes") == 0) {
		snprintf(text, sizeof(text), "%04o", after.mode);
		add(words, text);
		snprintf(text, sizeof(text), "%u:%u", after.uid, after.gid);
		add(words, text);
	}
	add(words, action->path);
	if (action->size)
		add_value(words, action);
}

static void add_mount(struct words *words, const struct action *action)
{
	add(words, action->verb);
	if (action->flags & 32 && strcmp(action->verb, "mount") == 0) {
		/* MS_REMOUNT */
		add(words, "-o");
		add(words, "remount");
	}
	if (action->argv && strcmp(action->verb, "mount") == 0) {
		if (*action->argv[1]) {
			add(words, "-t");
			add(words, action->argv[1]);
		}
		if (*action->argv[2]) {
			add(words, "-o");
			add(words, action->argv[2]);
		}
		add(words, *action->argv[0] ? action->argv[0] : "none");
	}
	add(words, action->path);
}

/* "env" with its variables, and the text of a shell's script: nobody wants to read them each time. */
static size_t n_of_preparation(char *const *argv)
{
	size_t n = 0;

	if (strcmp(argv[0], "env") == 0)
		do
			n++;
		while (argv[n] && strchr(argv[n], '='));
	if (argv[n] && strcmp(argv[n], "sh") == 0 && argv[n + 1] && argv[n + 2] && argv[n + 3])
		n += 3;
	return argv[n] ? n : 0;
}

struct error *action_words(const struct action *action, char ***ret)
{
	struct words words = {};

	switch (action->kind) {
	case ACTION_SYSTEMD:
		add(&words, "systemctl");
		add_all(&words, action->argv);
		add(&words, action->verb);
		add(&words, action->unit);
		break;
	case ACTION_COMMAND:
		add_all(&words, action->argv + (action_is_deferred(action) ? n_of_preparation(action->argv) : 0));
		break;
	case ACTION_SIGNAL:
		add_signal(&words, action);
		break;
	case ACTION_WRITE:
		add(&words, "write");
		add(&words, action->path);
		add_value(&words, action);
		break;
	case ACTION_MODULE:
		add(&words, strcmp(action->verb, "load") == 0 ? "modprobe" : "rmmod");
		add_all(&words, action->argv);
		break;
	case ACTION_MOUNT:
		add_mount(&words, action);
		break;
	case ACTION_RUNTIME:
		add_runtime(&words, action);
		break;
	}
	if (words.failed || !words.items) {
		action_words_free(words.items);
		return error_no_memory();
	}
	*ret = words.items;
	return NULL;
}
