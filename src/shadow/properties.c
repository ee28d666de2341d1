/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's objects as D-Bus properties: itself, and each unit. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>

#include "shadow/manager.h"

enum property_kind {
	PROPERTY_STRING,
	PROPERTY_BOOL,
	PROPERTY_U32,
	PROPERTY_U64,
	PROPERTY_STRINGS,    /* one string, or none if empty */
	PROPERTY_FILE_STATE, /* asks systemctl */
	PROPERTY_NAMES,      /* the id, and the name it was asked for by */
	PROPERTY_DROP_INS,
	PROPERTY_LISTENS,
	PROPERTY_LAST_TRIGGER, /* of a timer that keeps it on disk */
	PROPERTY_LOAD_ERROR,
	PROPERTY_ID, /* 32 hexadecimal digits as 16 bytes */
};

struct property {
	const char *name;
	enum property_kind kind;
	const char *string;
	uint64_t number;
};

#define PROPERTIES_MAX 96

/* What a timer, socket or path starts: the unit of its own name if it does not say. */
static const char *triggered_by(const struct unit *unit, char room[SHADOW_NAME_MAX])
{
	static const char *const kinds[] = {".timer", ".socket", ".path"};
	size_t n = strlen(unit->id);

	if (unit->triggers[0])
		return unit->triggers;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (unit_has_suffix(unit->id, n, kinds[i])) {
			snprintf(room, SHADOW_NAME_MAX, "%.*s.service", (int)(n - strlen(kinds[i])), unit->id);
			return room;
		}
	return "";
}

static size_t unit_properties(const struct unit *unit, const char *triggers, struct property *ret)
{
	bool active = strcmp(unit->active_state, "active") == 0, loaded = strcmp(unit->load_state, "loaded") == 0;
	uint64_t since = active ? unit->since_us : 0;
	const struct property all[] = {
		{"Id", PROPERTY_STRING, unit->id},
		{"Names", PROPERTY_NAMES, unit->id},
		{"Description", PROPERTY_STRING, unit->description[0] ? unit->description : unit->id},
		{"LoadState", PROPERTY_STRING, unit->load_state},
		{"LoadError", PROPERTY_LOAD_ERROR, unit->id},
		{"ActiveState", PROPERTY_STRING, unit->active_state},
		{"SubState", PROPERTY_STRING, unit->sub_state},
		{"FreezerState", PROPERTY_STRING, "running"},
		{"Following", PROPERTY_STRING, ""},
		{"FragmentPath", PROPERTY_STRING, unit->fragment},
		{"SourcePath", PROPERTY_STRING, unit->source},
		{"DropInPaths", PROPERTY_DROP_INS, ""},
		{"UnitFileState", PROPERTY_FILE_STATE, unit->id},
		{"UnitFilePreset", PROPERTY_STRING, ""},
		{"CanStart", PROPERTY_BOOL, NULL, loaded && !unit->refuses_start},
		{"CanStop", PROPERTY_BOOL, NULL, !unit->refuses_stop},
		{"CanReload", PROPERTY_BOOL, NULL, unit->can_reload || strcmp(unit->type, "notify-reload") == 0},
		{"CanIsolate", PROPERTY_BOOL, NULL, unit->can_isolate},
		{"RefuseManualStart", PROPERTY_BOOL, NULL, unit->refuses_start},
		{"RefuseManualStop", PROPERTY_BOOL, NULL, unit->refuses_stop},
		{"NeedDaemonReload", PROPERTY_BOOL, NULL, 0},
		{"Transient", PROPERTY_BOOL, NULL, strncmp(unit->fragment, "/run/systemd/transient/", 23) == 0},
		{"ConditionResult", PROPERTY_BOOL, NULL, active},
		{"AssertResult", PROPERTY_BOOL, NULL, active},
		{"TriggeredBy", PROPERTY_STRINGS, ""},
		{"Triggers", PROPERTY_STRINGS, triggers},
		{"Unit", PROPERTY_STRING, triggers},
		{"Listen", PROPERTY_LISTENS, ""},
		{"NextElapseUSecRealtime", PROPERTY_U64, NULL, 0},
		{"NextElapseUSecMonotonic", PROPERTY_U64, NULL, 0},
		{"LastTriggerUSec", PROPERTY_LAST_TRIGGER, unit->id},
		{"Accept", PROPERTY_BOOL, NULL, 0},
		{"Where", PROPERTY_STRING, ""},
		{"Type", PROPERTY_STRING, unit->type[0] ? unit->type : "simple"},
		{"RemainAfterExit", PROPERTY_BOOL, NULL, unit->remains},
		{"BusName", PROPERTY_STRING, unit->bus_name},
		{"Result", PROPERTY_STRING, "success"},
		{"StatusText", PROPERTY_STRING, ""},
		{"ControlGroup", PROPERTY_STRING, unit->cgroup},
		{"MainPID", PROPERTY_U32, NULL, unit->main_pid},
		{"ExecMainPID", PROPERTY_U32, NULL, unit->main_pid},
		{"ControlPID", PROPERTY_U32, NULL, 0},
		{"NRestarts", PROPERTY_U32, NULL, 0},
		{"InvocationID", PROPERTY_ID, unit->invocation},
		{"StateChangeTimestamp", PROPERTY_U64, NULL, since},
		{"InactiveExitTimestamp", PROPERTY_U64, NULL, since},
		{"ActiveEnterTimestamp", PROPERTY_U64, NULL, since},
		{"ActiveExitTimestamp", PROPERTY_U64, NULL, 0},
		{"InactiveEnterTimestamp", PROPERTY_U64, NULL, 0},
		{"ExecMainStartTimestamp", PROPERTY_U64, NULL, since},
	};

	_Static_assert(ARRAY_SIZE(all) <= PROPERTIES_MAX, "room for all properties");
	memcpy(ret, all, sizeof(all));
	return ARRAY_SIZE(all);
}

