/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is restarted, and what is only reported: the guest's own needrestart has the say where it is installed, then the
 * list of units that hold a whole system or somebody's work together.
 */
#include <fnmatch.h>
#include <stdarg.h>
#include <string.h>

#include "base/io.h"
#include "update/restart.h"

/* needrestart's own defaults (needrestart.conf of 3.6), and what would end somebody's session. */
static const struct {
	const char *pattern; /* fnmatch(3) */
	const char *why;
} dangerous[] = {
	{"dbus*", "everything on the system bus hangs on it"},
	{"user@*.service", "the manager of a user's session"},
	{"systemd-logind*", "it holds the sessions of users"},
	{"elogind*", "it holds the sessions of users"},
	{"gdm*", "a display manager"},
	{"kdm*", "a display manager"},
	{"nodm*", "a display manager"},
	{"sddm*", "a display manager"},
	{"wdm*", "a display manager"},
	{"xdm*", "a display manager"},
	{"lightdm*", "a display manager"},
	{"slim*", "a display manager"},
	{"lxdm*", "a display manager"},
	{"greetd*", "a display manager"},
	{"display-manager*", "a display manager"},
	{"bird*", "the network hangs on it"},
	{"network*", "the network hangs on it"},
	{"ifup@*", "the network hangs on it"},
	{"NetworkManager*", "the network hangs on it"},
	{"ModemManager*", "the network hangs on it"},
	{"wpa_supplicant*", "the network hangs on it"},
	{"openvpn*", "the network hangs on it"},
	{"quagga*", "the network hangs on it"},
	{"frr*", "the network hangs on it"},
	{"tinc*", "the network hangs on it"},
	{"openswan*", "the network hangs on it"},
	{"freeswan*", "the network hangs on it"},
	{"libreswan*", "the network hangs on it"},
	{"strongswan*", "the network hangs on it"},
	{"bluetooth*", "devices hang on it"},
	{"zfs-fuse*", "file systems hang on it"},
	{"lxcfs*", "containers hang on it"},
	{"docker*", "containers hang on it"},
	{"libvirt*", "virtual machines hang on it"},
	{"virtlogd*", "virtual machines hang on it"},
	{"virtlockd*", "virtual machines hang on it"},
	{"xendomains*", "virtual machines hang on it"},
	{"mythtv-backend*", "recordings hang on it"},
	{"emergency.service", "somebody repairs the system in it"},
	{"rescue.service", "somebody repairs the system in it"},
	{"apt-daily.service", "it works on the system's packages"},
	{"apt-daily-upgrade.service", "it works on the system's packages"},
	{"unattended-upgrades.service", "it works on the system's packages"},
	{"packagekit.service", "it works on the system's packages"},
	{"cron-*.service", "a job that would run once more"},
	{"rc-local.service", "a script that would run once more"},
};

/* Those that needrestart never restarts a service for: what hangs on them is the network's configuration. */
static const char *const network_programs[] = {"dhclient", "dhcpcd", "dhcpcd5", "pump", "udhcpc"};

static struct error *report(struct restart_entry *entry, const char *format, ...) _printf_(2, 3);
static struct error *report(struct restart_entry *entry, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vasprintf(&entry->why, format, arguments);
	va_end(arguments);
	if (n < 0)
		entry->why = NULL;
	entry->restart = false;
	return n < 0 ? error_no_memory() : NULL;
}

static bool ends_with(const char *text, const char *suffix)
{
	size_t length = strlen(text), n = strlen(suffix);

	return length >= n && !strcmp(text + length - n, suffix);
}

static const char *program_of(const struct guest_task *task)
{
	const char *slash = task->exe ? strrchr(task->exe, '/') : NULL;

	return slash ? slash + 1 : task->comm;
}

static size_t n_named(const struct restart_entry *entry)
{
	return entry->n_tasks < RESTART_TASKS_MAX ? entry->n_tasks : RESTART_TASKS_MAX;
}

/* Somebody is logged in on the terminal: more than the getty itself runs there. */
static bool has_login(const struct restart_entry *entry)
{
	if (fnmatch("*getty@*.service", entry->name, 0) != 0 && strcmp(entry->name, "console-getty.service") != 0)
		return false;
	for (size_t i = 0; i < n_named(entry); i++)
		if (!strstr(program_of(entry->tasks[i]), "getty"))
			return true;
	return entry->n_tasks > RESTART_TASKS_MAX;
}

