/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads back what was written. A guest that lives may have changed a file since the switch (a
 * restarted service rewrites its state): what has a later change time is not ours to judge, and
 * is counted. Everything else must be exactly as the payload says.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "apply/attributes.h"
#include "apply/logs.h"
#include "apply/paths.h"
#include "apply/run.h"
#include "apply/transaction.h"
#include "base/checksum.h"

#define AUDIT_TIMEOUT_MS 120000

struct verify {
	struct transaction *t;
	struct paths paths; /* complete: the last entry of a path is the one that counts */
	bool content;       /* read the content, from the disk */
	bool strict;        /* a change by somebody else is a conflict */
	uint64_t files;
};

static bool changed_since(const struct transaction *t, const struct node *node)
{
	int64_t s = t->journal.switched_ns / 1000000000;
	uint32_t ns = t->journal.switched_ns % 1000000000;

	return node->ctime_s > s || (node->ctime_s == s && node->ctime_ns > ns);
}

/* Somebody else's change: a conflict for a rollback, a number for everything else. */
static struct error *foreign(struct verify *verify, const char *path)
{
	if (verify->strict)
		return conflict(path, "it was changed since the update was applied");
	verify->t->n_changed_since++;
	return NULL;
}

static struct error *compare_content(int directory, const char *name, const struct payload_entry *entry)
{
	_cleanup_(close_fd) int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const char *path = entry->change.path;
	struct error *error;
	uint64_t checksum;

	if (fd < 0)
		return error_system(errno, path, "cannot open");
	/* So that the bytes come from the disk; pages that a process has mapped stay. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	error = checksum_fd(fd, path, &checksum);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	if (error)
		return error;
	if (checksum != entry->checksum)
		return conflict(path, "its content does not read back as it was written");
	return NULL;
}

static struct error *compare_attributes(const struct change *change, const struct node *node)
{
	const struct change_attributes *a = &change->attributes;

	if (node->mode != a->mode)
		return conflict(change->path, "its mode is %#o instead of %#o", node->mode, a->mode);
	if (node->uid != a->uid || node->gid != a->gid)
		return conflict(change->path, "its owner is %u:%u instead of %u:%u", node->uid, node->gid, a->uid,
				a->gid);
	if (node->mtime_s != a->mtime_s || node->mtime_ns != a->mtime_ns)
		return conflict(change->path, "its time is not the one that was set");
	if (change->kind == CHANGE_WRITE && node->size != change->size)
		return conflict(change->path, "its size is not the one that was written");
	if (change->kind == CHANGE_DEVICE && node->rdev != change->rdev)
		return conflict(change->path, "its device number is not the one that was set");
	return NULL;
}

static struct error *compare_target(int directory, const char *name, const struct change *change)
{
	char target[PATH_MAX + 1];
	ssize_t n = readlinkat(directory, name, target, sizeof(target) - 1);

	if (n < 0)
		return error_system(errno, change->path, "cannot read the symlink");
	target[n] = '\0';
	if (strcmp(target, change->target))
		return conflict(change->path, "the symlink does not point where it should");
	return NULL;
}

/* The inode that should be at the path, 0 if there is nothing to compare it with. */
static uint64_t expected_inode(const struct transaction *t, uint32_t i)
{
	return entry_change(t, i)->kind == CHANGE_ATTRIBUTES ? t->slots[i].old : t->slots[i].staged;
}

static bool same_rights(const struct change_attributes *a, const struct node *node)
{
	return node->mode == a->mode && node->uid == a->uid && node->gid == a->gid;
}

/* A log gets lines all the time: what it had at the switch must be there, and in front. */
static struct error *verify_log(struct verify *verify, uint32_t i, int directory, const char *name,
				const struct node *node)
{
	const struct change *change = entry_change(verify->t, i);
	bool since = changed_since(verify->t, node), intact = true;
	struct error *error = NULL;

	/* A later link or the attributes of another name have the last word. */
	if (node->nlink < 2 && !same_rights(&change->attributes, node))
		return since ? foreign(verify, change->path) : conflict(change->path, "its mode or owner is another");
	if (change->kind == CHANGE_ATTRIBUTES)
		return NULL;
	verify->files++;
	if (verify->content || since)
		error = log_is_intact(verify->t, i, directory, name, &intact);
	if (error || intact)
		return error;
	return since ? foreign(verify, change->path)
		     : conflict(change->path, "its content does not read back as it was written");
}

/*
 * Our own inode, and something was done to it since. A second update that was chained to this one, and undone, has
 * taken it away and put it back: then all of it is as it was.
 */
static struct error *verify_touched(struct verify *verify, const struct payload_entry *entry, int directory,
				    const char *name, const struct node *node)
{
	const struct change *change = &entry->change;
	struct error *error;

	if (!verify->strict)
		return foreign(verify, change->path);
	/* Another name of what is judged by its own, or of what is not the update's: it is where it should be. */
	if (change->kind == CHANGE_LINK)
		return NULL;
	error = compare_attributes(change, node);
	if (!error)
		error = attributes_compare_xattrs(directory, name, &change->attributes, change->path);
	if (!error && change->kind == CHANGE_SYMLINK)
		error = compare_target(directory, name, change);
	if (!error && change->kind == CHANGE_WRITE)
		error = compare_content(directory, name, entry);
	if (!error || error->code != ERROR_CONFLICT)
		return error;
	error_destroy(error);
	return foreign(verify, change->path);
}

static struct error *verify_present(struct verify *verify, uint32_t i, int directory, const char *name)
{
	struct transaction *t = verify->t;
	const struct change *change = entry_change(t, i);
	uint64_t inode = expected_inode(t, i);
	struct error *error;
	struct node node;

