/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What scripts left below /run, done in the woken guest's own: each only where the guest has what it had when it was
 * suspended. A name appears, and changes, with one rename, its attributes set before.
 *
 * For going back there is a stage at the root of that tmpfs: "N" says that action N was begun, "N.old" is what it took
 * away. It lies there and not in /var, because after a reboot there is nothing of either to go back from.
 *
 * The mark N holds a number: of an append how long the file was; of what is made its inode, written once it is complete
 * and before it gets its name. So whoever comes after a kill can tell: an N.old of that inode is ours and is not (any
 * more) at the name, any other was the guest's, and without one a thing of a known inode has got its name.
 *
 * What a rename took is looked at afterwards, and goes back if it is not what was meant: the guest runs all the time.
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
	const struct transaction *t; /* borrowed */
	int run_fd, stage_fd;        /* /run; its stage, -1: not there */
	int directory;               /* borrowed from the tree; -1: there is none */
	const char *name;
	char mark[16], item[24], kept[40]; /* kept: below /run, what could not go back; "": nothing */
	bool resumed;                      /* there was a mark before this call */
	bool may_unmark;                   /* if it is skipped now, there is nothing to go back from */
	uint64_t number;                   /* in the mark */
};

static void leave_spot(struct spot *s)
{
	close_fd(&s->stage_fd);
	close_fd(&s->run_fd);
}

