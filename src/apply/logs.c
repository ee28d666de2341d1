/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/logs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "apply/attributes.h"
#include "apply/events.h"
#include "apply/fault.h"
#include "base/io.h"

#define CHUNK 16384

/* A file from a place in it to what is its end now. */
struct tail {
	int fd;
	uint64_t begin, end;
};

bool log_may_grow(const struct change *change)
{
	if (!change_path_is_log(change->path) || !change->before.exists || !S_ISREG(change->before.attributes.mode) ||
	    !S_ISREG(change->attributes.mode))
		return false;
	return change->kind == CHANGE_ATTRIBUTES ||
	       (change->kind == CHANGE_WRITE && change->size >= change->before.size);
}

bool log_has_grown(const struct change *change, const struct node *node)
{
	return log_may_grow(change) && S_ISREG(node->mode) && node->inode == change->before.inode &&
	       node->size > change->before.size;
}

static uint64_t added_by_update(const struct change *change)
{
	return change->size - change->before.size;
}

/* How much of the guest's file is in the merged one, as it is. */
static uint64_t taken(const struct transaction *t, uint32_t i)
{
	return t->slots[i].log_end - added_by_update(entry_change(t, i));
}

static struct error *hash_range(struct sha256 *hash, int fd, uint64_t begin, uint64_t end, const char *path)
{
	uint8_t chunk[CHUNK];

	while (begin < end) {
		size_t n = end - begin < sizeof(chunk) ? end - begin : sizeof(chunk);
		struct error *error = io_pread(fd, chunk, n, begin, path);

		if (error)
			return error;
		sha256_update(hash, chunk, n);
		begin += n;
	}
	return NULL;
}

/* Whether the file begins with all that was there when the update was computed. */
static struct error *begins_as_before(int fd, const struct change *change, bool *ret)
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();
	uint8_t digest[SHA256_SIZE];
	struct error *error;

	if (!hash)
		return error_no_memory();
	error = hash_range(hash, fd, 0, change->before.size, change->path);
	if (error)
		return error;
	sha256_final(hash, digest);
	*ret = !memcmp(digest, change->before.sha256, SHA256_SIZE);
	return NULL;
}

/* A file that ends before it should has been cut by somebody. */
static struct error *as_conflict(struct error *error)
{
	return error && error->code == ERROR_FORMAT ? error_recode(error, ERROR_CONFLICT) : error;
}

static struct error *open_log(int directory, const char *name, int flags, const char *path, struct tail *ret,
			      struct stat *s)
{
	_cleanup_(close_fd) int fd = openat(directory, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, s) < 0)
		return error_system(errno, path, "cannot open");
	if (!S_ISREG(s->st_mode))
		return conflict(path, "it is no file any more");
	*ret = (struct tail){.fd = take_fd(fd), .end = s->st_size};
	return NULL;
}

static void tail_close(struct tail *tail)
{
	close_fd(&tail->fd);
}

struct error *log_compare(int directory, const char *name, const struct change *change)
{
	_cleanup_(tail_close) struct tail log = {.fd = -1};
	struct error *error;
	struct stat s;
	bool same;

	error = open_log(directory, name, O_RDONLY, change->path, &log, &s);
	if (!error)
		error = as_conflict(begins_as_before(log.fd, change, &same));
	if (error)
		return error;
	if (!same)
		return conflict(change->path, "more than its end changed since the update was computed");
	return attributes_compare_xattrs(directory, name, &change->before.attributes, change->path);
}

/* Moves the end of a file, from its last bytes on, so that nothing is written over that is still to be read. */
static struct error *move_up(int fd, uint64_t begin, uint64_t end, uint64_t by, const char *path)
{
	uint8_t chunk[CHUNK];

	while (begin < end) {
		size_t n = end - begin < sizeof(chunk) ? end - begin : sizeof(chunk);
		struct error *error = io_pread(fd, chunk, n, end - n, path);

		if (!error)
			error = io_pwrite(fd, chunk, n, end - n + by, path);
		if (error)
			return error;
		end -= n;
	}
	return NULL;
}

static struct error *copy_range(int from, int to, uint64_t begin, uint64_t end, const char *path)
{
	uint8_t chunk[CHUNK];

