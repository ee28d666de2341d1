/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow/need.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"
#include "shadow/record.h"

/* --- live files --- */

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int compare_live(const void *left, const void *right)
{
	const struct shadow_live_file *const *a = left, *const *b = right;

	return strcmp(last_part((*a)->path), last_part((*b)->path));
}

static bool is_before(const void *item, const void *key)
{
	const struct shadow_live_file *const *file = item;

	return strcmp(last_part((*file)->path), key) < 0;
}

static size_t first_of_name(const struct shadow *shadow, const char *name)
{
	return array_lower_bound(shadow->live, shadow->n_live, sizeof(struct shadow_live_file *), name, is_before);
}

bool live_has_name(const struct shadow *shadow, const char *name)
{
	size_t i = first_of_name(shadow, name);

	return i < shadow->n_live && strcmp(last_part(shadow->live[i]->path), name) == 0;
}

const struct shadow_live_file *live_find(const struct shadow *shadow, const char *name, uint64_t inode,
					 const char *mount)
{
	for (size_t i = name ? first_of_name(shadow, name) : 0; i < shadow->n_live; i++) {
		const struct shadow_live_file *file = shadow->live[i];

		if (name && strcmp(last_part(file->path), name) != 0)
			return NULL;
		if (file->inode == inode && (!mount || !file->mount || strcmp(file->mount, mount) == 0))
			return file;
	}
	return NULL;
}

/* The caller's list may change while a round goes on. */
static struct error *copy_names(const char *const *names, char ***ret)
{
	size_t n = 0;

	while (names && names[n])
		n++;
	*ret = calloc(n + 1, sizeof(**ret));
	for (size_t i = 0; *ret && i < n; i++) {
		(*ret)[i] = strdup(names[i]);
		if (!(*ret)[i])
			return error_no_memory();
	}
	return *ret ? NULL : error_no_memory();
}

struct error *needs_init(struct shadow *shadow, const struct shadow_options *options)
{
	struct error *error;

	shadow->watch_names = options->watch_names;
	shadow->note_refusals = options->note_refusals;
	error = copy_names(options->refused_scripts, &shadow->refused_scripts);
	if (error || !options->n_live)
		return error;
	shadow->live = calloc(options->n_live, sizeof(struct shadow_live_file *));
	if (!shadow->live)
		return error_no_memory();
	for (size_t i = 0; i < options->n_live; i++)
		shadow->live[shadow->n_live++] = &options->live[i];
	qsort(shadow->live, shadow->n_live, sizeof(struct shadow_live_file *), compare_live);
	return NULL;
}

void needs_deinit(struct shadow *shadow)
{
	for (size_t i = 0; i < shadow->n_needs; i++) {
		free(shadow->needs[i].package);
		free(shadow->needs[i].script);
		free(shadow->needs[i].path);
		free(shadow->needs[i].why);
	}
	for (size_t i = 0; i < shadow->n_scripts; i++) {
		free(shadow->scripts[i].package);
		free(shadow->scripts[i].script);
	}
	free(shadow->needs);
	free(shadow->scripts);
	free(shadow->live);
	for (char **name = shadow->refused_scripts; name && *name; name++)
		free(*name);
	free(shadow->refused_scripts);
}

/* --- needs --- */

/* FNV-1a: whether it was the same, not what it was. */
static uint64_t hash_of(const char *path, const char *why)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (const char *text = path ? path : why; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return hash;
}

/*
 * Whether this process was after it a moment ago, and was noted: who tries a thousand times in a row costs one walk
 * through /proc. A number that another process has got meanwhile is one of the same script: see need_script().
 */
static bool is_recent(struct shadow *shadow, uint32_t host_pid, const struct shadow_need *need)
{
	struct need_recent now = {host_pid, (uint32_t)need->kind, hash_of(need->path, need->why)}, *place;

	for (size_t i = 0; i < NEED_RECENT; i++) {
		const struct need_recent *other = &shadow->recent[i];

		if (other->pid == now.pid && other->kind == now.kind && other->hash == now.hash)
			return true;
	}
	place = &shadow->recent[shadow->n_recent++ % NEED_RECENT];
	*place = now;
	return false;
}

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_known(const struct shadow *shadow, const struct shadow_need *need)
{
	for (size_t i = 0; i < shadow->n_needs; i++) {
		const struct shadow_need *other = &shadow->needs[i];

		if (other->kind == need->kind && same(other->package, need->package) &&
		    same(other->script, need->script) && same(other->path, need->path) &&
		    (need->path || same(other->why, need->why)))
			return true;
	}
	return false;
}