	error = node_read(directory, name, change->path, &node);
	if (error)
		return error;
	if (node.exists && inode && node.inode != inode && node.inode == t->slots[i].old)
		return conflict(change->path, "it is still the old one");
	if (!node.exists || (inode && node.inode != inode))
		return foreign(verify, change->path);
	if (t->slots[i].log_end || (change->kind == CHANGE_ATTRIBUTES && log_may_grow(change)))
		return verify_log(verify, i, directory, name, &node);
	/* A directory's time changes with what comes and goes in it. */
	if (changed_since(t, &node))
		return S_ISDIR(node.mode) ? NULL
					  : verify_touched(verify, &t->payload.entries[i], directory, name, &node);
	/* A later link or the attributes of another name of the same file have the last word. */
	if (change->kind != CHANGE_LINK && node.nlink < 2) {
		error = compare_attributes(change, &node);
		if (error)
			return error;
	}
	if (change->kind == CHANGE_SYMLINK)
		return compare_target(directory, name, change);
	if (change->kind != CHANGE_WRITE)
		return NULL;
	verify->files++;
	return verify->content ? compare_content(directory, name, &t->payload.entries[i]) : NULL;
}

static struct error *verify_entry(struct verify *verify, uint32_t i)
{
	const struct change *change = entry_change(verify->t, i);
	uint32_t last = paths_find(&verify->paths, change->path, strlen(change->path));
	struct error *error;
	const char *name;
	struct node node;
	int directory;

	/* A new directory's later ATTRIBUTES entry speaks for it; so does what took a deleted one's place. */
	if (last != i)
		return NULL;
	if (change->kind == CHANGE_DELETE) {
		error = tree_node(&verify->t->tree, change->path, &node);
		/* A symlink took the place of the directory it was in: nothing has this path any more. */
		if (error && error->code == ERROR_CONFLICT) {
			error_destroy(error);
			return NULL;
		}
		return error || !node.exists ? error : foreign(verify, change->path);
	}
	error = tree_parent(&verify->t->tree, change->path, &directory, &name);
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		return foreign(verify, change->path);
	}
	return error ? error : verify_present(verify, i, directory, name);
}

static void verify_deinit(struct verify *verify)
{
	paths_deinit(&verify->paths);
}

static struct error *verify_all(struct verify *verify)
{
	uint32_t n = verify->t->payload.header.n_entries;
	struct error *error;

	tree_forget_parent(&verify->t->tree);
	error = paths_init(verify->t->directory, &verify->t->payload, &verify->paths);
	if (error)
		return error;
	for (uint32_t i = 0; i < n; i++)
		paths_put(&verify->paths, i);
	for (uint32_t i = 0; i < n && !error; i++)
		error = verify_entry(verify, i);
	return error;
}

static bool touches_packages(const struct transaction *t)
{
	for (uint32_t i = 0; i < t->payload.header.n_entries; i++)
		if (!strncmp(entry_change(t, i)->path, "var/lib/dpkg/", 13))
			return true;
	return false;
}

static bool names_failed(const struct action *action)
{
	return action->kind == ACTION_COMMAND && action->argv && action->argv[0] && action->argv[1] &&
	       !strcmp(action->argv[1], ACTION_FAILED_PACKAGES);
}

/*
 * Whether a maintainer script that was put off leaves this package for later, or it failed and the user wanted the
 * rest: it is named by the action.
 */
static bool is_deferred(const struct transaction *t, const char *name, size_t length)
{
	for (size_t i = 0; i < t->payload.actions.n; i++) {
		const struct action *action = &t->payload.actions.items[i];

		for (char *const *word = action->argv; (action_is_deferred(action) || names_failed(action)) && *word;
		     word++)
			if (strcspn(*word, ":") == length && !strncmp(*word, name, length))
				return true;
	}
	return false;
}

/* dpkg writes a heading, and then a line for each package, which begins with a space. */
static bool audit_objects(const struct transaction *t, const char *output)
{
	for (const char *line = output; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (*line == ' ' && !is_deferred(t, line + 1, strcspn(line + 1, " :\n")))
			return true;
	return false;
}

/* dpkg's own opinion. It says nothing where all is well. */
struct error *transaction_audit(struct transaction *t)
{
	char *argv[] = {(char *)"dpkg", (char *)"--audit", NULL};
	_cleanup_(run_result_deinit) struct run_result result = {};
	struct error *error;

	if (!t->whole_system || !touches_packages(t))
		return NULL;
	error = run(argv, AUDIT_TIMEOUT_MS, &result);
	if (error)
		return error;
	if (result.status == RUN_NOT_FOUND)
		return NULL;
	if (result.status || audit_objects(t, result.output))
		return conflict("/var/lib/dpkg", "dpkg --audit is not content: %s", result.output);
	return NULL;
}

struct error *transaction_verify(struct transaction *t, uint64_t *ret_files)
{
	_cleanup_(verify_deinit) struct verify verify = {.t = t, .content = !t->verify_stat};
	struct error *error;

	t->n_changed_since = 0;
	error = verify_all(&verify);
	if (!error && !t->journal.deferred)
		error = transaction_audit(t);
	if (error)
		return error;
	*ret_files = verify.files;
	return NULL;
}

struct error *transaction_unchanged(struct transaction *t)
{
	_cleanup_(verify_deinit) struct verify verify = {.t = t, .strict = true};

	return verify_all(&verify);
}
