/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a unit is active, out of what systemd leaves for others to see: control groups, the links of
 * /run/systemd/units (one for each unit that has started a program and has not gone down since), and mounts. Its own
 * memory is not looked into.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shadow/manager.h"

#define UNITS_DIRECTORY "/run/systemd/units"
#define MOUNTS_MAX      10000

static void set_active(struct unit *unit, const char *sub_state)
{
	unit->active_state = "active";
	unit->sub_state = sub_state;
}

/* Whether some target pulls it in: DIRECTORY/TARGET.wants/NAME. */
static bool is_wanted_in(const char *directory, const char *name)
{
	_cleanup_(closedir_ptr) DIR *dir = opendir(directory);
	struct dirent *entry;
	unsigned seen = 0;
	struct stat st;
	char path[PATH_MAX];

	while (dir && (entry = readdir(dir)) && seen++ < 10000) {
		size_t n = strlen(entry->d_name);

		if (!unit_has_suffix(entry->d_name, n, ".wants") && !unit_has_suffix(entry->d_name, n, ".requires"))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s/%s", directory, entry->d_name, name) < (int)sizeof(path) &&
		    lstat(path, &st) == 0)
			return true;
	}
	return false;
}

static bool is_wanted(const char *name)
{
	for (size_t i = 0; unit_directories[i]; i++)
		if (is_wanted_in(unit_directories[i], name))
			return true;
	return false;
}

/* The link that says with which invocation it runs; its time is when that began. */
static bool find_invocation(struct unit *unit)
{
	char path[PATH_MAX], target[sizeof(unit->invocation)];
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), UNITS_DIRECTORY "/invocation:%s", unit->id);
	if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode))
		return false;
	n = readlink(path, target, sizeof(target) - 1);
	if (n == 32) {
		memcpy(unit->invocation, target, 32);
		unit->invocation[32] = '\0';
	}
	unit->since_us = (uint64_t)st.st_mtim.tv_sec * 1000000 + (uint64_t)st.st_mtim.tv_nsec / 1000;
	return true;
}

/* systemd before 245 leaves no links. */
static bool has_invocations(void)
{
	_cleanup_(closedir_ptr) DIR *dir = opendir(UNITS_DIRECTORY);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strncmp(entry->d_name, "invocation:", 11) == 0)
			return true;
	return false;
}

void unit_name_of_path(const char *path, const char *suffix, char ret[SHADOW_NAME_MAX])
{
	static const char plain[] = ":_.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t n = 0;

	path += strspn(path, "/");
	if (!*path)
		ret[n++] = '-';
	for (const char *p = path; *p && n + 5 + strlen(suffix) < SHADOW_NAME_MAX; p++) {
		if (*p == '/') {
			while (p[1] == '/')
				p++;
			if (p[1])
				ret[n++] = '-';
		} else if (strchr(plain, *p) && !(*p == '.' && p == path)) {
			ret[n++] = *p;
		} else {
			n += (size_t)snprintf(ret + n, 5, "\\x%02x", (unsigned char)*p);
		}
	}
	snprintf(ret + n, SHADOW_NAME_MAX - n, "%s", suffix);
}

/* The fifth word, "\040" and the like for blanks. */
static bool read_mount_point(const char *line, char ret[PATH_MAX])
{
	size_t n = 0;

	for (unsigned word = 0; word < 4; word++) {
		line = strchr(line, ' ');
		if (!line++)
			return false;
	}
	for (; *line && *line != ' ' && n + 1 < PATH_MAX; line++) {
		if (line[0] == '\\' && line[1] >= '0' && line[1] <= '3' && line[2] && line[3]) {
			ret[n++] = (char)((line[1] - '0') * 64 + (line[2] - '0') * 8 + (line[3] - '0'));
			line += 3;
		} else {
			ret[n++] = *line;
		}
	}
	ret[n] = '\0';
	return n > 0;
}

void unit_each_mount(void (*visit)(const char *name, void *data), void *data)
{
	/* Of the guest's first process. */
	_cleanup_(fclose_ptr) FILE *file = fopen("/proc/1/mountinfo", "re");
	char line[2 * PATH_MAX], path[PATH_MAX], name[SHADOW_NAME_MAX];

	for (unsigned i = 0; file && i < MOUNTS_MAX && fgets(line, sizeof(line), file); i++) {
		if (!read_mount_point(line, path))
			continue;
		unit_name_of_path(path, ".mount", name);
		visit(name, data);
	}
}

