/* SPDX-License-Identifier: Apache-2.0 */
#include "update/front_end.h"

#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/progress.h"
#include "update/os_release.h"

#define PATH_OF_ROOT   "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ASK_TIMEOUT_S  600
#define OS_RELEASE_MAX 65536

/* --- words --- */

static bool is_one_of(const char *word, const char *const *words)
{
	for (; words && *words; words++)
		if (!strcmp(word, *words))
			return true;
	return false;
}

bool front_end_insert(const char *const *words, const char *const *verbs, const char *option, GPtrArray *argv)
{
	bool found = false;

	for (; *words; words++) {
		g_ptr_array_add(argv, strdup(*words));
		if (!found && is_one_of(*words, verbs)) {
			g_ptr_array_add(argv, strdup(option));
			found = true;
		}
	}
	return found;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* --- lists --- */

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char *front_end_sort(const char *text)
{
	gchar **lines = g_strsplit(text, "\n", -1);
	GString *sorted = g_string_new("");

	/* A name's lines stand together by "NAME ", as packages_difference() compares names. */
	qsort(lines, g_strv_length(lines), sizeof(*lines), compare_lines);
	for (gchar **line = lines; *line; line++)
		if (**line)
			g_string_append_printf(sorted, "%s\n", *line);
	g_strfreev(lines);
	return g_string_free(sorted, FALSE);
}

static bool lists_name(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = list; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (!strncmp(line, name, n) && line[n] == ' ')
			return true;
	return false;
}

/* Of a package that may be there in several versions (kernels), one that goes is no removal. */
struct error *front_end_removed(const char *before, const char *after, char **ret)
{
	GString *names = g_string_new("");

	for (const char *line = before; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		_cleanup_(free_ptr) char *name = strndup(line, strcspn(line, " \n"));

		if (!name) {
			g_string_free(names, TRUE);
			return error_no_memory();
		}
		if (*name && !lists_name(after, name))
			g_string_append_printf(names, "%s%s", names->len ? " " : "", name);
	}
	*ret = g_string_free(names, FALSE);
	return NULL;
}

/* --- the guest as it sleeps --- */

bool front_end_has(int root_fd, const char *path)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error = io_open_in_root(root_fd, path, O_PATH, &fd);

	error_destroy(error);
	return !error;
}

/* --- programs in the shadow --- */

