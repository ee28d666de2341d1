/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes every new inode, complete with its attributes, as a slot of its file system's stage.
 * No fsync a file: one syncfs for each file system follows.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "apply/attributes.h"
#include "apply/content.h"
#include "apply/fault.h"
#include "apply/logs.h"
#include "apply/transaction.h"
#include "base/io.h"

struct stage {
	struct transaction *t;
	struct content content;
	uint64_t content_start;
	int old_fd; /* what old_entry has at its path, -1: none is open */
	uint32_t old_entry;
};

void slot_name(uint32_t entry, char name[SLOT_NAME_SIZE])
{
	snprintf(name, SLOT_NAME_SIZE, "%u", entry);
}

int slot_stage(const struct transaction *t, uint32_t entry)
{
	return t->tree.file_systems[t->slots[entry].file_system].stage_fd;
}

const struct change *entry_change(const struct transaction *t, uint32_t entry)
{
	return &t->payload.entries[entry].change;
}

/* The content of an earlier entry, which stands in its slot by now, perhaps on another file system. */
static struct error *share_content(struct stage *stage, const struct payload_entry *entry)
{
	const struct payload_entry *carrier = &stage->t->payload.entries[entry->carrier];
	_cleanup_(close_fd) int from = -1;
	char name[SLOT_NAME_SIZE];

	slot_name(entry->carrier, name);
	from = openat(slot_stage(stage->t, entry->carrier), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0)
		return error_system(errno, carrier->change.path, "cannot read back");
	return content_share(&stage->content, from, !((entry->flags ^ carrier->flags) & PAYLOAD_ENTRY_SPARSE));
}

/* The file is empty and at its start. */
static struct error *write_content(struct stage *stage, const struct payload_entry *entry, int fd)
{
	struct source *source = &stage->t->source;
	struct error *error;

	content_begin(&stage->content, entry, fd);
	if (entry->flags & PAYLOAD_ENTRY_SHARED)
		return share_content(stage, entry);
	error = source_skip_to(source, stage->content_start + entry->content_offset);
	if (!error)
		error = content_from_source(&stage->content, source);
	return error ? error : content_end(&stage->content);
}

static struct error *stage_file(struct stage *stage, uint32_t i, int directory, const char *name)
{
	const struct payload_entry *entry = &stage->t->payload.entries[i];
	const struct change *change = &entry->change;
	_cleanup_(close_fd) int fd = -1;
	struct error *error;
	struct stat s;

	fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_system(errno, change->path, "cannot make");
	error = write_content(stage, entry, fd);
	if (!error)
		error = attributes_set_new(fd, 0600, &change->attributes, change->path);
	if (error)
		return error;
	if (fstat(fd, &s) < 0)
		return error_system(errno, change->path, "cannot look at");
	stage->t->slots[i].staged = s.st_ino;
	stage->t->files++;
	stage->t->bytes += change->size;
	return NULL;
}

static struct error *stage_directory(struct stage *stage, uint32_t i, int directory, const char *name)
{
	const struct change *change = entry_change(stage->t, i);
	_cleanup_(close_fd) int fd = -1;
	struct error *error;
	struct stat s;

	if (mkdirat(directory, name, 0700) < 0)
		return error_system(errno, change->path, "cannot make");
	fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &s) < 0)
		return error_system(errno, change->path, "cannot open");
	error = attributes_set_new(fd, 0700, &change->attributes, change->path);
	if (error)
		return error;
	stage->t->slots[i].staged = s.st_ino;
	return NULL;
}

/* Nobody but root can enter the stage, so names in it cannot be swapped under us. */
static struct error *set_special(int directory, const char *name, const struct change *change)
{
	const struct change_attributes *to = &change->attributes;

