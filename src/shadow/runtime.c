/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No program of the guest runs while this looks, so that nothing changes under it. The names and the bytes are the
 * guest's: no link is followed, and all is bounded.
 */
#include "shadow/runtime.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/io.h"
#include "base/log.h"
#include "shadow/record.h"

#define RUN         "/run"
#define WRITERS_MAX 1000u

struct entry {
	char *path; /* relative to /run */
	struct runtime_look look;
};

struct tree {
	struct entry *items; /* by path: a directory before what it holds */
	size_t n;
	bool incomplete;
};

/* Who opened a file for writing last. */
struct writer {
	char *path; /* relative to /run, as it was called */
	uint32_t host_pid;
	bool daemon;
	struct action origin; /* package and script alone */
};

struct runtime {
	int fd; /* the directory */
	struct tree before;
	struct writer *writers;
	size_t n_writers;
	uint64_t hashed; /* bytes */
};

static void tree_deinit(struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++) {
		runtime_look_deinit(&tree->items[i].look);
		free(tree->items[i].path);
	}
	free(tree->items);
	*tree = (struct tree){0};
}

void runtime_destroy(struct runtime *runtime)
{
	if (!runtime)
		return;
	tree_deinit(&runtime->before);
	for (size_t i = 0; i < runtime->n_writers; i++) {
		free(runtime->writers[i].path);
		action_deinit(&runtime->writers[i].origin);
	}
	free(runtime->writers);
	close_fd(&runtime->fd);
	free(runtime);
}

/* ---- Who wrote ---- */

/* Below /run, by either of its names; NULL: it is elsewhere. */
static const char *below_run(const char *path)
{
	static const char *const directories[] = {"/run/", "/var/run/"};

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (strncmp(path, directories[i], strlen(directories[i])) == 0)
			return path + strlen(directories[i]);
	return NULL;
}

static struct writer *find_writer(const struct runtime *runtime, const char *path)
{
	for (size_t i = 0; i < runtime->n_writers; i++)
		if (strcmp(runtime->writers[i].path, path) == 0)
			return &runtime->writers[i];
	return NULL;
}

static struct writer *add_writer(struct runtime *runtime, const char *path)
{
	struct writer *writer;
	struct error *error = NULL;

	if (runtime->n_writers == WRITERS_MAX)
		return NULL;
	error = array_room(&runtime->writers, runtime->n_writers, sizeof(*runtime->writers));
	if (error) {
		error_destroy(error);
		return NULL;
	}
	writer = &runtime->writers[runtime->n_writers];
	*writer = (struct writer){.path = strdup(path)};
	if (!writer->path)
		return NULL;
	runtime->n_writers++;
	return writer;
}

void runtime_note_writer(struct shadow *shadow, uint32_t host_pid, const char *path)
{
	const char *name = shadow->runtime ? below_run(path) : NULL, *why;
	struct writer *writer;

	if (!name || runtime_fate(name, &why) != RUNTIME_TRAVELS)
		return;
	writer = find_writer(shadow->runtime, name);
	if (!writer)
		writer = add_writer(shadow->runtime, name);
	if (!writer)
		return;
	action_deinit(&writer->origin);
	writer->host_pid = host_pid;
	writer->daemon = false;
	record_origin(host_pid, &writer->origin);
}

void runtime_note_daemon(struct shadow *shadow, uint32_t host_pid)
{
	for (size_t i = 0; shadow->runtime && i < shadow->runtime->n_writers; i++)
		shadow->runtime->writers[i].daemon |= shadow->runtime->writers[i].host_pid == host_pid;
}

/* ---- What is there ---- */

static uint32_t guest_id(uint32_t id)
{
	return id - SHADOW_ID_BASE;
}

static bool is_guests(const struct runtime_state *state)
{
	return guest_id(state->uid) < SHADOW_ID_COUNT && guest_id(state->gid) < SHADOW_ID_COUNT;
}

static bool is_unchanged(const struct entry *old, const struct runtime_look *now)
{
	return old->look.inode == now->inode && old->look.ctime_s == now->ctime_s &&
	       old->look.ctime_ns == now->ctime_ns && old->look.size == now->size &&
	       old->look.state.type == now->state.type;
}

static bool is_before(const void *item, const void *key)
{
	return strcmp(((const struct entry *)item)->path, key) < 0;
}

static const struct entry *find_entry(const struct tree *tree, const char *path)
{
	size_t i = array_lower_bound(tree->items, tree->n, sizeof(*tree->items), path, is_before);

	return i < tree->n && strcmp(tree->items[i].path, path) == 0 ? &tree->items[i] : NULL;
}

