/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/keep.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "apply/events.h"
#include "apply/fault.h"
#include "apply/timers.h"
#include "apply/units.h"
#include "base/io.h"

#define KEPT_MAX 64

static char *kept_path(const struct transaction *t)
{
	return string_format("%s/kept", t->directory);
}

/* *ret: why nothing can be kept, for people; NULL: there is room enough. */
static struct error *find_shortage(const struct transaction *t, char **ret)
{
	for (size_t i = 0; i < t->tree.n_file_systems; i++) {
		const struct file_system *f = &t->tree.file_systems[i];
		uint64_t margin, free_bytes;
		struct statvfs s;

		if (fstatvfs(f->root_fd, &s) < 0)
			return error_system(errno, f->mount, "cannot ask for the free space at");
		margin = s.f_blocks * s.f_frsize / KEEP_MARGIN_PART;
		if (margin > KEEP_MARGIN_MAX)
			margin = KEEP_MARGIN_MAX;
		free_bytes = s.f_bavail * s.f_frsize;
		if (free_bytes >= margin)
			continue;
		*ret = string_format("/%s has %llu MiB free, less than %llu", f->mount,
				     (unsigned long long)(free_bytes >> 20), (unsigned long long)(margin >> 20));
		return *ret ? NULL : error_no_memory();
	}
	return NULL;
}

static void say_kept(const struct transaction *t, int64_t until_s, const char *why)
{
	struct event event;

	event_begin(&event, "kept");
	event_number(&event, "until_s", (uint64_t)until_s);
	event_string(&event, "why", why);
	event_write(&event, t->report_fd);
}

static struct error *write_kept(const struct transaction *t, int64_t until_s)
{
	_cleanup_(free_ptr) char *path = kept_path(t), *text = string_format("%lld\n", (long long)until_s);

	if (!path || !text)
		return error_no_memory();
	return io_replace_file(path, text, strlen(text), 0600);
}

static struct error *keep_until(struct transaction *t, int64_t until_s)
{
	_cleanup_(free_ptr) char *timer = NULL;
	struct error *error = write_kept(t, until_s);
	bool any = false;

	fault_point();
	if (!error)
		error = units_add_keep(t, until_s, &timer);
	/* A timer of an earlier update would only find that its time has not come, but it need not be there. */
	if (!error)
		error = units_remove_keep(t, timer, &any);
	if (!error && timer && !t->early)
		error = timers_note(t->directory, timer);
	fault_point();
	return error;
}

/* *ret_why: what stands against it, for people; NULL: they are kept. */
static struct error *try_to_keep(struct transaction *t, int64_t until_s, char **ret_why)
{
	struct error *error = find_shortage(t, ret_why);

	return error || *ret_why ? error : keep_until(t, until_s);
}

void keep_begin(struct transaction *t)
{
	int64_t until_s = clock_realtime_ns() / 1000000000 + t->keep_s;
	_cleanup_(free_ptr) char *why = NULL;
	struct error *error = NULL;

	if (t->keep_s < 0)
		return;
	if (t->keep_s > 0)
		error = try_to_keep(t, until_s, &why);
	if (error)
		why = strdup(error->message);
	error_destroy(error);
	if (t->keep_s == 0 || why) {
		if (why)
			event_note(t->report_fd, NULL, "the old files are not kept: %s", why);
		error_destroy(keep_end(t));
		until_s = 0;
	}
	say_kept(t, until_s, why);
}

struct error *keep_end(const struct transaction *t)
{
	_cleanup_(free_ptr) char *path = kept_path(t);

	if (!path)
		return error_no_memory();
	if (unlink(path) < 0 && errno != ENOENT)
		return error_system(errno, path, "cannot remove");
	return NULL;
}

struct error *keep_is_over(const struct transaction *t, bool *ret)
{
	_cleanup_(free_ptr) char *path = kept_path(t), *text = NULL;
	struct error *error;

	*ret = t->journal.phase == PHASE_NONE;
	if (t->journal.phase != PHASE_APPLIED)
		return NULL;
	if (!path)
		return error_no_memory();
	error = io_read_file(path, KEPT_MAX, &text, NULL);
	if (error && error->code == ERROR_NOT_FOUND) {
		/* Somebody keeps it without a limit. */
		error_destroy(error);
		return NULL;
	}
	if (!error)
		*ret = strtoll(text, NULL, 10) <= clock_realtime_ns() / 1000000000;
	return error;
}