/* NAME=VALUE, NULL-terminated; a proxy is known to all of them by its variables. */
static GPtrArray *make_environment(const struct vm_file *file)
{
	static const char *const fixed[] = {"PATH=" PATH_OF_ROOT,       "HOME=/root", "LANG=C.UTF-8", "TERM=dumb",
					    "DNF5_FORCE_INTERACTIVE=0", NULL};
	static const char *const proxies[] = {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"};
	GPtrArray *environment = g_ptr_array_new_with_free_func(free);

	packages_add_words(environment, fixed);
	for (size_t i = 0; file->proxy && i < ARRAY_SIZE(proxies); i++)
		g_ptr_array_add(environment, string_format("%s=%s", proxies[i], file->proxy));
	g_ptr_array_add(environment, NULL);
	return environment;
}

struct error *front_end_ask(const struct package_run *run, const char *const *argv, int *ret_status, char **ret)
{
	GPtrArray *environment = make_environment(run->file);
	struct shadow_run_options options = {
		.argv = argv, .env = (const char *const *)environment->pdata, .timeout_s = ASK_TIMEOUT_S};
	struct error *error = shadow_capture(run->shadow, &options, ret_status, ret);

	g_ptr_array_free(environment, TRUE);
	return error_wrap(error, "%s in the shadow", argv[0]);
}

/* What is asked of the guest before the first step. */
struct facts {
	char *program; /* absolute */
	bool rolls;    /* the distribution has no releases: its upgrade is one to another state of it */
};

/* Releases that are never upgraded package by package (zypper(8), dist-upgrade). */
static bool rolls(const char *id)
{
	static const char *const ids[] = {"opensuse-tumbleweed", "opensuse-slowroll", "opensuse-microos", NULL};

	return is_one_of(id, ids);
}

static struct error *find_facts(const struct front_end *f, const struct package_run *run, struct facts *ret)
{
	static const char script[] = "for name; do command -v \"$name\" && break; done; echo; cat /etc/os-release";
	GPtrArray *argv = g_ptr_array_new_with_free_func(free);
	_cleanup_(free_ptr) char *output = NULL, *id = NULL;
	struct error *error;
	int status;

	packages_add_words(argv, (const char *const[]){"/bin/sh", "-c", script, "sh", NULL});
	packages_add_words(argv, f->programs);
	g_ptr_array_add(argv, NULL);
	error = front_end_ask(run, (const char *const *)argv->pdata, &status, &output);
	g_ptr_array_free(argv, TRUE);
	if (error)
		return error;
	if (*output != '/')
		return error_create(ERROR_UNSUPPORTED, "the guest has no program %s", f->programs[0]);
	id = os_release_value(strchr(output, '\n'), "ID");
	ret->program = strndup(output, strcspn(output, "\n"));
	ret->rolls = id && rolls(id);
	return ret->program ? NULL : error_no_memory();
}

/* The sources of the VM file come in through standard input: nothing of the host's is visible in the shadow. */
static void add_sources(const struct front_end *f, const struct package_run *run, GPtrArray *argv)
{
	static const char script[] = "mkdir -p \"${0%/*}\" && cat >\"$0\" && exec \"$@\" </dev/null";

	if (run->file->sources)
		packages_add_words(argv, (const char *const[]){"/bin/sh", "-c", script, f->sources, NULL});
}

static GPtrArray *begin_argv(const struct front_end *f, const struct package_run *run, const char *program)
{
	GPtrArray *argv = g_ptr_array_new_with_free_func(free);

	add_sources(f, run, argv);
	g_ptr_array_add(argv, strdup(program));
	packages_add_words(argv, f->options);
	if (run->file->sources)
		packages_add_words(argv, f->sources_options);
	return argv;
}

/* Takes the vector. */
static struct error *run_step(const struct front_end *f, const struct package_run *run, GPtrArray *argv, bool network,
			      const char *what)
{
	GPtrArray *environment = make_environment(run->file), *hosts = g_ptr_array_new_with_free_func(free);
	struct shadow_network net = {.enabled = network};
	struct shadow_run_options options = {
		.env = (const char *const *)environment->pdata,
		.network = &net,
		.output_fd = run->log_fd > 0 ? run->log_fd : 0,
		.output_max = UPDATE_LOG_MAX,
		.timeout_s = run->options->timeout_s,
	};
	_cleanup_(close_fd) int sources_fd = -1;
	struct error *error = vm_file_hosts(run->file, hosts);
	int status = 0;

	g_ptr_array_add(argv, NULL);
	options.argv = (const char *const *)argv->pdata;
	net.allow_hosts = (const char *const *)hosts->pdata;
	if (!error && run->file->sources) {
		sources_fd = open(run->file->sources, O_RDONLY | O_CLOEXEC);
		error = sources_fd < 0 ? error_system(errno, run->file->sources, "cannot open the sources") : NULL;
		options.stdin_fd = sources_fd;
	}
	if (!error)
		error = shadow_run(run->shadow, &options, &status);
	if (!error && status != 0 && !(f->accepts && !network && f->accepts(status)))
		error = error_remedy(
			packages_failed(what, status), "see %s%s", run->log_path ? run->log_path : "its output",
			network ? "; a source or proxy in a private address range must be named in [update] of the VM "
				  "file"
				: "");
	g_ptr_array_free(argv, TRUE);
	g_ptr_array_free(environment, TRUE);
	g_ptr_array_free(hosts, TRUE);
	return error;
}

static GPtrArray *step_argv(const struct front_end *f, const struct package_run *run, const struct facts *facts,
			    const char *const *words)
{
	GPtrArray *argv = begin_argv(f, run, facts->program);

	for (; *words; words++)
		g_ptr_array_add(argv, strdup(strcmp(*words, "@upgrade")   ? *words
					     : facts->rolls && f->rolling ? f->rolling
									  : f->upgrade));
	return argv;
}

static struct error *refresh(const struct front_end *f, const struct package_run *run, const struct facts *facts)
{
	progress_step("lists", "fetching the package lists");
	return run_step(f, run, step_argv(f, run, facts, f->refresh), true, "refreshing the package lists");
}

/* What was out of order before is not ours to build upon. */
static struct error *begin(const struct front_end *f, const struct package_run *run, struct facts *ret)
{
	struct error *error = find_facts(f, run, ret);

	if (!error) {
		error = f->audit(run);
		if (error && error->code == ERROR_FAILED)
			error = error_remedy(
				error_recode(error_wrap(error, "before the update"), ERROR_CONFLICT),
				"repair it in the guest, or give a command that does: ouassister update VM -- "
				"COMMAND");
	}
	return error;
}

static struct error *compare(const struct front_end *f, const struct package_run *run, const char *before)
{
	_cleanup_(free_ptr) char *after = NULL, *removed = NULL;
	struct error *error = f->list(run, &after);

	if (!error && !strcmp(before, after))
		return error_create(ERROR_NOTHING, "the guest is up to date");
	if (!error)
		error = front_end_removed(before, after, &removed);
	if (!error && *removed && !run->options->allow_remove)
		error = error_remedy(error_create(ERROR_FAILED, "the upgrade would remove packages: %s", removed),
				     "if that is right, add --allow-remove");
	return error;
}

static struct error *upgrade(const struct front_end *f, const struct package_run *run, const struct facts *facts)
{
	_cleanup_(free_ptr) char *before = NULL;
	struct error *error = f->list(run, &before);

	if (!error)
		error = refresh(f, run, facts);
	if (error)
		return error;
	progress_step("download", "downloading packages");
	error = run_step(f, run, step_argv(f, run, facts, f->download), true, "downloading the packages");
	if (error)
		return error;
	progress_step("install", "running the upgrade in the shadow, without network");
	error = run_step(f, run, step_argv(f, run, facts, f->install), false, "the upgrade");
	return error ? error : compare(f, run, before);
}

/* What was asked for and cannot be had is not passed over. */
static struct error *refuse_options(const struct package_run *run)
{
	const struct emulate_options *options = run->options;
	const char *name = options->conffiles    ? "--conffiles"
			   : options->preseed    ? "--preseed"
			   : options->keep_going ? "--keep-going"
						 : NULL;

	return name ? error_create(ERROR_USAGE, "%s is for guests with dpkg: this one's package manager is another",
				   name)
		    : NULL;
}

struct error *front_end_upgrade(const struct front_end *f, const struct package_run *run)
{
	struct facts facts = {0};
	struct error *error = refuse_options(run);

	if (!error)
		error = begin(f, run, &facts);
	if (!error)
		error = upgrade(f, run, &facts);
	free(facts.program);
	return error;
}

/* The user's own command of the manager: once to download, with the network, then without. */
static struct error *run_halves(const struct front_end *f, const struct package_run *run, const struct facts *facts)
{
	const char *const *command = run->options->command;
	GPtrArray *argv = begin_argv(f, run, command[0]);
	struct error *error = NULL;

	if (f->download_words(command + 1, argv)) {
		error = refresh(f, run, facts);
		if (!error) {
			progress_step("download", "downloading packages");
			error = run_step(f, run, argv, true, "downloading the packages");
		} else {
			g_ptr_array_free(argv, TRUE);
		}
	} else {
		g_ptr_array_free(argv, TRUE);
	}
	if (error)
		return error;
	argv = begin_argv(f, run, command[0]);
	packages_add_words(argv, f->offline);
	packages_add_words(argv, command + 1);
	progress_step("install", "running the command in the shadow, without network");
	return run_step(f, run, argv, false, command[0]);
}

static struct error *run_whole(const struct front_end *f, const struct package_run *run)
{
	GPtrArray *argv = g_ptr_array_new_with_free_func(free);

	packages_add_words(argv, run->options->command);
	progress_step("command", "running the command in the shadow");
	return run_step(f, run, argv, run->options->network, run->options->command[0]);
}

struct error *front_end_command(const struct front_end *f, const struct package_run *run)
{
	struct facts facts = {0};
	struct error *error = refuse_options(run);

	if (error)
		return error;
	if (run->options->network || !is_one_of(base_name(run->options->command[0]), f->programs))
		return run_whole(f, run);
	error = find_facts(f, run, &facts);
	if (!error)
		error = run_halves(f, run, &facts);
	free(facts.program);
	return error;
}