	if (to->n_xattrs)
		return attributes_set(directory, name, 0, to, NULL, true, change->path);
	if ((to->uid || to->gid) && fchownat(directory, name, to->uid, to->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_system(errno, change->path, "cannot set the owner of");
	if (!S_ISLNK(to->mode) && fchmodat(directory, name, to->mode & 07777, 0) < 0)
		return error_system(errno, change->path, "cannot set the mode of");
	return attributes_set_time(directory, name, to->mtime_s, to->mtime_ns, change->path);
}

static struct error *stage_special(struct stage *stage, uint32_t i, int directory, const char *name)
{
	const struct change *change = entry_change(stage->t, i);
	struct error *error;
	struct node node;
	int r;

	if (change->kind == CHANGE_SYMLINK)
		r = symlinkat(change->target, directory, name);
	else
		r = mknodat(directory, name, (change->attributes.mode & S_IFMT) | 0600,
			    change->kind == CHANGE_DEVICE ? change->rdev : 0);
	if (r < 0)
		return error_system(errno, change->path, "cannot make");
	error = set_special(directory, name, change);
	if (!error)
		error = node_read(directory, name, change->path, &node);
	if (error)
		return error;
	stage->t->slots[i].staged = node.inode;
	return NULL;
}

static struct error *link_from_tree(struct stage *stage, const struct change *change, int directory, const char *name)
{
	struct error *error;
	const char *target;
	int from;

	error = tree_parent(&stage->t->tree, change->target, &from, &target);
	if (error && error->code == ERROR_NOT_FOUND)
		return error_recode(error, ERROR_CONFLICT);
	if (error)
		return error;
	if (linkat(from, target, directory, name, 0) == 0)
		return NULL;
	if (errno == ENOENT || errno == EXDEV || errno == EPERM)
		return conflict(change->path, "%s, which it should be a link to: %s", change->target, strerror(errno));
	return error_system(errno, change->path, "cannot make");
}

static struct error *stage_link(struct stage *stage, uint32_t i, int directory, const char *name)
{
	const struct change *change = entry_change(stage->t, i);
	uint32_t source = stage->t->link_sources[i];
	char source_name[SLOT_NAME_SIZE];
	struct error *error = NULL;
	struct node node;

	if (source == NO_ENTRY) {
		error = link_from_tree(stage, change, directory, name);
	} else {
		slot_name(source, source_name);
		if (linkat(slot_stage(stage->t, source), source_name, directory, name, 0) < 0)
			error = error_system(errno, change->path, "cannot make");
	}
	if (!error)
		error = node_read(directory, name, change->path, &node);
	if (error)
		return error;
	if ((node.mode ^ change->attributes.mode) & S_IFMT)
		return conflict(change->path, "%s, which it should be a link to, is of another type", change->target);
	stage->t->slots[i].staged = node.inode;
	return NULL;
}

static struct error *stage_entry(struct stage *stage, uint32_t i)
{
	int directory = slot_stage(stage->t, i);
	char name[SLOT_NAME_SIZE];

	slot_name(i, name);
	switch (entry_change(stage->t, i)->kind) {
	case CHANGE_WRITE:
		return stage_file(stage, i, directory, name);
	case CHANGE_DIRECTORY:
		return stage_directory(stage, i, directory, name);
	case CHANGE_SYMLINK:
	case CHANGE_FIFO:
	case CHANGE_DEVICE:
		return stage_special(stage, i, directory, name);
	case CHANGE_LINK:
		return stage_link(stage, i, directory, name);
	case CHANGE_ATTRIBUTES:
	case CHANGE_DELETE:
		break;
	}
	return NULL;
}

/* The file at the path must be the very one that was checked. */
static struct error *open_old(struct stage *stage, uint32_t i)
{
	struct transaction *t = stage->t;
	struct error *error;
	const char *name, *path;
	int directory;
	struct stat s;

	if (i >= t->payload.header.n_entries || !t->slots[i].old || entry_change(t, i)->kind != CHANGE_WRITE)
		return error_format("payload", ERROR_NO_ADDRESS, "entry %u has no old content", i);
	path = entry_change(t, i)->path;
	error = tree_parent(&t->tree, path, &directory, &name);
	if (error)
		return error;
	close_fd(&stage->old_fd);
	stage->old_fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (stage->old_fd < 0 || fstat(stage->old_fd, &s) < 0)
		return error_system(errno, path, "cannot open");
	if (s.st_ino != t->slots[i].old || !S_ISREG(s.st_mode))
		return conflict(path, "it was replaced since it was checked");
	stage->old_entry = i;
	return NULL;
}

static struct error *read_old(void *data, uint32_t entry, uint64_t offset, uint8_t *to, size_t size)
{
	struct stage *stage = data;
	struct error *error = NULL;

	if (stage->old_fd < 0 || stage->old_entry != entry)
		error = open_old(stage, entry);
	if (error)
		return error;
	error = io_pread(stage->old_fd, to, size, offset, entry_change(stage->t, entry)->path);
	/* It ends too early: the difference was made to another file. */
	return error && error->code == ERROR_FORMAT ? error_recode(error, ERROR_CONFLICT) : error;
}

static void stage_deinit(struct stage *stage)
{
	stage->t->source.old = (struct old_content){};
	close_fd(&stage->old_fd);
	content_deinit(&stage->content);
}

struct error *transaction_stage(struct transaction *t)
{
	_cleanup_(stage_deinit) struct stage stage = {
		.t = t, .content_start = payload_content_start(&t->payload.header), .old_fd = -1};
	struct error *error;

	t->source.old = (struct old_content){.read = read_old, .data = &stage};
	error = content_init(&stage.content);
	if (!error)
		error = tree_make_stages(&t->tree);
	for (uint32_t i = 0; i < t->payload.header.n_entries && !error; i++) {
		fault_point();
		error = stage_entry(&stage, i);
	}
	if (!error)
		error = logs_merge(t);
	return error ? error : tree_sync(&t->tree);
}
