/* SPDX-License-Identifier: Apache-2.0 */
/* An update as two chained ones: what is bundled when, and under which names. doc/urgency.md */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "update/emulation.h"
#include "update/pack_stream.h"

/* Until the first is where `resume` looks for it. */
#define FIRST_DELTAS_NAME DELTAS_NAME ".first"

bool emulation_is_two(const struct emulation *e)
{
	size_t n_made = 0;

	if (!emulation_may_be_two(e))
		return false;
	if (e->late.packages)
		return true;
	for (size_t i = 0; i < e->manifest.changes.n; i++)
		n_made += late_is_made(e->manifest.changes.items[i].path);
	return n_made && n_made < e->manifest.changes.n;
}

/* What a slow channel would be glad of. Without them the update is the same. */
static void write_deltas(const struct emulation *e, const char *name)
{
	size_t n_layers;
	const struct change_layer *layers = shadow_layers(e->shadow, &n_layers);
	_cleanup_(free_ptr) char *path = string_format("%s/%s", e->session->directory, name);
	struct error *error = path ? deltas_write(path, &e->manifest.changes, layers, n_layers) : error_no_memory();

	if (error)
		log_warning("%s: through a slow channel the update will travel as a whole: %s", e->session->file.name,
			    error->message);
	error_destroy(error);
}

static struct error *note_id(struct emulation_first *first)
{
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	struct error *error = bundle_open(first->path, &bundle);

	if (!error)
		sha256_to_hex(bundle_id(bundle), first->id);
	return error;
}

/* Behind those that are there; what is left of `from` is empty. */
static struct error *move_changes(struct change_list *from, struct change_list *to)
{
	struct error *error = NULL;

	for (size_t i = 0; i < from->n; i++)
		if (!error)
			error = change_list_append(to, from->items[i]);
		else
			change_deinit(&from->items[i]);
	from->n = 0;
	return error;
}

struct error *emulation_keep_first(struct emulation *e)
{
	size_t n_layers;
	const struct change_layer *layers = shadow_layers(e->shadow, &n_layers);
	struct emulation_first *first = &e->first;
	struct error *error;

	progress_step("bundle", "writing the bundle");
	first->path = string_format("%s.first", e->session->bundle_path);
	error = first->path ? bundle_write(first->path, &e->manifest, layers, n_layers, e->key) : error_no_memory();
	if (!error)
		error = note_id(first);
	if (!error)
		write_deltas(e, FIRST_DELTAS_NAME);
	if (!error)
		error = move_changes(&e->manifest.changes, &first->changes);
	if (!error)
		error = shadow_runtime_actions(e->shadow, &first->runtime);
	first->n_actions = shadow_actions(e->shadow)->n;
	bundle_manifest_deinit(&e->manifest);
	action_list_deinit(&e->live_actions);
	json_decref(e->restart);
	e->manifest = (struct bundle_manifest){0};
	e->live_actions = (struct action_list){0};
	e->restart = NULL;
	return error;
}

static void remove_first(const struct emulation *e)
{
	unlink(e->first.path);
	deltas_remove(e->session->directory, FIRST_DELTAS_NAME);
}

void emulation_drop_first(struct emulation *e)
{
	struct emulation_first *first = &e->first;

	if (first->path)
		remove_first(e);
	if (first->packages_before) {
		free(e->packages_before);
		e->packages_before = first->packages_before;
	}
	free(first->path);
	change_list_deinit(&first->changes);
	action_list_deinit(&first->runtime);
	late_deinit(&e->late);
	*first = (struct emulation_first){0};
}

/* It says which one it follows. */
static struct error *write_second(struct emulation *e)
{
	size_t n_layers;
	const struct change_layer *layers = shadow_layers(e->shadow, &n_layers);
	struct error *error;

	if (json_object_set_new(e->manifest.info, "after", json_string(e->first.id)) < 0)
		return error_no_memory();
	error = bundle_write(e->session->late_path, &e->manifest, layers, n_layers, e->key);
	if (!error)
		write_deltas(e, DELTAS_LATE_NAME);
	return error;
}

static struct error *remove_late(const struct session *session)
{
	deltas_remove(session->directory, DELTAS_LATE_NAME);
	if (unlink(session->late_path) < 0 && errno != ENOENT)
		return error_system(errno, session->late_path, "cannot remove");
	return NULL;
}

/* Those of an earlier bundle would fit none of this one's files. */
static void take_deltas(const struct session *session)
{
	_cleanup_(free_ptr) char *from = string_format("%s/" FIRST_DELTAS_NAME, session->directory);
	_cleanup_(free_ptr) char *to = string_format("%s/" DELTAS_NAME, session->directory);

	if (from && to && rename(from, to) < 0)
		unlink(to);
}

/* The second comes first: until the one that it follows is there, it is nobody's. */
static struct error *write_two(struct emulation *e)
{
	const struct session *session = e->session;
	struct error *error = e->manifest.info ? write_second(e) : remove_late(session);

	if (error)
		return error;
	if (rename(e->first.path, session->bundle_path) < 0)
		return error_system(errno, session->bundle_path, "cannot put the bundle there");
	free(take_ptr(e->first.path));
	take_deltas(session);
	return io_sync_parent(session->bundle_path);
}

struct error *emulation_write_bundles(struct emulation *e)
{
	size_t n_layers;
	const struct change_layer *layers = shadow_layers(e->shadow, &n_layers);
	struct error *error;

	progress_step("bundle", "writing the bundle");
	if (e->first.path)
		return write_two(e);
	error = bundle_write(e->session->bundle_path, &e->manifest, layers, n_layers, e->key);
	if (error)
		return error;
	write_deltas(e, DELTAS_NAME);
	return remove_late(e->session);
}
