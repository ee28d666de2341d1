/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow/record.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "shadow/need.h"
#include "shadow/runtime.h"
#include "shadow/status.h"

#define PROC_TEXT_MAX  65536u
/* How far a request is followed back to its script. */
#define ANCESTORS_MAX  64
/* Lines of the log about questions that have no answer. */
#define UNKNOWN_MAX    100
#define ACK_TIMEOUT_MS 10000

/* --- processes of the shadow, by the host's numbers --- */

/* Up to PROC_TEXT_MAX bytes and a NUL; NULL: the process is gone. */
static char *read_proc(uint32_t pid, const char *name, size_t *ret_size)
{
	char path[64], *text = malloc(PROC_TEXT_MAX + 1);
	size_t n = 0;
	ssize_t part = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && text && n < PROC_TEXT_MAX && (part = read(fd, text + n, PROC_TEXT_MAX - n)) > 0)
		n += (size_t)part;
	close_fd(&fd);
	if (!text || part < 0) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	*ret_size = n;
	return text;
}

static uint32_t parent_of(uint32_t pid)
{
	size_t size;
	_cleanup_(free_ptr) char *status = read_proc(pid, "status", &size);
	unsigned long long parent;

	return status && status_numbers(status, "\nPPid:", 10, &parent, 1) == 1 ? (uint32_t)parent : 0;
}

static bool is_below(uint32_t pid, uint32_t ancestor)
{
	for (unsigned i = 0; pid > 1 && i < 4096; i++, pid = parent_of(pid))
		if (pid == ancestor)
			return true;
	return false;
}

/* The host's number of the process below `warden` whose number `depth` pid namespaces below ours is `pid`; 0: none. */
static uint32_t find_host_pid(uint32_t warden, uint32_t pid, unsigned depth)
{
	_cleanup_(closedir_ptr) DIR *proc = opendir("/proc");
	const struct dirent *entry;

	while (pid && proc && (entry = readdir(proc))) {
		uint32_t candidate = (uint32_t)strtoul(entry->d_name, NULL, 10);
		/* As deep as the kernel's namespaces go: MAX_PID_NS_LEVEL, and the first. */
		unsigned long long pids[33];
		_cleanup_(free_ptr) char *status = NULL;
		size_t size;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		status = read_proc(candidate, "status", &size);
		if (status && status_numbers(status, "\nNSpid:", 10, pids, ARRAY_SIZE(pids)) > depth &&
		    pids[depth] == pid && is_below(candidate, warden))
			return candidate;
	}
	return 0;
}

/* --- origins --- */

/* A package's or a script's name: what a bundle shows of it must be plain. */
static char *copy_name(const char *text, size_t n)
{
	if (n == 0 || n >= SHADOW_NAME_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '/')
			return NULL;
	return strndup(text, n);
}

/* The value of a variable in an environment of `size` bytes. */
static const char *find_variable(const char *environment, size_t size, const char *name)
{
	size_t n = strlen(name);

	for (const char *entry = environment; entry < environment + size; entry += strlen(entry) + 1)
		if (strncmp(entry, name, n) == 0 && entry[n] == '=')
			return entry + n + 1;
	return NULL;
}

/* dpkg tells its scripts in their environment who they are, and theirs inherit it. */
static bool origin_of_environment(uint32_t pid, struct action *action)
{
	size_t size;
	_cleanup_(free_ptr) char *environment = read_proc(pid, "environ", &size);
	const char *package, *script;

	if (!environment)
		return false;
	package = find_variable(environment, size, "DPKG_MAINTSCRIPT_PACKAGE");
	script = find_variable(environment, size, "DPKG_MAINTSCRIPT_NAME");
	if (!package)
		return false;
	action->package = copy_name(package, strlen(package));
	if (!action->package)
		return false;
	action->script = script ? copy_name(script, strlen(script)) : NULL;
	return true;
}

/* "nginx.postinst", "libc6:amd64.postinst", "tzdata.config.Ab12Cd". */
static bool origin_of_name(const char *name, struct action *action)
{
	size_t n = strcspn(name, ":");
	const char *dot = strstr(name, ".config.");

	if (!dot)
		dot = strrchr(name, '.');
	if (!dot)
		return false;
	action->package = copy_name(name, n < (size_t)(dot - name) ? n : (size_t)(dot - name));
	if (!action->package)
		return false;
	action->script = copy_name(dot + 1, strcspn(dot + 1, "."));
	return true;
}

