/* SPDX-License-Identifier: Apache-2.0 */
/* `inspect`: what sleeps there. */
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "shadow/shadow.h"
#include "update/memory_facts.h"
#include "update/newer.h"
#include "update/os_release.h"
#include "update/packages.h"
#include "update/session.h"
#include "update/sleeping.h"

static struct error *set_text(json_t *document, const char *key, const char *text)
{
	return json_set_bytes(document, key, text, strlen(text));
}

/* Nothing runs: what a kernel would tell is absent. */
static struct error *describe_shut_down(const struct session *session, const struct sleeping *s, json_t *document)
{
	struct error *error = s->has_uts ? set_text(document, "hostname", s->uts.nodename) : NULL;

	if (!error && (json_object_set_new(document, "shut_down", json_true()) < 0 ||
		       json_object_set_new(document, "state", json_string(state_name(session->state.state))) < 0))
		error = error_no_memory();
	return error;
}

static struct error *describe_guest(const struct session *session, const struct sleeping *s, json_t *document)
{
	struct error *error = set_text(document, "os", s->os_name);

	if (!error && !s->guest)
		return describe_shut_down(session, s, document);
	if (!error)
		error = memory_facts_describe(s->guest, document);
	if (error)
		return error;
	if (json_object_set_new(document, "memory_format", json_string(image_format(s->image))) < 0 ||
	    json_object_set_new(document, "memory_bytes", json_integer((json_int_t)image_ram_size(s->image))) < 0 ||
	    json_object_set_new(document, "state", json_string(state_name(session->state.state))) < 0)
		return error_no_memory();
	return NULL;
}

static struct error *describe_disk(const struct sleeping *s, json_t *document)
{
	size_t n;
	const struct disk_mount *mounts = disk_mounts(s->disk, &n);
	json_t *list = json_array();

	if (json_object_set_new(document, "mounts", list) < 0)
		return error_no_memory();
	for (size_t i = 0; i < n; i++) {
		json_t *mount = json_pack("{s:s, s:s}", "fstype", mounts[i].type, "uuid", mounts[i].uuid);
		struct error *error = mount ? set_text(mount, "target", mounts[i].target) : error_no_memory();

		if (!error)
			error = newer_describe(&mounts[i], mount);
		if (!error && json_array_append_new(list, mount) < 0)
			error = error_no_memory();
		if (error)
			return error;
	}
	return json_object_set(document, "disk", json_object_get(s->fingerprint, "disk")) < 0 ? error_no_memory()
											      : NULL;
}

static struct error *ask_in_shadow(struct session *session, struct sleeping *s, const struct package_manager *manager,
				   const char *layers_dir, const char *run_dir, size_t *ret)
{
	_cleanup_(shadow_destroy_ptr) struct shadow *shadow = NULL;
	struct shadow_options options = {.disk = s->disk,
					 .disk_name = s->disk_name,
					 .guest = s->guest,
					 .mounts = s->mounts.n ? &s->mounts : NULL,
					 .uts = s->has_uts ? &s->uts : NULL,
					 .clock = s->guest ? &s->clock : NULL,
					 .processes = s->guest ? &s->processes : NULL,
					 .layers_dir = layers_dir,
					 .run_dir = run_dir};
	struct package_run run = {.file = &session->file, .log_fd = -1};
	struct error *error = io_mkdirs(layers_dir, 0700);

	if (!error)
		error = io_mkdirs(run_dir, 0700);
	if (!error)
		error = shadow_create(&options, &shadow);
	if (error)
		return error;
	run.shadow = shadow;
	return manager->waiting(&run, ret);
}

/* How many packages the guest's own lists offer; they are as old as its last `apt-get update`. */
static struct error *describe_waiting(struct session *session, struct sleeping *s, json_t *document)
{
	_cleanup_(free_ptr) char *layers_dir = string_format("%s/layers", s->work_dir);
	_cleanup_(free_ptr) char *run_dir = string_format("%s/shadow", s->work_dir);
	const struct package_manager *manager;
	size_t n;
	struct error *error;

	if (!layers_dir || !run_dir)
		return error_no_memory();
	progress_step("ask", "asking the guest's package manager");
	error = packages_detect(disk_root(s->disk), &manager);
	if (!error)
		error = ask_in_shadow(session, s, manager, layers_dir, run_dir, &n);
	if (error) {
		log_info("waiting updates are not known: %s", error->message);
		error_destroy(error);
		return json_object_set_new(document, "updates_waiting", json_null()) < 0 ? error_no_memory() : NULL;
	}
	if (json_object_set_new(document, "package_manager", json_string(manager->name)) < 0 ||
	    json_object_set_new(document, "updates_waiting", json_integer((json_int_t)n)) < 0)
		return error_no_memory();
	return NULL;
}

struct error *update_inspect(const struct update_settings *settings, const char *vm,
			     const struct inspect_options *options, json_t **ret)
{
	struct session session;
	struct sleeping sleeping = {0};
	_cleanup_(json_decref_ptr) json_t *document = NULL;
	struct error *error = session_open(settings, vm, SESSION_WORK, &session);

	if (error)
		return error;
	session.image_options = options->image;
	session.guest_options = options->guest;
	document = session_document(&session);
	error = sleeping_open(&session, MEMORY_OR_SHUT_DOWN, &sleeping);
	if (!error)
		error = describe_guest(&session, &sleeping, document);
	if (!error)
		error = describe_disk(&sleeping, document);
	if (!error && options->updates)
		error = describe_waiting(&session, &sleeping, document);
	progress_end();
	sleeping_close(&sleeping);
	session_close(&session);
	if (!error)
		*ret = take_ptr(document);
	return error;
}

/* Without the file the guest's system has no name here: null, where its disk would have said "unknown". */
static struct error *describe_os(const char *os_release, json_t *document)
{
	_cleanup_(free_ptr) char *name = NULL;

	if (!os_release)
		return json_object_set_new(document, "os", json_null()) < 0 ? error_no_memory() : NULL;
	name = os_release_value(os_release, "PRETTY_NAME");
	return name ? set_text(document, "os", name) : error_no_memory();
}

struct error *update_inspect_memory(struct guest *guest, const char *os_release, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *document = json_pack("{s:i}", "version", 1);
	struct error *error = document ? describe_os(os_release, document) : error_no_memory();

	if (!error)
		error = memory_facts_describe(guest, document);
	if (!error)
		*ret = take_ptr(document);
	return error;
}

struct error *update_memory_path(const struct update_settings *settings, const char *vm, char **ret)
{
	struct session session;
	char *path = NULL;
	struct error *error = session_open(settings, vm, SESSION_READ, &session);

	if (error)
		return error;
	error = sleeping_refuse_running(&session);
	if (!error && !session_has_memory(&session))
		error = session_missing_memory(&session);
	if (!error) {
		path = strdup(session.file.memory);
		error = path ? NULL : error_no_memory();
	}
	session_close(&session);
	if (!error)
		*ret = path;
	return error;
}
