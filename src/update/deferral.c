/* SPDX-License-Identifier: Apache-2.0 */
#include "update/deferral.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/io.h"
#include "base/log.h"

void deferrals_deinit(struct deferrals *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->items[i].package);
		free(d->items[i].script);
		free(d->items[i].why);
		g_strfreev(d->items[i].dragged);
		g_strfreev(d->items[i].instances);
	}
	for (size_t i = 0; i < d->n_scripts; i++)
		free(d->scripts[i]);
	for (const char **name = d->refused; name && *name; name++)
		free((char *)*name);
	free(d->items);
	free(d->scripts);
	free(d->refused);
	free(d->expected);
	free(d->gone);
	free(d->command);
	free(d->instead);
	free(d->held);
	*d = (struct deferrals){0};
}

struct deferral *deferrals_find(const struct deferrals *d, const char *package, size_t length)
{
	const char *colon = memchr(package, ':', length);
	size_t n = colon ? (size_t)(colon - package) : length;

	for (size_t i = 0; i < d->n; i++)
		if (strlen(d->items[i].package) == n && !memcmp(d->items[i].package, package, n))
			return &d->items[i];
	return NULL;
}

bool deferrals_excuse(const struct deferrals *d, const char *package, size_t length)
{
	const char *colon = memchr(package, ':', length);
	size_t n = colon ? (size_t)(colon - package) : length;

	if (deferrals_find(d, package, length))
		return true;
	for (size_t i = 0; i < d->n; i++)
		for (char **name = d->items[i].dragged; name && *name; name++)
			if (strcspn(*name, ":") == n && !memcmp(*name, package, n))
				return true;
	return false;
}

bool deferrals_has(const struct deferrals *d, enum deferral_way way)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->items[i].way == way)
			return true;
	return false;
}

bool deferrals_name_in(const char *lines, const char *name, size_t n)
{
	for (const char *line = lines; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!strncmp(line, name, n) && strchr(" \n", line[n]))
			return true;
	return false;
}

const struct deferral *deferrals_find_unkept(const struct deferrals *d, const char *all, const char *left)
{
	for (size_t i = 0; i < d->n; i++) {
		const char *package = d->items[i].package;
		size_t n = strlen(package);

		if (d->items[i].way == DEFERRAL_INSTALL &&
		    (!deferrals_name_in(all, package, n) || deferrals_name_in(left, package, n)))
			return &d->items[i];
	}
	return NULL;
}

bool deferrals_has_script(const struct deferrals *d)
{
	return deferrals_has(d, DEFERRAL_CONFIGURE) || deferrals_has(d, DEFERRAL_REMOVE) ||
	       deferrals_has(d, DEFERRAL_PURGE);
}

/* Anew, for the next round. */
static struct error *list_refused(struct deferrals *d)
{
	const char **refused = calloc(d->n + 1, sizeof(*refused));
	size_t n = 0;

	for (const char **name = d->refused; name && *name; name++)
		free((char *)*name);
	free(d->refused);
	d->refused = refused;
	if (!refused)
		return error_no_memory();
	for (size_t i = 0; i < d->n; i++) {
		if (d->items[i].way == DEFERRAL_INSTALL)
			continue;
		refused[n] = string_format("%s.%s", d->items[i].package,
					   d->items[i].way == DEFERRAL_CONFIGURE ? "postinst" : "postrm");
		if (!refused[n++])
			return error_no_memory();
	}
	return NULL;
}

struct error *deferrals_add(struct deferrals *d, const char *package, const char *script, const char *why,
			    enum deferral_way way, bool *ret_new)
{
	struct deferral *known = deferrals_find(d, package, strlen(package)), *made;
	struct error *error;

	if (known && (known->way == DEFERRAL_INSTALL || way != DEFERRAL_INSTALL))
		return NULL;
	*ret_new = true;
	log_info("%s is put off until the guest runs: its %s %s", package, script, why);
	if (known) {
		known->way = DEFERRAL_INSTALL;
		return list_refused(d);
	}
	error = array_room(&d->items, d->n, sizeof(*d->items));
	if (error)
		return error;
	made = &d->items[d->n++];
	*made = (struct deferral){strdup(package), strdup(script), strdup(why), way, NULL, NULL};
	return made->package && made->script && made->why ? list_refused(d) : error_no_memory();
}

