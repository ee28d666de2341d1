/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes every new inode, complete with its attributes, as a slot of its file system's stage.
 * No fsync a file: one syncfs for each file system follows.
 *
 * First all that needs nothing but the payload, by as many threads as there are CPUs where the payload can be read at
 * several places at once; then, by one, what is made of other slots or of the tree: links and shared contents.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "apply/attributes.h"
#include "apply/content.h"
#include "apply/crew.h"
#include "apply/excerpt.h"
#include "apply/fault.h"
#include "apply/logs.h"
#include "apply/transaction.h"
#include "base/io.h"

/* A piece of the work: so many entries, or so much content, that one read brings about all of it. */
#define PIECE_ENTRIES 32
#define PIECE_BYTES   EXCERPT_BUFFER_SIZE

/* What one thread has for itself. */
struct stage {
	struct transaction *t; /* what is written of it: slots[i] by whoever makes entry i */
	struct content content;
	uint64_t content_start;
	int old_fd; /* what old_entry has at its path, -1: none is open */
	uint32_t old_entry;
	struct excerpt excerpt; /* if open: where contents are read; otherwise from the source, in order */
	const uint32_t *pieces; /* the first entry of each, and behind the last; borrowed */
	uint64_t files, bytes;  /* staged by it */
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

static struct error *read_content(struct stage *stage, const struct payload_entry *entry)
{
	uint64_t start = stage->content_start + entry->content_offset;

	for (uint64_t done = 0; done < entry->change.size;) {
		const uint8_t *bytes;
		size_t n;
		struct error *error =
			excerpt_read(&stage->excerpt, start + done, entry->change.size - done, &bytes, &n);

		if (!error)
			error = content_write(&stage->content, bytes, n);
		if (error)
			return error;
		done += n;
	}
	return content_end(&stage->content);
}

/* The file is empty and at its start. */
static struct error *write_content(struct stage *stage, const struct payload_entry *entry, int fd)
{
	struct source *source = &stage->t->source;
	struct error *error;

	content_begin(&stage->content, entry, fd);
	if (entry->flags & PAYLOAD_ENTRY_SHARED)
		return share_content(stage, entry);
	if (stage->excerpt.fd >= 0)
		return read_content(stage, entry);
	error = source_skip_to(source, stage->content_start + entry->content_offset);
	if (!error)
		error = content_from_source(&stage->content, source);
	return error ? error : content_end(&stage->content);
}

/*
 * With which a file can be made at once, which saves a call: nobody else can reach it in the stage. Not where its owner
 * is still to change, which takes such bits away.
 */
static mode_t first_mode(const struct change_attributes *to)
{
	return to->uid || to->gid || (to->mode & 07000) ? 0600 : to->mode & 0777;
}

static struct error *stage_file(struct stage *stage, uint32_t i, int directory, const char *name)
{
	const struct payload_entry *entry = &stage->t->payload.entries[i];
	const struct change *change = &entry->change;
	mode_t mode = first_mode(&change->attributes);
	_cleanup_(close_fd) int fd = -1;
	struct error *error;
	struct stat s;

	fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return error_system(errno, change->path, "cannot make");
	error = write_content(stage, entry, fd);
	if (!error)
		error = attributes_set_new(fd, mode, &change->attributes, change->path);
	if (error)
		return error;
	if (fstat(fd, &s) < 0)
		return error_system(errno, change->path, "cannot look at");
	/* A directory above may give what is made below it other bits (its default ACL). */
	if (((s.st_mode ^ change->attributes.mode) & 07777) && fchmod(fd, change->attributes.mode & 07777) < 0)
		return error_system(errno, change->path, "cannot set the mode of");
	stage->t->slots[i].staged = s.st_ino;
	stage->files++;
	stage->bytes += change->size;
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

/* Made of what comes with the payload alone. */
static bool is_independent(const struct transaction *t, uint32_t i)
{
	const struct payload_entry *entry = &t->payload.entries[i];

	return entry->change.kind != CHANGE_LINK && !(entry->flags & PAYLOAD_ENTRY_SHARED);
}

static struct error *stage_all(struct stage *stage, uint32_t first, uint32_t end, bool independent)
{
	struct error *error = NULL;

	for (uint32_t i = first; i < end && !error; i++) {
		if (is_independent(stage->t, i) != independent)
			continue;
		fault_point();
		error = stage_entry(stage, i);
	}
	return error;
}

static uint64_t carried_bytes(const struct payload_entry *entry)
{
	return entry->change.kind == CHANGE_WRITE && !(entry->flags & PAYLOAD_ENTRY_SHARED) ? entry->change.size : 0;
}

/* The first entry of each piece, and the number of all entries behind the last. The caller frees. */
static struct error *cut_pieces(const struct payload *payload, uint32_t **ret, uint32_t *ret_n)
{
	uint32_t n_entries = payload->header.n_entries, n = 0;
	uint32_t *pieces = calloc((size_t)n_entries + 2, sizeof(*pieces));
	uint64_t bytes = 0;

