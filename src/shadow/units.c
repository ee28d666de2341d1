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
static const char *const unit_directories[] = {
	"/etc/systemd/system", "/run/systemd/system",     "/usr/local/lib/systemd/system",
	"/lib/systemd/system", "/usr/lib/systemd/system",
};

/* Bytes; systemd's own files have a few kilobytes. */
#define UNIT_FILE_MAX (1 << 20)

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

static bool has_suffix(const char *name, size_t length, const char *suffix)
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
		bool slice = has_suffix(p, n, ".slice");

		for (size_t i = 0; n < SHADOW_NAME_MAX && i < ARRAY_SIZE(suffixes); i++) {
			/* A slice counts only as long as nothing in it does. */
			if (!has_suffix(p, n, suffixes[i]) || (found && slice))
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

static bool holds_process(const struct guest_task *process, const char *name)
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
static bool template_of(const char *name, char ret[SHADOW_NAME_MAX])
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

	for (size_t i = 0; i < ARRAY_SIZE(unit_directories); i++) {
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

/* systemd makes a unit out of an init script that has none. */
static bool find_init_script(struct unit *unit)
{
	char path[PATH_MAX];
	struct stat st;
	size_t n = strlen(unit->name);

	if (!has_suffix(unit->name, n, ".service"))
		return false;
	snprintf(path, sizeof(path), "/etc/init.d/%.*s", (int)(n - strlen(".service")), unit->name);
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return false;
	snprintf(unit->fragment, sizeof(unit->fragment), "/run/systemd/generator.late/%s", unit->name);
	unit->load_state = "loaded";
	return true;
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

		if (!has_suffix(entry->d_name, n, ".wants") && !has_suffix(entry->d_name, n, ".requires"))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s/%s", directory, entry->d_name, name) < (int)sizeof(path) &&
		    lstat(path, &st) == 0)
			return true;
	}
	return false;
}

static bool is_wanted(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(unit_directories); i++)
		if (is_wanted_in(unit_directories[i], name))
			return true;
	return false;
}

/*
 * Whether a unit's file says Type=oneshot and RemainAfterExit=yes: active with no process at all. Drop-ins are
 * not read; in Debian none changes either.
 */
static bool remains_after_exit(const char *fragment)
{
	_cleanup_(fclose_ptr) FILE *file = NULL;
	bool oneshot = false, remains = false;
	int fd = open(fragment, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char line[1024];
	struct stat st;

	if (fd < 0)
		return false;
	file = fdopen(fd, "r");
	if (!file) {
		close(fd);
		return false;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > UNIT_FILE_MAX)
		return false;
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "Type=", 5) == 0)
			oneshot = strcmp(line + 5, "oneshot") == 0;
		else if (strncmp(line, "RemainAfterExit=", 16) == 0)
			remains = strcmp(line + 16, "yes") == 0 || strcmp(line + 16, "true") == 0 ||
				  strcmp(line + 16, "on") == 0 || strcmp(line + 16, "1") == 0;
	}
	return oneshot && remains;
}

static void set_active(struct unit *unit, const char *sub_state)
{
	unit->active_state = "active";
	unit->sub_state = sub_state;
}

/*
 * A service runs if its cgroup holds a process. The other kinds, and services that did their work
 * at the boot and remain, have no process: in a guest that runs at all they are taken as active
 * if something pulls them in.
 */
static void find_processes(const struct guest_task_list *processes, struct unit *unit)
{
	const struct guest_task *main = NULL;
	size_t n = strlen(unit->id);

	for (size_t i = 0; i < processes->n; i++) {
		const struct guest_task *process = &processes->items[i];

		if (process->kernel_thread || !holds_process(process, unit->id))
			continue;
		/* The main process is a child of init; of several, the oldest. */
		if (!main || (process->ppid == 1 && (main->ppid != 1 || process->start_ns < main->start_ns)))
			main = process;
	}
	if (main) {
		unit->main_pid = main->pid;
		set_active(unit, has_suffix(unit->id, n, ".slice") ? "active" : "running");
		return;
	}
	if (has_suffix(unit->id, n, ".service") && processes->n > 0 && strcmp(unit->load_state, "loaded") == 0 &&
	    is_wanted(unit->id) && remains_after_exit(unit->fragment))
		set_active(unit, "exited");
	if (has_suffix(unit->id, n, ".service") || has_suffix(unit->id, n, ".scope") || processes->n == 0)
		return;
	if (has_suffix(unit->id, n, ".target") && strcmp(unit->load_state, "loaded") == 0 &&
	    (is_wanted(unit->id) || strcmp(unit->id, "multi-user.target") == 0))
		set_active(unit, "active");
	else if (has_suffix(unit->id, n, ".timer") && is_wanted(unit->id))
		set_active(unit, "waiting");
	else if ((has_suffix(unit->id, n, ".socket") || has_suffix(unit->id, n, ".path")) && is_wanted(unit->id))
		set_active(unit, "listening");
}

void unit_lookup(const struct guest_task_list *processes, const char *name, struct unit *ret)
{
	char template[SHADOW_NAME_MAX];

	*ret = (struct unit){.load_state = "not-found", .active_state = "inactive", .sub_state = "dead"};
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	snprintf(ret->id, sizeof(ret->id), "%s", name);
	if (!find_file(ret, name) && !(template_of(name, template) && find_file(ret, template)))
		find_init_script(ret);
	if (processes)
		find_processes(processes, ret);
}
