/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What systemd's small daemons are asked: hostname1, timedate1 and locale1 from the guest's files, login1 from what it
 * keeps in /run/systemd. What would change something is recorded as the asking program's own words; what would end the
 * guest is refused.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "base/io.h"
#include "shadow/manager.h"
#include "shadow/record.h"

#define TEXT_MAX     65536
#define SESSIONS_MAX 1000
#define LOGIN_PATH   "/org/freedesktop/login1"

/* --- files of KEY=VALUE lines --- */

static bool is_plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ')
			return false;
	return true;
}

/* The value of a key, without quotes; "" if there is none. */
static void file_value(const char *path, const char *key, char *ret, size_t size)
{
	_cleanup_(fclose_ptr) FILE *file = fopen(path, "re");
	size_t n = strlen(key);
	char line[1024];

	ret[0] = '\0';
	for (unsigned i = 0; file && i < 1000 && fgets(line, sizeof(line), file); i++) {
		char *value = line + n + 1;
		size_t length;

		if (strncmp(line, key, n) != 0 || line[n] != '=')
			continue;
		value[strcspn(value, "\n")] = '\0';
		length = strlen(value);
		if (length >= 2 && (value[0] == '"' || value[0] == '\'') && value[length - 1] == value[0]) {
			value[length - 1] = '\0';
			value++;
		}
		if (is_plain(value))
			snprintf(ret, size, "%s", value);
	}
}

/* The first line of a file. */
static void file_line(const char *path, char *ret, size_t size)
{
	_cleanup_(fclose_ptr) FILE *file = fopen(path, "re");

	ret[0] = '\0';
	if (file && fgets(ret, (int)size, file))
		ret[strcspn(ret, "\n")] = '\0';
}

/* --- properties of the three that have nothing but properties --- */

struct value {
	const char *name;
	char type; /* as D-Bus has it; 'a' for a list of strings, of which there is one or none */
	char text[256];
	uint64_t number;
};

#define VALUES_MAX 32

static void add_text(struct value *values, size_t *n, const char *name, const char *text)
{
	values[*n] = (struct value){.name = name, .type = 's'};
	snprintf(values[(*n)++].text, sizeof(values[0].text), "%s", text);
}

static void add_number(struct value *values, size_t *n, const char *name, char type, uint64_t number)
{
	values[(*n)++] = (struct value){.name = name, .type = type, .number = number};
}

