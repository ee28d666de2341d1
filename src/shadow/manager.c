/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers of the guest's service manager, on /run/systemd/private of the shadow: the guest's
 * own unmodified systemctl is the client. Requests to change what runs are recorded and reported
 * as done; questions are answered from files and processes; file verbs are done by the guest's own
 * `systemctl --root=/`, inside the shadow. What is not in the table is org.freedesktop.DBus.Error.UnknownMethod.
 *
 * The client is hostile and this process has nothing it could be robbed of but the process list.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "shadow/manager.h"

#define CONNECTIONS_MAX   64
#define RUNNER_OUTPUT_MAX 65536
#define RUNNER_TIMEOUT_MS 60000
#define NAMES_MAX         256 /* unit names in one request */
#define MEMORY_MAX        (256u << 20)

#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"
#define MANAGER_PATH      "/org/freedesktop/systemd1"
#define UNIT_PREFIX       "/org/freedesktop/systemd1/unit"

struct manager {
	const struct manager_options *options;
	sd_event *event;
	unsigned n_connections;
	uint32_t n_jobs;
};

struct method {
	const char *interface, *member;
	int (*handle)(struct manager *manager, const struct method *method, sd_bus_message *message,
		      sd_bus_error *error);
	const char *argument; /* of the handler */
};

DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref)

/* --- recording --- */

static int record(const struct manager *manager, const char *verb, const char *unit)
{
	struct manager_record entry = {0};

	snprintf(entry.verb, sizeof(entry.verb), "%s", verb);
	snprintf(entry.unit, sizeof(entry.unit), "%s", unit);
	/* Before the reply: what the client was told is done must not be lost. */
	return send(manager->options->record_fd, &entry, sizeof(entry), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int read_unit(sd_bus_message *message, const char **ret, sd_bus_error *error)
{
	int r = sd_bus_message_read(message, "s", ret);

	if (r < 0)
		return r;
	if (!unit_name_is_valid(*ret))
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "Unit name is not valid.");
	return 0;
}

static int unit_path(const char *name, char **ret)
{
	return sd_bus_path_encode(UNIT_PREFIX, name, ret);
}

/* Announces the end of a job: systemctl waits for it. */
static int emit_job_removed(struct manager *manager, sd_bus *bus, const char *unit)
{
	char path[64];

	snprintf(path, sizeof(path), MANAGER_PATH "/job/%u", manager->n_jobs);
	return sd_bus_emit_signal(bus, MANAGER_PATH, MANAGER_INTERFACE, "JobRemoved", "uoss", manager->n_jobs, path,
				  unit, "done");
}

static int handle_job(struct manager *manager, const struct method *method, sd_bus_message *message,
		      sd_bus_error *error)
{
	const char *name;
	struct unit unit;
	char path[64];
	int r = read_unit(message, &name, error);

	if (r < 0)
		return r;
	/* StartUnitReplace: the unit whose job is replaced comes first. */
	if (strcmp(method->member, "StartUnitReplace") == 0) {
		r = read_unit(message, &name, error);
		if (r < 0)
			return r;
	}
	unit_lookup(manager->options->processes, name, &unit);
	if (strcmp(unit.load_state, "not-found") == 0 && !unit.main_pid)
		return sd_bus_error_setf(error, "org.freedesktop.systemd1.NoSuchUnit", "Unit %s not found.", name);
	if (strcmp(unit.load_state, "masked") == 0 && strcmp(method->argument, "stop") != 0)
		return sd_bus_error_setf(error, "org.freedesktop.systemd1.UnitMasked", "Unit %s is masked.", name);
	r = record(manager, method->argument, unit.id);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), MANAGER_PATH "/job/%u", ++manager->n_jobs);
	r = sd_bus_reply_method_return(message, "o", path);
	return r < 0 ? r : emit_job_removed(manager, sd_bus_message_get_bus(message), unit.id);
}