	while (begin < end) {
		size_t n = end - begin < sizeof(chunk) ? end - begin : sizeof(chunk);
		struct error *error = io_pread(from, chunk, n, begin, path);

		if (!error)
			error = io_pwrite(to, chunk, n, begin, path);
		if (error)
			return error;
		begin += n;
	}
	return NULL;
}

static bool is_later(const struct timespec *a, int64_t s, uint32_t ns)
{
	return a->tv_sec > s || (a->tv_sec == s && a->tv_nsec > ns);
}

/* The staged file is the update's: the guest's lines come between what was there and what it added. */
static struct error *insert(const struct change *change, int staged, int guest, const struct stat *s)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, s->st_mtim};
	uint64_t grown = s->st_size - change->before.size;
	struct error *error;

	error = move_up(staged, change->before.size, change->size, grown, change->path);
	if (!error)
		error = as_conflict(copy_range(guest, staged, change->before.size, s->st_size, change->path));
	if (error)
		return error;
	if (!is_later(&s->st_mtim, change->attributes.mtime_s, change->attributes.mtime_ns))
		times[1] =
			(struct timespec){.tv_sec = change->attributes.mtime_s, .tv_nsec = change->attributes.mtime_ns};
	return futimens(staged, times) < 0 ? error_system(errno, change->path, "cannot set the time of") : NULL;
}

static struct error *merge(struct transaction *t, uint32_t i)
{
	const struct change *change = entry_change(t, i);
	_cleanup_(tail_close) struct tail staged = {.fd = -1}, guest = {.fd = -1};
	char slot[SLOT_NAME_SIZE];
	struct error *error;
	bool appended = false;
	const char *name;
	struct stat s;
	int directory;

	slot_name(i, slot);
	error = open_log(slot_stage(t, i), slot, O_RDWR, change->path, &staged, &s);
	if (!error)
		error = begins_as_before(staged.fd, change, &appended);
	if (!error)
		error = as_conflict(tree_parent(&t->tree, change->path, &directory, &name));
	if (!error)
		error = open_log(directory, name, O_RDONLY, change->path, &guest, &s);
	if (error)
		return error;
	if (s.st_ino != t->slots[i].old)
		return conflict(change->path, "it was replaced since it was checked");
	if ((uint64_t)s.st_size < change->before.size)
		return conflict(change->path, "it was cut since it was checked");
	if (!appended && (uint64_t)s.st_size > change->before.size)
		return conflict(change->path, "it has grown, and the update changes more of it than its end");
	if (!appended)
		return NULL;
	fault_point();
	if ((uint64_t)s.st_size > change->before.size)
		error = insert(change, staged.fd, guest.fd, &s);
	t->slots[i].log_end = s.st_size + added_by_update(change);
	return error;
}

struct error *logs_merge(struct transaction *t)
{
	struct error *error = NULL;

	for (uint32_t i = 0; i < t->payload.header.n_entries && !error; i++)
		if (entry_change(t, i)->kind == CHANGE_WRITE && t->slots[i].old && log_may_grow(entry_change(t, i)))
			error = merge(t, i);
	return error;
}

struct error *log_check_taken(const struct transaction *t, uint32_t i, const struct node *node)
{
	const char *path = entry_change(t, i)->path;

	if (node->inode != t->slots[i].old)
		return conflict(path, "it was replaced since it was checked");
	if (node->size < taken(t, i))
		return conflict(path, "it was cut since it was checked");
	return NULL;
}

/* Whether so many bytes are the same, beginning at `a_begin` of the one and `b_begin` of the other. */
static struct error *compare_ranges(int a, uint64_t a_begin, int b, uint64_t b_begin, uint64_t size, const char *path,
				    bool *ret)
{
	uint8_t x[CHUNK], y[CHUNK];

	for (uint64_t done = 0; done < size;) {
		size_t n = size - done < sizeof(x) ? size - done : sizeof(x);
		struct error *error = io_pread(a, x, n, a_begin + done, path);

		if (!error)
			error = io_pread(b, y, n, b_begin + done, path);
		if (error)
			return error;
		if (memcmp(x, y, n)) {
			*ret = false;
			return NULL;
		}
		done += n;
	}
	*ret = true;
	return NULL;
}

