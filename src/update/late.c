/* SPDX-License-Identifier: Apache-2.0 */
#include "update/late.h"

#include <fnmatch.h>
#include <glib.h>
#include <string.h>

#include "base/log.h"
#include "update/apt.h"

/* Debian's and Ubuntu's names. */
static const char *const names[] = {
	"linux-image-*",   "linux-headers-*", "linux-modules-*", "linux-kbuild-*", "*-microcode", "firmware-*",
	"linux-firmware*", "raspi-firmware",  "grub-*",          "grub2*",         "shim-*",      "systemd-boot*",
};

/* Where only a boot looks. A module that is loaded later is one of the kernel that runs, and stays. */
#define PLACES                                                                                                         \
	"/boot/", "/lib/modules/", "/usr/lib/modules/", "/lib/firmware/", "/usr/lib/firmware/", "/usr/lib/grub/",      \
		"/usr/lib/shim/"
static const char *const places[] = {PLACES};

/* Where a package of that kind has its words about itself, and its hooks and settings of those who build an initramfs.
 */
static const char *const beside[] = {"/etc/", "/usr/share/", "/usr/src/", "/var/"};

void late_deinit(struct late *late)
{
	g_free(late->packages);
	g_free(late->pins);
	*late = (struct late){0};
}

bool late_is_package(const char *name, size_t n)
{
	_cleanup_(free_ptr) char *copy = strndup(name, n);

	for (size_t i = 0; copy && i < ARRAY_SIZE(names); i++)
		if (fnmatch(names[i], copy, 0) == 0)
			return true;
	return false;
}