static size_t hostname_values(struct value *values)
{
	static const char *const info[][2] = {{"PrettyHostname", "PRETTY_HOSTNAME"},
					      {"IconName", "ICON_NAME"},
					      {"Chassis", "CHASSIS"},
					      {"Deployment", "DEPLOYMENT"},
					      {"Location", "LOCATION"}};
	static const char *const release[][2] = {{"OperatingSystemPrettyName", "PRETTY_NAME"},
						 {"OperatingSystemCPEName", "CPE_NAME"},
						 {"HomeURL", "HOME_URL"}};
	struct utsname uts;
	char text[256];
	size_t n = 0;

	/* Of the sleeping guest: the shadow's own answer to the same call. */
	file_line("/proc/sys/kernel/hostname", text, sizeof(text));
	add_text(values, &n, "Hostname", text);
	file_line("/etc/hostname", text, sizeof(text));
	add_text(values, &n, "StaticHostname", text);
	add_text(values, &n, "DefaultHostname", "localhost");
	add_text(values, &n, "HostnameSource", text[0] ? "static" : "default");
	for (size_t i = 0; i < ARRAY_SIZE(info); i++) {
		file_value("/etc/machine-info", info[i][1], text, sizeof(text));
		add_text(values, &n, info[i][0], text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(release); i++) {
		file_value("/etc/os-release", release[i][1], text, sizeof(text));
		add_text(values, &n, release[i][0], text);
	}
	file_line("/proc/sys/kernel/ostype", text, sizeof(text));
	add_text(values, &n, "KernelName", text[0] ? text : "Linux");
	file_line("/proc/sys/kernel/osrelease", text, sizeof(text));
	add_text(values, &n, "KernelRelease", text[0] ? text : uname(&uts) < 0 ? "" : uts.release);
	file_line("/proc/sys/kernel/version", text, sizeof(text));
	add_text(values, &n, "KernelVersion", text);
	file_line("/sys/class/dmi/id/sys_vendor", text, sizeof(text));
	add_text(values, &n, "HardwareVendor", text);
	file_line("/sys/class/dmi/id/product_name", text, sizeof(text));
	add_text(values, &n, "HardwareModel", text);
	return n;
}

static size_t timedate_values(struct value *values)
{
	char target[512], adjtime[64] = "";
	const char *zone = "";
	struct timespec now;
	ssize_t length = readlink("/etc/localtime", target, sizeof(target) - 1);
	size_t n = 0;
	FILE *file;

	if (length > 0) {
		target[length] = '\0';
		zone = strstr(target, "zoneinfo/");
		zone = zone ? zone + strlen("zoneinfo/") : "";
	}
	file = fopen("/etc/adjtime", "re");
	for (unsigned i = 0; file && i < 3 && fgets(adjtime, sizeof(adjtime), file); i++)
		;
	if (file)
		fclose(file);
	clock_gettime(CLOCK_REALTIME, &now);
	add_text(values, &n, "Timezone", zone[0] ? zone : "Etc/UTC");
	add_number(values, &n, "LocalRTC", 'b', strncmp(adjtime, "LOCAL", 5) == 0);
	add_number(values, &n, "CanNTP", 'b', access("/lib/systemd/system/systemd-timesyncd.service", F_OK) == 0);
	add_number(values, &n, "NTP", 'b',
		   access("/run/systemd/units/invocation:systemd-timesyncd.service", F_OK) == 0);
	add_number(values, &n, "NTPSynchronized", 'b', access("/run/systemd/timesync/synchronized", F_OK) == 0);
	add_number(values, &n, "TimeUSec", 't', (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	add_number(values, &n, "RTCTimeUSec", 't', 0);
	return n;
}

static size_t locale_values(struct value *values)
{
	static const char *const keyboard[][2] = {{"X11Layout", "XKBLAYOUT"},
						  {"X11Model", "XKBMODEL"},
						  {"X11Variant", "XKBVARIANT"},
						  {"X11Options", "XKBOPTIONS"}};
	char text[256];
	size_t n = 0;

	file_value("/etc/locale.conf", "LANG", text, sizeof(text) - 8);
	if (!text[0])
		file_value("/etc/default/locale", "LANG", text, sizeof(text) - 8);
	values[n] = (struct value){.name = "Locale", .type = 'a'};
	if (text[0])
		snprintf(values[n].text, sizeof(values[n].text), "LANG=%.240s", text);
	n++;
	file_value("/etc/vconsole.conf", "KEYMAP", text, sizeof(text));
	add_text(values, &n, "VConsoleKeymap", text);
	add_text(values, &n, "VConsoleKeymapToggle", "");
	for (size_t i = 0; i < ARRAY_SIZE(keyboard); i++) {
		file_value("/etc/default/keyboard", keyboard[i][1], text, sizeof(text));
		add_text(values, &n, keyboard[i][0], text);
	}
	return n;
}

static size_t login_values(struct value *values)
{
	size_t n = 0;

	add_number(values, &n, "IdleHint", 'b', 0);
	add_number(values, &n, "Docked", 'b', 0);
	add_number(values, &n, "LidClosed", 'b', 0);
	add_number(values, &n, "OnExternalPower", 'b', 1);
	add_number(values, &n, "PreparingForShutdown", 'b', 0);
	add_number(values, &n, "PreparingForSleep", 'b', 0);
	add_text(values, &n, "BlockInhibited", "");
	add_text(values, &n, "DelayInhibited", "");
	return n;
}

static int append_value(sd_bus_message *reply, const struct value *value)
{
	switch (value->type) {
	case 's':
		return sd_bus_message_append(reply, "v", "s", value->text);
	case 'b':
		return sd_bus_message_append(reply, "v", "b", (int)value->number);
	case 't':
		return sd_bus_message_append(reply, "v", "t", value->number);
	default:
		if (!value->text[0])
			return sd_bus_message_append(reply, "v", "as", 0);
		return sd_bus_message_append(reply, "v", "as", 1, value->text);
	}
}

static int reply_all(sd_bus_message *message, const struct value *values, size_t n)
{
	_cleanup_(sd_bus_message_unref_ptr) sd_bus_message *reply = NULL;
	int r = sd_bus_message_new_method_return(message, &reply);

	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "{sv}");
	for (size_t i = 0; r >= 0 && i < n; i++) {
		r = sd_bus_message_open_container(reply, 'e', "sv");
		if (r >= 0)
			r = sd_bus_message_append(reply, "s", values[i].name);
		if (r >= 0)
			r = append_value(reply, &values[i]);
		if (r >= 0)
			r = sd_bus_message_close_container(reply);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int reply_one(sd_bus_message *message, const struct value *values, size_t n, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unref_ptr) sd_bus_message *reply = NULL;
	const char *interface, *name;
	int r = sd_bus_message_read(message, "ss", &interface, &name);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(values[i].name, name) != 0)
			continue;
		r = sd_bus_message_new_method_return(message, &reply);
		if (r >= 0)
			r = append_value(reply, &values[i]);
		return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
	}
	return sd_bus_error_setf(error, SD_BUS_ERROR_UNKNOWN_PROPERTY, "Unknown property '%.64s'.", name);
}

/* --- login1 --- */

static int append_login(sd_bus_message *reply, const char *what, const char *name)
{
	char path[128], text[512], user[128], seat[64], object[256];
	uint32_t uid;

	snprintf(path, sizeof(path), "/run/systemd/%s/%.64s", what, name);
	snprintf(object, sizeof(object), LOGIN_PATH "/%s/_3%.64s", strcmp(what, "users") == 0 ? "user" : "session",
		 name);
	if (strcmp(what, "seats") == 0) {
		snprintf(object, sizeof(object), LOGIN_PATH "/seat/%.64s", name);
		return sd_bus_message_append(reply, "(so)", name, object);
	}
	file_value(path, strcmp(what, "users") == 0 ? "NAME" : "USER", user, sizeof(user));
	if (strcmp(what, "users") == 0) {
		uid = (uint32_t)strtoul(name, NULL, 10);
		return sd_bus_message_append(reply, "(uso)", uid, user, object);
	}
	file_value(path, "UID", text, sizeof(text));
	uid = (uint32_t)strtoul(text, NULL, 10);
	file_value(path, "SEAT", seat, sizeof(seat));
	return sd_bus_message_append(reply, "(susso)", name, uid, user, seat, object);
}

/* A file each, of the name that is the id: letters and digits. */
static bool is_login_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");

	return n > 0 && n < 64 && !name[n];
}

