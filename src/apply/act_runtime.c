/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What scripts left below /run, done in the woken guest's own: each only where the guest has what it had when it was
 * suspended. A name appears, and changes, with one rename, its attributes set before.
 *
 * For going back there is a stage at the root of that tmpfs: "N" says that action N was begun (of an append: how long
 * the file was), "N.old" is what it took away. It lies there and not in /var, because after a reboot there is nothing
 * of either to go back from.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "apply/act.h"
#include "apply/events.h"
#include "apply/fault.h"
#include "base/io.h"

#define RUN "run"

/* Where one action is done. */
struct spot {
	const struct action *action;
	struct runtime_state before, after;
	int run_fd, stage_fd; /* /run; its stage, -1: not there */
	int directory;        /* borrowed from the tree */
	const char *name;
	char mark[16], item[24];
};

static void leave_spot(struct spot *s)
{
	close_fd(&s->stage_fd);
	close_fd(&s->run_fd);
}

static struct error *fail(struct outcome *ret, int errnum, const char *what)
{
	ret->status = 1;
	ret->output = string_format("%s: %s", what, strerror(errnum));
	return ret->output ? NULL : error_no_memory();
}

static bool is_tmpfs(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && ((unsigned long)fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* -1: there is none, or none that we made. */
static int open_stage(int run_fd)
{
	_cleanup_(close_fd) int fd = openat(run_fd, STAGE_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077))
		return -1;
	return take_fd(fd);
}

static int open_run(const struct transaction *t)
{
	return openat(t->tree.root_fd, RUN, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The directory that holds the path, on the tmpfs itself; *ret_skip: why there is none. */
static struct error *find_directory(struct transaction *t, struct spot *s, const char **ret_skip)
{
	struct stat run, here;
	struct error *error;

	/* Directories of another moment may have gone. */
	tree_forget_parent(&t->tree);
	error = tree_parent(&t->tree, s->action->path + 1, &s->directory, &s->name);
	if (error && (error->code == ERROR_NOT_FOUND || error->code == ERROR_CONFLICT)) {
		*ret_skip = error->code == ERROR_NOT_FOUND ? "the guest has no such directory"
							   : "a link leads elsewhere there";
		error_destroy(error);
		return NULL;
	}
	if (error)
		return error;
	if (fstat(s->run_fd, &run) < 0 || fstat(s->directory, &here) < 0)
		return error_system(errno, s->action->path, "cannot look at");
	if (run.st_dev != here.st_dev)
		*ret_skip = "another file system is mounted there";
	return NULL;
}

static struct error *find_spot(struct transaction *t, const struct action *action, struct spot *s,
			       const char **ret_skip)
{
	unsigned number = (unsigned)(action - t->payload.actions.items);

	*s = (struct spot){.action = action, .run_fd = -1, .stage_fd = -1};
	snprintf(s->mark, sizeof(s->mark), "%u", number);
	snprintf(s->item, sizeof(s->item), "%u.old", number);
	if (!runtime_state_parse(action->argv[0], &s->before) || !runtime_state_parse(action->argv[1], &s->after))
		return error_create(ERROR_FORMAT, "an action below /run without states");
	s->run_fd = open_run(t);
	if (s->run_fd < 0 || !is_tmpfs(s->run_fd)) {
		*ret_skip = "the guest has no /run in memory";
		return NULL;
	}
	s->stage_fd = open_stage(s->run_fd);
	return find_directory(t, s, ret_skip);
}

/* --- doing --- */

/* Its old number, where the number matters. */
static struct error *begin(struct spot *s, uint64_t number)
{
	_cleanup_(close_fd) int fd = -1;

	if (s->stage_fd < 0) {
		if (mkdirat(s->run_fd, STAGE_NAME, 0700) < 0 && errno != EEXIST)
			return error_system(errno, STAGE_NAME, "cannot make the directory below /run");
		s->stage_fd = open_stage(s->run_fd);
	}
	if (s->stage_fd < 0)
		return error_create(ERROR_CONFLICT, "/run/" STAGE_NAME " belongs to somebody else");
	fd = openat(s->stage_fd, s->mark, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, &number, sizeof(number)) != sizeof(number))
		return error_system(errno, s->mark, "cannot write below /run/" STAGE_NAME);
	/* Of a process that was killed before it gave that its name. */
	if (unlinkat(s->stage_fd, s->item, 0) < 0 && errno == EISDIR)
		(void)unlinkat(s->stage_fd, s->item, AT_REMOVEDIR);
	fault_point();
	return NULL;
}

static bool set_attributes(int fd, const struct runtime_state *state)
{
	/* Owner first: a change of it takes the set-user-id bits away. */
	return fchown(fd, state->uid, state->gid) == 0 && fchmod(fd, state->mode) == 0;
}

static bool make_file(const struct spot *s)
{
	const struct action *action = s->action;
	_cleanup_(close_fd) int fd =
		openat(s->stage_fd, s->item, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	/* A tmpfs takes all of so little, or says that it is full. */
	if (fd < 0 || (action->size && write(fd, action->data, action->size) != (ssize_t)action->size))
		return false;
	return set_attributes(fd, &s->after);
}

static bool make_directory(const struct spot *s, const struct runtime_state *state)
{
	_cleanup_(close_fd) int fd = -1;

	if (mkdirat(s->stage_fd, s->item, 0700) < 0)
		return false;
	fd = openat(s->stage_fd, s->item, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && set_attributes(fd, state);
}

static bool make_link(const struct spot *s)
{
	return symlinkat(s->after.target, s->stage_fd, s->item) == 0 &&
	       fchownat(s->stage_fd, s->item, s->after.uid, s->after.gid, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool make_item(const struct spot *s)
{
	if (s->after.type == RUNTIME_DIRECTORY)
		return make_directory(s, &s->after);
	return s->after.type == RUNTIME_SYMLINK ? make_link(s) : make_file(s);
}

static int move(int from, const char *from_name, int to, const char *to_name, unsigned flags)
{
	return (int)syscall(SYS_renameat2, from, from_name, to, to_name, flags);
}

/* Whether what came into the stage is what was meant to be taken away. */
static bool is_expected(const struct spot *s)
{
	_cleanup_(runtime_look_deinit) struct runtime_look look = {};
	struct error *error = runtime_look(s->stage_fd, s->item, true, &look);
	bool expected = !error && runtime_state_equal(&look.state, &s->before);

	error_destroy(error);
	return expected;
}

static const char changed[] = "the guest has changed it since";

/* The item gets the name, and what had it becomes the item. */
static struct error *put(const struct spot *s, struct outcome *ret)
{
	bool exchange = s->before.type != RUNTIME_ABSENT;

	if (!make_item(s))
		return fail(ret, errno, "cannot make it");
	if (move(s->stage_fd, s->item, s->directory, s->name, exchange ? RENAME_EXCHANGE : RENAME_NOREPLACE) < 0) {
		if (errno != EEXIST && errno != ENOENT)
			return fail(ret, errno, "cannot give it its name");
		ret->skipped = changed;
	} else if (exchange && !is_expected(s)) {
		if (move(s->stage_fd, s->item, s->directory, s->name, RENAME_EXCHANGE) < 0)
			return fail(ret, errno, "cannot put back what the guest has changed");
		ret->skipped = changed;
	}
	return NULL;
}

static struct error *take_away(const struct spot *s, struct outcome *ret)
{
	if (s->before.type == RUNTIME_DIRECTORY) {
		if (unlinkat(s->directory, s->name, AT_REMOVEDIR) == 0)
			return NULL;
		if (errno != ENOTEMPTY && errno != EBUSY && errno != ENOENT)
			return fail(ret, errno, "cannot remove it");
		ret->skipped = errno == ENOTEMPTY ? "the guest has something in it" : changed;
		return NULL;
	}
	if (move(s->directory, s->name, s->stage_fd, s->item, RENAME_NOREPLACE) < 0)
		return fail(ret, errno, "cannot remove it");
	if (is_expected(s))
		return NULL;
	ret->skipped = changed;
	if (move(s->stage_fd, s->item, s->directory, s->name, RENAME_NOREPLACE) < 0)
		return fail(ret, errno, "cannot put back what the guest has changed");
	return NULL;
}

static bool change_attributes(const struct spot *s, const struct runtime_state *to)
{
	_cleanup_(close_fd) int fd =
		openat(s->directory, s->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	errno = ENOTDIR;
	return S_ISDIR(st.st_mode) == (to->type == RUNTIME_DIRECTORY) && set_attributes(fd, to);
}

/* Where `data` begins behind the first `from` bytes; NULL: nowhere. */
static const uint8_t *find_data(const struct action *action, const struct runtime_look *now, uint64_t from)
{
	return now->content && from <= now->state.size
		       ? memmem(now->content + from, now->state.size - from, action->data, action->size)
		       : NULL;
}

/* What the guest wrote meanwhile stays, and the data come behind it. */
static struct error *append(struct spot *s, const struct runtime_look *now, struct outcome *ret)
{
	_cleanup_(close_fd) int fd = -1;
	uint8_t digest[SHA256_SIZE];
	struct error *error;

	if (now->state.type != RUNTIME_FILE || !now->content || now->state.size < s->before.size) {
		ret->skipped = now->state.type == RUNTIME_ABSENT ? "the guest has removed it since" : changed;
		return NULL;
	}
	error = runtime_hash(now->content, s->before.size, digest);
	if (error)
		return error;
	if (memcmp(digest, s->before.sha256, sizeof(digest)) != 0)
		ret->skipped = changed;
	else if (find_data(s->action, now, s->before.size))
		ret->skipped = "it is so already";
	if (ret->skipped)
		return NULL;
	error = begin(s, now->state.size);
	if (error)
		return error;
	fd = openat(s->directory, s->name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || write(fd, s->action->data, s->action->size) != (ssize_t)s->action->size)
		return fail(ret, errno, "cannot append");
	return NULL;
}

static const char *skip_reason(const struct spot *s, const struct runtime_state *now)
{
	if (runtime_state_equal(now, &s->after))
		return "it is so already";
	if (runtime_state_equal(now, &s->before))
		return NULL;
	if (s->before.type == RUNTIME_ABSENT)
		return "the guest has made one of its own";
	return now->type == RUNTIME_ABSENT ? "the guest has removed it since" : changed;
}

static struct error *act(struct spot *s, struct outcome *ret)
{
	_cleanup_(runtime_look_deinit) struct runtime_look now = {};
	struct error *error = runtime_look(s->directory, s->name, true, &now);

	if (error)
		return error;
	if (!strcmp(s->action->verb, "append"))
		return append(s, &now, ret);
	ret->skipped = skip_reason(s, &now.state);
	if (ret->skipped)
		return NULL;
	error = begin(s, 0);
	if (error)
		return error;
	if (!strcmp(s->action->verb, "remove"))
		return take_away(s, ret);
	if (strcmp(s->action->verb, "attributes"))
		return put(s, ret);
	return change_attributes(s, &s->after) ? NULL : fail(ret, errno, "cannot change its attributes");
}

struct error *act_runtime(struct transaction *t, const struct action *action, struct outcome *ret)
{
	struct error *error;
	struct spot s;

	error = find_spot(t, action, &s, &ret->skipped);
	if (!error && !ret->skipped)
		error = act(&s, ret);
	/* Not done after all: there is nothing to go back from. */
	if (s.stage_fd >= 0 && ret->skipped && strcmp(ret->skipped, "it is so already"))
		(void)unlinkat(s.stage_fd, s.mark, 0);
	fault_point();
	leave_spot(&s);
	if (!error || error->code == ERROR_NO_MEMORY)
		return error;
	/* One that cannot be done is reported as any other action. */
	ret->status = 1;
	ret->output = strdup(error->message);
	error_destroy(error);
	return ret->output ? NULL : error_no_memory();
}

/* --- going back --- */

static bool undo_append(const struct spot *s, const struct runtime_look *now)
{
	_cleanup_(close_fd) int mark = openat(s->stage_fd, s->mark, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), fd = -1;
	uint64_t size;

	if (mark < 0 || read(mark, &size, sizeof(size)) != sizeof(size))
		return false;
	/* Never written. */
	if (now->state.type != RUNTIME_FILE || now->state.size == size)
		return now->state.type == RUNTIME_FILE;
	if (!now->content || now->state.size != size + s->action->size ||
	    memcmp(now->content + size, s->action->data, s->action->size) != 0)
		return false;
	fd = openat(s->directory, s->name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd >= 0 && ftruncate(fd, (off_t)size) == 0;
}

/* Back to what was there; false: it is not ours any more, or cannot be. */
static bool undo_spot(const struct spot *s, const struct runtime_look *now)
{
	const char *verb = s->action->verb;

	if (!strcmp(verb, "append"))
		return undo_append(s, now);
	if (!runtime_state_equal(&now->state, &s->after))
		return runtime_state_equal(&now->state, &s->before);
	if (!strcmp(verb, "attributes"))
		return change_attributes(s, &s->before);
	if (!strcmp(verb, "mkdir"))
		return unlinkat(s->directory, s->name, AT_REMOVEDIR) == 0;
	if (s->before.type == RUNTIME_ABSENT)
		return unlinkat(s->directory, s->name, 0) == 0;
	if (s->before.type == RUNTIME_DIRECTORY && !make_directory(s, &s->before))
		return false;
	return move(s->stage_fd, s->item, s->directory, s->name,
		    s->after.type == RUNTIME_ABSENT ? RENAME_NOREPLACE : 0) == 0;
}

static struct error *undo_one(struct transaction *t, const struct action *action)
{
	_cleanup_(runtime_look_deinit) struct runtime_look now = {};
	_cleanup_(leave_spot) struct spot s;
	const char *skip = NULL;
	struct error *error;
	struct stat st;

	error = find_spot(t, action, &s, &skip);
	if (error || s.stage_fd < 0 || fstatat(s.stage_fd, s.mark, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error;
	if (!skip) {
		error = runtime_look(s.directory, s.name, true, &now);
		if (!error && !undo_spot(&s, &now))
			skip = changed;
	}
	if (skip)
		event_note(t->report_fd, action->path, "left as it is: %s", skip);
	if (!error && unlinkat(s.stage_fd, s.mark, 0) < 0)
		error = error_system(errno, s.mark, "cannot remove");
	fault_point();
	return error;
}

void runtime_undo(struct transaction *t)
{
	const struct action_list *list = &t->payload.actions;

	for (size_t i = list->n; i-- > 0;) {
		struct error *error = list->items[i].kind == ACTION_RUNTIME ? undo_one(t, &list->items[i]) : NULL;

		if (error)
			event_note(t->report_fd, list->items[i].path, "left as it is: %s", error->message);
		error_destroy(error);
	}
	tree_forget_parent(&t->tree);
}

struct error *runtime_forget(const struct transaction *t)
{
	_cleanup_(close_fd) int run_fd = open_run(t), stage_fd = run_fd < 0 ? -1 : open_stage(run_fd);
	_cleanup_(free_ptr) char *path = NULL;

	if (stage_fd < 0)
		return NULL;
	path = string_format("/proc/self/fd/%d/" STAGE_NAME, run_fd);
	return path ? io_remove_tree(path) : error_no_memory();
}
