/* SPDX-License-Identifier: Apache-2.0 */
/* Who a program of `exec` runs as, by the guest's own /etc/passwd and /etc/group. Private to the room. */
#ifndef UPDATE_EXEC_USER_H
#define UPDATE_EXEC_USER_H

#include "base/error.h"
#include "shadow/shadow.h"

struct exec_user {
	struct shadow_user ids; /* borrows `groups` */
	uint32_t *groups;
	char *name; /* "root"; NULL: a number without a name */
	char *home; /* "/" where the guest says nothing */
	char *shell;
};

/*
 * `text`: USER[:GROUP], names or numbers; NULL: root. A user without a GROUP has all groups that the guest gives it,
 * one with it that one alone. ERROR_NOT_FOUND: the guest has no such name. The two files are hostile: bounded, and
 * ids beyond the shadow's are refused.
 */
struct error *exec_user_find(int root_fd, const char *text, struct exec_user *ret) _must_check_;
void exec_user_deinit(struct exec_user *user);

#endif
