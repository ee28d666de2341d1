/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a unit's file and its drop-ins say of it. Only a few keys are read, and no specifier but those of names is
 * expanded; a line that continues on the next counts up to its end.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shadow/manager.h"

/* Bytes; systemd's own files have a few kilobytes. */
#define UNIT_FILE_MAX (1 << 20)
#define DROP_INS_MAX  64

static FILE *open_unit_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	FILE *file;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > UNIT_FILE_MAX) {
		close(fd);
		return NULL;
	}
	file = fdopen(fd, "r");
	if (!file)
		close(fd);
	return file;
}

static bool is_true(const char *value)
{
	static const char *const words[] = {"yes", "true", "on", "1"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(value, words[i]) == 0)
			return true;
	return false;
}

/* %i, %I: the instance; %n, %p: the name, with and without the rest. Others stay as they are. */
static void expand(const struct unit *unit, const char *value, char *ret, size_t size)
{
	const char *at = strchr(unit->id, '@'), *dot = strrchr(unit->id, '.');
	size_t n = 0;

	for (; *value && n + 1 < size; value++) {
		const char *part = NULL;
		int length = 0;

		if (value[0] == '%' && (value[1] == 'i' || value[1] == 'I') && at && dot > at) {
			part = at + 1;
			length = (int)(dot - at - 1);
		} else if (value[0] == '%' && value[1] == 'n') {
			part = unit->id;
			length = (int)strlen(unit->id);
		} else if (value[0] == '%' && value[1] == 'p' && dot) {
			part = unit->id;
			length = (int)((at ? at : dot) - unit->id);
		}
		if (!part) {
			ret[n++] = *value;
			continue;
		}
		n += (size_t)snprintf(ret + n, size - n, "%.*s", length, part);
		if (n >= size)
			n = size - 1;
		value++;
	}
	ret[n] = '\0';
}

static void keep_listen(struct unit *unit, const char *key, const char *value)
{
	struct unit_listen *listen;

	if (!*value) {
		unit->n_listens = 0;
		return;
	}
	if (unit->n_listens == ARRAY_SIZE(unit->listens))
		return;
	listen = &unit->listens[unit->n_listens++];
	/* "ListenStream" is shown as "Stream". */
	snprintf(listen->kind, sizeof(listen->kind), "%s", key + strlen("Listen"));
	expand(unit, value, listen->address, sizeof(listen->address));
}

static void take_setting(struct unit *unit, const char *section, const char *key, const char *value)
{
	if (strcmp(section, "Unit") == 0 && strcmp(key, "Description") == 0)
		expand(unit, value, unit->description, sizeof(unit->description));
	else if (strcmp(section, "Unit") == 0 && strcmp(key, "RefuseManualStart") == 0)
		unit->refuses_start = is_true(value);
	else if (strcmp(section, "Unit") == 0 && strcmp(key, "RefuseManualStop") == 0)
		unit->refuses_stop = is_true(value);
	else if (strcmp(section, "Unit") == 0 && strcmp(key, "AllowIsolate") == 0)
		unit->can_isolate = is_true(value);
	else if (strcmp(section, "Unit") == 0 && strcmp(key, "SourcePath") == 0)
		snprintf(unit->source, sizeof(unit->source), "%s", value);
	else if (strcmp(section, "Service") == 0 && strcmp(key, "Type") == 0)
		snprintf(unit->type, sizeof(unit->type), "%s", value);
	else if (strcmp(section, "Service") == 0 && strcmp(key, "BusName") == 0)
		snprintf(unit->bus_name, sizeof(unit->bus_name), "%s", value);
	else if (strcmp(section, "Service") == 0 && strcmp(key, "RemainAfterExit") == 0)
		unit->remains = is_true(value);
	else if (strcmp(section, "Service") == 0 && strcmp(key, "ExecReload") == 0)
		unit->can_reload = *value != '\0';
	else if ((strcmp(section, "Timer") == 0 || strcmp(section, "Path") == 0) && strcmp(key, "Unit") == 0)
		expand(unit, value, unit->triggers, sizeof(unit->triggers));
	else if (strcmp(section, "Socket") == 0 && strcmp(key, "Service") == 0)
		expand(unit, value, unit->triggers, sizeof(unit->triggers));
	else if (strcmp(section, "Socket") == 0 && strncmp(key, "Listen", 6) == 0)
		keep_listen(unit, key, value);
}

