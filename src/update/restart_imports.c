/* SPDX-License-Identifier: Apache-2.0 */
#include "update/restart_imports.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"

void imports_init(struct imports *imports, int root_fd, enum import_language language)
{
	*imports = (struct imports){.root_fd = root_fd, .language = language};
	imports->directories = g_ptr_array_new_with_free_func(g_free);
	imports->queue = g_ptr_array_new();
	imports->seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

void imports_deinit(struct imports *imports)
{
	g_ptr_array_free(imports->directories, TRUE);
	g_ptr_array_free(imports->queue, TRUE);
	g_hash_table_destroy(imports->seen);
	*imports = (struct imports){0};
}

/* Without '/' at both ends. */
static char *relative(const char *path)
{
	size_t n;

	path += strspn(path, "/");
	for (n = strlen(path); n && path[n - 1] == '/'; n--)
		;
	return g_strndup(path, n);
}

void imports_add_directory(struct imports *imports, const char *path)
{
	g_ptr_array_add(imports->directories, relative(path));
}

bool imports_add_file(struct imports *imports, const char *path)
{
	char absolute[PATH_MAX], real[PATH_MAX];
	uint32_t mode;
	char *copy;

	if (snprintf(absolute, sizeof(absolute), "/%s", path) >= (int)sizeof(absolute) ||
	    !restart_real_path(imports->root_fd, absolute, real, &mode) || !S_ISREG(mode))
		return false;
	if (g_hash_table_contains(imports->seen, real))
		return true;
	if (imports->queue->len == IMPORTS_FILES_MAX) {
		imports->cut = true;
		return true;
	}
	copy = g_strdup(real);
	g_hash_table_add(imports->seen, copy);
	g_ptr_array_add(imports->queue, copy);
	return true;
}

/* "DIRECTORY/PATH" with an ending. */
static bool add_in(struct imports *imports, const char *directory, const char *path, const char *ending)
{
	_cleanup_(free_ptr) char *whole = string_format("%s%s%s%s", directory, *directory ? "/" : "", path, ending);

	return whole && imports_add_file(imports, whole);
}

/* a.b.c: a's and b's __init__.py are run as well. `name` with '/' for '.'. */
static bool add_python(struct imports *imports, const char *directory, const char *name)
{
	_cleanup_(free_ptr) char *part = strdup(name);
	bool found;

	if (!part)
		return false;
	for (char *slash = strchr(part, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		add_in(imports, directory, part, "/__init__.py");
		*slash = '/';
	}
	found = add_in(imports, directory, name, ".py");
	return add_in(imports, directory, name, "/__init__.py") || found;
}

static bool add_by_path(struct imports *imports, const char *name)
{
	for (unsigned i = 0; i < imports->directories->len; i++) {
		const char *directory = g_ptr_array_index(imports->directories, i);
		bool found = imports->language == IMPORTS_OF_PERL ? add_in(imports, directory, name, ".pm")
								  : add_python(imports, directory, name);

		if (found)
			return true;
	}
	return false;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* "a.b" or "A::B" as a path; false: it is no name. */
static bool name_to_path(const char *name, size_t n, char path[PATH_MAX])
{
	size_t used = 0;

	for (size_t i = 0; i < n && used + 2 < PATH_MAX; i++) {
		if (name[i] == ':' && i + 1 < n && name[i + 1] == ':') {
			path[used++] = '/';
			i++;
		} else if (name[i] == '.') {
			path[used++] = '/';
		} else if (is_word(name[i])) {
			path[used++] = name[i];
		} else {
			return false;
		}
	}
	path[used] = '\0';
	return used > 0;
}

bool imports_add_module(struct imports *imports, const char *name)
{
	char path[PATH_MAX];

	return name_to_path(name, strlen(name), path) && add_by_path(imports, path);
}

/* --- Python --- */

static size_t name_length(const char *text, const char *more)
{
	size_t n = 0;

	while (text[n] && (is_word(text[n]) || strchr(more, text[n])))
		n++;
	return n;
}

/* "import a.b as c, d" behind the first word. */
static void python_import(struct imports *imports, const char *text)
{
	for (;;) {
		char path[PATH_MAX];
		size_t n;

		text += strspn(text, " \t");
		n = name_length(text, ".");
		if (!n || !name_to_path(text, n, path))
			return;
		add_by_path(imports, path);
		text += strcspn(text, ",\n#;");
		if (*text++ != ',')
			return;
	}
}

/* The directory that the leading dots of a relative import mean; `file` is the importing one's path. */
static bool python_package(const char *file, size_t dots, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s", file);
	for (size_t i = 0; i < dots; i++) {
		char *slash = strrchr(ret, '/');

		if (!slash)
			return false;
		*slash = '\0';
	}
	return true;
}

/* Each name may be a module of the package at DIRECTORY/PATH; directory NULL: searched for. */
static void python_names(struct imports *imports, const char *directory, const char *path, const char *text)
{
	while (*text) {
		size_t n;

		text += strspn(text, " \t\n,()\\");
		n = name_length(text, "");
		if (!n)
			return;
		if (!(n == 2 && !strncmp(text, "as", 2))) {
			_cleanup_(free_ptr) char *module =
				string_format("%s%s%.*s", path, *path ? "/" : "", (int)n, text);

			if (module && directory)
				add_python(imports, directory, module);
			else if (module)
				add_by_path(imports, module);
		}
		text += n;
	}
}

/* "from ..a.b import c, d" behind the first word. */
static void python_from(struct imports *imports, const char *file, const char *text)
{
	char directory[PATH_MAX] = "", path[PATH_MAX] = "";
	size_t dots, n;

	text += strspn(text, " \t");
	dots = strspn(text, ".");
	text += dots;
	n = name_length(text, ".");
	if ((n && !name_to_path(text, n, path)) || (!n && !dots))
		return;
	text += n;
	text += strspn(text, " \t");
	if (strncmp(text, "import", 6) != 0 || is_word(text[6]))
		return;
	if (dots && !python_package(file, dots, directory))
		return;
	if (dots && n)
		add_python(imports, directory, path);
	else if (dots)
		add_in(imports, directory, "__init__", ".py");
	else
		add_by_path(imports, path);
	python_names(imports, dots ? directory : NULL, path, text + 6);
}

/* Where a statement ends: names in brackets go over several lines. The statement is then one string. */
static char *python_statement(char *line)
{
	char *end = line + strcspn(line, "\n");
	char *open = memchr(line, '(', (size_t)(end - line));

	if (open) {
		char *closing = strchr(open, ')');

		if (closing)
			end = closing;
	}
	return end;
}

static void read_python(struct imports *imports, const char *path, char *text)
{
	while (*text) {
		char *line = text + strspn(text, " \t");
		bool from = !strncmp(line, "from", 4) && (line[4] == ' ' || line[4] == '\t');
		bool import = !strncmp(line, "import", 6) && (line[6] == ' ' || line[6] == '\t');
		char *end = from ? python_statement(line) : line + strcspn(line, "\n");
		bool last = !*end;

		*end = '\0';
		if (from)
			python_from(imports, path, line + 5);
		else if (import)
			python_import(imports, line + 7);
		text = last ? end : end + 1;
	}
}

/* --- Perl --- */

/* The words in quotes or qw(): "use parent -norequire, 'A::B', qw(C D)". */
static void perl_words(struct imports *imports, const char *text, bool directories)
{
	while (*text) {
		const char *more = directories ? ":/.-+" : ":";
		char path[PATH_MAX];
		size_t n = name_length(text, more);

		if (n && directories && *text == '/') {
			snprintf(path, sizeof(path), "%.*s", (int)n, text);
			imports_add_directory(imports, path);
		} else if (n && !directories && isupper((unsigned char)*text) && name_to_path(text, n, path)) {
			add_by_path(imports, path);
		}
		text += n ? n : 1;
	}
}

/* require "FILE.pl" */
static void perl_file(struct imports *imports, const char *text)
{
	char quote = *text++;
	size_t n = strcspn(text, quote == '"' ? "\"" : "'");

	for (unsigned i = 0; i < imports->directories->len; i++) {
		_cleanup_(free_ptr) char *name = strndup(text, n);

		if (!name || strchr(name, '$') || add_in(imports, g_ptr_array_index(imports->directories, i), name, ""))
			return;
	}
}

/* What follows "use" or "require". */
static void perl_statement(struct imports *imports, const char *text)
{
	char path[PATH_MAX];
	size_t n;

	text += strspn(text, " \t");
	if (*text == '"' || *text == '\'') {
		perl_file(imports, text);
		return;
	}
	n = name_length(text, ":");
	if (!n || isdigit((unsigned char)*text) || !name_to_path(text, n, path))
		return;
	add_by_path(imports, path);
	if (!strcmp(path, "parent") || !strcmp(path, "base") || !strcmp(path, "lib"))
		perl_words(imports, text + n, !strcmp(path, "lib"));
}

/* Statements begin with the line, or behind one of these: "eval { require X; 1 }". */
static void perl_line(struct imports *imports, const char *line)
{
	while (line) {
		line += strspn(line, " \t;{(");
		if (*line == '#')
			return;
		if (!strncmp(line, "use ", 4))
			perl_statement(imports, line + 4);
		else if (!strncmp(line, "require ", 8))
			perl_statement(imports, line + 8);
		line = strpbrk(line, ";{(");
	}
}

static void read_perl(struct imports *imports, char *text)
{
	bool pod = false;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		if (*line == '=' && isalpha((unsigned char)line[1]))
			pod = strncmp(line, "=cut", 4) != 0;
		if (pod || *line == '=')
			continue;
		if (!strncmp(line, "__END__", 7) || !strncmp(line, "__DATA__", 8))
			return;
		perl_line(imports, line);
	}
}

/* --- both --- */

void imports_read_text(struct imports *imports, const char *path, char *text)
{
	if (imports->language == IMPORTS_OF_PYTHON)
		read_python(imports, path, text);
	else
		read_perl(imports, text);
}

static void read_one(struct imports *imports, const char *path)
{
	_cleanup_(free_ptr) char *text = NULL;
	_cleanup_(free_ptr) char *absolute = string_format("/%s", path);
	size_t size = 0;
	struct error *error = absolute ? io_read_in_root(imports->root_fd, absolute, IMPORTS_FILE_MAX, &text, &size)
				       : error_no_memory();

	imports->cut |= error != NULL;
	error_destroy(error);
	if (error)
		return;
	imports->bytes += size;
	imports_read_text(imports, path, text);
}

void imports_follow(struct imports *imports)
{
	while (imports->next < imports->queue->len) {
		if (imports->bytes > IMPORTS_BYTES_MAX) {
			imports->cut = true;
			return;
		}
		read_one(imports, g_ptr_array_index(imports->queue, imports->next++));
	}
}
