/* SPDX-License-Identifier: Apache-2.0 */
#include "update/follow_ups.h"

#include <stdlib.h>
#include <string.h>

/* Files that one command names; of more of them all are meant. */
#define NAMES_MAX 200u

struct names {
	const char *items[NAMES_MAX]; /* borrowed */
	size_t n;
	bool more; /* than these: all */
};

static void add_name(struct names *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (!strcmp(names->items[i], name))
			return;
	if (names->n == NAMES_MAX)
		names->more = true;
	else
		names->items[names->n++] = name;
}

/* What stands in the directory itself; NULL: it is elsewhere. */
static const char *name_in(const char *path, const char *directory)
{
	size_t n = strlen(directory);

	return strncmp(path, directory, n) == 0 && path[n] && !strchr(path + n, '/') ? path + n : NULL;
}

static bool is_plain(const char *name)
{
	return *name != '.' && *name != '-' && !strstr(name, ".dpkg-") && !strstr(name, ".ucf-");
}

/* systemd-tmpfiles looks a name up in its directories: /etc wins over /usr. */
static void note_tmpfiles(const char *path, struct names *ret)
{
	static const char *const directories[] = {"usr/lib/tmpfiles.d/", "lib/tmpfiles.d/", "etc/tmpfiles.d/"};

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		const char *name = name_in(path, directories[i]);
		size_t n = name ? strlen(name) : 0;

		if (n > 5 && is_plain(name) && !strcmp(name + n - 5, ".conf"))
			add_name(ret, name);
	}
}

/* Profiles lie in the directory itself; what is below these two is included by any of them. */
static void note_profile(const char *path, struct names *ret)
{
	static const char *const included[] = {"etc/apparmor.d/abstractions/", "etc/apparmor.d/tunables/"};
	const char *name = name_in(path, "etc/apparmor.d/");

	if (name && is_plain(name))
		add_name(ret, name);
	for (size_t i = 0; i < ARRAY_SIZE(included); i++)
		if (!strncmp(path, included[i], strlen(included[i])))
			ret->more = true;
}

/* Before the first that comes after the files, but for what scripts left below /run. */
static struct error *insert(struct action_list *actions, struct action action)
{
	struct error *error = action_list_append(actions, action);
	size_t place = 0;

	if (error)
		return error;
	while (place < actions->n - 1 &&
	       (actions->items[place].phase == ACTION_BEFORE || actions->items[place].kind == ACTION_RUNTIME))
		place++;
	action = actions->items[actions->n - 1];
	memmove(actions->items + place + 1, actions->items + place, (actions->n - 1 - place) * sizeof(*actions->items));
	actions->items[place] = action;
	return NULL;
}

static struct error *add_command(struct action_list *actions, const char *const *words, const struct names *names)
{
	const char *argv[NAMES_MAX + 8];
	const struct action action = {.kind = ACTION_COMMAND, .phase = ACTION_AFTER, .argv = (char **)argv};
	struct action copy;
	struct error *error;
	size_t n = 0;

	for (; *words; words++)
		argv[n++] = *words;
	for (size_t i = 0; i < names->n && !names->more; i++)
		argv[n++] = names->items[i];
	argv[n] = NULL;
	error = action_copy(&action, &copy);
	return error ? error : insert(actions, copy);
}

struct error *follow_ups_add(const struct change_list *changes, struct action_list *actions)
{
	/* A guest without systemd, or without AppArmor, is none of theirs. */
	static const char *const tmpfiles[] = {"/bin/sh", "-c",
					       "[ ! -d /run/systemd/system ] || exec systemd-tmpfiles --create \"$@\"",
					       "systemd-tmpfiles", NULL};
	static const char *const profiles[] = {"/bin/sh", "-c",
					       "aa-enabled --quiet 2>/dev/null || exit 0; cd /etc/apparmor.d && "
					       "[ $# -gt 0 ] || set -- .; exec apparmor_parser -r -T -W \"$@\"",
					       "apparmor_parser", NULL};
	struct names of_tmpfiles = {.n = 0}, of_profiles = {.n = 0};
	struct error *error = NULL;

	for (size_t i = 0; i < changes->n; i++) {
		if (changes->items[i].kind != CHANGE_WRITE)
			continue;
		note_tmpfiles(changes->items[i].path, &of_tmpfiles);
		note_profile(changes->items[i].path, &of_profiles);
	}
	if (of_profiles.n || of_profiles.more)
		error = add_command(actions, profiles, &of_profiles);
	if (!error && of_tmpfiles.n)
		error = add_command(actions, tmpfiles, &of_tmpfiles);
	return error;
}
