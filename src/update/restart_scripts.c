/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interpreters. Their own program and libraries, and modules that are shared objects, are mapped; archives of Java
 * classes are open. What is left are scripts and modules that were read once and closed again: those of Python and
 * Perl are looked for where needrestart looks, in the import statements of the script; of the other languages, and
 * where a script cannot be read, it can only be said that modules changed which the process could have loaded.
 */
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/io.h"
#include "update/restart.h"
#include "update/restart_imports.h"

#define DIRECTORIES_MAX 24

/* "{exe}": the program's own name; "*": every directory there whose name begins with a digit. Absolute in the guest. */
static const struct interpreter {
	const char *program; /* what the name of the program begins with; digits, dots and '-' may follow */
	bool traced;
	enum import_language language;
	const char *suffixes; /* of modules, each between blanks */
	const char *options;  /* letters of options that take the next word */
	const char *directories[DIRECTORIES_MAX];
} interpreters[] = {
	{"python",
	 true,
	 IMPORTS_OF_PYTHON,
	 " .py ",
	 "WX",
	 {"/usr/lib/{exe}", "/usr/lib64/{exe}", "/usr/local/lib/{exe}/dist-packages", "/usr/lib/python3/dist-packages",
	  "/usr/lib/python2.7/dist-packages", "/usr/lib/{exe}/site-packages", "/usr/lib64/{exe}/site-packages",
	  "/usr/local/lib/{exe}/site-packages", "/usr/local/lib64/{exe}/site-packages"}},
	{"perl",
	 true,
	 IMPORTS_OF_PERL,
	 " .pm .pl .ph ",
	 "I",
	 {"/etc/perl", "/usr/local/lib/x86_64-linux-gnu/perl/*", "/usr/local/share/perl/*",
	  "/usr/lib/x86_64-linux-gnu/perl5/*", "/usr/share/perl5", "/usr/lib/x86_64-linux-gnu/perl-base",
	  "/usr/lib/x86_64-linux-gnu/perl/*", "/usr/share/perl/*", "/usr/local/lib/site_perl",
	  "/usr/local/lib64/perl5/*", "/usr/local/share/perl5/*", "/usr/lib64/perl5/vendor_perl",
	  "/usr/share/perl5/vendor_perl", "/usr/lib64/perl5"}},
	{"ruby",
	 false,
	 0,
	 " .rb ",
	 "",
	 {"/usr/lib/ruby", "/usr/share/ruby", "/usr/share/rubygems-integration", "/var/lib/gems", "/usr/share/gems"}},
	{"nodejs", false, 0, " .js .mjs .cjs ", "", {"/usr/share/nodejs", "/usr/lib/nodejs", "/usr/lib/node_modules"}},
	{"node", false, 0, " .js .mjs .cjs ", "", {"/usr/share/nodejs", "/usr/lib/nodejs", "/usr/lib/node_modules"}},
	{"php-fpm", false, 0, " .php .inc ", "", {"/usr/share/php", "/usr/share/pear"}},
	{"php", false, 0, " .php .inc ", "", {"/usr/share/php", "/usr/share/pear"}},
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The program's name without what the kernel adds to a deleted one's. */
static void program_of(const struct guest_task *task, char ret[256])
{
	const char *name = base_name(task->exe);

	snprintf(ret, 256, "%.*s", (int)strcspn(name, " "), name);
}

static const struct interpreter *find_interpreter(const char *program)
{
	for (size_t i = 0; i < ARRAY_SIZE(interpreters); i++) {
		size_t n = strlen(interpreters[i].program);

		if (!strncmp(program, interpreters[i].program, n) && !program[n + strspn(program + n, "0123456789.-")])
			return &interpreters[i];
	}
	return NULL;
}

/* --- where modules are --- */

static char *with_program(const char *pattern, const char *program)
{
	const char *place = strstr(pattern, "{exe}");

	if (!place)
		return strdup(pattern);
	return string_format("%.*s%s%s", (int)(place - pattern), pattern, program, place + 5);
}

static void add_versions(int root_fd, const char *parent, GPtrArray *directories)
{
	_cleanup_(closedir_ptr) DIR *stream = NULL;
	_cleanup_(close_fd) int fd = -1;
	struct dirent *entry;
	struct error *error = io_open_in_root(root_fd, parent, O_RDONLY | O_DIRECTORY, &fd);

	error_destroy(error);
	if (error)
		return;
	stream = fdopendir(fd);
	if (!stream)
		return;
	fd = -1;
	while (directories->len < 4 * DIRECTORIES_MAX && (entry = readdir(stream)))
		if (isdigit((unsigned char)*entry->d_name))
			g_ptr_array_add(directories, g_strdup_printf("%s/%s", parent, entry->d_name));
}

static GPtrArray *module_directories(const struct interpreter *interpreter, const char *program, int root_fd)
{
	GPtrArray *directories = g_ptr_array_new_with_free_func(g_free);

	for (size_t i = 0; i < DIRECTORIES_MAX && interpreter->directories[i]; i++) {
		_cleanup_(free_ptr) char *path = with_program(interpreter->directories[i], program);
		size_t n = path ? strlen(path) : 0;

		if (n > 2 && !strcmp(path + n - 2, "/*")) {
			path[n - 2] = '\0';
			add_versions(root_fd, path, directories);
		} else if (n) {
			g_ptr_array_add(directories, g_strdup(path));
		}
	}
	return directories;
}

static bool has_suffix_of(const struct interpreter *interpreter, const char *path)
{
	const char *dot = strrchr(base_name(path), '.');
	char word[16];

	return dot && snprintf(word, sizeof(word), " %s ", dot) < (int)sizeof(word) &&
	       strstr(interpreter->suffixes, word);
}

/* The first module below the directory that changes; NULL: none. */
static const char *changed_module(const struct interpreter *interpreter, const struct restart_changed *changed,
				  const char *directory)
{
	const char *const *paths;
	size_t n = restart_changed_below(changed, directory + strspn(directory, "/"), &paths);

	for (size_t i = 0; i < n; i++)
		if (has_suffix_of(interpreter, paths[i]))
			return paths[i];
	return NULL;
}

static const char *changed_in(const struct interpreter *interpreter, const struct restart_changed *changed,
			      const GPtrArray *directories)
{
	const char *found = NULL;

	for (unsigned i = 0; !found && i < directories->len; i++)
		found = changed_module(interpreter, changed, g_ptr_array_index(directories, i));
	return found;
}

/* --- the script --- */

struct script {
	char path[PATH_MAX];   /* absolute; "": there is none, or it cannot be told */
	char module[PATH_MAX]; /* python -m */
};

static const char *next_word(const struct guest_bytes *cmdline, const char *word)
{
	const char *end = cmdline->data + cmdline->size;
	const char *zero = memchr(word, 0, (size_t)(end - word));

	return zero && zero + 1 < end && memchr(zero + 1, 0, (size_t)(end - zero - 1)) ? zero + 1 : NULL;
}

static struct error *make_absolute(struct guest *guest, const struct guest_task *task, const char *word,
				   struct script *script)
{
	_cleanup_(free_ptr) char *cwd = NULL;
	struct error *error;

	if (*word == '/') {
		snprintf(script->path, sizeof(script->path), "%s", word);
		return NULL;
	}
	error = guest_task_cwd(guest, task->address, &cwd);
	if (!error && *cwd == '/')
		snprintf(script->path, sizeof(script->path), "%s/%s", cwd, word);
	if (error && error->code == ERROR_NO_MEMORY)
		return error;
	error_destroy(error);
	return NULL;
}

/* Links to the script are followed: Python looks for modules beside the file itself. */
static void resolve(int root_fd, struct script *script)
{
	char real[PATH_MAX];
	uint32_t mode;

	if (*script->path && restart_real_path(root_fd, script->path, real, &mode) && strlen(real) + 1 < PATH_MAX)
		snprintf(script->path, sizeof(script->path), "/%.*s", PATH_MAX - 2, real);
}

/* The first word that is no option. A program given on the command line (-c, -e) is no file. */
static struct error *find_script(const struct restart_input *input, const struct interpreter *interpreter,
				 const struct guest_task *task, struct script *script)
{
	const char *word = task->cmdline.data && task->cmdline.size ? task->cmdline.data : NULL;
	struct error *error;

	*script = (struct script){0};
	while (word && (word = next_word(&task->cmdline, word))) {
		if (*word != '-') {
			error = make_absolute(input->guest, task, word, script);
			resolve(input->root_fd, script);
			return error;
		}
		if (!strcmp(word, "-c") || !strcmp(word, "-e") || !strcmp(word, "-E") || !strcmp(word, "-"))
			return NULL;
		if (!strcmp(word, "-m") && interpreter->language == IMPORTS_OF_PYTHON) {
			word = next_word(&task->cmdline, word);
			snprintf(script->module, sizeof(script->module), "%s", word ? word : "");
			return NULL;
		}
		if (word[1] && !word[2] && strchr(interpreter->options, word[1]))
			word = next_word(&task->cmdline, word);
	}
	return NULL;
}

/* PYTHONPATH and PERL5LIB, if its environment has them. */
static struct error *add_environment(struct guest *guest, const struct guest_task *task, struct imports *imports)
{
	const char *key = imports->language == IMPORTS_OF_PERL ? "PERL5LIB=" : "PYTHONPATH=";
	struct guest_bytes environment = {0};
	_cleanup_(free_ptr) char *data = NULL;
	struct error *error = guest_task_environ(guest, task->address, &environment);

	data = environment.data;
	if (error && error->code == ERROR_NO_MEMORY)
		return error;
	error_destroy(error);
	for (size_t i = 0; data && i < environment.size; i += strnlen(data + i, environment.size - i) + 1) {
		_cleanup_(free_ptr) char *entry = strndup(data + i, environment.size - i);
		char *rest = entry ? entry + strlen(key) : NULL, *directory;

		if (!entry || strncmp(entry, key, strlen(key)) != 0)
			continue;
		while ((directory = strsep(&rest, ":")))
			if (*directory == '/')
				imports_add_directory(imports, directory);
	}
	return NULL;
}

/* The directory of the script comes first in Python; a virtual environment's comes with its interpreter's link. */
static void add_python_directories(const struct guest_task *task, const struct script *script, const char *program,
				   struct imports *imports)
{
	_cleanup_(free_ptr) char *directory = strndup(script->path, (size_t)(base_name(script->path) - script->path));
	const char *argv0 = task->cmdline.data;
	const char *name;

	if (directory && *directory)
		imports_add_directory(imports, directory);
	if (!argv0 || *argv0 != '/' || !memchr(argv0, 0, task->cmdline.size))
		return;
	name = base_name(argv0);
	if (name - argv0 > 5 && !strncmp(name - 5, "/bin/", 5)) {
		_cleanup_(free_ptr) char *site =
			string_format("%.*s/lib/%s/site-packages", (int)(name - argv0 - 5), argv0, program);

		if (site)
			imports_add_directory(imports, site);
	}
}

static struct error *add_changed(const struct restart_changed *changed, const struct imports *imports,
				 struct restart_reasons *reasons)
{
	struct error *error = NULL;

	for (unsigned i = 0; !error && i < imports->queue->len; i++) {
		const char *path = g_ptr_array_index(imports->queue, i);
		_cleanup_(free_ptr) char *absolute = string_format("/%s", path);

		if (restart_changed_path(changed, path))
			error = absolute ? restart_reasons_add(reasons, RESTART_MODULE, absolute) : error_no_memory();
	}
	return error;
}

static struct error *trace(const struct restart_input *input, const struct guest_task *task,
			   const struct interpreter *interpreter, const char *program, const GPtrArray *directories,
			   struct restart_reasons *reasons, bool *ret_certain)
{
	_cleanup_(imports_deinit) struct imports imports;
	struct script script;
	struct error *error = find_script(input, interpreter, task, &script);

	imports_init(&imports, input->root_fd, interpreter->language);
	if (!error)
		error = add_environment(input->guest, task, &imports);
	if (error)
		return error;
	if (interpreter->language == IMPORTS_OF_PYTHON)
		add_python_directories(task, &script, program, &imports);
	for (unsigned i = 0; i < directories->len; i++)
		imports_add_directory(&imports, g_ptr_array_index(directories, i));
	if (*script.module) {
		_cleanup_(free_ptr) char *main_module = string_format("%s.__main__", script.module);

		*ret_certain = imports_add_module(&imports, script.module);
		if (main_module)
			imports_add_module(&imports, main_module);
	} else {
		*ret_certain = *script.path && imports_add_file(&imports, script.path);
	}
	imports_follow(&imports);
	*ret_certain &= !imports.cut;
	return add_changed(input->changed, &imports, reasons);
}

/* Something of its language changes at all: nothing else need be looked at in most updates. */
static bool concerns(const struct restart_input *input, const struct interpreter *interpreter)
{
	for (size_t i = 0; i < input->changed->n_paths; i++)
		if (has_suffix_of(interpreter, input->changed->paths[i]))
			return true;
	return false;
}

/* A script need not have an ending ("/usr/bin/networkd-dispatcher"). */
static struct error *look_at_script_alone(const struct restart_input *input, const struct guest_task *task,
					  const struct interpreter *interpreter, struct restart_reasons *reasons)
{
	struct script script;
	struct error *error = find_script(input, interpreter, task, &script);

	if (error || !*script.path || !restart_changed_path(input->changed, script.path + 1))
		return error;
	return restart_reasons_add(reasons, RESTART_MODULE, script.path);
}

/* Containers and other roots have files of their own, which the update leaves alone. */
static bool has_own_root(struct guest *guest, const struct guest_task *task)
{
	_cleanup_(free_ptr) char *root = NULL;
	struct error *error = guest_task_root(guest, task->address, &root);

	error_destroy(error);
	return error || strcmp(root, "/") != 0;
}

struct error *restart_look_at_script(const struct restart_input *input, const struct guest_task *task,
				     struct restart_reasons *reasons)
{
	const struct interpreter *interpreter;
	GPtrArray *directories;
	char program[256];
	const char *possible;
	bool certain = false;
	struct error *error;

	if (!task->exe)
		return NULL;
	program_of(task, program);
	interpreter = find_interpreter(program);
	if (!interpreter || has_own_root(input->guest, task))
		return NULL;
	error = look_at_script_alone(input, task, interpreter, reasons);
	if (error || !concerns(input, interpreter))
		return error;
	directories = module_directories(interpreter, program, input->root_fd);
	possible = changed_in(interpreter, input->changed, directories);
	if (interpreter->traced)
		error = trace(input, task, interpreter, program, directories, reasons, &certain);
	if (!error && possible && !certain) {
		_cleanup_(free_ptr) char *file = string_format("/%s", possible);

		error = file ? restart_reasons_add(reasons, RESTART_POSSIBLY, file) : error_no_memory();
	}
	g_ptr_array_free(directories, TRUE);
	return error;
}