/* Requests that have a unit (the handler's argument ends in ':') or none, and an empty reply. */
static int handle_request(struct manager *manager, const struct method *method, sd_bus_message *message,
			  sd_bus_error *error)
{
	size_t n = strlen(method->argument);
	char verb[32];
	const char *name = "";
	int r = 0;

	snprintf(verb, sizeof(verb), "%s", method->argument);
	if (verb[n - 1] == ':') {
		verb[n - 1] = '\0';
		r = read_unit(message, &name, error);
	}
	if (r >= 0)
		r = record(manager, verb, name);
	return r < 0 ? r : sd_bus_reply_method_return(message, NULL);
}

static int handle_nothing(struct manager *manager, const struct method *method, sd_bus_message *message,
			  sd_bus_error *error)
{
	return sd_bus_reply_method_return(message, NULL);
}

/* --- questions --- */

static int reply_unit_path(sd_bus_message *message, const char *name)
{
	_cleanup_(free_ptr) char *path = NULL;
	int r = unit_path(name, &path);

	return r < 0 ? r : sd_bus_reply_method_return(message, "o", path);
}

/* LoadUnit always has an answer; GetUnit (argument "loaded") only for what exists. */
static int handle_get_unit(struct manager *manager, const struct method *method, sd_bus_message *message,
			   sd_bus_error *error)
{
	struct unit unit;
	const char *name;
	int r = read_unit(message, &name, error);

	if (r < 0)
		return r;
	unit_lookup(manager->options->processes, name, &unit);
	if (method->argument && strcmp(unit.load_state, "not-found") == 0 && !unit.main_pid)
		return sd_bus_error_setf(error, "org.freedesktop.systemd1.NoSuchUnit", "Unit %s not loaded.", name);
	return reply_unit_path(message, unit.name);
}

static int handle_get_unit_by_pid(struct manager *manager, const struct method *method, sd_bus_message *message,
				  sd_bus_error *error)
{
	const struct guest_process_list *processes = manager->options->processes;
	char name[SHADOW_NAME_MAX];
	uint32_t pid;
	int r = sd_bus_message_read(message, "u", &pid);

	if (r < 0)
		return r;
	for (size_t i = 0; processes && i < processes->n; i++)
		if (processes->items[i].pid == pid && unit_of_process(&processes->items[i], name))
			return reply_unit_path(message, name);
	return sd_bus_error_setf(error, "org.freedesktop.systemd1.NoUnitForPID",
				 "PID %u does not belong to any loaded unit.", pid);
}

static int append_listed(sd_bus_message *reply, const struct unit *unit)
{
	_cleanup_(free_ptr) char *path = NULL;
	int r = unit_path(unit->id, &path);

	return r < 0 ? r
		     : sd_bus_message_append(reply, "(ssssssouso)", unit->id, unit->id, unit->load_state,
					     unit->active_state, unit->sub_state, "", path, 0u, "", "/");
}

/* Whether the unit comes up for the first time at this process: each is listed once. */
static bool is_first(const struct guest_process_list *processes, size_t index, const char *name)
{
	char other[SHADOW_NAME_MAX];

	for (size_t i = 0; i < index; i++)
		if (unit_of_process(&processes->items[i], other) && strcmp(other, name) == 0)
			return false;
	return true;
}