/*
 * {"/bin/sh", "-e", "/var/lib/dpkg/info/nginx.postinst", "configure", …}: of a process that cleared its environment, or
 * that apt's hook started before dpkg.
 */
static bool origin_of_words(uint32_t pid, struct action *action)
{
	static const char *const directories[] = {"/var/lib/dpkg/info/", "/var/cache/debconf/tmp.ci/"};
	size_t size;
	_cleanup_(free_ptr) char *words = read_proc(pid, "cmdline", &size);

	for (const char *word = words; word && word < words + size; word += strlen(word) + 1)
		for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
			if (strncmp(word, directories[i], strlen(directories[i])) == 0)
				return origin_of_name(word + strlen(directories[i]), action);
	return false;
}

bool record_own_origin(uint32_t host_pid, struct action *action)
{
	return origin_of_environment(host_pid, action) || origin_of_words(host_pid, action);
}

void record_origin(uint32_t host_pid, struct action *action)
{
	uint32_t pid = host_pid;

	for (unsigned i = 0; pid > 1 && i < ANCESTORS_MAX; i++, pid = parent_of(pid))
		if (record_own_origin(pid, action))
			return;
}

/* --- writing down --- */

static bool is_before(const char *script)
{
	return script && (strcmp(script, "prerm") == 0 || strcmp(script, "preinst") == 0);
}

static void log_action(const struct action *action)
{
	_cleanup_(free_ptr) char *text = strdup("");
	char **words = NULL;
	struct error *error = action_words(action, &words);

	for (char **word = words; text && word && *word; word++) {
		char *longer = string_format("%s %s", text, *word);

		free(text);
		text = longer;
	}
	if (action->package)
		log_debug("recorded:%s (%s%s%s)", text ? text : "", action->package, action->script ? " " : "",
			  action->script ? action->script : "");
	else
		log_debug("recorded:%s", text ? text : "");
	error_destroy(error);
	action_words_free(words);
}

struct error *record_action(struct shadow *shadow, uint32_t host_pid, struct action action)
{
	const char *problem = action_problem(&action);
	struct error *error = NULL;

	if (problem)
		error = error_create(ERROR_FORMAT, "%s", problem);
	else if (shadow->actions.n >= SHADOW_ACTIONS_MAX)
		error = error_create(ERROR_FAILED, "more than %d requests to the running system", SHADOW_ACTIONS_MAX);
	if (error) {
		action_deinit(&action);
		return error;
	}
	if (!action.package)
		record_origin(host_pid, &action);
	action.order = (uint32_t)shadow->actions.n + 1;
	action.phase = is_before(action.script) ? ACTION_BEFORE : ACTION_AFTER;
	log_action(&action);
	return action_list_append(&shadow->actions, action);
}

struct error *record_command(struct shadow *shadow, uint32_t host_pid, const char *const *argv, uint32_t guest_pid)
{
	const struct guest_task *task = guest_pid ? guest_task_list_find(&shadow->threads, guest_pid) : NULL;
	const struct action words = {
		.kind = ACTION_COMMAND, .argv = (char **)argv, .pid = guest_pid, .start_ns = task ? task->start_ns : 0};
	struct action action;
	struct error *error = action_copy(&words, &action);

	return error ? error : record_action(shadow, host_pid, action);
}

/* --- messages --- */

/* A text that the guest had a say in: bounded, and nothing a terminal would obey. */
static bool is_plain(const char *text, size_t size)
{
	size_t n = strnlen(text, size);

	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return n < size;
}

static bool is_sound(const struct manager_record *record)
{
	if (!is_plain(record->verb, sizeof(record->verb)) || !is_plain(record->unit, sizeof(record->unit)) ||
	    !is_plain(record->path, sizeof(record->path)) || record->n_words > RECORD_WORDS_MAX)
		return false;
	return record->size <= sizeof(record->data);
}

