/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's system bus: who is on it is told from the services that run in memory and the files that name them.
 * systemd and its small daemons are answered; what is asked of another service is recorded as the asking program's
 * own words, if that is a tool that asks once, and refused otherwise. A name that nobody has is
 * org.freedesktop.DBus.Error.ServiceUnknown or NameHasNoOwner, as programs expect it.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "shadow/manager.h"
#include "shadow/record.h"

#define BUS_NAME          "org.freedesktop.DBus"
#define SYSTEMD_NAME      "org.freedesktop.systemd1"
#define SERVICES          "/usr/share/dbus-1/system-services"
#define ACTIVATABLE_MAX   1000
#define SYSTEMD_UNIQUE    ":1.1"
#define REQUEST_NAME_OWNS 1u

/* --- names --- */

/* Units of the guest's running services, each once, until `visit` says true. */
static bool each_service(struct manager *manager, bool (*visit)(const struct unit *unit, void *data), void *data)
{
	const struct guest_task_list *processes = manager->options->processes;
	char name[SHADOW_NAME_MAX], before[SHADOW_NAME_MAX] = "";
	struct unit unit;

	for (size_t i = 0; processes && i < processes->n; i++) {
		if (!unit_of_process(&processes->items[i], name) || strcmp(name, before) == 0 ||
		    !unit_name_is_valid(name))
			continue;
		memcpy(before, name, sizeof(before));
		unit_lookup(processes, name, &unit);
		if (unit.bus_name[0] && visit(&unit, data))
			return true;
	}
	return false;
}

struct search {
	const char *name;
	uint32_t pid;
};

static bool has_name(const struct unit *unit, void *data)
{
	struct search *search = data;

	if (strcmp(unit->bus_name, search->name) != 0)
		return false;
	search->pid = unit->main_pid;
	return true;
}

bool bus_name_owner(struct manager *manager, const char *name, uint32_t *ret_pid)
{
	struct search search = {.name = name};

	*ret_pid = 1;
	if (strcmp(name, BUS_NAME) == 0 || strcmp(name, SYSTEMD_NAME) == 0)
		return true;
	if (!each_service(manager, has_name, &search))
		return false;
	*ret_pid = search.pid;
	return true;
}