static int handle_logins(struct manager *manager, const struct method *method, sd_bus_message *message,
			 sd_bus_error *error)
{
	static const char *const signatures[][2] = {{"sessions", "(susso)"}, {"users", "(uso)"}, {"seats", "(so)"}};
	_cleanup_(sd_bus_message_unref_ptr) sd_bus_message *reply = NULL;
	_cleanup_(closedir_ptr) DIR *dir = NULL;
	const char *const *kind = signatures[0];
	struct dirent *entry;
	char path[64];
	int r = sd_bus_message_new_method_return(message, &reply);

	for (size_t i = 1; i < ARRAY_SIZE(signatures); i++)
		if (strcmp(signatures[i][0], method->argument) == 0)
			kind = signatures[i];
	snprintf(path, sizeof(path), "/run/systemd/%s", kind[0]);
	dir = opendir(path);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', kind[1]);
	for (unsigned i = 0; r >= 0 && dir && i < SESSIONS_MAX && (entry = readdir(dir)); i++)
		if (is_login_name(entry->d_name))
			r = append_login(reply, kind[0], entry->d_name);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int handle_inhibitors(struct manager *manager, const struct method *method, sd_bus_message *message,
			     sd_bus_error *error)
{
	return sd_bus_reply_method_return(message, "a(ssssuu)", 0);
}

/* Held while the program has the descriptor; nothing sleeps or shuts down here anyhow. */
static int handle_inhibit(struct manager *manager, const struct method *method, sd_bus_message *message,
			  sd_bus_error *error)
{
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	r = sd_bus_reply_method_return(message, "h", fds[1]);
	close(fds[0]);
	close(fds[1]);
	return r;
}

static int handle_no_session(struct manager *manager, const struct method *method, sd_bus_message *message,
			     sd_bus_error *error)
{
	return sd_bus_error_set(error, "org.freedesktop.login1.NoSessionForPID",
				"The caller does not belong to any known session.");
}

static int handle_end(struct manager *manager, const struct method *method, sd_bus_message *message,
		      sd_bus_error *error)
{
	return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED,
				"The virtual machine sleeps: it is not shut down now.");
}