static size_t manager_properties(bool runs, struct property *ret)
{
	const struct property all[] = {
		{"Version", PROPERTY_STRING, "shadow"},
		{"Features", PROPERTY_STRING, ""},
		{"Virtualization", PROPERTY_STRING, ""},
		{"Architecture", PROPERTY_STRING, "x86-64"},
		/* Nothing runs in a guest that was shut down: systemctl says so of a system without its manager. */
		{"SystemState", PROPERTY_STRING, runs ? "running" : "offline"},
		{"Environment", PROPERTY_STRINGS, ""},
		{"UnitPath", PROPERTY_STRINGS, "/etc/systemd/system"},
		{"NNames", PROPERTY_U32, NULL, 0},
		{"NFailedUnits", PROPERTY_U32, NULL, 0},
		{"NJobs", PROPERTY_U32, NULL, 0},
		{"NInstalledJobs", PROPERTY_U32, NULL, 0},
		{"Progress", PROPERTY_STRING, ""},
	};

	memcpy(ret, all, sizeof(all));
	return ARRAY_SIZE(all);
}

static int append_id(sd_bus_message *reply, const char *digits)
{
	sd_id128_t id;
	int r = sd_bus_message_open_container(reply, 'v', "ay");

	if (r >= 0 && sd_id128_from_string(digits, &id) >= 0)
		r = sd_bus_message_append_array(reply, 'y', id.bytes, sizeof(id.bytes));
	else if (r >= 0)
		r = sd_bus_message_append_array(reply, 'y', NULL, 0);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_strings(sd_bus_message *reply, const char *const *strings, size_t n)
{
	int r = sd_bus_message_open_container(reply, 'v', "as");

	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "s");
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = sd_bus_message_append(reply, "s", strings[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_names(sd_bus_message *reply, const struct unit *unit)
{
	const char *names[] = {unit->id, unit->name};

	return append_strings(reply, names, strcmp(unit->id, unit->name) == 0 ? 1 : 2);
}

static int append_drop_ins(sd_bus_message *reply, const struct unit *unit)
{
	const char *paths[ARRAY_SIZE(unit->drop_ins)];

	for (size_t i = 0; i < unit->n_drop_ins; i++)
		paths[i] = unit->drop_ins[i];
	return append_strings(reply, paths, unit->n_drop_ins);
}

static int append_listens(sd_bus_message *reply, const struct unit *unit)
{
	int r = sd_bus_message_open_container(reply, 'v', "a(ss)");

	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(ss)");
	for (size_t i = 0; r >= 0 && i < unit->n_listens; i++)
		r = sd_bus_message_append(reply, "(ss)", unit->listens[i].kind, unit->listens[i].address);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static uint64_t last_trigger(const char *timer)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "/var/lib/systemd/timers/stamp-%s", timer);
	return stat(path, &st) < 0 ? 0 : (uint64_t)st.st_mtim.tv_sec * 1000000 + (uint64_t)st.st_mtim.tv_nsec / 1000;
}

static int append_load_error(sd_bus_message *reply, const struct unit *unit)
{
	char text[SHADOW_NAME_MAX + 32];

	if (strcmp(unit->load_state, "not-found") != 0)
		return sd_bus_message_append(reply, "v", "(ss)", "", "");
	snprintf(text, sizeof(text), "Unit %s not found.", unit->id);
	return sd_bus_message_append(reply, "v", "(ss)", "org.freedesktop.systemd1.NoSuchUnit", text);
}

static int append_property(struct manager *manager, sd_bus_message *reply, const struct unit *unit,
			   const struct property *property)
{
	switch (property->kind) {
	case PROPERTY_STRING:
		return sd_bus_message_append(reply, "v", "s", property->string);
	case PROPERTY_BOOL:
		return sd_bus_message_append(reply, "v", "b", (int)property->number);
	case PROPERTY_U32:
		return sd_bus_message_append(reply, "v", "u", (uint32_t)property->number);
	case PROPERTY_U64:
		return sd_bus_message_append(reply, "v", "t", property->number);
	case PROPERTY_STRINGS:
		return append_strings(reply, &property->string, property->string[0] ? 1 : 0);
	case PROPERTY_FILE_STATE:
		return manager_append_file_state(manager, reply, property->string);
	case PROPERTY_NAMES:
		return append_names(reply, unit);
	case PROPERTY_DROP_INS:
		return append_drop_ins(reply, unit);
	case PROPERTY_LISTENS:
		return append_listens(reply, unit);
	case PROPERTY_LAST_TRIGGER:
		return sd_bus_message_append(reply, "v", "t", last_trigger(property->string));
	case PROPERTY_LOAD_ERROR:
		return append_load_error(reply, unit);
	case PROPERTY_ID:
		return append_id(reply, property->string);
	}
	return -EINVAL;
}

/* A unit, and room for a name that its properties borrow. */
struct object {
	struct unit unit;
	char triggers[SHADOW_NAME_MAX];
};

/* The properties of the object that the message is for; negative: no such object. */
static int object_properties(struct manager *manager, sd_bus_message *message, struct object *object,
			     struct property *ret, sd_bus_error *error)
{
	const char *path = sd_bus_message_get_path(message);
	_cleanup_(free_ptr) char *name = NULL;
	int r;

	if (strcmp(path, MANAGER_PATH) == 0)
		return (int)manager_properties(manager->options->processes && manager->options->processes->n, ret);
	r = sd_bus_path_decode(path, UNIT_PREFIX, &name);
	if (r <= 0 || !unit_name_is_valid(name))
		return sd_bus_error_setf(error, SD_BUS_ERROR_UNKNOWN_OBJECT, "Unknown object '%s'.", path);
	unit_lookup(manager->options->processes, name, &object->unit);
	return (int)unit_properties(&object->unit, triggered_by(&object->unit, object->triggers), ret);
}

int manager_get_property(struct manager *manager, const struct method *method, sd_bus_message *message,
			 sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unref_ptr) sd_bus_message *reply = NULL;
	struct property properties[PROPERTIES_MAX];
	const char *interface, *name;
	struct object object;
	int n, r;

	r = sd_bus_message_read(message, "ss", &interface, &name);
	if (r < 0)
		return r;
	n = object_properties(manager, message, &object, properties, error);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		if (strcmp(properties[i].name, name) != 0)
			continue;
		r = sd_bus_message_new_method_return(message, &reply);
		if (r >= 0)
			r = append_property(manager, reply, &object.unit, &properties[i]);
		return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
	}
	return sd_bus_error_setf(error, SD_BUS_ERROR_UNKNOWN_PROPERTY, "Unknown property '%.64s'.", name);
}

int manager_get_all(struct manager *manager, const struct method *method, sd_bus_message *message, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unref_ptr) sd_bus_message *reply = NULL;
	struct property properties[PROPERTIES_MAX];
	struct object object;
	int n, r;

	n = object_properties(manager, message, &object, properties, error);
	if (n < 0)
		return n;
	r = sd_bus_message_new_method_return(message, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "{sv}");
	for (int i = 0; r >= 0 && i < n; i++) {
		r = sd_bus_message_open_container(reply, 'e', "sv");
		if (r >= 0)
			r = sd_bus_message_append(reply, "s", properties[i].name);
		if (r >= 0)
			r = append_property(manager, reply, &object.unit, &properties[i]);
		if (r >= 0)
			r = sd_bus_message_close_container(reply);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
