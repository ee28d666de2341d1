/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/freezer.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

#include "apply/events.h"
#include "apply/freezer_find.h"
#include "apply/loading.h"
#include "base/io.h"

#define LIST_MAX         (1 << 20)
/* A process in the middle of something that cannot be interrupted is not waited for longer than this part. */
#define WAIT_PART        8
/* What was frozen behind the limit's back is thawed within this. */
#define AGAIN_MS         20
/*
 * When a program was caught in its loader everything goes on for a moment, the longer the slower the machine seems to
 * be; again and again for this part of the limit.
 */
#define LOADING_FIRST_NS 500000
#define LOADING_MOST_NS  16000000
#define LOADING_PART     2
#define LATE_STATUS      1

/* --- the list of what is frozen, for whoever comes after a helper that was killed --- */

static struct error *write_list(const struct freezer *f)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error = NULL;

	fd = open(f->list_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_system(errno, f->list_path, "cannot make");
	for (size_t i = 0; i < f->what.list.n && !error; i++) {
		error = io_write(fd, f->what.list.paths[i], strlen(f->what.list.paths[i]), f->list_path);
		if (!error)
			error = io_write(fd, "\n", 1, f->list_path);
	}
	if (error)
		unlink(f->list_path);
	return error;
}

void freezer_thaw_left(const char *root, int report_fd)
{
	_cleanup_(free_ptr) char *list_path = string_format("%s" FREEZER_LIST, root);
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = list_path ? io_read_file(list_path, LIST_MAX, &text, NULL) : error_no_memory();

	if (error) {
		/* One that was killed before it wrote the list has moved nobody yet. */
		freezer_unmount();
		if (error->code != ERROR_NOT_FOUND)
			event_note(report_fd, list_path, "what may be frozen is not known: %s", error->message);
		error_destroy(error);
		return;
	}
	for (char *line = text, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		freezer_thaw_directory(line);
		freezer_group_empty(line);
	}
	freezer_unmount();
	unlink(list_path);
	event_note(report_fd, list_path, "processes that a killed helper may have left frozen are thawed");
}

/* --- the watchdog --- */

/* Until the helper lets go of the pipe, or dies. */
_Noreturn static void watch(const struct freezer *f, int pipe_fd)
{
	struct pollfd p = {.fd = pipe_fd, .events = POLLIN};
	int wait_ms = (int)f->limit_ms;
	bool late = false;

	/* However busy the machine is; if it cannot be had, no matter. */
	setpriority(PRIO_PROCESS, 0, -20);
	for (;;) {
		int ready = poll(&p, 1, wait_ms);

		if (ready < 0 && errno == EINTR)
			continue;
		/* Again and again: the helper may still be freezing. */
		freezable_set(&f->what, false);
		if (ready != 0)
			break;
		late = true;
		wait_ms = AGAIN_MS;
	}
	if (f->what.group)
		freezer_group_empty(f->what.group);
	freezer_unmount();
	unlink(f->list_path);
	_exit(late ? LATE_STATUS : 0);
}

static struct error *start_watchdog(struct freezer *f)
{
	_cleanup_(close_fd) int ours = -1, its = -1;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_system(errno, NULL, "cannot make a pipe");
	its = fds[0];
	ours = fds[1];
	pid = fork();
	if (pid < 0)
		return error_system(errno, NULL, "cannot start a process that thaws");
	if (pid == 0) {
		close_fd(&ours);
		watch(f, its);
	}
	f->watchdog = pid;
	f->pipe_fd = take_fd(ours);
	return NULL;
}

/* True if the limit had passed. */
static bool end_watchdog(struct freezer *f)
{
	int status = 0;

	close_fd(&f->pipe_fd);
	while (waitpid(f->watchdog, &status, 0) < 0 && errno == EINTR)
		;
	f->watchdog = 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == LATE_STATUS;
}

/* --- freeze and thaw --- */