#define LOGIN "org.freedesktop.login1.Manager"

static const struct method login_methods[] = {
	{LOGIN, "ListSessions", handle_logins, "sessions"},
	{LOGIN, "ListUsers", handle_logins, "users"},
	{LOGIN, "ListSeats", handle_logins, "seats"},
	{LOGIN, "ListInhibitors", handle_inhibitors},
	{LOGIN, "Inhibit", handle_inhibit},
	{LOGIN, "GetSessionByPID", handle_no_session},
	{LOGIN, "GetUserByPID", handle_no_session},
	{LOGIN, "Reboot", handle_end},
	{LOGIN, "RebootWithFlags", handle_end},
	{LOGIN, "PowerOff", handle_end},
	{LOGIN, "PowerOffWithFlags", handle_end},
	{LOGIN, "Halt", handle_end},
	{LOGIN, "HaltWithFlags", handle_end},
	{LOGIN, "Suspend", handle_end},
	{LOGIN, "Hibernate", handle_end},
};

/* --- all of them --- */

static const struct service {
	const char *name, *interface;
	size_t (*values)(struct value *values);
} services[] = {
	{"org.freedesktop.hostname1", "org.freedesktop.hostname1", hostname_values},
	{"org.freedesktop.timedate1", "org.freedesktop.timedate1", timedate_values},
	{"org.freedesktop.locale1", "org.freedesktop.locale1", locale_values},
	{"org.freedesktop.login1", LOGIN, login_values},
};

static int answer_properties(const struct service *service, sd_bus_message *message, sd_bus_error *error)
{
	struct value values[VALUES_MAX];
	size_t n = service->values(values);
	int r;

	r = strcmp(sd_bus_message_get_member(message), "GetAll") == 0 ? reply_all(message, values, n)
								      : reply_one(message, values, n, error);
	if (r < 0 && !sd_bus_error_is_set(error))
		sd_bus_error_set_errno(error, r);
	if (sd_bus_error_is_set(error))
		(void)sd_bus_reply_method_error(message, error);
	return 1;
}

/* SetHostname, SetTimezone, TerminateSession and the like: the tool will ask again in the guest. */
static int record_change(struct manager *manager, sd_bus_message *message, sd_bus_error *error)
{
	struct manager_record record = {.kind = RECORD_CALLER};

	if (manager_may_change(message, error)) {
		if (manager_record(manager, message, &record) >= 0) {
			(void)sd_bus_reply_method_return(message, NULL);
			return 1;
		}
		sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "The service sleeps with its virtual machine.");
	}
	(void)sd_bus_reply_method_error(message, error);
	return 1;
}

int bus_service_answer(struct manager *manager, sd_bus_message *message, sd_bus_error *error)
{
	const char *destination = sd_bus_message_get_destination(message);
	const char *member = sd_bus_message_get_member(message);

	for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
		int r;

		if (strcmp(destination, services[i].name) != 0)
			continue;
		if (sd_bus_message_is_method_call(message, "org.freedesktop.DBus.Properties", NULL) &&

		    strncmp(member, "Get", 3) == 0)
			return answer_properties(&services[i], message, error);
		if (services[i].values == login_values) {
			r = manager_dispatch(manager, login_methods, ARRAY_SIZE(login_methods), message, error);
			if (r)
				return r;
		}
		if (strncmp(member, "Set", 3) == 0 || strncmp(member, "Terminate", 9) == 0 ||
		    strncmp(member, "Kill", 4) == 0 || strncmp(member, "Lock", 4) == 0)
			return record_change(manager, message, error);
		return 0;
	}
	return 0;
}
