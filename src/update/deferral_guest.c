/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest, its package manager and the user are told of what is deferred. */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "update/deferral.h"
#include "update/packages.h"

/* The version in "NAME VERSION" lines, of the package with any architecture; 0 bytes: it is not installed. */
static size_t find_version(const char *installed, const char *package, const char **ret)
{
	size_t n = strlen(package);

	for (const char *line = installed; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!strncmp(line, package, n) && (line[n] == ' ' || line[n] == ':')) {
			*ret = line + strcspn(line, " ") + 1;
			return strcspn(*ret, "\n");
		}
	return 0;
}

/* Of a package that is not there: that it is not to be installed. */
void deferrals_append_pin(GString *text, const char *installed, const char *package)
{
	const char *version;
	size_t length = find_version(installed, package, &version);

	g_string_append_printf(text, "Package: %s\n", package);
	if (length)
		g_string_append_printf(text, "Pin: version %.*s\nPin-Priority: 1001\n\n", (int)length, version);
	else
		g_string_append(text, "Pin: release *\nPin-Priority: -1\n\n");
}

char *deferrals_pins(const struct deferrals *d, const char *installed)
{
	GString *text = g_string_new("");
	char **instead = g_strsplit(d->instead ? d->instead : "", "\n", -1);

	for (size_t i = 0; i < d->n; i++)
		if (d->items[i].way == DEFERRAL_INSTALL)
			deferrals_append_pin(text, installed, d->items[i].package);
	for (char **name = instead; *name; name++)
		if (**name)
			deferrals_append_pin(text, installed, *name);
	g_strfreev(instead);
	return g_string_free(text, FALSE);
}

/* --- actions --- */

static void add_names(GPtrArray *argv, const struct deferrals *d, enum deferral_way way)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct deferral *deferral = &d->items[i];

		if (deferral->way != way)
			continue;
		if (deferral->instances && *deferral->instances && way != DEFERRAL_INSTALL)
			packages_add_words(argv, (const char *const *)deferral->instances);
		else
			g_ptr_array_add(argv, strdup(deferral->package));
	}
	for (size_t i = 0; i < d->n; i++)
		if (d->items[i].way == way && d->items[i].dragged)
			packages_add_words(argv, (const char *const *)d->items[i].dragged);
}

/* Takes the words. Where it is one script's, the action says so. */
static struct error *append_action(const struct deferrals *d, enum deferral_way way, GPtrArray *argv,
				   struct action_list *list)
{
	struct action action = {.kind = ACTION_COMMAND, .phase = ACTION_AFTER, .verb = strdup("deferred")};
	const struct deferral *only = NULL;
	size_t n = 0;

	g_ptr_array_add(argv, NULL);
	action.argv = (char **)g_ptr_array_free(argv, FALSE);
	for (size_t i = 0; i < d->n; i++)
		if (d->items[i].way == way && ++n == 1)
			only = &d->items[i];
	if (n == 1) {
		action.package = strdup(only->package);
		action.script = strdup(only->script);
	}
	if (!action.verb || (n == 1 && (!action.package || !action.script))) {
		action_deinit(&action);
		return error_no_memory();
	}
	return action_list_append(list, action);
}

/*
 * The locks are held by whoever runs this. Not --no-download: apt then finds no archive that is named by its path;
 * there is nothing to download. Words are the packages' names. apt refuses to go on after a dpkg that was killed; the
 * helper says so (OUASSISTER_AGAIN).
 */
static const char install_script[] =
	"cd " DEFERRED_DIRECTORY " 2>/dev/null || {\n"
	"	[ -n \"$OUASSISTER_AGAIN\" ] && exit\n"
	"	echo '" DEFERRED_DIRECTORY " is missing: nothing was installed'\n"
	"	exit 1\n"
	"}\n"
	"[ -z \"$OUASSISTER_AGAIN\" ] || dpkg $OUASSISTER_DPKG --configure -a\n"
	"apt-get -y $OUASSISTER_REMOVE -o Debug::NoLocking=1 -o Acquire::Retries=0 -o Dpkg::Use-Pty=0 -o APT::Color=0"
	" $OUASSISTER_OPTIONS install " DEFERRED_DIRECTORY "/*.deb || exit\n"
	"[ ! -s " DEFERRED_AUTOMATIC " ] || "
	"xargs apt-mark -o Debug::NoLocking=1 auto <" DEFERRED_AUTOMATIC " >/dev/null || exit\n"
	"cd / && rm -rf " DEFERRED_DIRECTORY " && rmdir --ignore-fail-on-non-empty /var/cache/ouassister\n";

