/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a unit say that matters for a restart, and whether the update changes one of them. The files are
 * the guest's before the update: those its processes were started from.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/unit_name.h"
#include "update/restart.h"

#define UNIT_FILE_MAX 65536u
#define DROP_INS_MAX  256u

/* In systemd's order: the first that has the unit wins. What lies below /run is not on the disk. */
static const char *const directories[] = {"etc/systemd/system", "usr/local/lib/systemd/system", "lib/systemd/system",
					  "usr/lib/systemd/system"};

/* "getty@tty1.service": "getty@.service" and "tty1". */
struct unit_names {
	const char *name;
	char template[UNIT_NAME_MAX]; /* "": not an instance */
	char instance[UNIT_NAME_MAX];
};

static struct unit_names split_name(const char *name)
{
	struct unit_names names = {.name = name};
	const char *at = strchr(name, '@'), *dot = strrchr(name, '.');

	if (!at || !dot || dot <= at + 1)
		return names;
	snprintf(names.template, sizeof(names.template), "%.*s%s", (int)(at - name + 1), name, dot);
	snprintf(names.instance, sizeof(names.instance), "%.*s", (int)(dot - at - 1), at + 1);
	return names;
}

bool restart_real_path(int root_fd, const char *path, char ret[PATH_MAX], uint32_t *ret_mode)
{
	_cleanup_(close_fd) int fd = -1;
	struct stat st;
	char root[PATH_MAX], found[PATH_MAX], link[64];
	ssize_t n_root, n;
	struct error *error = io_open_in_root(root_fd, path, O_PATH, &fd);

	if (error) {
		error_destroy(error);
		return false;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", root_fd);
	n_root = readlink(link, root, sizeof(root) - 1);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, found, sizeof(found) - 1);
	if (n_root < 0 || n < 0 || fstat(fd, &st) < 0)
		return false;
	root[n_root] = found[n] = '\0';
	if (!strcmp(root, "/"))
		n_root = 0;
	if (strncmp(root, found, (size_t)n_root) != 0 || found[n_root] != '/')
		return false;
	strcpy(ret, found + n_root + 1);
	*ret_mode = st.st_mode;
	return true;
}

/* What is being read. */
struct reader {
	int root_fd;
	const struct restart_changed *changed;
	struct unit_names names;
	struct restart_unit *unit;
};

static struct error *note_change(struct reader *r, const char *path)
{
	if (r->unit->changed || !restart_changed_path(r->changed, path))
		return NULL;
	r->unit->changed = strdup(path);
	return r->unit->changed ? NULL : error_no_memory();
}

/*
 * The specifiers that stand in paths of EnvironmentFile=; false: another one is in it, or it is too long. "%i" is as in
 * the name: unescaping matters for no file name that packages use.
 */
static bool expand(const struct unit_names *names, const char *text, char ret[PATH_MAX])
{
	size_t n = 0;

	for (; *text; text++) {
		char buffer[UNIT_NAME_MAX] = {*text};

		if (*text == '%') {
			text++;
			if (*text == 'i' || *text == 'I')
				strcpy(buffer, names->instance);
			else if (*text == 'n')
				strcpy(buffer, names->name);
			else if (*text == 'N')
				snprintf(buffer, sizeof(buffer), "%.*s", (int)(strrchr(names->name, '.') - names->name),
					 names->name);
			else if (*text == 'p')
				snprintf(buffer, sizeof(buffer), "%.*s", (int)strcspn(names->name, "@."), names->name);
			else if (*text != '%')
				return false;
		}
		if (n + strlen(buffer) >= PATH_MAX)
			return false;
		n = (size_t)(stpcpy(ret + n, buffer) - ret);
	}
	ret[n] = '\0';
	return true;
}

/* "-/etc/default/ssh": absent is fine. A pattern ("*.conf") is not followed. */
static struct error *environment_file(struct reader *r, const char *value)
{
	char path[PATH_MAX], real[PATH_MAX];
	uint32_t mode;

	value += *value == '-';
	if (*value != '/' || !expand(&r->names, value, path))
		return NULL;
	/* One that is not there yet may come with the update. */
	return note_change(r, restart_real_path(r->root_fd, path, real, &mode) ? real : path + 1);
}