/* Without blanks at both ends, in place. */
static char *strip(char *text)
{
	size_t n;

	text += strspn(text, " \t");
	n = strlen(text);
	while (n > 0 && strchr(" \t\r\n", text[n - 1]))
		text[--n] = '\0';
	return text;
}

static bool read_file(struct unit *unit, const char *path)
{
	_cleanup_(fclose_ptr) FILE *file = open_unit_file(path);
	char line[2048], section[64] = "";

	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		char *text = strip(line), *equal;

		if (text[0] == '[') {
			snprintf(section, sizeof(section), "%.*s", (int)strcspn(text + 1, "]"), text + 1);
			continue;
		}
		equal = strchr(text, '=');
		if (!equal || text[0] == '#' || text[0] == ';')
			continue;
		*equal = '\0';
		take_setting(unit, section, strip(text), strip(equal + 1));
	}
	return true;
}

/* --- drop-ins --- */

struct drop_in {
	char name[SHADOW_NAME_MAX];
	char path[PATH_MAX];
};

static int compare_drop_ins(const void *a, const void *b)
{
	return strcmp(((const struct drop_in *)a)->name, ((const struct drop_in *)b)->name);
}

/* A name that an earlier directory has counts there. */
static void add_drop_ins(struct drop_in *list, size_t *n, const char *directory)
{
	_cleanup_(closedir_ptr) DIR *dir = opendir(directory);
	struct dirent *entry;
	unsigned seen = 0;

	while (dir && (entry = readdir(dir)) && seen++ < 1000) {
		bool known = false;

		if (!unit_has_suffix(entry->d_name, strlen(entry->d_name), ".conf"))
			continue;
		for (size_t i = 0; i < *n; i++)
			known |= strcmp(list[i].name, entry->d_name) == 0;
		if (known || *n == DROP_INS_MAX ||
		    snprintf(list[*n].path, sizeof(list[*n].path), "%s/%s", directory, entry->d_name) >=
			    (int)sizeof(list[*n].path))
			continue;
		snprintf(list[*n].name, sizeof(list[*n].name), "%s", entry->d_name);
		(*n)++;
	}
}

static void find_drop_ins(const char *name, struct drop_in *list, size_t *n)
{
	char directory[PATH_MAX];

	for (size_t i = 0; unit_directories[i]; i++)
		if (snprintf(directory, sizeof(directory), "%s/%s.d", unit_directories[i], name) <
		    (int)sizeof(directory))
			add_drop_ins(list, n, directory);
}

void unit_read_settings(struct unit *unit)
{
	_cleanup_(free_ptr) struct drop_in *list = calloc(DROP_INS_MAX, sizeof(*list));
	char template[SHADOW_NAME_MAX];
	size_t n = 0;

	(void)read_file(unit, unit->fragment);
	if (!list)
		return;
	find_drop_ins(unit->id, list, &n);
	if (unit_template_of(unit->id, template))
		find_drop_ins(template, list, &n);
	qsort(list, n, sizeof(*list), compare_drop_ins);
	for (size_t i = 0; i < n; i++)
		if (read_file(unit, list[i].path) && unit->n_drop_ins < ARRAY_SIZE(unit->drop_ins) &&
		    snprintf(unit->drop_ins[unit->n_drop_ins], sizeof(unit->drop_ins[0]), "%s", list[i].path) <
			    (int)sizeof(unit->drop_ins[0]))
			unit->n_drop_ins++;
}
