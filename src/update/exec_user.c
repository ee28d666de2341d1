/* SPDX-License-Identifier: Apache-2.0 */
#include "update/exec_user.h"

#include <string.h>

#include "base/io.h"

/* Of /etc/passwd and /etc/group; directories of a whole university are smaller. */
#define ACCOUNTS_MAX   (16u << 20)
#define GROUPS_MAX     256
/* The greatest id a guest's program may have is that of the shadow's user namespace. */
#define ID_MAX         0x3fffffffu
#define PASSWD_COLUMNS 7
#define GROUP_COLUMNS  4

/* A line of the two files, split at its colons in place. */
struct account {
	char *columns[PASSWD_COLUMNS]; /* "" where the line ends early */
};

static bool parse_id(const char *text, uint32_t *ret)
{
	unsigned long long value;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end || value > UINT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

/* The next line of *rest as an account; false at the end. */
static bool next_account(char **rest, struct account *ret)
{
	static char none[] = "";
	char *line = strsep(rest, "\n");

	if (!line)
		return false;
	for (size_t i = 0; i < PASSWD_COLUMNS; i++) {
		char *column = strsep(&line, ":");

		ret->columns[i] = column ? column : none;
	}
	return true;
}

/* A guest without the file has no names; then numbers still serve. */
static struct error *read_accounts(int root_fd, const char *path, char **ret)
{
	struct error *error = io_read_in_root(root_fd, path, ACCOUNTS_MAX, ret, NULL);

	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		*ret = strdup("");
		return *ret ? NULL : error_no_memory();
	}
	return error;
}

static struct error *copy_account(const struct account *account, struct exec_user *user)
{
	user->name = strdup(account->columns[0]);
	user->home = strdup(*account->columns[5] ? account->columns[5] : "/");
	user->shell = strdup(*account->columns[6] ? account->columns[6] : "/bin/sh");
	return user->name && user->home && user->shell ? NULL : error_no_memory();
}

/* By name first: a user may be called 1000. */
static struct error *find_user(int root_fd, const char *name, struct exec_user *user)
{
	uint32_t wanted = 0, uid, gid;
	bool is_number = parse_id(name, &wanted);
	struct account account;
	struct error *error;

	for (int by_number = 0; by_number <= is_number; by_number++) {
		_cleanup_(free_ptr) char *text = NULL;
		char *rest;

		error = read_accounts(root_fd, "/etc/passwd", &text);
		if (error)
			return error;
		rest = text;
		while (next_account(&rest, &account)) {
			if (!parse_id(account.columns[2], &uid) || !parse_id(account.columns[3], &gid))
				continue;
			if (by_number ? uid != wanted : strcmp(account.columns[0], name) != 0)
				continue;
			user->ids.uid = uid;
			user->ids.gid = gid;
			return copy_account(&account, user);
		}
	}
	if (!is_number)
		return error_create(ERROR_NOT_FOUND, "the guest has no user \"%s\"", name);
	user->ids.uid = user->ids.gid = wanted;
	user->home = strdup("/");
	user->shell = strdup("/bin/sh");
	return user->home && user->shell ? NULL : error_no_memory();
}

static struct error *find_group(int root_fd, const char *name, uint32_t *ret)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = read_accounts(root_fd, "/etc/group", &text);
	struct account account;
	char *rest = text;

	if (error)
		return error;
	while (next_account(&rest, &account))
		if (!strcmp(account.columns[0], name) && parse_id(account.columns[2], ret))
			return NULL;
	if (parse_id(name, ret))
		return NULL;
	return error_create(ERROR_NOT_FOUND, "the guest has no group \"%s\"", name);
}

static bool is_member(char *members, const char *name)
{
	for (char *member; (member = strsep(&members, ","));)
		if (!strcmp(member, name))
			return true;
	return false;
}

/* All groups that have the user as a member. */
static struct error *find_groups(int root_fd, struct exec_user *user)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct account account;
	struct error *error;
	uint32_t gid;
	char *rest;

	if (!user->name)
		return NULL;
	error = read_accounts(root_fd, "/etc/group", &text);
	if (error)
		return error;
	user->groups = calloc(GROUPS_MAX, sizeof(*user->groups));
	if (!user->groups)
		return error_no_memory();
	user->ids.groups = user->groups;
	rest = text;
	while (user->ids.n_groups < GROUPS_MAX && next_account(&rest, &account)) {
		bool member = is_member(account.columns[GROUP_COLUMNS - 1], user->name);

		if (member && parse_id(account.columns[2], &gid) && gid <= ID_MAX)
			user->groups[user->ids.n_groups++] = gid;
	}
	return NULL;
}

static struct error *find(int root_fd, const char *text, struct exec_user *user)
{
	_cleanup_(free_ptr) char *name = strdup(text ? text : "0");
	char *group;
	struct error *error;

	if (!name)
		return error_no_memory();
	group = strchr(name, ':');
	if (group)
		*group++ = '\0';
	error = find_user(root_fd, name, user);
	if (!error)
		error = group ? find_group(root_fd, group, &user->ids.gid) : find_groups(root_fd, user);
	if (error)
		return error;
	if (user->ids.uid > ID_MAX || user->ids.gid > ID_MAX)
		return error_create(ERROR_UNSUPPORTED,
				    "%s: the ids %u:%u are beyond those the shadow has, which end at %u", name,
				    user->ids.uid, user->ids.gid, ID_MAX);
	return NULL;
}

struct error *exec_user_find(int root_fd, const char *text, struct exec_user *ret)
{
	struct exec_user user = {0};
	struct error *error = find(root_fd, text, &user);

	if (error) {
		exec_user_deinit(&user);
		return error;
	}
	*ret = user;
	return NULL;
}

void exec_user_deinit(struct exec_user *user)
{
	free(user->groups);
	free(user->name);
	free(user->home);
	free(user->shell);
	*user = (struct exec_user){0};
}
