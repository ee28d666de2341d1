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
#include "shadow/record.h"

#define MEMORY_MAX        (256u << 20)

#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"

/* --- recording --- */

static bool client_of(sd_bus_message *message, struct ucred *ret)
{
	socklen_t size = sizeof(*ret);
	int fd = sd_bus_get_fd(sd_bus_message_get_bus(message));

	return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret, &size) == 0;
}

bool manager_may_change(sd_bus_message *message, sd_bus_error *error)
{
	struct ucred client;

	/* Ids of the host are those of tests: no program of a shadow has one. */
	if (client_of(message, &client) && (client.uid == SHADOW_ID_BASE || client.uid < SHADOW_ID_BASE))
		return true;
	sd_bus_error_set(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
			 "Interactive authentication required.");
	return false;
}

int manager_record(const struct manager *manager, sd_bus_message *message, struct manager_record *record)
{
	struct ucred client;

	/* As our own pid namespace counts, which is one below ouassister's. */
	record->pid = client_of(message, &client) && client.pid > 0 ? (uint32_t)client.pid : 0;
	record->depth = 1;
	return record_send(manager->options->record_fd, record);
}

static int record(const struct manager *manager, sd_bus_message *message, enum manager_record_kind kind,
		  const char *verb, const char *unit)
{
	struct manager_record entry = {.kind = kind};

	snprintf(entry.verb, sizeof(entry.verb), "%s", verb);
	snprintf(entry.unit, sizeof(entry.unit), "%s", unit);
	return manager_record(manager, message, &entry);
}

int manager_read_unit(sd_bus_message *message, const char **ret, sd_bus_error *error)
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

/* What systemctl was told beside the verb, one word; false: no room. */
static bool add_option(struct manager_record *record, const char *name, const char *value)
{
	size_t room = sizeof(record->data) - record->size;
	int n = snprintf((char *)record->data + record->size, room, "--%s=%s", name, value);

	if (n < 0 || (size_t)n >= room)
		return false;
	record->size += (uint32_t)n + 1;
	record->n_words++;
	return true;
}

static bool is_job_mode(const char *mode)
{
	static const char *const modes[] = {
		"fail",  "replace-irreversibly", "ignore-dependencies", "ignore-requirements", "isolate",
		"flush", "triggering",           "restart-dependencies"};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (strcmp(mode, modes[i]) == 0)
			return true;
	return false;
}

/* Refuses what systemd refuses, and records the rest. `mode`: "replace" is what systemctl does by itself. */
static int take_job(struct manager *manager, sd_bus_message *message, const char *verb, const char *name,
		    const char *mode, struct unit *unit, sd_bus_error *error)
{
	struct manager_record entry = {.kind = RECORD_REQUEST};

	unit_lookup(manager->options->processes, name, unit);
	if (strcmp(unit->load_state, "not-found") == 0 && !unit->main_pid)
		return sd_bus_error_setf(error, "org.freedesktop.systemd1.NoSuchUnit", "Unit %s not found.", name);
	if (strcmp(unit->load_state, "masked") == 0 && strcmp(verb, "stop") != 0)
		return sd_bus_error_setf(error, "org.freedesktop.systemd1.UnitMasked", "Unit %s is masked.", name);
	if (strcmp(mode, "replace") != 0 && (!is_job_mode(mode) || !add_option(&entry, "job-mode", mode)))
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "Job mode %.32s invalid", mode);
	snprintf(entry.verb, sizeof(entry.verb), "%s", verb);
	snprintf(entry.unit, sizeof(entry.unit), "%s", unit->id);
	manager->n_jobs++;
	return manager_record(manager, message, &entry);
}

static int handle_job(struct manager *manager, const struct method *method, sd_bus_message *message,
		      sd_bus_error *error)
{
	const char *name, *mode;
	struct unit unit;
	char path[64];
	int r = manager_read_unit(message, &name, error);

	/* StartUnitReplace: the unit whose job is replaced comes first. */
	if (r >= 0 && strcmp(method->member, "StartUnitReplace") == 0)
		r = manager_read_unit(message, &name, error);
	if (r >= 0)
		r = sd_bus_message_read(message, "s", &mode);
	if (r >= 0)
		r = take_job(manager, message, method->argument, name, mode, &unit, error);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), MANAGER_PATH "/job/%u", manager->n_jobs);
	r = sd_bus_reply_method_return(message, "o", path);
	return r < 0 ? r : emit_job_removed(manager, sd_bus_message_get_bus(message), unit.id);
}