static bool is_true(const char *value)
{
	static const char *const words[] = {"1", "yes", "y", "true", "t", "on"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcasecmp(value, words[i]))
			return true;
	return false;
}

/* "Key = value" in two; NULL: it is none. */
static char *split_line(char *line)
{
	char *value = strchr(line, '=');
	size_t n;

	if (!value || strchr("#;", line[strspn(line, " \t")]))
		return NULL;
	*value++ = '\0';
	for (n = strlen(line); n && strchr(" \t", line[n - 1]); n--)
		line[n - 1] = '\0';
	value += strspn(value, " \t");
	for (n = strlen(value); n && strchr(" \t\r", value[n - 1]); n--)
		value[n - 1] = '\0';
	return value;
}

static struct error *take_line(struct reader *r, char *line)
{
	const char *value = split_line(line), *key = line + strspn(line, " \t");

	if (!value)
		return NULL;
	if (!strcmp(key, "Type"))
		r->unit->oneshot = !strcmp(value, "oneshot");
	else if (!strcmp(key, "RefuseManualStop") || !strcmp(key, "RefuseManualStart"))
		r->unit->refuses |= is_true(value);
	else if (!strcmp(key, "EnvironmentFile"))
		return environment_file(r, value);
	return NULL;
}

/* False: there is none, or it cannot be read as text. */
static bool read_text(int root_fd, const char *path, char **ret)
{
	_cleanup_(free_ptr) char *absolute = string_format("/%s", path);
	struct error *error =
		absolute ? io_read_in_root(root_fd, absolute, UNIT_FILE_MAX, ret, NULL) : error_no_memory();

	error_destroy(error);
	return !error;
}

/* *ret_found: it is there. */
static struct error *read_file(struct reader *r, const char *path, bool *ret_found)
{
	_cleanup_(free_ptr) char *text = NULL;
	_cleanup_(free_ptr) char *absolute = string_format("/%s", path);
	char real[PATH_MAX];
	struct error *error = NULL;
	char *rest, *line;
	uint32_t mode;

	if (!absolute)
		return error_no_memory();
	*ret_found = restart_real_path(r->root_fd, absolute, real, &mode);
	if (*ret_found)
		error = note_change(r, real);
	/* The link itself may be what changes. */
	if (!error && *ret_found)
		error = note_change(r, path);
	if (error || !*ret_found || !read_text(r->root_fd, path, &text))
		return error;
	for (rest = text; !error && (line = strsep(&rest, "\n"));)
		error = take_line(r, line);
	return error;
}

/* A file that the update adds in a place that wins over the one there is. */
static struct error *note_new(struct reader *r, const char *directory, const char *name)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, name);

	return path ? note_change(r, path) : error_no_memory();
}

/* The unit's own file, or its template's. */
static struct error *read_fragment(struct reader *r, const char *name, bool *ret_found)
{
	struct error *error = NULL;

	*ret_found = false;
	for (size_t i = 0; !error && !*ret_found && i < ARRAY_SIZE(directories); i++) {
		_cleanup_(free_ptr) char *path = string_format("%s/%s", directories[i], name);

		error = path ? read_file(r, path, ret_found) : error_no_memory();
		if (!error && !*ret_found)
			error = note_new(r, directories[i], name);
	}
	return error;
}

static bool is_conf(const char *path)
{
	size_t n = strlen(path);

	return n > 5 && !strcmp(path + n - 5, ".conf");
}

/* Drop-ins that come, go, or change; `directory` relative and real. */
static struct error *note_drop_ins(struct reader *r, const char *directory)
{
	const char *const *paths;
	size_t n = restart_changed_below(r->changed, directory, &paths);
	struct error *error = NULL;

	for (size_t i = 0; !error && i < n; i++)
		if (is_conf(paths[i]))
			error = note_change(r, paths[i]);
	return error;
}

static struct error *read_drop_ins(struct reader *r, const char *directory)
{
	_cleanup_(closedir_ptr) DIR *stream = NULL;
	_cleanup_(free_ptr) char *absolute = string_format("/%s", directory);
	_cleanup_(close_fd) int fd = -1;
	struct dirent *entry;
	bool found;
	struct error *error;

