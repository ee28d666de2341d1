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
#include "apply/loading.h"
#include "base/io.h"

#define LIST_MAX         (1 << 20)
/* A process in the middle of something that cannot be interrupted is not waited for longer than this part. */
#define WAIT_PART        8
#define WAIT_STEP_NS     200000
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

/* --- control files --- */

static struct error *open_control(const char *directory, int *ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s/cgroup.freeze", directory);
	int fd;

	if (!path)
		return error_no_memory();
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return error_system(errno, path, "cannot open");
	*ret = fd;
	return NULL;
}

/* Somebody has stopped it, and wants it so. One that went away is neither. */
static bool is_frozen_already(int fd)
{
	char state = '1';

	return pread(fd, &state, 1, 0) != 1 || state != '0';
}

static void set(int fd, const char *state)
{
	/* A cgroup that went away has nothing to freeze. */
	if (pwrite(fd, state, 1, 0) < 0)
		errno = 0;
}

static void set_all(const struct freezer *f, const char *state)
{
	for (size_t i = 0; i < f->list.n; i++)
		set(f->fds[i], state);
}

/* Whether all tasks stand still; what went away does. */
static bool stands_still(const char *directory)
{
	_cleanup_(free_ptr) char *path = string_format("%s/cgroup.events", directory);
	_cleanup_(close_fd) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char text[256];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return true;
	text[n] = '\0';
	return strstr(text, "frozen 1");
}

/* --- the list of what is frozen, for whoever comes after a helper that was killed --- */

static struct error *write_list(const struct freezer *f)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error = NULL;

	fd = open(f->list_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_system(errno, f->list_path, "cannot make");
	for (size_t i = 0; i < f->list.n && !error; i++) {
		error = io_write(fd, f->list.paths[i], strlen(f->list.paths[i]), f->list_path);
		if (!error)
			error = io_write(fd, "\n", 1, f->list_path);
	}
	if (error)
		unlink(f->list_path);
	return error;
}

static bool is_cgroup(const char *path)
{
	struct statfs s;

	return *path == '/' && statfs(path, &s) == 0 && s.f_type == CGROUP2_SUPER_MAGIC;
}

void freezer_thaw_left(const char *root, int report_fd)
{
	_cleanup_(free_ptr) char *list_path = string_format("%s" FREEZER_LIST, root);
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = list_path ? io_read_file(list_path, LIST_MAX, &text, NULL) : error_no_memory();

	if (error) {
		if (error->code != ERROR_NOT_FOUND)
			event_note(report_fd, list_path, "what may be frozen is not known: %s", error->message);
		error_destroy(error);
		return;
	}
	for (char *line = text, *next; *line; line = next) {
		_cleanup_(close_fd) int fd = -1;

		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		if (!is_cgroup(line))
			continue;
		error_destroy(open_control(line, &fd));
		if (fd >= 0)
			set(fd, "0");
	}
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
		set_all(f, "0");
		if (ready != 0)
			break;
		late = true;
		wait_ms = AGAIN_MS;
	}
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

/* The control files of what is found, without what somebody else has frozen. */
static struct error *open_all(struct freezer *f)
{
	struct cgroup_list found = f->list;
	struct error *error = NULL;
	size_t kept = 0;

	f->fds = calloc(found.n ? found.n : 1, sizeof(*f->fds));
	if (!f->fds)
		return error_no_memory();
	f->list.n = 0;
	for (size_t i = 0; i < found.n; i++) {
		int fd = -1;

		if (!error)
			error = open_control(found.paths[i], &fd);
		if (error && error->errnum == ENOENT) {
			error_destroy(error);
			error = NULL;
		}
		if (fd >= 0 && is_frozen_already(fd))
			close_fd(&fd);
		if (fd < 0) {
			free(found.paths[i]);
			continue;
		}
		f->fds[kept] = fd;
		found.paths[kept++] = found.paths[i];
		f->list.n = kept;
	}
	return error;
}

static void release(struct freezer *f)
{
	for (size_t i = 0; f->fds && i < f->list.n; i++)
		close_fd(&f->fds[i]);
	free(take_ptr(f->fds));
	free(take_ptr(f->list_path));
	cgroup_list_deinit(&f->list);
}

/* What may be frozen: not the channel, nor where the helper went when it left it. */
static struct error *find(struct freezer *f)
{
	_cleanup_(cgroup_list_deinit) struct cgroup_list spared = {};
	struct error *error = NULL;

	for (size_t i = 0; i < f->spared->n && !error; i++)
		error = cgroup_list_add(&spared, f->spared->paths[i]);
	if (error)
		return error;
	freezer_spare(&spared, getpid());
	if (!freezer_knows(&spared))
		return error_create(ERROR_FAILED, "which cgroup is whose cannot be told from here");
	return freezer_find(&spared, &f->list);
}

static struct error *prepare(struct freezer *f, const struct tree *tree)
{
	struct error *error = find(f);

	if (!error)
		error = open_all(f);
	f->list_path = string_format("%s" FREEZER_LIST, tree->root);
	if (!error && !f->list_path)
		error = error_no_memory();
	if (error || !f->list.n)
		return error;
	error = write_list(f);
	if (error)
		return error;
	error = start_watchdog(f);
	if (error)
		unlink(f->list_path);
	return error;
}

/* What is in the middle of a system call that cannot be interrupted keeps its cgroup from standing still. */
static const char *wait_until_still(const struct freezer *f, uint64_t at_most_ns)
{
	uint64_t deadline = clock_monotonic_ns() + at_most_ns;

	for (size_t i = 0; i < f->list.n; i++)
		while (!stands_still(f->list.paths[i])) {
			if (clock_monotonic_ns() > deadline)
				return f->list.paths[i];
			nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_NS}, NULL);
		}
	return NULL;
}

/*
 * Until nobody is in the middle of being loaded: each time everything goes on for a moment, in which most of those get
 * through.
 */
static void freeze_between_loads(struct freezer *f, int report_fd)
{
	uint64_t deadline = clock_monotonic_ns() + f->limit_ms * 1000000ull / LOADING_PART;
	long pause_ns = LOADING_FIRST_NS;

	while (loading_anyone(&f->list, f->loaders, f->n_loaders)) {
		if (clock_monotonic_ns() > deadline) {
			event_note(report_fd, NULL,
				   "a program that is just being started may see an old and a new library");
			return;
		}
		set_all(f, "0");
		nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
		set_all(f, "1");
		wait_until_still(f, LOADING_MOST_NS);
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
	set_all(f, "1");
	moving = wait_until_still(f, f->limit_ms * 1000000ull / WAIT_PART);
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
	set_all(f, "0");
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