/* The units that run; filters are left to the client, which filters again. */
static int handle_list_units(struct manager *manager, const struct method *method, sd_bus_message *message,
			     sd_bus_error *error)
{
	const struct guest_process_list *processes = manager->options->processes;
	_cleanup_(sd_bus_message_unref_ptr) sd_bus_message *reply = NULL;
	char name[SHADOW_NAME_MAX];
	struct unit unit;
	int r;

	r = sd_bus_message_new_method_return(message, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(ssssssouso)");
	for (size_t i = 0; r >= 0 && processes && i < processes->n && i < 10000; i++) {
		if (!unit_of_process(&processes->items[i], name) || !unit_name_is_valid(name) ||
		    !is_first(processes, i, name))
			continue;
		unit_lookup(processes, name, &unit);
		r = append_listed(reply, &unit);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int handle_list_jobs(struct manager *manager, const struct method *method, sd_bus_message *message,
			    sd_bus_error *error)
{
	return sd_bus_reply_method_return(message, "a(usssoo)", 0);
}

/* --- file verbs: the guest's own systemctl, run by init inside the shadow --- */

static ssize_t read_bounded(int fd, char *buffer, size_t size)
{
	size_t n = 0;

	while (n < size) {
		struct pollfd pollfd = {.fd = fd, .events = POLLIN};
		ssize_t part = poll(&pollfd, 1, RUNNER_TIMEOUT_MS) == 1 ? read(fd, buffer + n, size - n) : -1;

		if (part < 0)
			return -1;
		if (part == 0)
			break;
		n += (size_t)part;
	}
	return (ssize_t)n;
}

static int send_command(int fd, const char *command, size_t size, int output)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {(void *)command, size};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.header), &output, sizeof(output));
	return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Runs `size` bytes of NUL-terminated strings as a command; output is NUL-terminated. Returns its exit status or
 * -errno. */
static int run_command(const struct manager *manager, const char *command, size_t size, char output[RUNNER_OUTPUT_MAX])
{
	struct pollfd pollfd = {.fd = manager->options->runner_fd, .events = POLLIN};
	unsigned char status;
	ssize_t n;
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	r = send_command(manager->options->runner_fd, command, size, fds[1]);
	close(fds[1]);
	n = r < 0 ? -1 : read_bounded(fds[0], output, RUNNER_OUTPUT_MAX - 1);
	close(fds[0]);
	if (n < 0)
		return -EIO;
	output[n] = '\0';
	if (poll(&pollfd, 1, RUNNER_TIMEOUT_MS) != 1 || recv(pollfd.fd, &status, 1, MSG_DONTWAIT) != 1)
		return -EIO;
	return status;
}

struct command {
	char bytes[4096];
	size_t size;
};

static int add_word(struct command *command, const char *word)
{
	size_t n = strlen(word) + 1;

	if (command->size + n > sizeof(command->bytes))
		return -E2BIG;
	memcpy(command->bytes + command->size, word, n);
	command->size += n;
	return 0;
}

static int begin_systemctl(struct command *command, const char *verb)
{
	int r;

	command->size = 0;
	r = add_word(command, "systemctl");
	if (r >= 0)
		r = add_word(command, "--root=/");
	return r < 0 ? r : add_word(command, verb);
}

/* The first line of what `systemctl --root=/ VERB [UNIT]` prints. */
static int handle_file_question(struct manager *manager, const struct method *method, sd_bus_message *message,
				sd_bus_error *error)
{
	char output[RUNNER_OUTPUT_MAX];
	struct command command;
	const char *name = NULL;
	int r = begin_systemctl(&command, method->argument);

	if (r >= 0 && strcmp(method->argument, "get-default") != 0)
		r = read_unit(message, &name, error);
	if (r >= 0 && name)
		r = add_word(&command, name);
	if (r >= 0)
		r = run_command(manager, command.bytes, command.size, output);
	if (r < 0)
		return r;
	output[strcspn(output, "\n")] = '\0';
	if (!output[0])
		return sd_bus_error_setf(error, SD_BUS_ERROR_FILE_NOT_FOUND, "Unit file %s does not exist.",
					 name ? name : "default.target");
	return sd_bus_reply_method_return(message, "s", output);
}

/* Verbs with a list of units and flags (runtime, force); the changes they made are not listed in the reply. */
static int handle_file_verb(struct manager *manager, const struct method *method, sd_bus_message *message,
			    sd_bus_error *error)
{
	bool carries = strcmp(method->argument, "enable") == 0 || strcmp(method->argument, "preset") == 0;
	char output[RUNNER_OUTPUT_MAX];
	struct command command;
	const char *name;
	unsigned n = 0;
	int r = begin_systemctl(&command, method->argument);

	if (r >= 0)
		r = sd_bus_message_enter_container(message, 'a', "s");
	while (r >= 0 && (r = sd_bus_message_read(message, "s", &name)) > 0) {
		if (!unit_name_is_valid(name) || n++ >= NAMES_MAX)
			return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "Unit name is not valid.");
		r = add_word(&command, name);
	}
	if (r >= 0)
		r = run_command(manager, command.bytes, command.size, output);
	if (r < 0)
		return r;
	if (r > 0)
		return sd_bus_error_setf(error, SD_BUS_ERROR_FAILED, "systemctl %s failed with status %d.",
					 method->argument, r);
	if (carries)
		return sd_bus_reply_method_return(message, "ba(sss)", 1, 0);
	return sd_bus_reply_method_return(message, "a(sss)", 0);
}