/* With its content, if that is small and can have changed. */
static struct error *look_at(struct runtime *runtime, int directory, const char *name, const char *path,
			     struct runtime_look *ret)
{
	const struct entry *old = find_entry(&runtime->before, path);
	struct error *error = runtime_look(directory, name, false, ret);

	if (error)
		return error;
	if (ret->state.type == RUNTIME_FILE && ret->size <= ACTION_RUNTIME_MAX && !(old && is_unchanged(old, ret)) &&
	    runtime->hashed + ret->size <= RUNTIME_HASHED_MAX) {
		runtime->hashed += ret->size;
		runtime_look_deinit(ret);
		error = runtime_look(directory, name, true, ret);
	}
	if (error)
		return error;
	if (!is_guests(&ret->state))
		ret->state.type = RUNTIME_OTHER;
	ret->state.uid = guest_id(ret->state.uid);
	ret->state.gid = guest_id(ret->state.gid);
	return NULL;
}

struct walk {
	struct runtime *runtime;
	struct tree *tree;
	bool keep_content;
};

static struct error *walk_directory(struct walk *walk, int fd, const char *path, unsigned depth);

static struct error *add_entry(struct walk *walk, int directory, const char *name, char *path)
{
	struct tree *tree = walk->tree;
	struct error *error = array_room(&tree->items, tree->n, sizeof(*tree->items));
	struct runtime_look look = {};

	if (!error)
		error = look_at(walk->runtime, directory, name, path, &look);
	if (error) {
		free(path);
		return error;
	}
	if (!walk->keep_content)
		free(take_ptr(look.content));
	tree->items[tree->n++] = (struct entry){path, look};
	return NULL;
}

static struct error *walk_entry(struct walk *walk, int directory, const char *name, const char *above, unsigned depth)
{
	_cleanup_(close_fd) int fd = -1;
	_cleanup_(free_ptr) char *path = string_format("%s%s%s", above, *above ? "/" : "", name);
	struct error *error = NULL;
	enum runtime_fate fate;
	const char *why;

	if (!path)
		return error_no_memory();
	fate = runtime_fate(path, &why);
	if (fate == RUNTIME_STAYS)
		return NULL;
	if (walk->tree->n == RUNTIME_ENTRIES_MAX || depth == RUNTIME_DEPTH_MAX || strlen(path) >= PATH_MAX - 8) {
		walk->tree->incomplete = true;
		return NULL;
	}
	fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	/* What is below a directory that cannot be read now would pass for removed. */
	if (fd < 0 && errno != ENOTDIR && errno != ELOOP && errno != ENOENT)
		return error_system(errno, path, "cannot read the directory");
	if (fate == RUNTIME_TRAVELS) {
		char *copy = strdup(path);

		error = copy ? add_entry(walk, directory, name, copy) : error_no_memory();
	}
	return error || fd < 0 ? error : walk_directory(walk, fd, path, depth + 1);
}