/* The verb of systemctl for a type of EnqueueUnitJob(); NULL: nothing that we could do later. */
static const char *verb_of_type(const char *type)
{
	static const struct {
		const char *type, *verb;
	} verbs[] = {
		{"start", "start"},
		{"stop", "stop"},
		{"restart", "restart"},
		{"try-restart", "try-restart"},
		{"reload", "reload"},
		{"reload-or-restart", "reload-or-restart"},
		{"reload-or-try-restart", "try-reload-or-restart"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(type, verbs[i].type) == 0)
			return verbs[i].verb;
	return NULL;
}

/* As `systemctl --show-transaction` asks; the reply lists the jobs of other units, which nobody knows here. */
static int handle_enqueue(struct manager *manager, const struct method *method, sd_bus_message *message,
			  sd_bus_error *error)
{
	_cleanup_(free_ptr) char *object = NULL;
	const char *name, *type, *mode;
	struct unit unit;
	char path[64];
	int r = manager_read_unit(message, &name, error);

	if (r >= 0)
		r = sd_bus_message_read(message, "ss", &type, &mode);
	if (r < 0)
		return r;
	if (!verb_of_type(type))
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "Job type %.32s invalid", type);
	r = take_job(manager, message, verb_of_type(type), name, mode, &unit, error);
	if (r >= 0)
		r = unit_path(unit.id, &object);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), MANAGER_PATH "/job/%u", manager->n_jobs);
	r = sd_bus_reply_method_return(message, "uososa(uosos)", manager->n_jobs, path, unit.id, object, type, 0);
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
		r = manager_read_unit(message, &name, error);
	}
	if (r >= 0)
		r = record(manager, message, RECORD_REQUEST, verb, name);
	return r < 0 ? r : sd_bus_reply_method_return(message, NULL);
}

/* A unit's processes get a signal: (name, whom, number). */
static int handle_kill(struct manager *manager, const struct method *method, sd_bus_message *message,
		       sd_bus_error *error)
{
	struct manager_record entry = {.kind = RECORD_REQUEST, .verb = "kill"};
	const char *name, *whom;
	char number[16];
	int32_t signal;
	int r = manager_read_unit(message, &name, error);

	if (r >= 0)
		r = sd_bus_message_read(message, "si", &whom, &signal);
	if (r < 0)
		return r;
	if (signal < 1 || signal > 64)
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "Signal number out of range.");
	snprintf(number, sizeof(number), "%d", signal);
	snprintf(entry.unit, sizeof(entry.unit), "%s", name);
	if (strcmp(whom, "main") == 0 || strcmp(whom, "control") == 0)
		(void)add_option(&entry, "kill-who", whom);
	(void)add_option(&entry, "signal", number);
	r = manager_record(manager, message, &entry);
	return r < 0 ? r : sd_bus_reply_method_return(message, NULL);
}

/* `systemctl reload-or-restart --marked`: which those are, the running manager knows. */
static int handle_marked(struct manager *manager, const struct method *method, sd_bus_message *message,
			 sd_bus_error *error)
{
	static const char option[] = "--marked";
	struct manager_record entry = {
		.kind = RECORD_REQUEST, .verb = "reload-or-restart", .n_words = 1, .size = sizeof(option)};
	int r;

	memcpy(entry.data, option, sizeof(option));
	r = manager_record(manager, message, &entry);
	return r < 0 ? r : sd_bus_reply_method_return(message, "ao", 0);
}

/* What only the running manager can keep: `systemctl set-property`, which packages of rpm mark units with. */
static int handle_caller(struct manager *manager, const struct method *method, sd_bus_message *message,
			 sd_bus_error *error)
{
	struct manager_record entry = {.kind = RECORD_CALLER};
	int r = manager_record(manager, message, &entry);

	return r < 0 ? r : sd_bus_reply_method_return(message, NULL);
}

