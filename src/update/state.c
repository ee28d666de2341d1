/* SPDX-License-Identifier: Apache-2.0 */
#include "update/state.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"

#define STATE_FILE_MAX (64u << 20) /* the report lists every action and package */
#define STATE_VERSION  1

static const struct {
	const char *name;
	unsigned allowed;
	const char *remedy; /* what to do for the operations that are not */
} states[] = {
	[STATE_NONE] = {"none", OPERATION_SUSPEND | OPERATION_UPDATE | OPERATION_RESUME, ""},
	[STATE_SUSPENDED] = {"suspended", OPERATION_SUSPEND | OPERATION_UPDATE | OPERATION_RESUME, "run update"},
	[STATE_BUNDLED] = {"bundled", OPERATION_SUSPEND | OPERATION_UPDATE | OPERATION_RESUME, "run resume"},
	[STATE_LOADED] = {"loaded", OPERATION_RESUME, "run resume again, it goes on where it was"},
	[STATE_RUNNING] = {"running", OPERATION_RESUME, "run resume again, it goes on where it was"},
	[STATE_APPLIED] = {"applied", OPERATION_RESUME | OPERATION_ROLLBACK, "run resume again, it opens the gate"},
	[STATE_OPEN_LATE] = {"open-late", OPERATION_SUSPEND | OPERATION_UPDATE | OPERATION_RESUME | OPERATION_ROLLBACK,
			     "run resume again, it goes on where it was"},
	[STATE_OPEN] = {"open", OPERATION_SUSPEND | OPERATION_UPDATE | OPERATION_RESUME | OPERATION_ROLLBACK,
			"suspend it first"},
	[STATE_ROLLED_BACK] = {"rolled-back", OPERATION_RESUME | OPERATION_SUSPEND | OPERATION_ROLLBACK,
			       "run resume to try again, or open the gate by hand"},
	[STATE_FAILED] = {"failed", OPERATION_RESUME | OPERATION_SUSPEND | OPERATION_ROLLBACK,
			  "run resume to try again, or open the gate by hand"},
};
static_assert(ARRAY_SIZE(states) == STATE_MAX, "every state has its row");

const char *state_name(enum update_state state)
{
	return states[state].name;
}

/* Nobody is at work, so that waiting would not help: there is nothing awake that could go back. */
static struct error *refuse_to_roll_back(enum update_state state, const char *vm)
{
	if (state == STATE_NONE)
		return error_remedy(error_create(ERROR_NOTHING, "%s: nothing was applied to it", vm),
				    "rollback undoes what resume applied");
	if (state == STATE_SUSPENDED)
		return error_remedy(
			error_create(ERROR_NOTHING, "%s: it sleeps, and only a guest that runs can go back", vm),
			"wake it as it is by resume --without-update, then roll back");
	return error_remedy(
		error_create(ERROR_NOTHING, "%s: it sleeps, and an update waits that is not applied yet", vm),
		"to go back to before an earlier one, give that up and wake it as it is by resume --without-update, "
		"then roll back");
}

struct error *state_allows(enum update_state state, enum update_operation operation, const char *vm)
{
	if (states[state].allowed & operation)
		return NULL;
	if (operation == OPERATION_ROLLBACK && state <= STATE_BUNDLED)
		return refuse_to_roll_back(state, vm);
	return error_remedy(error_create(ERROR_BUSY, "%s: its update is in the state \"%s\"", vm, states[state].name),
			    "%s", states[state].remedy);
}

static struct error *parse_state_name(const char *name, const char *path, enum update_state *ret)
{
	for (size_t i = 0; i < STATE_MAX; i++)
		if (!strcmp(states[i].name, name)) {
			*ret = (enum update_state)i;
			return NULL;
		}
	return error_format(path, ERROR_NO_ADDRESS, "unknown state \"%s\"", name);
}

static struct error *wrong_type(const char *key, const char *path)
{
	return error_format(path, ERROR_NO_ADDRESS, "\"%s\" is of another type than it should be", key);
}

/* A copy of an optional string member. */
static struct error *read_string(const json_t *object, const char *key, const char *path, char **ret)
{
	const json_t *value = json_object_get(object, key);