/* `n` strings at the beginning of the data; ERROR_FORMAT if they do not end there. */
static struct error *take_words(const struct manager_record *record, char ***ret)
{
	const char *p = (const char *)record->data, *end = p + record->size;
	char **words;

	if (record->n_words == 0)
		return NULL;
	words = *ret = calloc(record->n_words + 1, sizeof(*words));
	if (!words)
		return error_no_memory();
	for (uint32_t i = 0; i < record->n_words; i++) {
		size_t n = strnlen(p, (size_t)(end - p));

		if (p + n >= end)
			return error_create(ERROR_FORMAT, "words without an end");
		words[i] = strdup(p);
		if (!words[i])
			return error_no_memory();
		p += n + 1;
	}
	return NULL;
}

static struct error *copy_text(const char *text, char **ret)
{
	if (!text[0])
		return NULL;
	*ret = strdup(text);
	return *ret ? NULL : error_no_memory();
}

static struct error *build_action(const struct manager_record *record, struct action *action)
{
	struct error *error;

	if (record->kind == RECORD_VALUE) {
		action->kind = ACTION_WRITE;
		action->size = record->size;
		action->data = malloc(record->size + 1);
		if (!action->data)
			return error_no_memory();
		memcpy(action->data, record->data, record->size);
		return copy_text(record->path, &action->path);
	}
	action->kind = record->kind == RECORD_COMMAND ? ACTION_COMMAND : ACTION_SYSTEMD;
	error = copy_text(record->verb, &action->verb);
	if (!error)
		error = copy_text(record->unit, &action->unit);
	return error ? error : take_words(record, &action->argv);
}

static bool is_program(const char *path, const char *const *names, size_t n)
{
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; i < n; i++)
		if (strcmp(slash ? slash + 1 : path, names[i]) == 0)
			return true;
	return false;
}

/* What tool asked, and with which words: it will ask again in the guest. Only programs that ask and end are meant. */
static bool is_tool(const char *path)
{
	static const char *const names[] = {"busctl",      "dbus-send",  "gdbus",      "hostnamectl", "localectl",
					    "loginctl",    "networkctl", "resolvectl", "systemctl",   "systemd-run",
					    "timedatectl", "udevadm",    "nmcli",      "firewall-cmd"};

	return is_program(path, names, ARRAY_SIZE(names));
}

/* NUL-terminated strings of `size` bytes. */
static struct error *split_words(const char *text, size_t size, char ***ret)
{
	char **words = *ret = calloc(RECORD_WORDS_MAX + 1, sizeof(*words));
	size_t n = 0;

	if (!words)
		return error_no_memory();
	for (const char *word = text; word < text + size; word += strlen(word) + 1) {
		if (n == RECORD_WORDS_MAX)
			return error_create(ERROR_UNSUPPORTED, "a command of too many words");
		words[n] = strdup(word);
		if (!words[n++])
			return error_no_memory();
	}
	return NULL;
}

struct error *record_caller(struct shadow *shadow, uint32_t host_pid)
{
	struct action action = {.kind = ACTION_COMMAND};
	size_t size = 0;
	_cleanup_(free_ptr) char *text = host_pid ? read_proc(host_pid, "cmdline", &size) : NULL;
	struct error *error;

	if (!text || size == 0 || !is_tool(text))
		return error_create(ERROR_UNSUPPORTED, "not asked by a program that could ask again: %s",
				    text && size ? text : "one that has ended");
	error = split_words(text, size, &action.argv);
	if (!error)
		return record_action(shadow, host_pid, action);
	action_deinit(&action);
	return error;
}

/* --- daemons --- */

/* What programs start beside themselves to be quicker next time. */
static bool is_agent(const char *path)
{
	static const char *const names[] = {"gpg-agent", "dirmngr", "scdaemon", "keyboxd", "ssh-agent", "dbus-launch"};

	return is_program(path, names, ARRAY_SIZE(names));
}

/* The file it runs, as the guest has it; false: none that a path leads to. */
static bool program_of(uint32_t pid, char ret[PATH_MAX])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%u/exe", pid);
	n = readlink(link, ret, PATH_MAX - 1);
	if (n <= 0 || ret[0] != '/')
		return false;
	ret[n] = '\0';
	return !strstr(ret, " (deleted)");
}

