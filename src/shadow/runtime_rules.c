/* SPDX-License-Identifier: Apache-2.0 */
/* What does not travel of the guest's /run although it is a file, directory or link; doc/shadow.md has it, too. */
#include <string.h>

#include "shadow/runtime.h"

static const struct rule {
	const char *path; /* relative to /run; what lies below is meant as well */
	const char *why;  /* NULL: it travels, although it lies below one that does not */
} rules[] = {
	{".ouassister", "ours"},
	{"systemd", "the service manager's"},
	{"systemd/system", NULL},
	{"systemd/user", NULL},
	{"systemd/network", NULL},
	{"udev", "udevd's"},
	{"udev/rules.d", NULL},
	{"dbus", "the message bus's"},
	{"user", "of sessions, whose manager makes it"},
	{"credentials", "the service manager's"},
	{"log", "the journal's"},
	{"utmp", "of logins, which the guest itself counts"},
	{"lock", "locks are of programs that have ended"},
	{"blkid", "a cache of numbers of devices"},
	{"mount", "of mounts, which are actions of their own"},
	/* Of package managers, which did their work in the shadow. */
	{"needrestart", "the restart plan does its work"},
	{"unattended-upgrades.lock", "of a program that has ended"},
	{"unattended-upgrades.pid", "of a program that has ended"},
	{"dnf", "the package manager's"},
	{"rpm", "the package manager's"},
	{"zypp.pid", "the package manager's"},
	{"yum.pid", "the package manager's"},
};

/* `path` itself, or below it. */
static bool is_within(const char *path, const char *directory)
{
	size_t n = strlen(directory);

	return strncmp(path, directory, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

enum runtime_fate runtime_fate(const char *path, const char **ret_why)
{
	static const char ours[] = "ouassister-";
	const struct rule *found = NULL;
	bool holds = false;

	/* What the update's own commands need in the shadow: sources, pins, copies. */
	if (strncmp(path, ours, strlen(ours)) == 0) {
		*ret_why = "ours";
		return RUNTIME_STAYS;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if (is_within(path, rules[i].path) && (!found || strlen(rules[i].path) > strlen(found->path)))
			found = &rules[i];
		holds |= !rules[i].why && is_within(rules[i].path, path);
	}
	if (!found || !found->why)
		return RUNTIME_TRAVELS;
	*ret_why = found->why;
	return holds ? RUNTIME_HOLDS : RUNTIME_STAYS;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

bool runtime_names_process(const char *path, const uint8_t *content, size_t size, uint32_t highest_pid)
{
	uint64_t number = 0;
	size_t n = 0;

	if (!ends_with(path, "pid") && !ends_with(path, ".lock"))
		return false;
	while (n < size && content[n] == ' ')
		n++;
	for (size_t begin = n; n < size && n < begin + 8 && content[n] >= '0' && content[n] <= '9'; n++)
		number = number * 10 + (uint64_t)(content[n] - '0');
	return number > highest_pid && (n == size || content[n] == '\n' || content[n] == ' ' || content[n] == '\0');
}