	if (!value || json_is_null(value))
		return NULL;
	if (!json_is_string(value))
		return wrong_type(key, path);
	*ret = strdup(json_string_value(value));
	return *ret ? NULL : error_no_memory();
}

/* A new reference to an optional object member. */
static struct error *read_object(const json_t *object, const char *key, const char *path, json_t **ret)
{
	json_t *value = json_object_get(object, key);

	if (!value || json_is_null(value))
		return NULL;
	if (!json_is_object(value))
		return wrong_type(key, path);
	*ret = json_incref(value);
	return NULL;
}

static struct error *read_integer(const json_t *object, const char *key, const char *path, int64_t *ret)
{
	const json_t *value = json_object_get(object, key);

	if (value && !json_is_integer(value))
		return wrong_type(key, path);
	*ret = json_integer_value(value);
	return NULL;
}

static struct error *read_members(const json_t *document, const char *path, struct state *state)
{
	const json_t *version = json_object_get(document, "version");
	const char *name;
	struct error *error = json_get_string(document, "state", &name);

	if (!error && (!json_is_integer(version) || json_integer_value(version) != STATE_VERSION))
		return error_format(path, ERROR_NO_ADDRESS, "of another version of ouassister: \"version\" is not %d",
				    STATE_VERSION);
	if (error || (error = parse_state_name(name, path, &state->state)) ||
	    (error = read_integer(document, "since_s", path, &state->since_s)) ||
	    (error = read_integer(document, "resumed_ns", path, &state->resumed_ns)) ||
	    (error = read_string(document, "vm_file", path, &state->vm_file)) ||
	    (error = read_string(document, "error", path, &state->error)) ||
	    (error = read_string(document, "restart", path, &state->restart)) ||
	    (error = read_object(document, "fingerprint", path, &state->fingerprint)) ||
	    (error = read_object(document, "spent", path, &state->spent)))
		return error;
	state->loading = json_is_true(json_object_get(document, "loading"));
	return read_object(document, "report", path, &state->report);
}

struct error *state_load(const char *directory, struct state *ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s/state.json", directory);
	_cleanup_(json_decref_ptr) json_t *document = NULL;
	struct state state = {0};
	struct error *error;

	if (!path)
		return error_no_memory();
	error = json_load_path(path, STATE_FILE_MAX, &document);
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		*ret = state;
		return NULL;
	}
	if (!error)
		error = read_members(document, path, &state);
	if (error) {
		state_deinit(&state);
		error = error_wrap(error, "state of the VM");
		if (error->errnum == EACCES)
			return error_remedy(error, "only root may see it");
		return error_remedy(error, "if %s is damaged for good, remove it", path);
	}
	*ret = state;
	return NULL;
}

struct error *state_save(const struct state *state, const char *directory)
{
	_cleanup_(free_ptr) char *path = string_format("%s/state.json", directory);
	_cleanup_(json_decref_ptr) json_t *document = NULL;

	if (!path)
		return error_no_memory();
	document = json_pack("{s:i, s:s, s:I, s:s?, s:s?, s:b, s:O?, s:O?, s:I, s:O?, s:s?}", "version", STATE_VERSION,
			     "state", states[state->state].name, "since_s", (json_int_t)state->since_s, "vm_file",
			     state->vm_file, "error", state->error, "loading", state->loading, "fingerprint",
			     state->fingerprint, "spent", state->spent, "resumed_ns", (json_int_t)state->resumed_ns,
			     "report", state->report, "restart", state->restart);
	if (!document)
		return error_no_memory();
	return error_wrap(json_replace_file(path, document, 0600), "cannot write down where the update stands");
}

struct error *state_enter(struct state *state, const char *directory, enum update_state next)
{
	if (next != STATE_FAILED && next != STATE_ROLLED_BACK)
		free(take_ptr(state->error));
	state->state = next;
	state->since_s = clock_realtime_ns() / 1000000000;
	return state_save(state, directory);
}

void state_deinit(struct state *state)
{
	free(state->vm_file);
	free(state->error);
	free(state->restart);
	json_decref(state->fingerprint);
	json_decref(state->spent);
	json_decref(state->report);
	*state = (struct state){0};
}