static bool is_network_only(const struct restart_entry *entry)
{
	for (size_t i = 0; i < n_named(entry); i++) {
		const char *name = program_of(entry->tasks[i]);
		size_t length = strcspn(name, " "), k = 0;

		while (k < ARRAY_SIZE(network_programs) &&
		       (strlen(network_programs[k]) != length || strncmp(network_programs[k], name, length) != 0))
			k++;
		if (k == ARRAY_SIZE(network_programs))
			return false;
	}
	return entry->n_tasks && n_named(entry) == entry->n_tasks;
}

static bool is_certain(const struct restart_reasons *reasons)
{
	for (size_t i = 0; i < reasons->n; i++)
		if (reasons->items[i].kind != RESTART_POSSIBLY)
			return true;
	return false;
}

static const char *danger(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(dangerous); i++)
		if (fnmatch(dangerous[i].pattern, name, 0) == 0)
			return dangerous[i].why;
	return NULL;
}

/* A unit that can be restarted: whether it should be. */
static struct error *judge_service(const struct restart_unit *unit, enum needrestart_says says,
				   struct restart_entry *entry)
{
	const char *why = danger(entry->name);

	if (unit->refuses) {
		entry->verb = NULL;
		return report(entry, "the unit refuses it (RefuseManualStop=)");
	}
	if (says == NEEDRESTART_BLACKLISTED)
		return report(entry, "needrestart's configuration (blacklist_rc)");
	if (says == NEEDRESTART_REPORT)
		return report(entry, "needrestart's configuration (override_rc)%s%s", why ? ": " : "", why ? why : "");
	if (entry->n_excused && entry->n_excused == entry->n_tasks)
		return report(entry, "needrestart's configuration (blacklist)");
	if (unit->one_connection)
		return report(entry, "it serves one connection, which would end");
	if (!is_certain(&entry->reasons))
		return report(entry, "it is not certain that it uses what changes");
	if (says != NEEDRESTART_RESTART) {
		if (why)
			return report(entry, "%s", why);
		if (has_login(entry))
			return report(entry, "somebody is logged in there");
		if (is_network_only(entry))
			return report(entry, "the network's configuration hangs on it");
		if (unit->oneshot)
			return report(entry, "Type=oneshot: its work would be done once more");
	}
	entry->restart = true;
	return NULL;
}

struct error *restart_judge(const struct restart_unit *unit, enum needrestart_says says, bool systemd,
			    struct restart_entry *entry)
{
	switch (entry->kind) {
	case RESTART_OF_INIT:
		if (!systemd)
			return report(entry, "it ends with the system");
		entry->verb = "daemon-reexec";
		entry->restart = true;
		return NULL;
	case RESTART_OF_SESSION:
		return report(entry, "a login: it ends when its user logs out");
	case RESTART_OF_CONTAINER:
		return report(entry, "a container: its engine restarts it");
	case RESTART_OF_PROCESS:
		return report(entry, "it belongs to no unit");
	case RESTART_OF_UNIT:
		break;
	}
	if (!ends_with(entry->name, ".service"))
		return report(entry, "a %s cannot be restarted", strrchr(entry->name, '.') + 1);
	entry->verb = "try-restart";
	return judge_service(unit, says, entry);
}

/* Without an answer nothing may be restarted that the guest's owner may have forbidden. */
static struct error *hold_back(struct restart_plan *plan, const struct error *failure)
{
	struct error *error =
		restart_note(plan, "%s; so nothing is restarted but what packages ask for", failure->message);

	for (size_t i = 0; !error && i < plan->n; i++)
		if (plan->items[i].restart && plan->items[i].kind == RESTART_OF_UNIT)
			error = report(&plan->items[i], "needrestart's configuration cannot be evaluated");
	return error;
}

static struct error *judge_all(const struct restart_input *input, const enum needrestart_says *says,
			       struct restart_plan *plan)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < plan->n; i++) {
		_cleanup_(restart_unit_deinit) struct restart_unit unit = {0};
		struct restart_entry *entry = &plan->items[i];

		if (entry->kind == RESTART_OF_UNIT)
			error = restart_unit_read(input->root_fd, input->changed, entry->name, &unit);
		if (!error)
			error = restart_judge(&unit, says[i], input->systemd, entry);
	}
	return error;
}

struct error *restart_decide(const struct restart_input *input, struct restart_plan *plan)
{
	_cleanup_(free_ptr) enum needrestart_says *says = calloc(plan->n + 1, sizeof(*says));
	struct error *failure, *error;

	if (!says)
		return error_no_memory();
	if (!plan->n)
		return NULL;
	failure = restart_ask_needrestart(input, plan, says);
	if (failure && failure->code != ERROR_UNSUPPORTED)
		return failure;
	error = judge_all(input, says, plan);
	if (!error && failure)
		error = hold_back(plan, failure);
	error_destroy(failure);
	return error;
}
