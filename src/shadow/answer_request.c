/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the running system that package scripts make and that the guest can carry out later: its names, modules.
 * They are checked as its kernel would, written down and answered as done.
 */
#include <ctype.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <unistd.h>

#include "shadow/answer.h"
#include "shadow/need.h"

#define MODULE_NAME_MAX 56u
/* Bytes of a module that a program brings itself: the greatest have some ten MiB. */
#define MODULE_MAX      (64u << 20)
#define PART            (1u << 20)
#define PARAMETERS_MAX  1024u

/* 0, or EPERM for a caller that the guest would refuse, or where there is no guest to do it. */
static int check(struct answer_call *call, unsigned capability)
{
	struct answer_caller caller;
	int errnum = answer_caller(call, &caller);

	if (errnum)
		return errnum;
	return answer_capable(&caller, capability) && call->shadow->guest ? 0 : EPERM;
}

/* ---- Names ---- */

/* `now`: what it is; `set`: what a program has made of it. Anything a terminal would not obey can be a name. */
static int set_name(struct answer_call *call, const char *path, const char *now, char set[65])
{
	struct action action = {.kind = ACTION_WRITE, .path = (char *)path};
	uint64_t length = (uint32_t)call->args[1];
	char name[65] = "", before[65];
	int errnum;

	if (length > 64)
		return EINVAL;
	shadow_name(set, before);
	errnum = answer_read(call, call->args[0], name, length);
	if (!errnum && strcmp(name, before[0] ? before : now) == 0)
		return 0;
	if (!errnum)
		errnum = check(call, CAP_SYS_ADMIN);
	if (errnum)
		return errnum;
	for (size_t i = 0; name[i]; i++)
		if (!isgraph((unsigned char)name[i]) || (i == 0 && name[i] == '-'))
			return EPERM;
	if (!name[0])
		return EPERM;
	action.data = (uint8_t *)name;
	action.size = strlen(name);
	errnum = answer_record_action(call, &action);
	if (!errnum)
		memcpy(set, name, sizeof(name));
	return errnum;
}

int answer_sethostname(struct answer_call *call)
{
	const struct shadow *shadow = call->shadow;

	return set_name(call, "/proc/sys/kernel/hostname", shadow->has_uts ? shadow->uts.nodename : "localhost",
			shadow->names->nodename);
}

int answer_setdomainname(struct answer_call *call)
{
	const struct shadow *shadow = call->shadow;

	return set_name(call, "/proc/sys/kernel/domainname", shadow->has_uts ? shadow->uts.domainname : "(none)",
			shadow->names->domainname);
}

/* ---- Modules ---- */

static bool is_module_name(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '_' && name[i] != '-')
			return false;
	return n > 0 && n < MODULE_NAME_MAX && name[0] != '-';
}

/* "nf-tables" and "nf_tables" are the same. */
static void normalise(char *name)
{
	for (; *name; name++)
		if (*name == '-')
			*name = '_';
}

/* Whether the guest has the module; *ret_users: how many use it. */
static bool is_loaded(struct answer_call *call, const char *name, uint32_t *ret_users)
{
	struct guest_module_list list = {0};
	struct error *error = guest_modules(call->shadow->guest, &list);
	bool found = false;

	for (size_t i = 0; !error && i < list.n && !found; i++) {
		found = strcmp(list.items[i].name, name) == 0;
		*ret_users = list.items[i].refcount;
	}
	if (!error)
		guest_module_list_deinit(&list);
	error_destroy(error);
	return found;
}

/* By modprobe, later: it finds what the module needs, which the caller has loaded before. */
static int load(struct answer_call *call, char *name, uint64_t parameters_address)
{
	char parameters[PARAMETERS_MAX] = "", *words[64 + 1] = {name}, *save = NULL;
	const struct action action = {.kind = ACTION_MODULE, .verb = (char *)"load", .argv = words};
	size_t n = 1;
	uint32_t users;
	int errnum = 0;

	normalise(name);
	if (!is_module_name(name))
		return EINVAL;
	if (parameters_address)
		errnum = answer_read_string(call, parameters_address, parameters, sizeof(parameters), E2BIG);
	if (errnum)
		return errnum;
	if (is_loaded(call, name, &users))
		return EEXIST;
	for (char *word = strtok_r(parameters, " ", &save); word && n < ARRAY_SIZE(words) - 1;
	     word = strtok_r(NULL, " ", &save))
		if (isalnum((unsigned char)word[0]))
			words[n++] = word;
	return answer_record_action(call, &action);
}