static bool is_activatable(const char *name)
{
	char path[PATH_MAX];

	return !strchr(name, '/') && snprintf(path, sizeof(path), SERVICES "/%s.service", name) < (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

static bool append_name(const struct unit *unit, void *data)
{
	return sd_bus_message_append(data, "s", unit->bus_name) < 0;
}

static int append_activatable(sd_bus_message *reply)
{
	_cleanup_(closedir_ptr) DIR *dir = opendir(SERVICES);
	struct dirent *entry;
	int r = 0;

	for (unsigned i = 0; r >= 0 && dir && i < ACTIVATABLE_MAX && (entry = readdir(dir)); i++) {
		size_t n = strlen(entry->d_name);

		if (!unit_has_suffix(entry->d_name, n, ".service"))
			continue;
		entry->d_name[n - strlen(".service")] = '\0';
		r = sd_bus_message_append(reply, "s", entry->d_name);
	}
	return r;
}

static int handle_list(struct manager *manager, const struct method *method, sd_bus_message *message,
		       sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unref_ptr) sd_bus_message *reply = NULL;
	int r = sd_bus_message_new_method_return(message, &reply);

	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "s");
	if (r >= 0)
		r = sd_bus_message_append(reply, "s", BUS_NAME);
	if (r >= 0 && strcmp(method->member, "ListNames") == 0) {
		r = sd_bus_message_append(reply, "s", SYSTEMD_NAME);
		if (r >= 0 && each_service(manager, append_name, reply))
			r = -ENOMEM;
	} else if (r >= 0) {
		r = append_activatable(reply);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* --- what the bus itself is asked --- */

static int handle_hello(struct manager *manager, const struct method *method, sd_bus_message *message,
			sd_bus_error *error)
{
	char name[32];

	/* Above those that stand for the guest's own, which have their process's number. */
	snprintf(name, sizeof(name), ":2.%u", ++manager->n_names);
	return sd_bus_reply_method_return(message, "s", name);
}

/* A question about the owner of a name. */
static int handle_owner(struct manager *manager, const struct method *method, sd_bus_message *message,
			sd_bus_error *error)
{
	const char *name;
	uint32_t pid;
	char unique[32];
	int r = sd_bus_message_read(message, "s", &name);
	bool has;

	if (r < 0)
		return r;
	has = bus_name_owner(manager, name, &pid);
	if (strcmp(method->member, "NameHasOwner") == 0)
		return sd_bus_reply_method_return(message, "b", has);
	if (!has)
		return sd_bus_error_setf(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER,
					 "Could not get owner of name '%.255s': no such name", name);
	snprintf(unique, sizeof(unique), ":1.%u", pid);
	if (strcmp(method->member, "GetNameOwner") == 0)
		return sd_bus_reply_method_return(message, "s", strcmp(name, BUS_NAME) == 0 ? BUS_NAME : unique);
	if (strcmp(method->member, "GetConnectionUnixProcessID") == 0)
		return sd_bus_reply_method_return(message, "u", pid);
	if (strcmp(method->member, "GetConnectionUnixUser") == 0)
		return sd_bus_reply_method_return(message, "u", 0u);
	return sd_bus_reply_method_return(message, "a{sv}", 2, "ProcessID", "u", pid, "UnixUserID", "u", 0u);
}

/* 2: it runs already. One that does not run is not started: nobody could ask it anything. */
static int handle_start(struct manager *manager, const struct method *method, sd_bus_message *message,
			sd_bus_error *error)
{
	const char *name;
	uint32_t flags, pid;
	int r = sd_bus_message_read(message, "su", &name, &flags);

	if (r < 0)
		return r;
	if (bus_name_owner(manager, name, &pid) || is_activatable(name))
		return sd_bus_reply_method_return(message, "u", 2u);
	return sd_bus_error_setf(error, SD_BUS_ERROR_SERVICE_UNKNOWN,
				 "The name %.255s was not provided by any .service files", name);
}

/* A daemon of the shadow's own may have it for as long as the run lasts; nobody will ask for it. */
static int handle_request_name(struct manager *manager, const struct method *method, sd_bus_message *message,
			       sd_bus_error *error)
{
	const char *name;
	uint32_t pid;
	int r = sd_bus_message_read(message, "s", &name);

	if (r < 0)
		return r;
	/* 3: exists; the guest's own has it. */
	return sd_bus_reply_method_return(message, "u", bus_name_owner(manager, name, &pid) ? 3u : REQUEST_NAME_OWNS);
}

static int handle_id(struct manager *manager, const struct method *method, sd_bus_message *message, sd_bus_error *error)
{
	return sd_bus_reply_method_return(message, "s", "00000000000000000000000000000001");
}

/* ReloadConfig: what a package asks that brought a file of /usr/share/dbus-1. */
static int handle_reload(struct manager *manager, const struct method *method, sd_bus_message *message,
			 sd_bus_error *error)
{
	static const char *const words[] = {"dbus-send",        "--system", "--type=method_call",
					    "--dest=" BUS_NAME, "/",        BUS_NAME ".ReloadConfig"};
	struct manager_record record = {.kind = RECORD_COMMAND, .n_words = ARRAY_SIZE(words)};
	int r;

	if (!manager_may_change(message, error))
		return -EACCES;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		memcpy(record.data + record.size, words[i], strlen(words[i]) + 1);
		record.size += (uint32_t)strlen(words[i]) + 1;
	}
	r = manager_record(manager, message, &record);
	return r < 0 ? r : sd_bus_reply_method_return(message, NULL);
}

static int handle_property(struct manager *manager, const struct method *method, sd_bus_message *message,
			   sd_bus_error *error)
{
	const char *interface, *name;
	int r = sd_bus_message_read(message, "ss", &interface, &name);

	if (r < 0)
		return r;
	if (strcmp(name, "Features") == 0 || strcmp(name, "Interfaces") == 0)
		return sd_bus_reply_method_return(message, "v", "as", 0);
	return sd_bus_error_setf(error, SD_BUS_ERROR_UNKNOWN_PROPERTY, "Unknown property '%.64s'.", name);
}

static const struct method bus_methods[] = {
	{BUS_NAME, "Hello", handle_hello},
	{BUS_NAME, "AddMatch", manager_do_nothing},
	{BUS_NAME, "RemoveMatch", manager_do_nothing},
	{BUS_NAME, "UpdateActivationEnvironment", manager_do_nothing},
	{BUS_NAME, "ReloadConfig", handle_reload},
	{BUS_NAME, "RequestName", handle_request_name},
	{BUS_NAME, "ListNames", handle_list},
	{BUS_NAME, "ListActivatableNames", handle_list},
	{BUS_NAME, "NameHasOwner", handle_owner},
	{BUS_NAME, "GetNameOwner", handle_owner},
	{BUS_NAME, "GetConnectionUnixProcessID", handle_owner},
	{BUS_NAME, "GetConnectionUnixUser", handle_owner},
	{BUS_NAME, "GetConnectionCredentials", handle_owner},
	{BUS_NAME, "StartServiceByName", handle_start},
	{BUS_NAME, "GetId", handle_id},
	{BUS_NAME ".Properties", "Get", handle_property},
};

/* --- everybody else --- */

static int refuse(sd_bus_message *message, sd_bus_error *error)
{
	if (!sd_bus_error_is_set(error))
		sd_bus_error_set_errno(error, EIO);
	(void)sd_bus_reply_method_error(message, error);
	return 1;
}

/* Questions have answers that nobody here can give. */
static bool is_question(sd_bus_message *message)
{
	static const char *const prefixes[] = {"Get",   "List", "Introspect", "Find", "Lookup",
					       "Query", "Is",   "Can",        "Enum"};
	const char *member = sd_bus_message_get_member(message);

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (strncmp(member, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

/* A service of the guest: the tool that asks will ask it again, in the guest. */
static int answer_for_other(struct manager *manager, sd_bus_message *message, const char *destination,
			    sd_bus_error *error)
{
	struct manager_record record = {.kind = RECORD_CALLER};
	uint32_t pid;

	if (!bus_name_owner(manager, destination, &pid) && !is_activatable(destination)) {
		sd_bus_error_setf(error, SD_BUS_ERROR_SERVICE_UNKNOWN,
				  "The name %.255s was not provided by any .service files", destination);
		return refuse(message, error);
	}
	if (!is_question(message) && !manager_may_change(message, error))
		return refuse(message, error);
	if (is_question(message) || manager_record(manager, message, &record) < 0) {
		sd_bus_error_setf(error, SD_BUS_ERROR_NO_REPLY, "%.255s sleeps with its virtual machine.", destination);
		return refuse(message, error);
	}
	(void)sd_bus_reply_method_return(message, NULL);
	return 1;
}

/* The well-known name behind ":1.221"; the name itself otherwise. */
static bool has_pid(const struct unit *unit, void *data)
{
	struct search *search = data;

	return unit->main_pid == search->pid;
}

/* What the manager answers to everybody; the rest is root's. */
static bool is_for_all(sd_bus_message *message)
{
	const char *member = sd_bus_message_get_member(message);

	return is_question(message) || strcmp(member, "LoadUnit") == 0 || strcmp(member, "Subscribe") == 0 ||
	       strcmp(member, "Unsubscribe") == 0;
}

static bool is_systemd(const char *destination)
{
	return strcmp(destination, SYSTEMD_NAME) == 0 || strcmp(destination, SYSTEMD_UNIQUE) == 0;
}

int bus_answer(struct manager *manager, sd_bus_message *message, sd_bus_error *error)
{
	const char *destination = sd_bus_message_get_destination(message);
	sd_bus *bus = sd_bus_message_get_bus(message);
	struct search search = {0};
	int r;

	if (!sd_bus_message_is_method_call(message, NULL, NULL))
		return 1;
	if (!destination || strcmp(destination, BUS_NAME) == 0) {
		(void)sd_bus_set_sender(bus, BUS_NAME);
		r = manager_dispatch(manager, bus_methods, ARRAY_SIZE(bus_methods), message, error);
		if (r)
			return r;
		sd_bus_error_set(error, SD_BUS_ERROR_UNKNOWN_METHOD, "The bus knows no such method.");
		return refuse(message, error);
	}
	(void)sd_bus_set_sender(bus, destination);
	if (is_systemd(destination)) {
		(void)sd_bus_set_sender(bus, SYSTEMD_NAME);
		if (!is_for_all(message) && !manager_may_change(message, error))
			return refuse(message, error);
		return manager_answer(manager, message, error);
	}
	r = bus_service_answer(manager, message, error);
	if (r)
		return r;
	if (sscanf(destination, ":1.%u", &search.pid) == 1 && each_service(manager, has_pid, &search))
		return answer_for_other(manager, message, BUS_NAME, error);
	return answer_for_other(manager, message, destination, error);
}