/* How much both begin with: whole lines, unless the one begins with all of the other. */
static struct error *common_beginning(const struct tail *a, const struct tail *b, const char *path, uint64_t *ret)
{
	uint64_t a_size = a->end - a->begin, b_size = b->end - b->begin, lines = 0;
	uint64_t size = a_size < b_size ? a_size : b_size;
	uint8_t x[CHUNK], y[CHUNK];

	for (uint64_t done = 0; done < size;) {
		size_t n = size - done < sizeof(x) ? size - done : sizeof(x), i = 0;
		struct error *error = io_pread(a->fd, x, n, a->begin + done, path);

		if (!error)
			error = io_pread(b->fd, y, n, b->begin + done, path);
		if (error)
			return error;
		for (; i < n && x[i] == y[i]; i++)
			if (x[i] == '\n')
				lines = done + i + 1;
		done += i;
		if (i < n) {
			*ret = lines;
			return NULL;
		}
	}
	*ret = size;
	return NULL;
}

/* Of `from`, what `to` lacks: nothing of it was carried yet (`first`), or its beginning, or all. */
static struct error *find_missing(struct tail *from, const struct tail *to, bool first, const char *path)
{
	uint64_t common, left;
	struct error *error;
	bool there = false;

	if (first || from->begin == from->end)
		return NULL;
	error = common_beginning(from, to, path, &common);
	if (error)
		return error;
	from->begin += common;
	left = from->end - from->begin;
	if (to->end - to->begin - common >= left)
		error = compare_ranges(from->fd, from->begin, to->fd, to->end - left, left, path, &there);
	if (there)
		from->begin = from->end;
	return error;
}

/* `to` was opened for appending, so that nothing that comes meanwhile is written over. */
static struct error *carry(struct tail *from, const struct tail *to, bool first, const char *path)
{
	struct error *error = find_missing(from, to, first, path);
	uint8_t chunk[CHUNK];

	if (error || from->begin == from->end)
		return error;
	fault_point();
	while (from->begin < from->end && !error) {
		size_t n = from->end - from->begin < sizeof(chunk) ? from->end - from->begin : sizeof(chunk);

		error = io_pread(from->fd, chunk, n, from->begin, path);
		if (!error)
			error = io_write(to->fd, chunk, n, path);
		from->begin += n;
	}
	fault_point();
	return error;
}

/* The old file in the slot, the new one at the path; *ret_there is false if somebody else has taken the path. */
static struct error *open_both(const struct transaction *t, uint32_t i, const struct place *p, struct tail *old,
			       struct tail *new, bool *ret_there)
{
	struct stat old_stat, new_stat;
	struct error *error;

	error = open_log(p->stage, p->slot, O_RDONLY, p->path, old, &old_stat);
	if (!error)
		error = open_log(p->directory, p->name, O_RDWR | O_APPEND, p->path, new, &new_stat);
	if (error)
		return error;
	*ret_there = old_stat.st_ino == t->slots[i].old && new_stat.st_ino == t->slots[i].staged;
	return NULL;
}

static struct error *carry_over(struct transaction *t, uint32_t i, bool first)
{
	_cleanup_(tail_close) struct tail old = {.fd = -1}, new = {.fd = -1};
	bool there = false, same = true;
	struct error *error;
	struct place p;
	struct node node;

	error = place_find(t, i, &p);
	if (!error)
		error = node_read(p.stage, p.slot, p.path, &node);
	if (error)
		return error;
	if (node.size == taken(t, i) && node.mtime_s == t->slots[i].mtime_s && node.mtime_ns == t->slots[i].mtime_ns)
		return NULL;
	error = open_both(t, i, &p, &old, &new, &there);
	if (error || !there)
		return error;
	if (first)
		error = as_conflict(compare_ranges(old.fd, 0, new.fd, 0, taken(t, i), p.path, &same));
	if (!error && !same)
		error = conflict(p.path, "more than its end changed since it was checked");
	old.begin = taken(t, i);
	new.begin = t->slots[i].log_end;
	return error ? error : carry(&old, &new, first, p.path);
}