/* "nginx: master process …": a title, which nobody can be started with. */
static bool is_title(const char *text, size_t size)
{
	return size == 0 || strchr(text, ' ') || strchr(text, ':');
}

static struct error *record_daemon(struct shadow *shadow, uint32_t pid)
{
	struct action action = {.kind = ACTION_COMMAND};
	size_t size = 0;
	_cleanup_(free_ptr) char *text = read_proc(pid, "cmdline", &size);
	char program[PATH_MAX];
	struct error *error;

	runtime_note_daemon(shadow, pid);
	/* What has ended meanwhile has no words. */
	if (!text || size == 0 || !program_of(pid, program) || is_agent(program))
		return NULL;
	action.verb = strdup("daemon");
	if (!action.verb)
		error = error_no_memory();
	else if (is_title(text, size))
		error = split_words(program, strlen(program) + 1, &action.argv);
	else
		error = split_words(text, size, &action.argv);
	if (!error)
		return record_action(shadow, pid, action);
	action_deinit(&action);
	return error;
}

struct error *record_left(struct shadow *shadow, uint32_t init)
{
	_cleanup_(closedir_ptr) DIR *proc = opendir("/proc");
	const struct dirent *entry;
	struct error *error = NULL;

	while (!error && proc && (entry = readdir(proc))) {
		uint32_t pid = (uint32_t)strtoul(entry->d_name, NULL, 10);

		if (isdigit((unsigned char)entry->d_name[0]) && parent_of(pid) == init)
			error = record_daemon(shadow, pid);
	}
	return error;
}

/* --- what is sent --- */

static struct error *take_record(struct shadow *shadow, const struct manager_record *record, uint32_t warden)
{
	struct action action = {};
	uint32_t host_pid;
	struct error *error;

	if (record->kind == RECORD_UNKNOWN) {
		if (shadow->n_unknown++ < UNKNOWN_MAX)
			log_debug("the guest asked its service manager what the shadow has no answer to: %s of %s",
				  record->verb, record->unit);
		if (need_has_room(shadow, SHADOW_NEED_REFUSED))
			need_note(shadow, find_host_pid(warden, record->pid, record->depth), SHADOW_NEED_REFUSED, NULL,
				  "asks %s of the service manager", record->verb);
		return NULL;
	}
	host_pid = find_host_pid(warden, record->pid, record->depth);
	if (record->kind == RECORD_CALLER) {
		error = record_caller(shadow, host_pid);
		if (error)
			need_note(shadow, host_pid, SHADOW_NEED_REFUSED, NULL, "asks a service for a change");
		return error;
	}
	error = build_action(record, &action);
	if (error) {
		action_deinit(&action);
		return error;
	}
	return record_action(shadow, host_pid, action);
}

struct error *record_receive(struct shadow *shadow, int fd, uint32_t warden, bool *ret_ended)
{
	struct manager_record record;
	ssize_t n = recv(fd, &record, sizeof(record), MSG_DONTWAIT);
	struct error *error;
	unsigned char done;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return NULL;
	if (n != (ssize_t)sizeof(record) || !is_sound(&record)) {
		*ret_ended = true;
		return NULL;
	}
	error = take_record(shadow, &record, warden);
	done = !error;
	/* Too many or an impossible one: the asker is told that it failed, which is its own concern. */
	if (error)
		log_debug("not recorded: %s", error->message);
	error_destroy(error);
	if (send(fd, &done, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		*ret_ended = true;
	return NULL;
}

int record_send(int fd, const struct manager_record *record)
{
	/* Answers to come that nobody waits for any more: they come in order. A process has one such socket. */
	static unsigned late;
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};
	unsigned char done;

	if (send(fd, record, sizeof(*record), MSG_NOSIGNAL) < 0)
		return -errno;
	/* Our side looks the asker up while it waits for us. */
	for (unsigned n = late++; poll(&pollfd, 1, ACK_TIMEOUT_MS) == 1 && recv(fd, &done, 1, MSG_DONTWAIT) == 1; n--) {
		late--;
		if (n == 0)
			return done ? 0 : -EPERM;
	}
	return -EIO;
}