struct wanted {
	const char *name;
	bool found;
};

static void compare_name(const char *name, void *data)
{
	struct wanted *wanted = data;

	wanted->found |= strcmp(name, wanted->name) == 0;
}

static bool is_mounted(const char *name)
{
	struct wanted wanted = {.name = name};

	unit_each_mount(compare_name, &wanted);
	return wanted.found;
}

/* The main process is a child of init; of several, the oldest. */
static const struct guest_task *find_main(const struct guest_task_list *processes, const char *name)
{
	const struct guest_task *main = NULL;

	for (size_t i = 0; i < processes->n; i++) {
		const struct guest_task *process = &processes->items[i];

		if (process->kernel_thread || !unit_holds_process(process, name))
			continue;
		if (!main || (process->ppid == 1 && (main->ppid != 1 || process->start_ns < main->start_ns)))
			main = process;
	}
	return main;
}

/* The control group that is the unit's own: the process may be in one below. */
static void keep_cgroup(struct unit *unit, const struct guest_task *process)
{
	size_t n = strlen(unit->id);
	const char *found = process->cgroup;

	while ((found = strstr(found, unit->id)) &&
	       !((found == process->cgroup || found[-1] == '/') && (found[n] == '/' || found[n] == '\0')))
		found++;
	if (found)
		snprintf(unit->cgroup, sizeof(unit->cgroup), "%.*s", (int)(found - process->cgroup + (ptrdiff_t)n),
			 process->cgroup);
}

/* A service without a process that is active all the same. */
static void find_service(struct unit *unit, bool invoked)
{
	bool once = strcmp(unit->type, "oneshot") == 0 && unit->remains;

	if (invoked || (once && !has_invocations() && is_wanted(unit->id)))
		set_active(unit, "exited");
}

/* What every boot goes through: other units require these without a link in a directory. */
static bool is_boot_target(const char *name)
{
	static const char *const names[] = {"basic.target", "local-fs.target", "multi-user.target",
					    "paths.target", "slices.target",   "sockets.target",
					    "swap.target",  "sysinit.target",  "timers.target"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Of the kinds that start no program nothing is left but what pulls them in. */
static void find_other(struct unit *unit, bool invoked)
{
	size_t n = strlen(unit->id);
	bool loaded = strcmp(unit->load_state, "loaded") == 0;

	if (unit_has_suffix(unit->id, n, ".mount")) {
		if (invoked || is_mounted(unit->id)) {
			set_active(unit, "mounted");
			unit->load_state = "loaded";
		}
	} else if (unit_has_suffix(unit->id, n, ".target")) {
		if (loaded && (is_wanted(unit->id) || is_boot_target(unit->id)))
			set_active(unit, "active");
	} else if (unit_has_suffix(unit->id, n, ".timer") || unit_has_suffix(unit->id, n, ".path")) {
		if (loaded && is_wanted(unit->id))
			set_active(unit, "waiting");
	} else if (unit_has_suffix(unit->id, n, ".socket")) {
		if (loaded && (invoked || is_wanted(unit->id)))
			set_active(unit, "listening");
	} else if (unit_has_suffix(unit->id, n, ".swap") && invoked) {
		set_active(unit, "active");
	} else if (strcmp(unit->id, "-.slice") == 0 || strcmp(unit->id, "system.slice") == 0) {
		set_active(unit, "active");
		unit->load_state = "loaded";
	}
}

void unit_find_state(const struct guest_task_list *processes, struct unit *unit)
{
	const struct guest_task *main = find_main(processes, unit->id);
	size_t n = strlen(unit->id);
	bool invoked = find_invocation(unit);

	if (main) {
		unit->main_pid = main->pid;
		keep_cgroup(unit, main);
		set_active(unit, unit_has_suffix(unit->id, n, ".slice") ? "active" : "running");
		/* A scope has no file, or one that systemd forgot. */
		if (!unit_has_suffix(unit->id, n, ".service"))
			unit->load_state = "loaded";
		return;
	}
	if (processes->n == 0)
		return;
	if (unit_has_suffix(unit->id, n, ".service"))
		find_service(unit, invoked);
	else if (!unit_has_suffix(unit->id, n, ".scope"))
		find_other(unit, invoked);
}