/* --- what a round showed --- */

/* The package's "STATE PACKAGE VERSION WANT" line, in whatever architecture; NULL: dpkg knows nothing of it. */
static const char *find_state(const char *states, const char *package)
{
	size_t n = strlen(package);

	for (const char *line = states; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *name = line + strcspn(line, " \n");

		if (*name == ' ' && !strncmp(name + 1, package, n) && strchr(": \n", name[1 + n]))
			return line;
	}
	return NULL;
}

/* Whether dpkg's lines say that this package's postinst failed. */
static bool is_half_configured(const char *states, const char *package)
{
	const char *line = find_state(states, package);

	return line && !strncmp(line, "half-configured ", 16);
}

/* Whether it is to be there when all is done. */
static bool is_wanted(const char *line, const char *want)
{
	const char *end = line + strcspn(line, "\n");
	size_t n = strlen(want);

	return (size_t)(end - line) > n && !memcmp(end - n, want, n) && end[-(ptrdiff_t)n - 1] == ' ';
}

enum deferral_way deferrals_way(const char *package, const char *script, const char *states)
{
	const char *line;

	if (script && !strcmp(script, "postinst"))
		return DEFERRAL_CONFIGURE;
	if (!script || strcmp(script, "postrm") != 0)
		return DEFERRAL_INSTALL;
	line = find_state(states, package);
	if (!line || is_wanted(line, "purge"))
		return DEFERRAL_PURGE;
	return is_wanted(line, "deinstall") ? DEFERRAL_REMOVE : DEFERRAL_INSTALL;
}

/*
 * A script that goes on and ends well although something was refused has shown that it can do without. Not so where
 * what it lacks is a part of the package's work, and where it has written what is not ours.
 */
static bool matters(const struct shadow_need *need, const char *states, bool failed)
{
	bool postinst = need->script && !strcmp(need->script, "postinst");

	switch (need->kind) {
	case SHADOW_NEED_LIVE:
	case SHADOW_NEED_DEVICE:
	case SHADOW_NEED_EFI:
	case SHADOW_NEED_MODULE:
		return true;
	case SHADOW_NEED_LOG:
		/* Judged by what became of the file. */
		return false;
	case SHADOW_NEED_REFUSED:
		/* What a preinst or a prerm ended with does not stand in dpkg's database: a round without it tells. */
		return failed && (!postinst || is_half_configured(states, need->package));
	}
	return false;
}

static struct error *take(struct deferrals *d, const struct shadow_need *need, const char *states, bool failed,
			  bool *ret_new)
{
	enum deferral_way way;

	if (!need->package || !matters(need, states, failed))
		return NULL;
	way = need->kind == SHADOW_NEED_EFI ? DEFERRAL_INSTALL : deferrals_way(need->package, need->script, states);
	return deferrals_add(d, need->package, need->script ? need->script : "installation", need->why, way, ret_new);
}

/* Of what was refused the last is named as the reason: it is the likeliest that the script ended for. */
struct error *deferrals_take(struct deferrals *d, const struct shadow_need *needs, size_t n, const char *states,
			     bool failed, bool *ret_new)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < n; i++)
		if (needs[i].kind != SHADOW_NEED_REFUSED)
			error = take(d, &needs[i], states, failed, ret_new);
	for (size_t i = n; !error && i--;)
		if (needs[i].kind == SHADOW_NEED_REFUSED)
			error = take(d, &needs[i], states, failed, ret_new);
	return error;
}

static bool is_counted(const struct deferrals *d, const char *name)
{
	for (size_t i = 0; i < d->n_scripts; i++)
		if (!strcmp(d->scripts[i], name))
			return true;
	return false;
}

struct error *deferrals_count(struct deferrals *d, const struct shadow_script *scripts, size_t n)
{
	d->n_offline = 0;
	for (size_t i = 0; i < n; i++) {
		char *name = string_format("%s.%s", scripts[i].package, scripts[i].script);
		struct error *error = name ? NULL : error_no_memory();

		d->n_offline += !scripts[i].refused;
		if (!error && !is_counted(d, name)) {
			error = array_room(&d->scripts, d->n_scripts, sizeof(*d->scripts));
			if (!error)
				d->scripts[d->n_scripts++] = take_ptr(name);
		}
		free(name);
		if (error)
			return error;
	}
	return NULL;
}