struct error *logs_carry(struct transaction *t)
{
	struct error *error = NULL;

	for (uint32_t i = 0; i < t->payload.header.n_entries && !error; i++)
		if (t->slots[i].log_end)
			error = carry_over(t, i, true);
	return error;
}

void logs_carry_late(struct transaction *t)
{
	for (uint32_t i = 0; i < t->payload.header.n_entries; i++) {
		struct error *error = t->slots[i].log_end ? carry_over(t, i, false) : NULL;

		if (error)
			event_note(t->report_fd, entry_change(t, i)->path,
				   "lines written to the old file since the update are not added: %s", error->message);
		error_destroy(error);
	}
}

static struct error *carry_back(const struct transaction *t, uint32_t i, const struct place *p)
{
	_cleanup_(tail_close) struct tail old = {.fd = -1}, new = {.fd = -1};
	struct stat old_stat, new_stat;
	struct error *error;

	error = open_log(p->stage, p->slot, O_RDONLY, p->path, &new, &new_stat);
	if (error || new_stat.st_ino != t->slots[i].staged || new.end <= t->slots[i].log_end)
		return error;
	error = open_log(p->directory, p->name, O_RDWR | O_APPEND, p->path, &old, &old_stat);
	if (error || old_stat.st_ino != t->slots[i].old || old.end < taken(t, i))
		return error;
	old.begin = taken(t, i);
	new.begin = t->slots[i].log_end;
	return carry(&new, &old, false, p->path);
}

void log_carry_back(const struct transaction *t, uint32_t i, const struct place *p)
{
	struct error *error = t->slots[i].log_end ? carry_back(t, i, p) : NULL;

	if (error)
		event_note(t->report_fd, p->path, "lines that came since the update are lost: %s", error->message);
	error_destroy(error);
}

/* The guest's lines between; what the kept old file no longer has is not compared. */
static struct error *compare_inserted(const struct transaction *t, uint32_t i, int fd, bool *ret)
{
	const struct change *change = entry_change(t, i);
	_cleanup_(tail_close) struct tail old = {.fd = -1};
	char slot[SLOT_NAME_SIZE];
	struct error *error;
	struct node node;
	struct stat s;

	*ret = true;
	if (taken(t, i) == change->before.size || slot_stage(t, i) < 0)
		return NULL;
	slot_name(i, slot);
	error = node_read(slot_stage(t, i), slot, change->path, &node);
	if (error || !node.exists)
		return error;
	error = open_log(slot_stage(t, i), slot, O_RDONLY, change->path, &old, &s);
	if (error || s.st_ino != t->slots[i].old || old.end < taken(t, i))
		return error;
	return compare_ranges(old.fd, change->before.size, fd, change->before.size, taken(t, i) - change->before.size,
			      change->path, ret);
}

struct error *log_is_intact(const struct transaction *t, uint32_t i, int directory, const char *name, bool *ret)
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();
	const struct change *change = entry_change(t, i);
	_cleanup_(tail_close) struct tail log = {.fd = -1};
	uint8_t digest[SHA256_SIZE];
	struct error *error;
	struct stat s;

	if (!hash)
		return error_no_memory();
	error = open_log(directory, name, O_RDONLY, change->path, &log, &s);
	if (error)
		return error;
	*ret = false;
	if (log.end < t->slots[i].log_end)
		return NULL;
	/* So that the bytes come from the disk. */
	posix_fadvise(log.fd, 0, 0, POSIX_FADV_DONTNEED);
	error = hash_range(hash, log.fd, 0, change->before.size, change->path);
	if (!error)
		error = hash_range(hash, log.fd, taken(t, i), t->slots[i].log_end, change->path);
	sha256_final(hash, digest);
	if (error || memcmp(digest, change->sha256, SHA256_SIZE))
		return error;
	return compare_inserted(t, i, log.fd, ret);
}

void log_keep_time(const struct change *change, const struct node *node, const struct change_attributes *expected,
		   struct change_attributes *to)
{
	if (!log_may_grow(change) || (node->mtime_s == expected->mtime_s && node->mtime_ns == expected->mtime_ns))
		return;
	to->mtime_s = node->mtime_s;
	to->mtime_ns = node->mtime_ns;
}