/* --- properties --- */

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

static int append_file_state(struct manager *manager, sd_bus_message *reply, const char *name)
{
	char output[RUNNER_OUTPUT_MAX] = "";
	struct command command;
	int r = begin_systemctl(&command, "is-enabled");

	if (r >= 0)
		r = add_word(&command, name);
	if (r >= 0)
		r = run_command(manager, command.bytes, command.size, output);
	output[strcspn(output, "\n")] = '\0';
	return sd_bus_message_append(reply, "v", "s", r < 0 ? "" : output);
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
		return append_file_state(manager, reply, property->string);
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

static int handle_get_property(struct manager *manager, const struct method *method, sd_bus_message *message,
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

static int handle_get_all(struct manager *manager, const struct method *method, sd_bus_message *message,
			  sd_bus_error *error)
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

/* --- the table --- */

#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"

static const struct method methods[] = {
	{MANAGER_INTERFACE, "StartUnit", handle_job, "start"},
	{MANAGER_INTERFACE, "StartUnitReplace", handle_job, "start"},
	{MANAGER_INTERFACE, "StopUnit", handle_job, "stop"},
	{MANAGER_INTERFACE, "RestartUnit", handle_job, "restart"},
	{MANAGER_INTERFACE, "TryRestartUnit", handle_job, "try-restart"},
	{MANAGER_INTERFACE, "ReloadUnit", handle_job, "reload"},
	{MANAGER_INTERFACE, "ReloadOrRestartUnit", handle_job, "reload-or-restart"},
	{MANAGER_INTERFACE, "ReloadOrTryRestartUnit", handle_job, "try-reload-or-restart"},
	{MANAGER_INTERFACE, "KillUnit", handle_request, "kill:"},
	{MANAGER_INTERFACE, "ResetFailedUnit", handle_request, "reset-failed:"},
	{MANAGER_INTERFACE, "ResetFailed", handle_request, "reset-failed"},
	{MANAGER_INTERFACE, "Reload", handle_request, "daemon-reload"},
	{MANAGER_INTERFACE, "Reexecute", handle_request, "daemon-reexec"},
	{MANAGER_INTERFACE, "Subscribe", handle_nothing},
	{MANAGER_INTERFACE, "Unsubscribe", handle_nothing},
	{MANAGER_INTERFACE, "GetUnit", handle_get_unit, "loaded"},
	{MANAGER_INTERFACE, "LoadUnit", handle_get_unit},
	{MANAGER_INTERFACE, "GetUnitByPID", handle_get_unit_by_pid},
	{MANAGER_INTERFACE, "ListUnits", handle_list_units},
	{MANAGER_INTERFACE, "ListUnitsFiltered", handle_list_units},
	{MANAGER_INTERFACE, "ListUnitsByPatterns", handle_list_units},
	{MANAGER_INTERFACE, "ListUnitsByNames", handle_list_units},
	{MANAGER_INTERFACE, "ListJobs", handle_list_jobs},
	{MANAGER_INTERFACE, "GetUnitFileState", handle_file_question, "is-enabled"},
	{MANAGER_INTERFACE, "GetDefaultTarget", handle_file_question, "get-default"},
	{MANAGER_INTERFACE, "EnableUnitFiles", handle_file_verb, "enable"},
	{MANAGER_INTERFACE, "DisableUnitFiles", handle_file_verb, "disable"},
	{MANAGER_INTERFACE, "PresetUnitFiles", handle_file_verb, "preset"},
	{MANAGER_INTERFACE, "MaskUnitFiles", handle_file_verb, "mask"},
	{MANAGER_INTERFACE, "UnmaskUnitFiles", handle_file_verb, "unmask"},
	{PROPERTIES_INTERFACE, "Get", handle_get_property},
	{PROPERTIES_INTERFACE, "GetAll", handle_get_all},
};

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct manager *manager = userdata;

	if (sd_bus_message_is_signal(message, "org.freedesktop.DBus.Local", "Disconnected")) {
		sd_bus *bus = sd_bus_message_get_bus(message);

		manager->n_connections--;
		sd_bus_detach_event(bus);
		sd_bus_close(bus);
		return 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		int r;

		if (!sd_bus_message_is_method_call(message, methods[i].interface, methods[i].member))
			continue;
		r = methods[i].handle(manager, &methods[i], message, error);
		if (r < 0 && !sd_bus_error_is_set(error))
			sd_bus_error_set_errno(error, r);
		if (sd_bus_error_is_set(error))
			(void)sd_bus_reply_method_error(message, error);
		return 1;
	}
	return 0;
}

/* --- connections --- */

/* The guest's id 0 is another number out here, and whoever reaches the socket is the guest anyway: anonymous. */
static int serve_connection(struct manager *manager, int fd)
{
	sd_bus *bus = NULL;
	sd_id128_t id;
	int r = sd_bus_new(&bus);

	if (r < 0) {
		close(fd);
		return r;
	}
	/* From here on the descriptor is the bus's; the event loop keeps the bus. */
	r = sd_bus_set_fd(bus, fd, fd);
	if (r < 0)
		close(fd);
	if (r >= 0)
		r = sd_id128_randomize(&id);
	if (r >= 0)
		r = sd_bus_set_server(bus, 1, id);
	if (r >= 0)
		r = sd_bus_set_anonymous(bus, 1);
	if (r >= 0)
		r = sd_bus_set_trusted(bus, 1);
	if (r >= 0)
		r = sd_bus_set_sender(bus, "org.freedesktop.systemd1");
	if (r >= 0)
		r = sd_bus_add_filter(bus, NULL, on_message, manager);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0)
		r = sd_bus_attach_event(bus, manager->event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0)
		sd_bus_unref(bus);
	else
		manager->n_connections++;
	return r;
}

static int on_connection(sd_event_source *source, int listener, uint32_t events, void *userdata)
{
	struct manager *manager = userdata;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return 0;
	if (manager->n_connections >= CONNECTIONS_MAX) {
		close(fd);
		return 0;
	}
	(void)serve_connection(manager, fd);
	return 0;
}

/* What a client can make us hold; the shadow memory of a sanitizer build is not meant. */
static int limit_memory(void)
{
#ifdef __SANITIZE_ADDRESS__
	return 0;
#else
	struct rlimit limit = {MEMORY_MAX, MEMORY_MAX};

	return setrlimit(RLIMIT_DATA, &limit);
#endif
}

struct error *manager_serve(const struct manager_options *options)
{
	struct manager manager = {.options = options};
	int r;

	if (limit_memory() < 0)
		return error_system(errno, NULL, "cannot limit the manager's memory");
	r = sd_event_new(&manager.event);
	if (r >= 0)
		r = sd_event_add_io(manager.event, NULL, options->listener, EPOLLIN, on_connection, &manager);
	if (r >= 0)
		r = sd_event_loop(manager.event);
	sd_event_unref(manager.event);
	return r < 0 ? error_system(-r, NULL, "the manager's answers") : NULL;
}
