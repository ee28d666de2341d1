/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that take a name from a file or give it another, and truncate(2): looked at only where it is to be learnt who
 * does so to a live file. The kernel carries them out.
 */
#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "shadow/answer.h"
#include "shadow/need.h"

/* `flags`: O_NOFOLLOW where the call is about a link itself and not what it leads to. */
static void look(struct answer_call *call, int directory, uint64_t address, int flags, const char *verb)
{
	const struct shadow_live_file *file;
	_cleanup_(close_fd) int fd = -1;
	char path[PATH_MAX];

	if (answer_read_string(call, address, path, sizeof(path), ENAMETOOLONG) != 0)
		return;
	need_note_below_efi(call->shadow, call->request->pid, path);
	fd = answer_look_path(call, directory, path, flags);
	file = answer_live(call, fd, NULL);
	if (file)
		need_note_live(call->shadow, call->request->pid, file, verb);
}

int answer_unlink(struct answer_call *call)
{
	call->proceed = true;
	look(call, AT_FDCWD, call->args[0], O_NOFOLLOW, "removes");
	return 0;
}

int answer_unlinkat(struct answer_call *call)
{
	call->proceed = true;
	look(call, (int)call->args[0], call->args[1], O_NOFOLLOW, "removes");
	return 0;
}

int answer_rename(struct answer_call *call)
{
	call->proceed = true;
	look(call, AT_FDCWD, call->args[0], O_NOFOLLOW, "renames");
	look(call, AT_FDCWD, call->args[1], O_NOFOLLOW, "replaces");
	return 0;
}

int answer_renameat(struct answer_call *call)
{
	call->proceed = true;
	look(call, (int)call->args[0], call->args[1], O_NOFOLLOW, "renames");
	look(call, (int)call->args[2], call->args[3], O_NOFOLLOW, "replaces");
	return 0;
}

int answer_link(struct answer_call *call)
{
	call->proceed = true;
	look(call, AT_FDCWD, call->args[0], O_NOFOLLOW, "gives another name to");
	return 0;
}

int answer_linkat(struct answer_call *call)
{
	int flags = call->args[4] & AT_SYMLINK_FOLLOW ? 0 : O_NOFOLLOW;

	call->proceed = true;
	look(call, (int)call->args[0], call->args[1], flags, "gives another name to");
	return 0;
}

int answer_truncate(struct answer_call *call)
{
	call->proceed = true;
	look(call, AT_FDCWD, call->args[0], 0, "truncates");
	return 0;
}