static bool begins_with_any(const char *path, size_t n, const char *const *prefixes, size_t n_prefixes)
{
	for (size_t i = 0; i < n_prefixes; i++)
		if (n > strlen(prefixes[i]) && !memcmp(path, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

/* dpkg lists the directories that lead to a file as well: "/.", "/usr", "/usr/lib", "/boot". */
static bool leads_to_place(const char *path, size_t n)
{
	if (n == 2 && !memcmp(path, "/.", 2))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (n < strlen(places[i]) && !memcmp(path, places[i], n) && places[i][n] == '/')
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(beside); i++)
		if (n < strlen(beside[i]) && !memcmp(path, beside[i], n) && beside[i][n] == '/')
			return true;
	return false;
}

bool late_is_content(const char *paths)
{
	bool found = false;

	for (const char *line = paths; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t n = strcspn(line, "\n");

		/* dpkg-query tells of diversions on lines of their own. */
		if (*line != '/')
			continue;
		if (begins_with_any(line, n, places, ARRAY_SIZE(places)))
			found = true;
		else if (!begins_with_any(line, n, beside, ARRAY_SIZE(beside)) && !leads_to_place(line, n))
			return false;
	}
	return found;
}

bool late_is_made(const char *path)
{
	static const char *const patterns[] = {
		"boot",
		"boot/initrd*",
		"boot/initramfs*",
		"boot/grub",
		"boot/grub/*",
		"var/lib/initramfs-tools",
		"var/lib/initramfs-tools/*",
		/* depmod(8)'s; the package has three of them, which its own version brings. */
		"lib/modules/*/modules.*",
		"usr/lib/modules/*/modules.*",
	};

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		if (fnmatch(patterns[i], path, 0) == 0)
			return true;
	return false;
}

void late_take_out(struct change_list *changes)
{
	size_t kept = 0;

	for (size_t i = 0; i < changes->n; i++)
		if (late_is_made(changes->items[i].path))
			change_deinit(&changes->items[i]);
		else
			changes->items[kept++] = changes->items[i];
	changes->n = kept;
}

/* --- apt's plan --- */

/* Installed packages that have something where only a boot looks: "NAME" lines. */
static struct error *ask_owners(const struct package_run *run, char **ret)
{
	static const char script[] = "cd /var/lib/dpkg/info && grep -lE "
				     "'^/boot/|^(/usr)?/lib/(modules|firmware)/|^/usr/lib/(grub|shim)/' -- "
				     "*.list | sed 's/\\.list$//; s/:.*//' || true";
	static const char *const argv[] = {"/bin/sh", "-c", script, NULL};

	return apt_ask(run, argv, ret);
}

static struct error *ask_content(const struct package_run *run, const char *name, bool *ret)
{
	const char *const argv[] = {"/bin/sh", "-c", "dpkg-query -L -- \"$1\" 2>/dev/null || true", "sh", name, NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error = apt_ask(run, argv, &output);

	if (!error)
		*ret = late_is_content(output);
	return error;
}

/* Appends to `packages` and `pins` what can wait of the plan. */
static struct error *choose(const struct package_run *run, const char *plan, GString *packages, GString *pins)
{
	_cleanup_(free_ptr) char *owners = NULL;
	struct error *error = ask_owners(run, &owners);

	for (const char *line = plan; !error && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		_cleanup_(free_ptr) char *name = strndup(line, strcspn(line, " \n"));
		bool waits;

		if (!name)
			return error_no_memory();
		waits = late_is_package(name, strlen(name));
		if (!waits && deferrals_name_in(owners, name, strlen(name)))
			error = ask_content(run, name, &waits);
		if (error || !waits)
			continue;
		g_string_append_printf(packages, "%.*s\n", (int)strcspn(line, "\n"), line);
		deferrals_append_pin(pins, run->installed, name);
	}
	return error;
}

/* Every line of `part` is one of `all`. */
static bool is_part(const char *part, const char *all)
{
	for (const char *line = part; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!deferrals_name_in(all, line, strcspn(line, " \n")))
			return false;
	return true;
}

/* Whether apt finds a way without them, and what is left to do then. */
static struct error *try_without(const struct package_run *run, const char *pins, const char *all_touched, bool *ret)
{
	_cleanup_(free_ptr) char *left = NULL, *touched = NULL;
	struct package_run pinned = *run;
	struct error *error;

	pinned.pins = pins;
	error = apt_list_plan(&pinned, &left, &touched);
	if (error && error->code == ERROR_FAILED) {
		log_debug("%s", error->message);
		error_destroy(error);
		return NULL;
	}
	if (!error)
		*ret = *left && is_part(touched, all_touched);
	return error;
}

struct error *late_decide(const struct package_run *run, struct late *ret)
{
	GString *packages = g_string_new(""), *pins = g_string_new("");
	_cleanup_(free_ptr) char *all = NULL, *touched = NULL;
	bool possible = false;
	struct error *error = apt_list_plan(run, &all, &touched);

	if (!error)
		error = choose(run, all, packages, pins);
	if (!error && packages->len)
		error = try_without(run, pins->str, touched, &possible);
	if (!error && possible) {
		log_debug("a second update has what waits for the next boot:\n%s", packages->str);
		*ret = (struct late){g_string_free(packages, FALSE), g_string_free(pins, FALSE)};
		return NULL;
	}
	g_string_free(packages, TRUE);
	g_string_free(pins, TRUE);
	return error;
}

/* --- /run --- */

static const struct action *find_runtime(const struct action_list *list, const char *path)
{
	for (size_t i = list->n; i > 0; i--)
		if (list->items[i - 1].kind == ACTION_RUNTIME && !strcmp(list->items[i - 1].path, path))
			return &list->items[i - 1];
	return NULL;
}

/* Makes of what is to be done since the suspend what is to be done since the first update. */
static struct error *shorten(const struct action *first, struct action *action)
{
	char *before = strdup(first->argv[1]);

	if (!before)
		return error_no_memory();
	free(action->argv[0]);
	action->argv[0] = before;
	if (!strcmp(action->verb, "append") && !strcmp(first->verb, "append") && action->size >= first->size) {
		action->size -= first->size;
		memmove(action->data, action->data + first->size, action->size);
	}
	return NULL;
}

struct error *late_runtime(const struct action_list *first, const struct action_list *total, struct action_list *ret)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < total->n; i++) {
		const struct action *done = find_runtime(first, total->items[i].path);
		struct action copy;

		if (done && !strcmp(done->argv[1], total->items[i].argv[1]))
			continue;
		error = action_copy(&total->items[i], &copy);
		if (!error && done)
			error = shorten(done, &copy);
		if (!error)
			error = action_list_append(ret, copy);
	}
	return error;
}