static struct error *append_install(const struct deferrals *d, const char *const *environment,
				    const char *const *options, struct action_list *list)
{
	GPtrArray *argv = g_ptr_array_new();
	GString *variable = g_string_new("OUASSISTER_OPTIONS="), *of_dpkg = g_string_new("OUASSISTER_DPKG=");

	for (; *options; options++) {
		g_string_append_printf(variable, "-o Dpkg::Options::=%s ", *options);
		g_string_append_printf(of_dpkg, "%s ", *options);
	}
	packages_add_words(argv, (const char *const[]){"env", NULL});
	packages_add_words(argv, environment);
	g_ptr_array_add(argv, g_string_free(variable, FALSE));
	g_ptr_array_add(argv, g_string_free(of_dpkg, FALSE));
	g_ptr_array_add(argv, string_format("OUASSISTER_REMOVE=%s", d->may_remove ? "" : "--no-remove"));
	packages_add_words(argv, (const char *const[]){"sh", "-c", install_script, "apt-get install", NULL});
	add_names(argv, d, DEFERRAL_INSTALL);
	return append_action(d, DEFERRAL_INSTALL, argv, list);
}

/* dpkg, with one of its actions on all that wait for it. */
static struct error *append_dpkg(const struct deferrals *d, enum deferral_way way, const char *const *environment,
				 const char *const *options, struct action_list *list)
{
	static const char *const actions[] = {
		[DEFERRAL_REMOVE] = "--remove", [DEFERRAL_PURGE] = "--purge", [DEFERRAL_CONFIGURE] = "--configure"};
	GPtrArray *argv = g_ptr_array_new();

	packages_add_words(argv, (const char *const[]){"env", NULL});
	packages_add_words(argv, environment);
	packages_add_words(argv, (const char *const[]){"dpkg", NULL});
	packages_add_words(argv, options);
	packages_add_words(argv, (const char *const[]){actions[way], NULL});
	add_names(argv, d, way);
	return append_action(d, way, argv, list);
}

struct error *deferrals_actions(const struct deferrals *d, const char *const *environment, const char *const *options,
				struct action_list *list)
{
	struct error *error = NULL;

	for (enum deferral_way way = DEFERRAL_REMOVE; !error && way < DEFERRAL_INSTALL; way++)
		if (deferrals_has(d, way))
			error = append_dpkg(d, way, environment, options, list);
	if (!error && deferrals_has(d, DEFERRAL_INSTALL))
		error = append_install(d, environment, options, list);
	return error;
}

/* --- the document --- */

static struct error *set_text(json_t *object, const char *key, const char *text)
{
	return json_set_bytes(object, key, text, strlen(text));
}

static struct error *append_deferral(json_t *list, const struct deferral *deferral)
{
	json_t *object = json_object(), *packages = json_array();
	struct error *error = json_array_append_new(list, object) < 0 ? error_no_memory() : NULL;

	if (error || json_object_set_new(object, "packages", packages) < 0)
		return error ? error : error_no_memory();
	error = set_text(object, "package", deferral->package);
	if (!error)
		error = set_text(object, "script", deferral->script);
	if (!error)
		error = set_text(object, "why", deferral->why);
	if (!error && json_object_set_new(object, "whole", json_boolean(deferral->way == DEFERRAL_INSTALL)) < 0)
		error = error_no_memory();
	for (char **name = deferral->dragged; !error && name && *name; name++)
		if (json_array_append_new(packages, json_string(*name)) < 0)
			error = error_no_memory();
	return error;
}

struct error *deferrals_document(const struct deferrals *d, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *document = json_object();
	json_t *list = json_array();
	struct error *error = NULL;

	if (json_object_set_new(document, "deferred", list) < 0 ||
	    json_object_set_new(
		    document, "scripts",
		    json_pack("{s:I, s:I}", "all", (json_int_t)d->n_scripts, "offline", (json_int_t)d->n_offline)) < 0)
		return error_no_memory();
	for (size_t i = 0; !error && i < d->n; i++)
		error = append_deferral(list, &d->items[i]);
	if (!error)
		*ret = take_ptr(document);
	return error;
}
