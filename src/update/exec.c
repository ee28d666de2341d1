/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `exec`: a program of the guest in a shadow of its own, which is thrown away.
 *
 * Nothing that lasts is written, so several may run beside each other: each in a scratch directory of its own, sharing
 * the lock on the disk against those who suspend, update or resume.
 */
#include <glib.h>
#include <string.h>

#include "base/io.h"
#include "base/progress.h"
#include "update/exec_user.h"
#include "update/keeping.h"
#include "update/os_release.h"
#include "update/session.h"
#include "update/sleeping.h"

#define PATH_OF_ROOT  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PATH_OF_USERS "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
#define LOCALE_MAX    65536

struct execution {
	struct session *session;
	struct sleeping *sleeping;
	const struct exec_options *options;
	struct exec_user user;
	GPtrArray *environment; /* NAME=VALUE, owned, NULL at the end */
	struct shadow *shadow;
	struct keeping keeping;
};

/* Replaces the value that the name has already. Takes `assignment`; NULL: no memory. */
static struct error *set_variable(GPtrArray *environment, char *assignment)
{
	size_t length;

	if (!assignment)
		return error_no_memory();
	length = strcspn(assignment, "=") + 1;
	for (guint i = 0; i < environment->len; i++)
		if (!strncmp(environment->pdata[i], assignment, length)) {
			free(environment->pdata[i]);
			environment->pdata[i] = assignment;
			return NULL;
		}
	g_ptr_array_add(environment, assignment);
	return NULL;
}

/* The guest's own choice, Debian's file or that of systemd; NULL: none. */
static char *find_language(int root_fd)
{
	static const char *const paths[] = {"/etc/default/locale", "/etc/locale.conf"};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_(free_ptr) char *text = NULL, *value = NULL;
		struct error *error = io_read_in_root(root_fd, paths[i], LOCALE_MAX, &text, NULL);

		if (error) {
			error_destroy(error);
			continue;
		}
		value = os_release_value(text, "LANG");
		if (value && *value && strcmp(value, "unknown") != 0)
			return take_ptr(value);
	}
	return NULL;
}

/* Nothing of the host's environment but the kind of terminal it is. */
static struct error *build_environment(struct execution *e)
{
	const struct exec_user *user = &e->user;
	const char *name = user->name ? user->name : "unknown";
	_cleanup_(free_ptr) char *language = find_language(disk_root(e->sleeping->disk));
	char *assignments[] = {
		string_format("PATH=%s", user->ids.uid == 0 ? PATH_OF_ROOT : PATH_OF_USERS),
		string_format("HOME=%s", user->home),
		string_format("USER=%s", name),
		string_format("LOGNAME=%s", name),
		string_format("SHELL=%s", user->shell),
	};
	struct error *error = NULL;

	e->environment = g_ptr_array_new_with_free_func(free);
	for (size_t i = 0; i < ARRAY_SIZE(assignments); i++) {
		struct error *failed = set_variable(e->environment, assignments[i]);

		error_destroy(error ? failed : NULL);
		error = error ? error : failed;
	}
	if (!error && language)
		error = set_variable(e->environment, string_format("LANG=%s", language));
	if (!error && e->options->terminal)
		error = set_variable(e->environment,
				     string_format("TERM=%s", e->options->term ? e->options->term : "dumb"));
	for (const char *const *more = e->options->env; !error && more && *more; more++)
		error = set_variable(e->environment, strdup(*more));
	g_ptr_array_add(e->environment, NULL);
	return error;
}

static struct error *make_shadow(struct execution *e)
{
	const struct sleeping *s = e->sleeping;
	_cleanup_(free_ptr) char *layers_dir = string_format("%s/" SESSION_LAYERS_DIR, e->session->scratch);
	_cleanup_(free_ptr) char *run_dir = string_format("%s/" SESSION_SHADOW_DIR, e->session->scratch);
	struct shadow_options options = {
		.disk = s->disk,
		.disk_name = s->disk_name,
		.guest = s->guest,
		.uts = s->has_uts ? &s->uts : NULL,
		.clock = s->guest ? &s->clock : NULL,
		.processes = s->guest ? &s->processes : NULL,
		.limits = e->options->limits,
		.layers_dir = layers_dir,
		.run_dir = run_dir,
	};
	struct error *error;

	if (!layers_dir || !run_dir)
		return error_no_memory();
	error = io_mkdirs(layers_dir, 0700);
	if (!error)
		error = io_mkdirs(run_dir, 0700);
	return error ? error : shadow_create(&options, &e->shadow);
}

static struct error *run_program(struct execution *e, int *ret_status)
{
	const struct exec_options *o = e->options;
	GPtrArray *hosts = g_ptr_array_new_with_free_func(free);
	struct shadow_network network = {.enabled = o->network};
	struct shadow_run_options options = {
		.argv = o->command,
		.env = (const char *const *)e->environment->pdata,
		.network = &network,
		.user = o->user ? &e->user.ids : NULL,
		.directory = o->directory,
		.terminal = o->terminal,
		.stdin_fd = o->stdin_fd,
		.output_fd = o->output_fd,
		.error_fd = o->error_fd,
		.timeout_s = o->timeout_s,
	};
	struct error *error = vm_file_hosts(&e->session->file, hosts);

	network.allow_hosts = (const char *const *)hosts->pdata;
	progress_end();
	if (!error)
		error = shadow_run(e->shadow, &options, ret_status);
	g_ptr_array_free(hosts, TRUE);
	return error;
}

static struct error *keep_layers(struct execution *e)
{
	size_t n;
	const struct change_layer *layers = shadow_layers(e->shadow, &n);
	struct error *error = shadow_settle(e->shadow);

	if (!error)
		error = changes_keep(layers, n, e->keeping.fd);
	e->keeping.done = !error;
	return error;
}

static struct error *execute(struct execution *e, int *ret_status)
{
	struct error *error = exec_user_find(disk_root(e->sleeping->disk), e->options->user, &e->user);
	int status;

	if (!error)
		error = build_environment(e);
	if (!error)
		error = make_shadow(e);
	if (!error)
		error = run_program(e, &status);
	if (!error && e->keeping.fd >= 0)
		error = keep_layers(e);
	if (!error)
		*ret_status = status;
	return error;
}

static void execution_deinit(struct execution *e)
{
	shadow_destroy(e->shadow);
	if (e->environment)
		g_ptr_array_free(e->environment, TRUE);
	exec_user_deinit(&e->user);
}

struct error *update_exec(const struct update_settings *settings, const char *vm, const struct exec_options *options,
			  int *ret_status)
{
	struct session session;
	struct sleeping sleeping = {0};
	struct execution e = {.session = &session, .sleeping = &sleeping, .options = options};
	struct error *error = keeping_begin(options->keep_changes, &e.keeping);

	if (error)
		return error;
	error = session_open(settings, vm, SESSION_SHARE, &session);
	if (error) {
		keeping_end(&e.keeping);
		return error;
	}
	session.image_options = options->image;
	session.guest_options = options->guest;
	error = sleeping_open(&session, MEMORY_IF_THERE, &sleeping);
	if (!error)
		error = execute(&e, ret_status);
	progress_end();
	execution_deinit(&e);
	sleeping_close(&sleeping);
	session_close(&session);
	keeping_end(&e.keeping);
	return error;
}