	if (!pieces)
		return error_no_memory();
	for (uint32_t i = 0; i < n_entries; i++) {
		if (i == 0 || i - pieces[n - 1] == PIECE_ENTRIES || bytes >= PIECE_BYTES) {
			pieces[n++] = i;
			bytes = 0;
		}
		bytes += carried_bytes(&payload->entries[i]);
	}
	pieces[n] = n_entries;
	*ret = pieces;
	*ret_n = n;
	return NULL;
}

/* Where the contents of a piece lie in the payload: one behind the other. */
static void begin_excerpt(struct stage *stage, uint32_t first, uint32_t end)
{
	uint64_t begin = 0, limit = 0;

	for (uint32_t i = first; i < end; i++) {
		const struct payload_entry *entry = &stage->t->payload.entries[i];

		if (!carried_bytes(entry))
			continue;
		if (!limit)
			begin = stage->content_start + entry->content_offset;
		limit = stage->content_start + entry->content_offset + entry->change.size;
	}
	excerpt_begin(&stage->excerpt, begin, limit);
}

static struct error *stage_piece(void *member, uint32_t piece)
{
	struct stage *stage = member;
	uint32_t first = stage->pieces[piece], end = stage->pieces[piece + 1];
	struct error *error;

	begin_excerpt(stage, first, end);
	error = stage_all(stage, first, end, true);
	excerpt_end(&stage->excerpt);
	return error;
}

static struct error *stage_init(struct transaction *t, const uint32_t *pieces, struct stage *ret)
{
	*ret = (struct stage){.t = t,
			      .content_start = payload_content_start(&t->payload.header),
			      .excerpt = EXCERPT_INIT,
			      .pieces = pieces,
			      .old_fd = -1};
	return content_init(&ret->content);
}

static void stage_deinit(struct stage *stage)
{
	if (stage->t->source.old.data == stage)
		stage->t->source.old = (struct old_content){};
	close_fd(&stage->old_fd);
	excerpt_close(&stage->excerpt);
	content_deinit(&stage->content);
}

/* Several members, the first of them `stage`; false in *ret: that makes no sense here, and nothing was done. */
static struct error *stage_by_crew(struct stage *stage, uint32_t n_pieces, bool *ret)
{
	struct stage others[CREW_MAX - 1];
	void *members[CREW_MAX] = {stage};
	size_t wanted = crew_size(), n = 1;
	struct error *error = NULL;

	*ret = false;
	if (wanted < 2 || n_pieces < 2 || !excerpt_open(&stage->t->source, &stage->excerpt))
		return NULL;
	for (; n < wanted && n < n_pieces && !error; n++) {
		error = stage_init(stage->t, stage->pieces, &others[n - 1]);
		members[n] = &others[n - 1];
		if (!error && !excerpt_open(&stage->t->source, &others[n - 1].excerpt)) {
			stage_deinit(&others[n - 1]);
			break;
		}
	}
	if (!error)
		error = crew_run(members, n, n_pieces, stage_piece);
	for (size_t i = 1; i < n; i++) {
		stage->files += others[i - 1].files;
		stage->bytes += others[i - 1].bytes;
		stage_deinit(&others[i - 1]);
	}
	excerpt_close(&stage->excerpt);
	*ret = true;
	return error;
}

static struct error *stage_entries(struct stage *stage, uint32_t n_pieces)
{
	uint32_t n = stage->t->payload.header.n_entries;
	mode_t mask = umask(0); /* the modes are the payload's */
	bool done;
	struct error *error = stage_by_crew(stage, n_pieces, &done);

	if (!error && !done)
		error = stage_all(stage, 0, n, true);
	if (!error)
		error = stage_all(stage, 0, n, false);
	umask(mask);
	return error;
}

struct error *transaction_stage(struct transaction *t)
{
	_cleanup_(free_ptr) uint32_t *pieces = NULL;
	_cleanup_(stage_deinit) struct stage stage = {.t = t, .excerpt = EXCERPT_INIT, .old_fd = -1};
	struct error *error;
	uint32_t n_pieces;

	error = cut_pieces(&t->payload, &pieces, &n_pieces);
	if (!error)
		error = stage_init(t, pieces, &stage);
	t->source.old = (struct old_content){.read = read_old, .data = &stage};
	if (!error)
		error = tree_make_stages(&t->tree);
	if (!error)
		error = stage_entries(&stage, n_pieces);
	t->files = stage.files;
	t->bytes = stage.bytes;
	if (!error)
		error = logs_merge(t);
	return error ? error : tree_sync(&t->tree);
}
