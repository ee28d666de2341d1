/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's objects as D-Bus properties: itself, and each unit. */
#include <string.h>
#include <systemd/sd-bus.h>

#include "shadow/manager.h"

enum property_kind {
	PROPERTY_STRING,
	PROPERTY_BOOL,
	PROPERTY_U32,
	PROPERTY_U64,
	PROPERTY_STRINGS,    /* one string, or none if empty */
	PROPERTY_FILE_STATE, /* asks systemctl: only when it is asked for alone */
};

struct property {
	const char *name;
	enum property_kind kind;
	const char *string;
	uint64_t number;
};

#define PROPERTIES_MAX 64

static size_t unit_properties(const struct unit *unit, struct property *ret)
{
	const struct property all[] = {
		{"Id", PROPERTY_STRING, unit->id},
		{"Names", PROPERTY_STRINGS, unit->id},
		{"Description", PROPERTY_STRING, unit->id},
		{"LoadState", PROPERTY_STRING, unit->load_state},
		{"ActiveState", PROPERTY_STRING, unit->active_state},
		{"SubState", PROPERTY_STRING, unit->sub_state},
		{"FreezerState", PROPERTY_STRING, "running"},
		{"Following", PROPERTY_STRING, ""},
		{"FragmentPath", PROPERTY_STRING, unit->fragment},
		{"SourcePath", PROPERTY_STRING, ""},
		{"DropInPaths", PROPERTY_STRINGS, ""},
		{"UnitFileState", PROPERTY_FILE_STATE, unit->id},
		{"UnitFilePreset", PROPERTY_STRING, ""},
		{"CanStart", PROPERTY_BOOL, NULL, 1},
		{"CanStop", PROPERTY_BOOL, NULL, 1},
		{"CanReload", PROPERTY_BOOL, NULL, 1},
		{"CanIsolate", PROPERTY_BOOL, NULL, 0},
		{"RefuseManualStart", PROPERTY_BOOL, NULL, 0},
		{"RefuseManualStop", PROPERTY_BOOL, NULL, 0},
		{"NeedDaemonReload", PROPERTY_BOOL, NULL, 0},
		{"Transient", PROPERTY_BOOL, NULL, 0},
		{"ConditionResult", PROPERTY_BOOL, NULL, 1},
		{"AssertResult", PROPERTY_BOOL, NULL, 1},
		{"TriggeredBy", PROPERTY_STRINGS, ""},
		{"Triggers", PROPERTY_STRINGS, ""},
		{"Type", PROPERTY_STRING, "simple"},
		{"Result", PROPERTY_STRING, "success"},
		{"StatusText", PROPERTY_STRING, ""},
		{"MainPID", PROPERTY_U32, NULL, unit->main_pid},
		{"ExecMainPID", PROPERTY_U32, NULL, unit->main_pid},
		{"ControlPID", PROPERTY_U32, NULL, 0},
		{"NRestarts", PROPERTY_U32, NULL, 0},
		{"ActiveEnterTimestamp", PROPERTY_U64, NULL, 0},
		{"InactiveEnterTimestamp", PROPERTY_U64, NULL, 0},
	};

	_Static_assert(ARRAY_SIZE(all) <= PROPERTIES_MAX, "room for all properties");
	memcpy(ret, all, sizeof(all));
	return ARRAY_SIZE(all);
}

static size_t manager_properties(struct property *ret)
{
	static const struct property all[] = {
		{"Version", PROPERTY_STRING, "shadow"},
		{"Features", PROPERTY_STRING, ""},
		{"Virtualization", PROPERTY_STRING, ""},
		{"Architecture", PROPERTY_STRING, "x86-64"},
		{"SystemState", PROPERTY_STRING, "running"},
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

static int append_property(struct manager *manager, sd_bus_message *reply, const struct property *property)
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
		if (!property->string[0])
			return sd_bus_message_append(reply, "v", "as", 0);
		return sd_bus_message_append(reply, "v", "as", 1, property->string);
	case PROPERTY_FILE_STATE:
		return manager_append_file_state(manager, reply, property->string);
	}
	return -EINVAL;
}

/* The properties of the object that the message is for; negative: no such object. */
static int object_properties(struct manager *manager, sd_bus_message *message, struct unit *unit, struct property *ret,
			     sd_bus_error *error)
{
	const char *path = sd_bus_message_get_path(message);
	_cleanup_(free_ptr) char *name = NULL;
	int r;

	if (strcmp(path, MANAGER_PATH) == 0)
		return (int)manager_properties(ret);
	r = sd_bus_path_decode(path, UNIT_PREFIX, &name);
	if (r <= 0 || !unit_name_is_valid(name))
		return sd_bus_error_setf(error, SD_BUS_ERROR_UNKNOWN_OBJECT, "Unknown object '%s'.", path);
	unit_lookup(manager->options->processes, name, unit);
	return (int)unit_properties(unit, ret);
}

int manager_get_property(struct manager *manager, const struct method *method, sd_bus_message *message,
			 sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unref_ptr) sd_bus_message *reply = NULL;
	struct property properties[PROPERTIES_MAX];
	const char *interface, *name;
	struct unit unit;
	int n, r;

	r = sd_bus_message_read(message, "ss", &interface, &name);
	if (r < 0)
		return r;
	n = object_properties(manager, message, &unit, properties, error);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		if (strcmp(properties[i].name, name) != 0)
			continue;
		r = sd_bus_message_new_method_return(message, &reply);
		if (r >= 0)
			r = append_property(manager, reply, &properties[i]);
		return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
	}
	return sd_bus_error_setf(error, SD_BUS_ERROR_UNKNOWN_PROPERTY, "Unknown property '%.64s'.", name);
}

int manager_get_all(struct manager *manager, const struct method *method, sd_bus_message *message, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unref_ptr) sd_bus_message *reply = NULL;
	struct property properties[PROPERTIES_MAX];
	struct unit unit;
	int n, r;

	n = object_properties(manager, message, &unit, properties, error);
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
			r = append_property(manager, reply, &properties[i]);
		if (r >= 0)
			r = sd_bus_message_close_container(reply);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
