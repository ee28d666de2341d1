/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of the guest's units without asking its service manager: files and cgroups. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shadow/manager.h"

/* In systemd's order: the first that has the file wins. */
const char *const unit_directories[] = {
	"/etc/systemd/system.control",  "/run/systemd/system.control",   "/run/systemd/transient",
	"/run/systemd/generator.early", "/etc/systemd/system",           "/run/systemd/system",
	"/run/systemd/generator",       "/usr/local/lib/systemd/system", "/lib/systemd/system",
	"/usr/lib/systemd/system",      "/run/systemd/generator.late",   NULL,
};

static const char *const suffixes[] = {
	".service",   ".socket", ".target", ".timer", ".path",   ".mount",
	".automount", ".swap",   ".slice",  ".scope", ".device",
};

bool unit_name_is_valid(const char *name)
{
	size_t n = strnlen(name, SHADOW_NAME_MAX);

	if (n == 0 || n >= SHADOW_NAME_MAX || name[0] == '.')
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] >= 127 || name[i] == '/')
			return false;
	return true;
}

bool unit_has_suffix(const char *name, size_t length, const char *suffix)
{
	size_t n = strlen(suffix);

	return length > n && memcmp(name + length - n, suffix, n) == 0;
}

/* The last component of the cgroup that is a unit: a unit may have cgroups below its own. */
bool unit_of_process(const struct guest_task *process, char ret[SHADOW_NAME_MAX])
{
	bool found = false;

	for (const char *p = process->cgroup; p && *p;) {
		size_t n = strcspn(p, "/");
		bool slice = unit_has_suffix(p, n, ".slice");

		for (size_t i = 0; n < SHADOW_NAME_MAX && i < ARRAY_SIZE(suffixes); i++) {
			/* A slice counts only as long as nothing in it does. */
			if (!unit_has_suffix(p, n, suffixes[i]) || (found && slice))
				continue;
			memcpy(ret, p, n);
			ret[n] = '\0';
			found = true;
		}
		p += n;
		p += strspn(p, "/");
	}
	return found;
}

bool unit_holds_process(const struct guest_task *process, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = process->cgroup; p && *p;) {
		size_t length = strcspn(p, "/");

		if (length == n && memcmp(p, name, n) == 0)
			return true;
		p += length;
		p += strspn(p, "/");
	}
	return false;
}

/* "getty@tty1.service" to "getty@.service"; false: not an instance. */
bool unit_template_of(const char *name, char ret[SHADOW_NAME_MAX])
{
	const char *at = strchr(name, '@'), *dot = strrchr(name, '.');

	if (!at || !dot || dot < at || dot == at + 1)
		return false;
	snprintf(ret, SHADOW_NAME_MAX, "%.*s%s", (int)(at - name + 1), name, dot);
	return true;
}

/* An alias is a symlink to another name; the last one that is not a symlink is the unit's own. */
static void resolve_alias(struct unit *unit)
{
	char target[PATH_MAX];
	const char *slash;

	if (!realpath(unit->fragment, target))
		return;
	slash = strrchr(target, '/');
	if (strcmp(target, "/dev/null") == 0) {
		unit->load_state = "masked";
		return;
	}
	/* An instance's file is its template's: the name stays. */
	if (!strchr(unit->name, '@') && unit_name_is_valid(slash + 1))
		snprintf(unit->id, sizeof(unit->id), "%s", slash + 1);
	snprintf(unit->fragment, sizeof(unit->fragment), "%s", target);
}

static bool find_file(struct unit *unit, const char *name)
{
	struct stat st;

	for (size_t i = 0; unit_directories[i]; i++) {
		snprintf(unit->fragment, sizeof(unit->fragment), "%s/%s", unit_directories[i], name);
		if (lstat(unit->fragment, &st) < 0 || S_ISDIR(st.st_mode))
			continue;
		unit->load_state = "loaded";
		resolve_alias(unit);
		return true;
	}
	unit->fragment[0] = '\0';
	return false;
}

/*
 * systemd makes a unit out of an init script that has none: at a daemon-reload, so that one which came with a package
 * is no unit of the sleeping guest yet. It says so, for invoke-rc.d --skip-systemd-native does nothing otherwise.
 */
static bool find_init_script(struct unit *unit)
{
	char path[SHADOW_NAME_MAX];
	struct stat st;
	size_t n = strlen(unit->name);

	if (!unit_has_suffix(unit->name, n, ".service"))
		return false;
	if (snprintf(path, sizeof(path), "/etc/init.d/%.*s", (int)(n - strlen(".service")), unit->name) >=
	    (int)sizeof(path))
		return false;
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return false;
	snprintf(unit->fragment, sizeof(unit->fragment), "/run/systemd/generator.late/%s", unit->name);
	snprintf(unit->source, sizeof(unit->source), "%s", path);
	snprintf(unit->type, sizeof(unit->type), "forking");
	unit->load_state = "loaded";
	return true;
}

void unit_lookup(const struct guest_task_list *processes, const char *name, struct unit *ret)
{
	char template[SHADOW_NAME_MAX];

	*ret = (struct unit){.load_state = "not-found", .active_state = "inactive", .sub_state = "dead"};
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	snprintf(ret->id, sizeof(ret->id), "%s", name);
	if (!find_file(ret, name) && !(unit_template_of(name, template) && find_file(ret, template)))
		find_init_script(ret);
	if (strcmp(ret->load_state, "loaded") == 0)
		unit_read_settings(ret);
	if (processes)
		unit_find_state(processes, ret);
}