static struct error *walk_directory(struct walk *walk, int fd, const char *path, unsigned depth)
{
	_cleanup_(close_fd) int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedir_ptr) DIR *directory = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;
	struct error *error = NULL;

	if (!directory)
		return error_system(errno, path, "cannot read the directory");
	copy = -1;
	while (!error && !walk->tree->incomplete && (errno = 0, entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = walk_entry(walk, fd, entry->d_name, path, depth);
	if (!error && !walk->tree->incomplete && errno)
		error = error_system(errno, path, "cannot read the directory");
	return error;
}

static int compare_entries(const void *left, const void *right)
{
	return strcmp(((const struct entry *)left)->path, ((const struct entry *)right)->path);
}

static struct error *read_tree(struct runtime *runtime, bool keep_content, struct tree *ret)
{
	struct walk walk = {runtime, ret, keep_content};
	struct error *error = walk_directory(&walk, runtime->fd, "", 0);

	if (ret->n)
		qsort(ret->items, ret->n, sizeof(*ret->items), compare_entries);
	return error;
}

/* ---- Beginning ---- */

/* The tmpfs that the guest, or without its mounts we, have at /run, on the host; NULL: there is none. */
static const char *find_run(const struct shadow *shadow, const char **ret_below)
{
	const struct guest_mount *mount = NULL;

	*ret_below = "/";
	if (shadow->own_run)
		return shadow->own_run;
	for (size_t i = 0; i < shadow->mounts.n; i++)
		if (strcmp(shadow->mounts.items[i].target, RUN) == 0)
			mount = &shadow->mounts.items[i];
	for (size_t i = 0; mount && i < shadow->n_tmpfs; i++) {
		const struct mounted_tmpfs *tmpfs = &shadow->tmpfs[i];

		if (tmpfs->major != mount->major || tmpfs->minor != mount->minor ||
		    !guest_path_below(mount->root, tmpfs->root))
			continue;
		*ret_below = mount->root + (tmpfs->root[1] ? strlen(tmpfs->root) : 0);
		return tmpfs->path;
	}
	return NULL;
}

struct error *runtime_begin(struct shadow *shadow)
{
	const char *below, *path = find_run(shadow, &below);
	_cleanup_(close_fd) int top = path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	struct runtime *runtime;
	struct error *error;

	if (top < 0)
		return NULL;
	runtime = calloc(1, sizeof(*runtime));
	if (!runtime)
		return error_no_memory();
	runtime->fd = io_openat2(top, *below ? below : "/", O_RDONLY | O_DIRECTORY,
				 RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	if (runtime->fd < 0)
		error = error_system(errno, RUN, "cannot open the guest's");
	else
		error = read_tree(runtime, false, &runtime->before);
	runtime->hashed = 0;
	if (error)
		runtime_destroy(runtime);
	else
		shadow->runtime = runtime;
	return error;
}

/* ---- Comparing ---- */

struct comparison {
	struct shadow *shadow;
	struct action_list *actions; /* what is found */
	uint64_t bytes;
	bool full;
};

static void stay(const char *path, const char *why)
{
	log_debug("/run/%s does not travel: %s", path, why);
}

static struct error *copy_origin(const struct writer *writer, struct action *action)
{
	struct action copy;
	struct error *error = writer ? action_copy(&writer->origin, &copy) : NULL;

	if (!writer || error)
		return error;
	action->package = copy.package;
	action->script = copy.script;
	return NULL;
}

/* `data`: borrowed, NULL for none. */
static struct error *emit(struct comparison *c, const char *verb, const char *path, const struct runtime_state *before,
			  const struct runtime_state *after, const uint8_t *data, size_t size)
{
	_cleanup_(free_ptr) char *absolute = string_format("/run/%s", path), *from = runtime_state_text(before),
				 *to = runtime_state_text(after);
	char *argv[] = {from, to, NULL};
	const struct action words = {.kind = ACTION_RUNTIME,
				     .phase = ACTION_AFTER,
				     .verb = (char *)verb,
				     .path = absolute,
				     .argv = argv,
				     .data = size ? (uint8_t *)data : NULL,
				     .size = size};
	struct action action;
	struct error *error;

	if (!absolute || !from || !to)
		return error_no_memory();
	if (c->actions->n == RUNTIME_ACTIONS_MAX || c->bytes + size > RUNTIME_DATA_MAX) {
		c->full = true;
		return NULL;
	}
	if (strlen(from) >= PATH_MAX || strlen(to) >= PATH_MAX || action_problem(&words)) {
		stay(path, "what it is, or its name, is not one that can be told");
		return NULL;
	}
	error = action_copy(&words, &action);
	if (!error)
		error = copy_origin(find_writer(c->shadow->runtime, path), &action);
	if (error) {
		action_deinit(&action);
		return error;
	}
	c->bytes += size;
	return action_list_append(c->actions, action);
}

static bool same_attributes(const struct runtime_state *a, const struct runtime_state *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

static struct error *emit_attributes(struct comparison *c, const char *path, const struct runtime_state *old,
				     const struct runtime_state *now)
{
	struct runtime_state before = *old, after = *now;

	before.has_content = after.has_content = false;
	return same_attributes(old, now) ? NULL : emit(c, "attributes", path, &before, &after, NULL, 0);
}

/* Whether the file only grew at its end. */
static struct error *has_grown(const struct runtime_state *old, const struct runtime_look *now, bool *ret)
{
	uint8_t digest[SHA256_SIZE];
	struct error *error;

	*ret = false;
	if (old->type != RUNTIME_FILE || !old->has_content || old->size == 0 || now->state.size <= old->size)
		return NULL;
	error = runtime_hash(now->content, old->size, digest);
	*ret = !error && memcmp(digest, old->sha256, sizeof(digest)) == 0;
	return error;
}

static struct error *emit_file(struct comparison *c, const struct entry *now, const struct runtime_state *old)
{
	const struct writer *writer = find_writer(c->shadow->runtime, now->path);
	struct runtime_state grown = now->look.state;
	struct error *error;
	bool appended;

	if (!now->look.content)
		stay(now->path, "it is too large");
	else if (writer && writer->daemon)
		stay(now->path, "of a daemon that is started anew in the guest");
	else if (runtime_names_process(now->path, now->look.content, now->look.state.size, c->shadow->highest_pid))
		stay(now->path, "of a process of the shadow");
	else if (old->type == RUNTIME_FILE && !old->has_content)
		stay(now->path, "what it held before is not known");
	else {
		error = has_grown(old, &now->look, &appended);
		if (error || !appended)
			return error ? error
				     : emit(c, "write", now->path, old, &now->look.state, now->look.content,
					    now->look.state.size);
		grown.mode = old->mode;
		grown.uid = old->uid;
		grown.gid = old->gid;
		error = emit(c, "append", now->path, old, &grown, now->look.content + old->size,
			     now->look.state.size - old->size);
		return error ? error : emit_attributes(c, now->path, &grown, &now->look.state);
	}
	return NULL;
}

static bool same_content(const struct entry *old, const struct entry *now)
{
	if (is_unchanged(old, &now->look))
		return true;
	return old->look.state.type == RUNTIME_FILE && now->look.state.type == RUNTIME_FILE &&
	       old->look.state.has_content && now->look.state.has_content &&
	       old->look.state.size == now->look.state.size &&
	       memcmp(old->look.state.sha256, now->look.state.sha256, SHA256_SIZE) == 0;
}

/* What is there now; `old` NULL: nothing that could be replaced was. */
static struct error *compare_entry(struct comparison *c, const struct entry *now, const struct entry *old)
{
	static const struct runtime_state absent = {.type = RUNTIME_ABSENT};
	const struct runtime_state *before = old ? &old->look.state : &absent;

	switch (now->look.state.type) {
	case RUNTIME_FILE:
		if (old && same_content(old, now))
			return emit_attributes(c, now->path, before, &now->look.state);
		return emit_file(c, now, before);
	case RUNTIME_DIRECTORY:
		if (old)
			return emit_attributes(c, now->path, before, &now->look.state);
		return emit(c, "mkdir", now->path, before, &now->look.state, NULL, 0);
	case RUNTIME_SYMLINK:
		if (old && runtime_state_equal(&now->look.state, before))
			return NULL;
		return emit(c, "symlink", now->path, before, &now->look.state, NULL, 0);
	case RUNTIME_OTHER:
	case RUNTIME_ABSENT:
		if (!old || old->look.inode != now->look.inode)
			stay(now->path, "neither file nor directory nor link");
		return NULL;
	}
	return NULL;
}

/* Whether it goes before something else takes its place: what is a directory is not replaced at once. */
static bool must_go(const struct entry *old, const struct entry *now)
{
	bool is_directory = old->look.state.type == RUNTIME_DIRECTORY;

	if (!now)
		return true;
	if (old->look.state.type == RUNTIME_OTHER || now->look.state.type == RUNTIME_OTHER)
		return false;
	return is_directory != (now->look.state.type == RUNTIME_DIRECTORY);
}

static struct error *remove_entry(struct comparison *c, const struct entry *old)
{
	static const struct runtime_state absent = {.type = RUNTIME_ABSENT};

	if (old->look.state.type == RUNTIME_OTHER) {
		stay(old->path, "neither file nor directory nor link was removed");
		return NULL;
	}
	if (old->look.state.type == RUNTIME_FILE && !old->look.state.has_content) {
		stay(old->path, "what was removed is too large to be known");
		return NULL;
	}
	return emit(c, "remove", old->path, &old->look.state, &absent, NULL, 0);
}

/* What goes, from within; then what comes and what changes, from without. */
static struct error *compare(struct comparison *c, const struct tree *before, const struct tree *now)
{
	struct error *error = NULL;

	for (size_t i = before->n; !error && i-- > 0;)
		if (must_go(&before->items[i], find_entry(now, before->items[i].path)))
			error = remove_entry(c, &before->items[i]);
	for (size_t i = 0; !error && i < now->n; i++) {
		const struct entry *old = find_entry(before, now->items[i].path);

		/* A socket that became a file: the guest's is its daemon's. */
		if (old && old->look.state.type == RUNTIME_OTHER && now->items[i].look.state.type != RUNTIME_OTHER)
			stay(now->items[i].path, "something of a daemon's was there");
		else
			error = compare_entry(c, &now->items[i], old && must_go(old, &now->items[i]) ? NULL : old);
	}
	return error;
}

struct error *shadow_runtime_actions(struct shadow *shadow, struct action_list *ret)
{
	_cleanup_(tree_deinit) struct tree now = {0};
	struct comparison c = {.shadow = shadow, .actions = ret};
	struct runtime *runtime = shadow->runtime;
	struct error *error;

	if (!runtime)
		return NULL;
	error = read_tree(runtime, true, &now);
	runtime->hashed = 0;
	if (!error && (now.incomplete || runtime->before.incomplete)) {
		log_warning("what scripts changed below /run does not travel: there is too much of it");
		return NULL;
	}
	if (!error)
		error = compare(&c, &runtime->before, &now);
	if (c.full)
		log_warning("not all of what scripts changed below /run travels: it is too much");
	return error;
}
