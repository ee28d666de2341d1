/* SPDX-License-Identifier: Apache-2.0 */
#include "update/live_changes.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"

/* Bytes of a log that one action adds, and all of them for one file: more is not written by a package's script. */
#define LINES_PART 3500u
#define LINES_MAX  65536u

struct error *live_only_grew(int fd, uint64_t old_size, const uint8_t sha256[SHA256_SIZE], bool *ret)
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();
	uint8_t part[65536], digest[SHA256_SIZE];
	uint64_t done = 0;

	if (!hash)
		return error_no_memory();
	while (done < old_size) {
		size_t size = old_size - done < sizeof(part) ? (size_t)(old_size - done) : sizeof(part);
		ssize_t n = pread(fd, part, size, (off_t)done);

		if (n < 0)
			return error_system(errno, NULL, "cannot read a log in the layer");
		if (n == 0)
			break;
		sha256_update(hash, part, (size_t)n);
		done += (uint64_t)n;
	}
	sha256_final(hash, digest);
	*ret = done == old_size && !memcmp(digest, sha256, SHA256_SIZE);
	return NULL;
}

static struct error *append_command(struct action_list *actions, const char *const *words)
{
	const struct action action = {.kind = ACTION_COMMAND, .phase = ACTION_AFTER, .argv = (char **)words};
	struct action copy;
	struct error *error = action_copy(&action, &copy);

	return error ? error : action_list_append(actions, copy);
}

/* What was added, as commands that add it to the file as it will be. */
static struct error *append_lines(int fd, const struct change *change, const char *path, struct action_list *actions)
{
	uint64_t begin = change->before.size, size = change->size - begin;
	char text[LINES_PART + 1];
	struct error *error = NULL;

	if (size > LINES_MAX) {
		log_warning("%s: %llu bytes that the update added to this log are not carried", path,
			    (unsigned long long)size);
		return NULL;
	}
	for (uint64_t done = 0; !error && done < size;) {
		size_t wanted = size - done < LINES_PART ? (size_t)(size - done) : LINES_PART;
		ssize_t n = pread(fd, text, wanted, (off_t)(begin + done));

		if (n <= 0)
			return error_system(n < 0 ? errno : EIO, path, "cannot read in the layer");
		text[n] = '\0';
		done += (uint64_t)n;
		error = append_command(actions, (const char *const[]){"sh", "-c", "printf %s \"$1\" >>\"$2\"", "log",
								      text, path, NULL});
	}
	return error;
}

static struct error *resolve_log(const struct change_layer *layers, size_t n_layers, const struct change *change,
				 const struct shadow_live_file *file, struct action_list *actions, bool *ret_done)
{
	_cleanup_(close_fd) int fd = -1;
	bool grew = false;
	struct error *error;

	if (!change_path_is_log(file->path) || change->kind != CHANGE_WRITE || change->size < change->before.size ||
	    strcmp(change->path, file->path + 1) != 0)
		return NULL;
	error = changes_open_content(layers, n_layers, change, &fd);
	if (!error)
		error = live_only_grew(fd, change->before.size, change->before.sha256, &grew);
	if (error || !grew)
		return error;
	*ret_done = true;
	return append_lines(fd, change, file->path, actions);
}

/* Owner and mode, where they change; the time does not matter. What else there is stays in the list. */
static struct error *resolve_attributes(const struct change *change, const struct shadow_live_file *file,
					struct action_list *actions, bool *ret_done)
{
	const struct change_attributes *now = &change->attributes, *before = &change->before.attributes;
	struct error *error = NULL;
	char text[64];

	if (now->n_xattrs != before->n_xattrs)
		return NULL;
	for (size_t i = 0; i < now->n_xattrs; i++)
		if (strcmp(now->xattrs[i].name, before->xattrs[i].name) != 0 ||
		    now->xattrs[i].size != before->xattrs[i].size ||
		    memcmp(now->xattrs[i].value, before->xattrs[i].value, now->xattrs[i].size) != 0)
			return NULL;
	*ret_done = true;
	if (now->uid != before->uid || now->gid != before->gid) {
		snprintf(text, sizeof(text), "%u:%u", now->uid, now->gid);
		error = append_command(actions, (const char *const[]){"chown", text, file->path, NULL});
	}
	if (!error && (now->mode != before->mode || now->uid != before->uid)) {
		snprintf(text, sizeof(text), "%o", now->mode & 07777);
		error = append_command(actions, (const char *const[]){"chmod", text, file->path, NULL});
	}
	return error;
}

struct error *live_resolve(const struct live *live, const struct change_layer *layers, size_t n_layers,
			   struct change_list *changes, struct action_list *actions, struct change_list *became,
			   struct live_conflict *ret)
{
	struct error *error = NULL;
	size_t kept = 0;

	*ret = (struct live_conflict){0};
	for (size_t i = 0; i < changes->n; i++) {
		struct change *change = &changes->items[i];
		const struct shadow_live_file *hit = NULL, *same = NULL;
		bool done = false;

		if (!error && !ret->file) {
			hit = live_hit(live, layers, n_layers, change);
			same = live_attributes(live, layers, n_layers, change);
		}
		if (hit)
			error = resolve_log(layers, n_layers, change, hit, actions, &done);
		else if (same)
			error = resolve_attributes(change, same, actions, &done);
		if (hit && !done)
			*ret = (struct live_conflict){hit, change->path};
		if (done && became && !error)
			error = change_list_append(became, *change);
		else if (done)
			change_deinit(change);
		else
			changes->items[kept++] = *change;
	}
	changes->n = kept;
	return error;
}
