/* SPDX-License-Identifier: Apache-2.0 */
#include "update/follow_ups.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "update/packages.h"

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

/* ---- Profiles ---- */

static void note_profiles(const struct change_list *changes, struct names *ret)
{
	for (size_t i = 0; i < changes->n; i++)
		if (changes->items[i].kind == CHANGE_WRITE)
			note_profile(changes->items[i].path, ret);
}

/*
 * Arguments: the profiles, none: all. Says where the cache is. What is there of these profiles goes first: it is of the
 * old ones, and its time may say otherwise, for dpkg gives files the times that they have in the package. So nothing
 * is left of a profile that cannot be compiled, or that is disabled, and the guest's parser compiles it or says why
 * not.
 */
static const char compile_script[] =
	"[ -d /sys/kernel/security/apparmor/features ] && cd /etc/apparmor.d 2>/dev/null || exit 0\n"
	"command -v apparmor_parser >/dev/null || exit 0\n"
	"cache=$(apparmor_parser --print-cache-dir </dev/null) && [ -n \"$cache\" ] || exit 0\n"
	"if [ $# -gt 0 ]; then\n"
	"	for name; do rm -f \"$cache/$name\"; done\n"
	"else\n"
	"	for name in *; do [ -d \"$name\" ] || rm -f \"$cache/$name\"; done\n"
	"	set -- .\n"
	"fi\n"
	"apparmor_parser -Q -T -W \"$@\" >&2\n"
	"printf '\\nOUA %s\\n' \"$cache\"\n";

#define COMPILE_TIMEOUT_S 300
#define CACHE_MARK        "\nOUA "

/* Its last word of this kind; the guest's own programs may have said it, too: it is compared with what changed. */
static struct error *read_cache(const char *output, char **ret)
{
	const char *mark = NULL;

	for (const char *p = strstr(output, CACHE_MARK); p; p = strstr(p + 1, CACHE_MARK))
		mark = p + strlen(CACHE_MARK);
	if (!mark || *mark != '/')
		return NULL;
	*ret = strndup(mark, strcspn(mark, "\n"));
	return *ret ? NULL : error_no_memory();
}

struct error *follow_ups_compile(struct shadow *shadow, const struct change_list *changes, int log_fd, bool *ret_ran,
				 char **ret_cache)
{
	static const char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
						  "HOME=/root", "LC_ALL=C", NULL};
	const char *argv[NAMES_MAX + 5] = {"/bin/sh", "-c", compile_script, "profiles"};
	struct shadow_run_options options = {.argv = argv,
					     .env = environment,
					     .error_fd = log_fd,
					     .output_max = UPDATE_LOG_MAX,
					     .timeout_s = COMPILE_TIMEOUT_S};
	_cleanup_(free_ptr) char *output = NULL;
	struct names profiles = {.n = 0};
	struct error *error;
	int status;

	note_profiles(changes, &profiles);
	*ret_ran = profiles.n || profiles.more;
	if (!*ret_ran)
		return NULL;
	for (size_t i = 0; i < profiles.n && !profiles.more; i++)
		argv[4 + i] = profiles.items[i];
	error = shadow_capture(shadow, &options, &status, &output);
	if (error && error->code != ERROR_NO_MEMORY) {
		log_info("AppArmor's profiles are not compiled offline: %s", error->message);
		error_destroy(error);
		return NULL;
	}
	return error ? error : read_cache(output, ret_cache);
}

/* Whether what was compiled travels: the directory may lie on another disk, or be reached by a link. */
static bool is_brought(const struct change_list *changes, const char *cache)
{
	size_t n = cache ? strlen(cache) : 0;

	for (size_t i = 0; n > 1 && i < changes->n; i++) {
		const struct change *change = &changes->items[i];

		if (change->kind == CHANGE_WRITE && !strncmp(change->path, cache + 1, n - 1) &&
		    change->path[n - 1] == '/')
			return true;
	}
	return false;
}

/* A guest without AppArmor is none of theirs. Asking aa-enabled would be another program that is started. */
#define IF_ENABLED                                                                                                     \
	"{ read -r e </sys/module/apparmor/parameters/enabled; } 2>/dev/null; [ \"$e\" = Y ] || exit 0\n"              \
	"cd /etc/apparmor.d || exit 1\n"

/* A cache may look newer than it is (-T): it is not read but where it is the one that we made. */
static const char recompile_script[] = IF_ENABLED "[ $# -gt 0 ] || set -- .\n"
						  "exec apparmor_parser -r -T -W \"$@\"";

/*
 * Arguments: the cache that we made, the build of the kernel that it was made for, the profiles, none: all. Another
 * kernel has a cache of its own if it can do other things. What was compiled of all that are wanted is loaded as it is
 * (-B): to say that it is new the parser would read the sources of it all.
 */
static const char load_script[] =
	IF_ENABLED "c=$1; k=$2; shift 2; t=\n"
		   "{ read -r v </proc/sys/kernel/version; } 2>/dev/null\n"
		   "{ [ -n \"$k\" ] && [ \"$v\" = \"$k\" ]; } ||\n"
		   "[ \"$(apparmor_parser --print-cache-dir </dev/null)\" = \"$c\" ] || t=-T\n"
		   "l=; b=$t\n"
		   "[ $# -gt 0 ] || { set -- *; l=.; }\n"
		   "for f; do\n"
		   "[ -f \"$f\" ] && ! [ -e \"disable/$f\" ] || { shift; continue; }\n"
		   "[ -f \"$c/$f\" ] && ! [ -e \"force-complain/$f\" ] || b=no\n"
		   "shift; set -- \"$@\" \"$f\"\n"
		   "done\n"
		   "[ $# -gt 0 ] || exit 0\n"
		   "[ -n \"$b\" ] || { cd \"$c\" && exec apparmor_parser -r -B \"$@\"; }\n"
		   "[ -z \"$l\" ] || set -- .\n"
		   "exec apparmor_parser -r $t -W \"$@\"";

static struct error *add_profiles(const struct change_list *changes, const char *cache, const char *kernel,
				  const struct names *names, struct action_list *actions)
{
	static const char *const recompile[] = {"/bin/sh", "-c", recompile_script, "apparmor_parser", NULL};
	const char *const load[] = {"/bin/sh", "-c", load_script, "apparmor_parser", cache, kernel, NULL};

	return add_command(actions, is_brought(changes, cache) ? load : recompile, names);
}

struct error *follow_ups_add(const struct change_list *changes, const char *cache, const char *kernel,
			     struct action_list *actions)
{
	/* A guest without systemd is none of theirs. */
	static const char *const tmpfiles[] = {"/bin/sh", "-c",
					       "[ ! -d /run/systemd/system ] || exec systemd-tmpfiles --create \"$@\"",
					       "systemd-tmpfiles", NULL};
	struct names of_tmpfiles = {.n = 0}, of_profiles = {.n = 0};
	struct error *error = NULL;

	for (size_t i = 0; i < changes->n; i++)
		if (changes->items[i].kind == CHANGE_WRITE)
			note_tmpfiles(changes->items[i].path, &of_tmpfiles);
	note_profiles(changes, &of_profiles);
	if (of_profiles.n || of_profiles.more)
		error = add_profiles(changes, cache, kernel, &of_profiles, actions);
	if (!error && of_tmpfiles.n)
		error = add_command(actions, tmpfiles, &of_tmpfiles);
	return error;
}