int manager_do_nothing(struct manager *manager, const struct method *method, sd_bus_message *message,
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
	int r = manager_read_unit(message, &name, error);

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
	const struct guest_task_list *processes = manager->options->processes;
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

static int handle_list_jobs(struct manager *manager, const struct method *method, sd_bus_message *message,
			    sd_bus_error *error)
{
	return sd_bus_reply_method_return(message, "a(usssoo)", 0);
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
	{MANAGER_INTERFACE, "EnqueueUnitJob", handle_enqueue},
	{MANAGER_INTERFACE, "KillUnit", handle_kill},
	{MANAGER_INTERFACE, "ResetFailedUnit", handle_request, "reset-failed:"},
	{MANAGER_INTERFACE, "ResetFailed", handle_request, "reset-failed"},
	{MANAGER_INTERFACE, "Reload", handle_request, "daemon-reload"},
	{MANAGER_INTERFACE, "Reexecute", handle_request, "daemon-reexec"},
	{MANAGER_INTERFACE, "Subscribe", manager_do_nothing},
	{MANAGER_INTERFACE, "Unsubscribe", manager_do_nothing},
	{MANAGER_INTERFACE, "GetUnit", handle_get_unit, "loaded"},
	{MANAGER_INTERFACE, "LoadUnit", handle_get_unit},
	{MANAGER_INTERFACE, "GetUnitByPID", handle_get_unit_by_pid},
	{MANAGER_INTERFACE, "ListUnits", manager_list_units},
	{MANAGER_INTERFACE, "ListUnitsFiltered", manager_list_units},
	{MANAGER_INTERFACE, "ListUnitsByPatterns", manager_list_units},
	{MANAGER_INTERFACE, "ListUnitsByNames", manager_list_units},
	{MANAGER_INTERFACE, "ListJobs", handle_list_jobs},
	{MANAGER_INTERFACE, "ListUnitFiles", manager_list_unit_files},
	{MANAGER_INTERFACE, "ListUnitFilesByPatterns", manager_list_unit_files},
	{MANAGER_INTERFACE, "SetDefaultTarget", manager_file_order, "set-default"},
	{MANAGER_INTERFACE, "PresetAllUnitFiles", manager_file_order, "preset-all"},
	{MANAGER_INTERFACE, "LinkUnitFiles", manager_file_verb, "link"},
	{MANAGER_INTERFACE, "RevertUnitFiles", manager_file_verb, "revert"},
	{MANAGER_INTERFACE, "EnqueueMarkedJobs", handle_marked},
	{MANAGER_INTERFACE, "SetUnitProperties", handle_caller},
	{MANAGER_INTERFACE, "GetUnitFileState", manager_file_question, "is-enabled"},
	{MANAGER_INTERFACE, "GetDefaultTarget", manager_file_question, "get-default"},
	{MANAGER_INTERFACE, "EnableUnitFiles", manager_file_verb, "enable"},
	{MANAGER_INTERFACE, "EnableUnitFilesWithFlags", manager_file_verb, "enable"},
	{MANAGER_INTERFACE, "ReenableUnitFiles", manager_file_verb, "reenable"},
	{MANAGER_INTERFACE, "DisableUnitFiles", manager_file_verb, "disable"},
	{MANAGER_INTERFACE, "DisableUnitFilesWithFlags", manager_file_verb, "disable"},
	{MANAGER_INTERFACE, "DisableUnitFilesWithFlagsAndInstallInfo", manager_file_verb, "disable"},
	{MANAGER_INTERFACE, "PresetUnitFiles", manager_file_verb, "preset"},
	{MANAGER_INTERFACE, "MaskUnitFiles", manager_file_verb, "mask"},
	{MANAGER_INTERFACE, "UnmaskUnitFiles", manager_file_verb, "unmask"},
	{PROPERTIES_INTERFACE, "Get", manager_get_property},
	{PROPERTIES_INTERFACE, "GetAll", manager_get_all},
};

/*
 * What systemctl of a newer version would need shows in our log. It tries an older method only after
 * this very error; sd-bus by itself would say that there is no such object. Pings are left to sd-bus.
 */
static int refuse_unknown(const struct manager *manager, sd_bus_message *message, sd_bus_error *error)
{
	const char *interface = sd_bus_message_get_interface(message), *member = sd_bus_message_get_member(message);

	if (!interface || !member || !sd_bus_message_is_method_call(message, NULL, NULL) ||
	    strcmp(interface, "org.freedesktop.DBus.Peer") == 0)
		return 0;
	(void)record(manager, message, RECORD_UNKNOWN, member, interface);
	sd_bus_error_setf(error, SD_BUS_ERROR_UNKNOWN_METHOD, "Unknown method %s or interface %s.", member, interface);
	(void)sd_bus_reply_method_error(message, error);
	return 1;
}

int manager_dispatch(struct manager *manager, const struct method *table, size_t n, sd_bus_message *message,
		     sd_bus_error *error)
{
	for (size_t i = 0; i < n; i++) {
		int r;

		if (!sd_bus_message_is_method_call(message, table[i].interface, table[i].member))
			continue;
		r = table[i].handle(manager, &table[i], message, error);
		if (r < 0 && !sd_bus_error_is_set(error))
			sd_bus_error_set_errno(error, r);
		if (sd_bus_error_is_set(error))
			(void)sd_bus_reply_method_error(message, error);
		return 1;
	}
	return 0;
}

int manager_answer(struct manager *manager, sd_bus_message *message, sd_bus_error *error)
{
	int r = manager_dispatch(manager, methods, ARRAY_SIZE(methods), message, error);

	return r ? r : refuse_unknown(manager, message, error);
}

bool manager_connection_ended(struct manager *manager, sd_bus_message *message)
{
	sd_bus *bus = sd_bus_message_get_bus(message);

	if (!sd_bus_message_is_signal(message, "org.freedesktop.DBus.Local", "Disconnected"))
		return false;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (manager->connections[i] == bus)
			manager->connections[i] = NULL;
	sd_bus_detach_event(bus);
	sd_bus_close(bus);
	return true;
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	return manager_connection_ended(userdata, message) ? 1 : manager_answer(userdata, message, error);
}

static int on_bus_message(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	return manager_connection_ended(userdata, message) ? 1 : bus_answer(userdata, message, error);
}

/* --- connections --- */

/* The guest's id 0 is another number out here, and whoever reaches the socket is the guest anyway: anonymous. */
static int serve_connection(struct manager *manager, size_t place, int fd, sd_bus_message_handler_t handler)
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
		r = sd_bus_add_filter(bus, NULL, handler, manager);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0)
		r = sd_bus_attach_event(bus, manager->event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0)
		sd_bus_unref(bus);
	else
		manager->connections[place] = bus;
	return r;
}