	if (!absolute)
		return error_no_memory();
	error = note_drop_ins(r, directory);
	if (error)
		return error;
	error = io_open_in_root(r->root_fd, absolute, O_RDONLY | O_DIRECTORY, &fd);
	if (error) {
		error_destroy(error);
		return NULL;
	}
	stream = fdopendir(fd);
	if (!stream)
		return error_system(errno, absolute, "cannot read the guest's");
	fd = -1;
	for (size_t n = 0; !error && n < DROP_INS_MAX && (entry = readdir(stream)); n++) {
		_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, entry->d_name);

		if (!path)
			return error_no_memory();
		if (is_conf(entry->d_name))
			error = read_file(r, path, &found);
	}
	return error;
}

/* "X.service.d" in every directory, for the unit, its template, the prefixes of its name, and its type. */
static struct error *read_all_drop_ins(struct reader *r, const char *name)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < ARRAY_SIZE(directories); i++) {
		_cleanup_(free_ptr) char *path = string_format("%s/%s.d", directories[i], name);

		error = path ? read_drop_ins(r, path) : error_no_memory();
	}
	return error;
}

static struct error *read_prefix_drop_ins(struct reader *r, const char *name)
{
	const char *dot = strrchr(name, '.');
	struct error *error = read_all_drop_ins(r, dot + 1);

	for (const char *dash = strchr(name, '-'); !error && dash && dash < dot; dash = strchr(dash + 1, '-')) {
		_cleanup_(free_ptr) char *prefix = string_format("%.*s%s", (int)(dash - name + 1), name, dot);

		error = prefix ? read_all_drop_ins(r, prefix) : error_no_memory();
	}
	return error;
}

static bool accepts(char *text)
{
	bool is = false;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		const char *value = split_line(line);

		if (value && !strcmp(line + strspn(line, " \t"), "Accept"))
			is = is_true(value);
	}
	return is;
}

/* A socket that makes one instance for each connection ends that connection if its instance is restarted. */
static bool is_accepted(const struct reader *r)
{
	_cleanup_(free_ptr) char *socket = string_format(
		"%.*ssocket", (int)(strrchr(r->names.template, '.') - r->names.template + 1), r->names.template);
	_cleanup_(free_ptr) char *plain = NULL;
	const char *at = socket ? strchr(socket, '@') : NULL;

	plain = at ? string_format("%.*s%s", (int)(at - socket), socket, at + 1) : NULL;
	for (size_t i = 0; plain && i < ARRAY_SIZE(directories); i++) {
		_cleanup_(free_ptr) char *path = string_format("%s/%s", directories[i], plain);
		_cleanup_(free_ptr) char *text = NULL;

		if (path && read_text(r->root_fd, path, &text))
			return accepts(text);
	}
	return false;
}

static struct error *read_init_script(struct reader *r)
{
	_cleanup_(free_ptr) char *path =
		string_format("etc/init.d/%.*s", (int)(strrchr(r->names.name, '.') - r->names.name), r->names.name);

	return path ? note_change(r, path) : error_no_memory();
}

static struct error *read_all(struct reader *r)
{
	bool found, is_instance = *r->names.template != '\0';
	struct error *error = read_fragment(r, r->names.name, &found);

	if (!error && !found && is_instance)
		error = read_fragment(r, r->names.template, &found);
	if (!error && !found)
		error = read_init_script(r);
	if (!error)
		error = read_all_drop_ins(r, r->names.name);
	if (!error && is_instance)
		error = read_all_drop_ins(r, r->names.template);
	if (!error)
		error = read_prefix_drop_ins(r, r->names.name);
	if (!error && is_instance)
		r->unit->one_connection = is_accepted(r);
	return error;
}

struct error *restart_unit_read(int root_fd, const struct restart_changed *changed, const char *name,
				struct restart_unit *ret)
{
	struct restart_unit unit = {0};
	struct reader r = {.root_fd = root_fd, .changed = changed, .names = split_name(name), .unit = &unit};
	struct error *error = strchr(name, '.') && !strchr(name, '/') ? read_all(&r) : NULL;

	if (error)
		restart_unit_deinit(&unit);
	else
		*ret = unit;
	return error;
}

void restart_unit_deinit(struct restart_unit *unit)
{
	free(unit->changed);
	*unit = (struct restart_unit){0};
}