static bool is_tmpfs(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && ((unsigned long)fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* -1: there is none, or none that we made. */
static int open_stage(const struct transaction *t, int run_fd)
{
	_cleanup_(close_fd) int fd = openat(run_fd, t->tree.stage, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
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

/* A mark that was cut while it was written is none: nothing came after it. */
static bool read_mark(struct spot *s)
{
	_cleanup_(close_fd) int fd = openat(s->stage_fd, s->mark, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && read(fd, &s->number, sizeof(s->number)) == sizeof(s->number);
}

static struct error *find_spot(struct transaction *t, const struct action *action, struct spot *s,
			       const char **ret_skip)
{
	struct error *error;
	unsigned number = (unsigned)(action - t->payload.actions.items);

	*s = (struct spot){.action = action, .run_fd = -1, .stage_fd = -1, .directory = -1};
	snprintf(s->mark, sizeof(s->mark), "%u", number);
	snprintf(s->item, sizeof(s->item), "%u.old", number);
	if (!runtime_state_parse(action->argv[0], &s->before) || !runtime_state_parse(action->argv[1], &s->after))
		return error_create(ERROR_FORMAT, "an action below /run without states");
	s->run_fd = open_run(t);
	if (s->run_fd < 0 || !is_tmpfs(s->run_fd)) {
		*ret_skip = "the guest has no /run in memory";
		return NULL;
	}
	s->t = t;
	s->stage_fd = open_stage(t, s->run_fd);
	s->resumed = s->stage_fd >= 0 && read_mark(s);
	error = find_directory(t, s, ret_skip);
	if (*ret_skip)
		s->directory = -1;
	return error;
}

/* --- the item --- */

static const char changed[] = "the guest has changed it since";
static const char removed[] = "the guest has removed it since";
static const char done_already[] = "it was done already";

static int move(int from, const char *from_name, int to, const char *to_name, unsigned flags)
{
	errno = EINVAL;
	return (flags & RENAME_EXCHANGE) && fault_no_exchange()
		       ? -1
		       : (int)syscall(SYS_renameat2, from, from_name, to, to_name, flags);
}

static int exchange(const struct spot *s)
{
	return move(s->stage_fd, s->item, s->directory, s->name, RENAME_EXCHANGE);
}

/* ramfs cannot exchange before Linux 5.17, and nothing can before 3.15. */
static const char *cannot_rename(int errnum)
{
	return errnum == EINVAL || errnum == ENOSYS ? "the guest's kernel cannot exchange two names there" : NULL;
}

static void drop_item(const struct spot *s)
{
	if (unlinkat(s->stage_fd, s->item, 0) < 0 && errno == EISDIR)
		(void)unlinkat(s->stage_fd, s->item, AT_REMOVEDIR);
}

static struct error *look_at_item(const struct spot *s, struct runtime_look *ret)
{
	return runtime_look(s->stage_fd, s->item, true, ret);
}

/* Made by the action, and as it was made. */
static bool is_ours(const struct spot *s, const struct runtime_look *look)
{
	return s->number && look->inode == s->number && runtime_state_equal(&look->state, &s->after);
}

/* Whether what came into the stage is what was meant to be taken away. */
static bool is_expected(const struct spot *s)
{
	_cleanup_(runtime_look_deinit) struct runtime_look look = {};
	struct error *error = look_at_item(s, &look);
	bool expected = !error && runtime_state_equal(&look.state, &s->before);

	error_destroy(error);
	return expected;
}

static uint64_t inode_of_item(const struct spot *s)
{
	struct stat st;

	return fstatat(s->stage_fd, s->item, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

/* Out of the stage, which will be removed: it is the guest's. */
static void keep_item(struct spot *s)
{
	char name[sizeof(s->kept)];

	snprintf(name, sizeof(name), STAGE_NAME "-kept-%llu", (unsigned long long)inode_of_item(s));
	if (move(s->stage_fd, s->item, s->run_fd, name, RENAME_NOREPLACE) == 0)
		memcpy(s->kept, name, sizeof(name));
}

/* The item is what the guest has made of it. False: its name is taken, or its directory gone. */
static bool put_back(struct spot *s, bool exchanged)
{
	if (exchanged && exchange(s) == 0) {
		/* Unless the guest has put yet another thing there, which is the newer one. */
		if (inode_of_item(s) != s->number && !is_expected(s))
			(void)exchange(s);
		return true;
	}
	if (move(s->stage_fd, s->item, s->directory, s->name, RENAME_NOREPLACE) == 0)
		return true;
	keep_item(s);
	return false;
}

/* --- doing --- */

/* Its old number, where the number matters. */
static struct error *begin(struct spot *s, uint64_t number)
{
	_cleanup_(close_fd) int fd = -1;

	if (s->stage_fd < 0) {
		if (mkdirat(s->run_fd, s->t->tree.stage, 0700) < 0 && errno != EEXIST)
			return error_system(errno, s->t->tree.stage, "cannot make the directory below /run");
		s->stage_fd = open_stage(s->t, s->run_fd);
	}
	if (s->stage_fd < 0)
		return error_create(ERROR_CONFLICT, "/run/%s belongs to somebody else", s->t->tree.stage);
	fd = openat(s->stage_fd, s->mark, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, &number, sizeof(number)) != sizeof(number))
		return error_system(errno, s->mark, "cannot write below /run/%s", s->t->tree.stage);
	s->number = number;
	s->may_unmark = true;
	/* Of a process that was killed before it gave that its name. */
	drop_item(s);
	fault_point();
	return NULL;
}

static bool note_inode(struct spot *s)
{
	_cleanup_(close_fd) int fd = openat(s->stage_fd, s->mark, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

	s->number = inode_of_item(s);
	return s->number && fd >= 0 && write(fd, &s->number, sizeof(s->number)) == sizeof(s->number);
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

/* What the guest has put there since is its own again. */
static struct error *give_back(struct spot *s, bool exchanged, struct outcome *ret)
{
	s->may_unmark = true;
	ret->skipped = changed;
	if (put_back(s, exchanged))
		return NULL;
	ret->skipped = NULL;
	ret->status = 1;
	ret->output = string_format("cannot put back what the guest has changed meanwhile: it is now /run/%s%s",
				    *s->kept ? s->kept : STAGE_NAME "/", *s->kept ? "" : s->item);
	return ret->output ? NULL : error_no_memory();
}

/* The item gets the name, and what had it becomes the item. */
static struct error *put(struct spot *s, struct outcome *ret)
{
	bool exchanges = s->before.type != RUNTIME_ABSENT;

	if (!make_item(s) || !note_inode(s))
		return outcome_fail(ret, errno, "cannot make it");
	fault_point();
	if (move(s->stage_fd, s->item, s->directory, s->name, exchanges ? RENAME_EXCHANGE : RENAME_NOREPLACE) < 0) {
		ret->skipped = errno == EEXIST || errno == ENOENT ? changed : cannot_rename(errno);
		return ret->skipped ? NULL : outcome_fail(ret, errno, "cannot give it its name");
	}
	fault_point();
	return exchanges && !is_expected(s) ? give_back(s, true, ret) : NULL;
}

static struct error *take_away(struct spot *s, struct outcome *ret)
{
	if (s->before.type == RUNTIME_DIRECTORY) {
		if (unlinkat(s->directory, s->name, AT_REMOVEDIR) == 0)
			return NULL;
		if (errno != ENOTEMPTY && errno != EBUSY && errno != ENOENT && errno != ENOTDIR)
			return outcome_fail(ret, errno, "cannot remove it");
		ret->skipped = errno == ENOTEMPTY ? "the guest has something in it" : changed;
		return NULL;
	}
	if (move(s->directory, s->name, s->stage_fd, s->item, RENAME_NOREPLACE) < 0) {
		ret->skipped = errno == ENOENT ? removed : cannot_rename(errno);
		return ret->skipped ? NULL : outcome_fail(ret, errno, "cannot remove it");
	}
	fault_point();
	return is_expected(s) ? NULL : give_back(s, false, ret);
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

static bool has_data_at(const struct action *action, const struct runtime_look *now, uint64_t offset)
{
	return offset <= now->state.size && now->state.size - offset >= action->size &&
	       memcmp(now->content + offset, action->data, action->size) == 0;
}

/* Whether the guest has it behind the first `from` bytes. Of lines: as lines, not as the end of another. */
static bool has_data(const struct action *action, const struct runtime_look *now, uint64_t from)
{
	if (action->data[action->size - 1] != '\n')
		return memmem(now->content + from, now->state.size - from, action->data, action->size);
	for (uint64_t i = from; i < now->state.size; i++)
		if ((i == from || now->content[i - 1] == '\n') && has_data_at(action, now, i))
			return true;
	return false;
}

/* What the guest wrote meanwhile stays, and the data come behind it. */
static struct error *append(struct spot *s, const struct runtime_look *now, struct outcome *ret)
{
	_cleanup_(close_fd) int fd = -1;
	uint8_t digest[SHA256_SIZE];
	struct error *error;

	if (now->state.type != RUNTIME_FILE || !now->content || now->state.size < s->before.size) {
		ret->skipped = now->state.type == RUNTIME_ABSENT ? removed : changed;
		return NULL;
	}
	error = runtime_hash(now->content, s->before.size, digest);
	if (error)
		return error;
	if (memcmp(digest, s->before.sha256, sizeof(digest)) != 0)
		ret->skipped = changed;
	else if (s->resumed && has_data_at(s->action, now, s->number))
		ret->skipped = done_already;
	else if (has_data(s->action, now, s->before.size))
		ret->skipped = "it is so already";
	if (ret->skipped)
		return NULL;
	error = begin(s, now->state.size);
	if (error)
		return error;
	fd = openat(s->directory, s->name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || write(fd, s->action->data, s->action->size) != (ssize_t)s->action->size)
		return outcome_fail(ret, errno, "cannot append");
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
	return now->type == RUNTIME_ABSENT ? removed : changed;
}

/* The name of what is removed has something else: by the mark, after it was removed, or the guest made it. */
static bool is_removed(const struct spot *s, const struct runtime_look *now)
{
	return !strcmp(s->action->verb, "remove") && s->before.type == RUNTIME_DIRECTORY &&
	       !runtime_state_equal(&now->state, &s->before);
}

/*
 * What an earlier process has done of it, which was killed. Of what came later in the list the directory may be gone
 * (`now` then says absent), or the name have another thing: what was done stays done, and its mark with it.
 */
static struct error *resume(struct spot *s, const struct runtime_look *now, struct outcome *ret)
{
	_cleanup_(runtime_look_deinit) struct runtime_look item = {};
	bool removes = !strcmp(s->action->verb, "remove");
	struct error *error;

	if (is_removed(s, now))
		ret->skipped = done_already;
	if (!strcmp(s->action->verb, "append") || !strcmp(s->action->verb, "attributes") ||
	    s->before.type == RUNTIME_DIRECTORY)
		return NULL;
	error = look_at_item(s, &item);
	if (error)
		return error;
	if (item.state.type == RUNTIME_ABSENT && s->number)
		ret->skipped = done_already;
	/* Not even begun, or ours, which never got its name. */
	s->may_unmark = !ret->skipped;
	if (item.state.type == RUNTIME_ABSENT || (!removes && (!s->number || item.inode == s->number)))
		return NULL;
	s->may_unmark = false;
	ret->skipped = done_already;
	/* With something newer at the name, the action's or the guest's, there is nothing to put back. */
	if (s->directory < 0 || (removes ? now->state.type != RUNTIME_ABSENT : now->inode != s->number) ||
	    runtime_state_equal(&item.state, &s->before))
		return NULL;
	return give_back(s, !removes, ret);
}

static struct error *act(struct spot *s, const struct runtime_look *now, struct outcome *ret)
{
	struct error *error;

	if (!strcmp(s->action->verb, "append"))
		return append(s, now, ret);
	ret->skipped = skip_reason(s, &now->state);
	if (ret->skipped)
		return NULL;
	error = begin(s, 0);
	if (error)
		return error;
	if (!strcmp(s->action->verb, "remove"))
		return take_away(s, ret);
	if (strcmp(s->action->verb, "attributes"))
		return put(s, ret);
	return change_attributes(s, &s->after) ? NULL : outcome_fail(ret, errno, "cannot change its attributes");
}

static struct error *do_spot(struct transaction *t, const struct action *action, struct spot *s, struct outcome *ret)
{
	_cleanup_(runtime_look_deinit) struct runtime_look now = {};
	const char *skip = NULL;
	struct error *error = find_spot(t, action, s, &skip);

	if (!error && !skip)
		error = runtime_look(s->directory, s->name, true, &now);
	if (!error && s->resumed)
		error = resume(s, &now, ret);
	if (error || ret->skipped || ret->status)
		return error;
	ret->skipped = skip;
	return skip ? NULL : act(s, &now, ret);
}

struct error *act_runtime(struct transaction *t, const struct action *action, struct outcome *ret)
{
	struct error *error;
	struct spot s;

	error = do_spot(t, action, &s, ret);
	/* A mark of something that was done must stay, whatever is there now. */
	if (s.stage_fd >= 0 && ret->skipped && s.may_unmark)
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

/* Whether the file ends, right now, where the look has seen it end. */
static bool is_same_size(int fd, const struct runtime_look *now)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_ino == now->inode && (uint64_t)st.st_size == now->state.size;
}

static bool undo_append(const struct spot *s, const struct runtime_look *now)
{
	_cleanup_(close_fd) int fd = -1;

	if (now->state.type != RUNTIME_FILE || !now->content || now->state.size < s->number)
		return false;
	/* Never written. */
	if (now->state.size == s->number)
		return true;
	if (now->state.size - s->number != s->action->size || !has_data_at(s->action, now, s->number))
		return false;
	fd = openat(s->directory, s->name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd >= 0 && is_same_size(fd, now) && ftruncate(fd, (off_t)s->number) == 0;
}

/* The item, if there is one, was made by us and not changed since; if not, it is the guest's and goes back. */
static bool settle_item(struct spot *s, bool exchanged)
{
	_cleanup_(runtime_look_deinit) struct runtime_look item = {};
	struct error *error = look_at_item(s, &item);
	bool ours = !error && (item.state.type == RUNTIME_ABSENT || !s->number || is_ours(s, &item));

	if (!error && !ours)
		(void)put_back(s, exchanged);
	error_destroy(error);
	return ours;
}

/* What came where nothing was. */
static bool undo_made(struct spot *s, const struct runtime_look *now)
{
	/* It never got its name, or has lost it again before a kill. */
	if (!s->number || inode_of_item(s))
		return settle_item(s, false);
	if (!is_ours(s, now))
		return now->state.type == RUNTIME_ABSENT;
	if (s->after.type == RUNTIME_DIRECTORY)
		return unlinkat(s->directory, s->name, AT_REMOVEDIR) == 0;
	if (move(s->directory, s->name, s->stage_fd, s->item, RENAME_NOREPLACE) < 0)
		return false;
	fault_point();
	return settle_item(s, false);
}

/* What came in the place of another. */
static bool undo_exchange(struct spot *s, const struct runtime_look *now)
{
	if (!s->number || !inode_of_item(s) || inode_of_item(s) == s->number)
		return settle_item(s, true);
	if (is_ours(s, now)) {
		if (exchange(s) < 0)
			return false;
		fault_point();
		return settle_item(s, true);
	}
	/* A kill came before the look: the item is what the guest had put there at that moment. */
	if (runtime_state_equal(&now->state, &s->before) && !is_expected(s))
		return settle_item(s, true);
	return runtime_state_equal(&now->state, &s->before);
}

static bool undo_remove(const struct spot *s, const struct runtime_look *now)
{
	if (now->state.type != RUNTIME_ABSENT)
		return runtime_state_equal(&now->state, &s->before);
	if (s->before.type == RUNTIME_DIRECTORY) {
		/* One that a kill has left. */
		drop_item(s);
		if (!make_directory(s, &s->before))
			return false;
		fault_point();
	}
	return move(s->stage_fd, s->item, s->directory, s->name, RENAME_NOREPLACE) == 0;
}

/* Back to what was there; false: it is not ours any more, or cannot be. */
static bool undo_spot(struct spot *s, const struct runtime_look *now)
{
	const char *verb = s->action->verb;

	if (!strcmp(verb, "append"))
		return undo_append(s, now);
	if (!strcmp(verb, "remove"))
		return undo_remove(s, now);
	if (strcmp(verb, "attributes"))
		return s->before.type == RUNTIME_ABSENT ? undo_made(s, now) : undo_exchange(s, now);
	return runtime_state_equal(&now->state, &s->after) ? change_attributes(s, &s->before)
							   : runtime_state_equal(&now->state, &s->before);
}

static struct error *undo_one(struct transaction *t, const struct action *action)
{
	_cleanup_(runtime_look_deinit) struct runtime_look now = {};
	_cleanup_(leave_spot) struct spot s;
	const char *skip = NULL;
	struct error *error;

	error = find_spot(t, action, &s, &skip);
	if (error || !s.resumed)
		return error;
	if (!skip) {
		error = runtime_look(s.directory, s.name, true, &now);
		if (!error && !undo_spot(&s, &now))
			skip = changed;
	}
	if (skip)
		event_note(t->report_fd, action->path, "left as it is: %s", skip);
	if (*s.kept)
		event_note(t->report_fd, action->path, "what the guest had made of it is now /run/%s", s.kept);
	fault_point();
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
	_cleanup_(close_fd) int run_fd = open_run(t), stage_fd = run_fd < 0 ? -1 : open_stage(t, run_fd);
	_cleanup_(free_ptr) char *path = NULL;

	if (stage_fd < 0)
		return NULL;
	path = string_format("/proc/self/fd/%d/%s", run_fd, t->tree.stage);
	return path ? io_remove_tree(path) : error_no_memory();
}