static void append(struct shadow *shadow, struct shadow_need need)
{
	struct error *error = NULL;

	if (is_known(shadow, &need) || (error = array_room(&shadow->needs, shadow->n_needs, sizeof(need)))) {
		error_destroy(error);
		free(need.package);
		free(need.script);
		free(need.path);
		free(need.why);
		return;
	}
	log_debug("only the running guest can do it: %s %s %s", need.package ? need.package : "no package",
		  need.script ? need.script : "", need.why);
	shadow->needs[shadow->n_needs++] = need;
}

bool need_has_room(const struct shadow *shadow, enum shadow_need_kind kind)
{
	/* Refusals are cheap to have; what always matters has room behind them. */
	return shadow->n_needs < (kind == SHADOW_NEED_REFUSED ? SHADOW_REFUSALS_MAX : SHADOW_NEEDS_MAX);
}

void need_note(struct shadow *shadow, uint32_t host_pid, enum shadow_need_kind kind, const char *path,
	       const char *format, ...)
{
	struct shadow_need need = {.kind = kind};
	struct action origin = {0};
	va_list arguments;

	/* Its origin costs a walk through /proc. */
	if (!need_has_room(shadow, kind))
		return;
	va_start(arguments, format);
	if (vasprintf(&need.why, format, arguments) < 0)
		need.why = NULL;
	va_end(arguments);
	need.path = path ? strdup(path) : NULL;
	if (!need.why || is_recent(shadow, host_pid, &need)) {
		free(need.why);
		free(need.path);
		return;
	}
	record_origin(host_pid, &origin);
	need.package = origin.package;
	need.script = origin.script;
	append(shadow, need);
}

/* Programs that the update runs write to logs, too, always at the end. */
void need_note_live(struct shadow *shadow, uint32_t host_pid, const struct shadow_live_file *file, const char *verb)
{
	need_note(shadow, host_pid, change_path_is_log(file->path) ? SHADOW_NEED_LOG : SHADOW_NEED_LIVE, file->path,
		  "%s %s, which %s holds open for writing", verb, file->path, file->holder);
}

/* --- scripts --- */

static bool is_refused(const struct shadow *shadow, const char *package, const char *script)
{
	size_t n = strlen(package);

	for (char **name = shadow->refused_scripts; name && *name; name++)
		if (strncmp(*name, package, n) == 0 && (*name)[n] == '.' && strcmp(*name + n + 1, script) == 0)
			return true;
	return false;
}

bool need_script(struct shadow *shadow, const char *package, const char *script)
{
	struct shadow_script made = {.refused = is_refused(shadow, package, script)};

	memset(shadow->recent, 0, sizeof(shadow->recent));
	for (size_t i = 0; i < shadow->n_scripts; i++)
		if (strcmp(shadow->scripts[i].package, package) == 0 && strcmp(shadow->scripts[i].script, script) == 0)
			return !made.refused;
	made.package = strdup(package);
	made.script = strdup(script);
	struct error *error = array_room(&shadow->scripts, shadow->n_scripts, sizeof(made));
	if (error || !made.package || !made.script || shadow->n_scripts == SHADOW_SCRIPTS_MAX) {
		error_destroy(error);
		free(made.package);
		free(made.script);
	} else {
		shadow->scripts[shadow->n_scripts++] = made;
	}
	return !made.refused;
}

/* --- the EFI system partition --- */

const char *need_efi(const struct shadow *shadow)
{
	static const char *const places[] = {"/boot/efi", "/efi", "/boot"};

	for (size_t i = 0; i < shadow->mounts.n; i++)
		for (size_t k = 0; k < ARRAY_SIZE(places); k++)
			if (strcmp(shadow->mounts.items[i].target, places[k]) == 0 &&
			    strcmp(shadow->mounts.items[i].fstype, "vfat") == 0)
				return places[k];
	return NULL;
}

void need_note_below_efi(struct shadow *shadow, uint32_t host_pid, const char *path)
{
	const char *efi = need_efi(shadow);

	if (efi && guest_path_below(path, efi))
		need_note(shadow, host_pid, SHADOW_NEED_EFI, efi, "writes to the EFI system partition at %s", efi);
}

const struct shadow_need *shadow_needs(const struct shadow *shadow, size_t *ret_n)
{
	*ret_n = shadow->n_needs;
	return shadow->needs;
}

const struct shadow_script *shadow_scripts(const struct shadow *shadow, size_t *ret_n)
{
	*ret_n = shadow->n_scripts;
	return shadow->scripts;
}