/* What lies in memory alone stays behind. */
static bool travels(const char *path)
{
	return !guest_path_below(path, "/run") && !guest_path_below(path, "/tmp") && !guest_path_below(path, "/dev");
}

/* The file's name up to ".ko". */
int answer_finit_module(struct answer_call *call)
{
	_cleanup_(close_fd) int fd = -1;
	char link[32], path[PATH_MAX], *name, *end;
	int errnum = check(call, CAP_SYS_MODULE);

	if (errnum)
		return errnum;
	snprintf(link, sizeof(link), "fd/%d", (int)call->args[0]);
	fd = answer_open_proc(call, link, O_PATH);
	if (fd < 0)
		return EBADF;
	if (!answer_path_of(fd, path) || !travels(path)) {
		need_note(call->shadow, call->request->pid, SHADOW_NEED_MODULE, NULL,
			  "loads a module out of a file that the guest will not have");
		return EPERM;
	}
	name = strrchr(path, '/') + 1;
	end = strstr(name, ".ko");
	if (!end)
		return ENOEXEC;
	*end = '\0';
	return load(call, name, call->args[1]);
}

/* `part`: room for PART + MODULE_NAME_MAX bytes. */
static int search_name(struct answer_call *call, uint64_t address, uint64_t size, char *part, char ret[MODULE_NAME_MAX])
{
	static const char key[] = "\0name=";
	size_t kept = 0;

	for (uint64_t done = 0; done < size && done < MODULE_MAX;) {
		size_t n = size - done < PART ? size - done : PART;
		const char *found;
		int errnum = answer_read(call, address + done, part + kept, n);

		if (errnum)
			return errnum;
		done += n;
		n += kept;
		found = memmem(part, n, key, sizeof(key) - 1);
		if (found && (size_t)(part + n - found) >= sizeof(key) - 1 + MODULE_NAME_MAX) {
			memcpy(ret, found + sizeof(key) - 1, MODULE_NAME_MAX - 1);
			ret[MODULE_NAME_MAX - 1] = '\0';
			return 0;
		}
		kept = n < MODULE_NAME_MAX ? n : MODULE_NAME_MAX;
		memmove(part, part + n - kept, kept);
	}
	return ENOEXEC;
}

/* What the module says of itself in its section .modinfo. */
static int find_name(struct answer_call *call, uint64_t address, uint64_t size, char ret[MODULE_NAME_MAX])
{
	_cleanup_(free_ptr) char *part = malloc(PART + MODULE_NAME_MAX);

	return part ? search_name(call, address, size, part, ret) : ENOMEM;
}

int answer_init_module(struct answer_call *call)
{
	char name[MODULE_NAME_MAX];
	int errnum = check(call, CAP_SYS_MODULE);

	if (!errnum)
		errnum = find_name(call, call->args[0], call->args[1], name);
	return errnum ? errnum : load(call, name, call->args[2]);
}

int answer_delete_module(struct answer_call *call)
{
	char name[MODULE_NAME_MAX];
	char *argv[] = {name, NULL};
	const struct action action = {.kind = ACTION_MODULE, .verb = (char *)"unload", .argv = argv};
	uint32_t users;
	int errnum = check(call, CAP_SYS_MODULE);

	if (!errnum)
		errnum = answer_read_string(call, call->args[0], name, sizeof(name), ENOENT);
	if (errnum)
		return errnum;
	if (!is_module_name(name) || !is_loaded(call, name, &users))
		return ENOENT;
	return users ? EWOULDBLOCK : answer_record_action(call, &action);
}