/*
 * A message that came together with the end of the authentication is in sd-bus's buffer, where its event source does
 * not see it: libdbus's Hello would wait for the next one.
 */
static int on_post(sd_event_source *source, void *userdata)
{
	struct manager *manager = userdata;

	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		sd_bus *bus = sd_bus_ref(manager->connections[i]);

		for (unsigned n = 0; bus && n < 64 && sd_bus_process(bus, NULL) > 0; n++)
			;
		sd_bus_unref(bus);
	}
	return 0;
}

static int on_connection(sd_event_source *source, int listener, uint32_t events, void *userdata)
{
	struct manager *manager = userdata;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	size_t place = 0;

	if (fd < 0)
		return 0;
	while (place < CONNECTIONS_MAX && manager->connections[place])
		place++;
	if (place == CONNECTIONS_MAX) {
		close(fd);
		return 0;
	}
	(void)serve_connection(manager, place, fd,
			       listener == manager->options->listeners[SOCKET_BUS] ? on_bus_message : on_message);
	return 0;
}

static int listen_to(struct manager *manager, enum shadow_socket which)
{
	int fd = manager->options->listeners[which];

	return fd < 0 ? 0 : sd_event_add_io(manager->event, NULL, fd, EPOLLIN, on_connection, manager);
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
		r = listen_to(&manager, SOCKET_PRIVATE);
	if (r >= 0)
		r = listen_to(&manager, SOCKET_BUS);
	if (r >= 0)
		r = udev_control_serve(&manager, options->listeners[SOCKET_UDEV]);
	if (r >= 0)
		r = log_sink_serve(&manager, options->listeners[SOCKET_SYSLOG]);
	if (r >= 0)
		r = log_sink_serve(&manager, options->listeners[SOCKET_JOURNAL]);
	if (r >= 0)
		r = sd_event_add_post(manager.event, NULL, on_post, &manager);
	if (r >= 0)
		r = sd_event_loop(manager.event);
	sd_event_unref(manager.event);
	return r < 0 ? error_system(-r, NULL, "the manager's answers") : NULL;
}