/* A file system that a process of the guest serves would wait for it. */
static bool is_served_by_process(const struct tree *tree)
{
	for (size_t i = 0; i < tree->n_file_systems; i++) {
		struct statfs s;

		if (fstatfs(tree->file_systems[i].root_fd, &s) == 0 && s.f_type == FUSE_SUPER_MAGIC)
			return true;
	}
	return false;
}

static void release(struct freezer *f)
{
	freezable_deinit(&f->what);
	free(take_ptr(f->seen.pids));
	f->seen.n = 0;
	free(take_ptr(f->list_path));
}

static struct error *prepare(struct freezer *f, const struct tree *tree)
{
	struct error *error = freezer_find(f->spared, &f->what);

	if (!error)
		error = freezable_open(&f->what);
	f->list_path = string_format("%s" FREEZER_LIST, tree->root);
	if (!error && !f->list_path)
		error = error_no_memory();
	if (error || !f->what.list.n)
		return error;
	error = write_list(f);
	if (error)
		return error;
	/* It takes its time, in which nobody has to stand still yet. */
	if (f->what.group)
		freezer_group_fill(f->what.group, f->spared, 0, &f->seen);
	error = start_watchdog(f);
	if (!error)
		return NULL;
	freezable_deinit(&f->what);
	unlink(f->list_path);
	return error;
}

/*
 * Until nobody is in the middle of being loaded: each time everything goes on for a moment, in which most of those get
 * through.
 */
static void freeze_between_loads(struct freezer *f, int report_fd)
{
	uint64_t deadline = clock_monotonic_ns() + f->limit_ms * 1000000ull / LOADING_PART;
	long pause_ns = LOADING_FIRST_NS;

	while (loading_anyone(&f->what, f->loaders, f->n_loaders)) {
		if (clock_monotonic_ns() > deadline) {
			event_note(report_fd, NULL,
				   "a program that is just being started may see an old and a new library");
			return;
		}
		freezable_set(&f->what, false);
		nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
		freezable_set(&f->what, true);
		freezable_wait(&f->what, LOADING_MOST_NS);
		pause_ns = pause_ns < LOADING_MOST_NS ? 2 * pause_ns : LOADING_MOST_NS;
	}
}

void freezer_freeze(struct freezer *f, const struct tree *tree, int report_fd)
{
	const char *moving;
	struct error *error;

	if (!f->limit_ms || !f->spared)
		return;
	if (is_served_by_process(tree)) {
		event_note(report_fd, NULL,
			   "processes go on while files are exchanged: one of them serves a file system");
		return;
	}
	error = prepare(f, tree);
	if (error || !f->watchdog) {
		event_note(report_fd, NULL, "processes go on while files are exchanged: %s",
			   error ? error->message : "there is no cgroup that can be frozen");
		error_destroy(error);
		release(f);
		return;
	}
	f->begun_ns = clock_monotonic_ns();
	freezable_set(&f->what, true);
	if (f->what.group)
		freezer_group_fill(f->what.group, f->spared, f->watchdog, &f->seen);
	moving = freezable_wait(&f->what, f->limit_ms * 1000000ull / WAIT_PART);
	if (moving)
		event_note(report_fd, moving, "something in it cannot be frozen now");
	if (f->n_loaders)
		freeze_between_loads(f, report_fd);
}

void freezer_thaw(struct freezer *f, int report_fd)
{
	uint64_t limit_us = f->limit_ms * 1000ull, us;

	if (!f->watchdog)
		return;
	freezable_set(&f->what, false);
	us = (clock_monotonic_ns() - f->begun_ns) / 1000;
	if (end_watchdog(f)) {
		event_note(report_fd, NULL, "processes stood still for %u ms, the limit, and then went on",
			   f->limit_ms);
		us = us < limit_us ? us : limit_us;
	}
	f->frozen_us += us;
	unlink(f->list_path);
	release(f);
}
