/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "apply/arrival.h"
#include "apply/events.h"
#include "apply/fault.h"
#include "apply/readahead.h"
#include "apply/report.h"
#include "apply/run.h"
#include "apply/surroundings.h"
#include "apply/timers.h"
#include "base/io.h"

/* Where the report cannot be watched it is looked at after 1 ms, 2 ms, … so that a short run is not slept over. */
#define POLL_FIRST_NS  (1000 * 1000)
#define EXIT_POLLS     10000
#define POLL_MOST_NS   (16 * 1000 * 1000)
#define WATCH_MS       200         /* a worker that was killed says nothing */
#define REPORT_MAX     (64u << 20) /* more than 90 actions with all their output, escaped */
/* Room for a report is taken before anything else. What is longer may be lost on a full disk, but for the end. */
#define REPORT_RESERVE (256 * 1024)
#define END_MAX        (256 * 1024) /* a path and a message with all their bytes escaped */

/* A worker that we started; of another's nothing is known. Both last as long as this process. */
struct running {
	char *end;      /* where its last line comes to lie, "" until then; NULL: not known */
	int process_fd; /* readable when it has ended; -1: not known */
};

static int exit_status(const char *result)
{
	if (!strcmp(result, HELPER_RESULT_APPLIED))
		return 0;
	if (!strcmp(result, HELPER_RESULT_CONFLICT) || !strcmp(result, HELPER_RESULT_ROLLED_BACK))
		return 4;
	return strcmp(result, HELPER_RESULT_NOTHING) ? 1 : 6;
}

static int fail(struct error *error)
{
	const char *result = error->code == ERROR_CONFLICT ? HELPER_RESULT_CONFLICT : HELPER_RESULT_FAILED;

	event_end(STDOUT_FILENO, result, error);
	error_destroy(error);
	return exit_status(result);
}

/* HELPER_DIRECTORY below the root: root's own, closed to all others. */
static struct error *make_directory(const struct apply_options *options, char **ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s%s%s", strcmp(options->root, "/") ? options->root : "",
						       HELPER_DIRECTORY, options->late ? "/" HELPER_LATE : "");
	struct error *error;
	struct stat s;

	if (!path)
		return error_no_memory();
	error = io_mkdirs(path, 0755);
	if (error)
		return error;
	if (lstat(path, &s) < 0)
		return error_system(errno, path, "cannot look at");
	if (!S_ISDIR(s.st_mode) || s.st_uid != geteuid())
		return conflict(path, "it is not a directory of our own");
	if (chmod(path, 0700) < 0)
		return error_system(errno, path, "cannot close to others");
	*ret = take_ptr(path);
	return NULL;
}

static struct error *open_in(const char *directory, const char *name, int flags, int *ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, name);
	int fd;

	if (!path)
		return error_no_memory();
	fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_system(errno, path, "cannot open");
	*ret = fd;
	return NULL;
}

/* The value of a string member the report's own writer put into `line`; copied. */
static bool member(const char *line, const char *key, char *value, size_t size)
{
	char pattern[32];
	const char *start, *stop;

	snprintf(pattern, sizeof(pattern), "\"%s\":\"", key);
	start = strstr(line, pattern);
	if (!start)
		return false;
	start += strlen(pattern);
	stop = strchr(start, '"');
	if (!stop || (size_t)(stop - start) >= size)
		return false;
	memcpy(value, start, stop - start);
	value[stop - start] = '\0';
	return true;
}

/* The last line of a report, if it is the end; false while there is none. */
static bool find_result(const char *report, char *result, size_t size)
{
	const char *line = strstr(report, "{\"event\":\"end\"");

	return line && strchr(line, '\n') && member(line, "result", result, size);
}

static struct error *read_report(int fd, char **ret)
{
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_system(errno, "report", "cannot read");
	return io_read_all(fd, REPORT_MAX, "report", ret, NULL);
}

/* True while a worker has the lock. */
static bool is_locked(int lock_fd)
{
	if (flock(lock_fd, LOCK_SH | LOCK_NB) == 0) {
		flock(lock_fd, LOCK_UN);
		return false;
	}
	return true;
}

/* What came since, as whole lines are written at once. False when standard output is gone. */
static bool copy_more(int fd, char *line, size_t *used, size_t size)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		struct error *error = io_write(STDOUT_FILENO, chunk, n, NULL);

		if (error) {
			error_destroy(error);
			return false;
		}
		/* Keeps the beginning of the last line, which is all that is asked of it. */
		for (ssize_t i = 0; i < n; i++) {
			if (*used && line[*used - 1] == '\n')
				*used = 0;
			if (*used < size - 2 || chunk[i] == '\n')
				line[(*used)++] = chunk[i];
		}
		line[*used] = '\0';
	}
	return true;
}

/*
 * The end is said before the worker has let go of everything. Whoever calls us next must not find it busy.
 */
static void wait_for_exit(int lock_fd)
{
	for (unsigned i = 0; i < EXIT_POLLS && is_locked(lock_fd); i++)
		nanosleep(&(struct timespec){.tv_nsec = POLL_FIRST_NS}, NULL);
}

/* What the worker could not write into the report. */
static int say_end(const char *line, const char *result)
{
	error_destroy(io_write(STDOUT_FILENO, line, strlen(line), NULL));
	return exit_status(result);
}

/*
 * The worker is gone without a last word. Who started it knows how: what it knows of the payload is mapped from its
 * files, and a page that the disk does not give is a SIGBUS.
 */
static struct error *killed(void)
{
	int status = 0;
	bool bus = waitpid(-1, &status, 0) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;

	return error_create(ERROR_FAILED, "the helper was killed%s; run apply or recover again",
			    bus ? ": a disk did not give what lies in its own files (SIGBUS)" : "");
}

/* Readable when the report grows; -1: the kernel does not say. */
static int watch_report(int report_fd)
{
	_cleanup_(close_fd) int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", report_fd);
	if (fd < 0 || inotify_add_watch(fd, path, IN_MODIFY) < 0)
		return -1;
	return take_fd(fd);
}

/* Until the report has grown or the worker has ended, or for so long: who works in the guest is not to be disturbed. */
static void wait_for_more(int watch_fd, struct running *running, long pause_ns)
{
	struct pollfd fds[] = {{.fd = watch_fd, .events = POLLIN}, {.fd = running->process_fd, .events = POLLIN}};
	char events[1024];

	if (watch_fd < 0) {
		nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
		return;
	}
	if (poll(fds, ARRAY_SIZE(fds), WATCH_MS) <= 0)
		return;
	if (fds[0].revents && read(watch_fd, events, sizeof(events)) < 0)
		errno = 0;
	/* Said once: somebody else may have the lock by then. */
	if (fds[1].revents)
		close_fd(&running->process_fd);
}

/* Copies the report from its beginning until its end event, which may be in memory alone. */
static int relay(int report_fd, int lock_fd, struct running *running)
{
	_cleanup_(close_fd) int watch_fd = watch_report(report_fd);
	char line[512] = "", result[32];
	long pause_ns = POLL_FIRST_NS;
	size_t used = 0;
	bool locked = true;

	for (;;) {
		bool was_locked = locked;

		locked = is_locked(lock_fd);
		if (!copy_more(report_fd, line, &used, sizeof(line)))
			return 1;
		if (find_result(line, result, sizeof(result))) {
			wait_for_exit(lock_fd);
			return exit_status(result);
		}
		/* Once more after the lock was let go: the end may have come in between. */
		if (!was_locked && !locked && running->end && find_result(running->end, result, sizeof(result)))
			return say_end(running->end, result);
		if (!was_locked && !locked)
			return fail(killed());
		if (locked)
			wait_for_more(watch_fd, running, pause_ns);
		pause_ns = pause_ns < POLL_MOST_NS ? 2 * pause_ns : POLL_MOST_NS;
	}
}

static void started(const struct apply_options *options, int report_fd)
{
	char id[SHA256_HEX_SIZE];
	struct event event;

	sha256_to_hex(options->id, id);
	event_begin(&event, "started");
	event_string(&event, "id", id);
	event_write(&event, report_fd);
}

/* Blocks behind the end, which appending takes without asking for others. Where that is unknown there are none. */
static void reserve_report(int fd)
{
	(void)fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, REPORT_RESERVE);
}

static void release_report(int fd)
{
	struct stat s;

	/* To the size it has: what is behind it goes. It costs room if it stays, and nothing else. */
	if (fstat(fd, &s) == 0 && ftruncate(fd, s.st_size) < 0)
		errno = 0;
}

/*
 * Held by what is done when the report has ended and the lock is free: nobody waits for that but who begins to work. It
 * ends with this process.
 */
static void wait_for_others(const char *directory)
{
	int fd = -1;
	struct error *error = open_in(directory, "behind", O_RDWR | O_CREAT, &fd);

	if (error || flock(fd, LOCK_EX) < 0)
		errno = 0;
	error_destroy(error);
}

/* What processes a helper before this one may have left frozen; only of the system that runs, or a test's. */
static void thaw_left(const struct apply_options *options, int report_fd)
{
	bool whole_system = !strcmp(options->root, "/");

	if (whole_system || fault_cgroup())
		freezer_thaw_left(whole_system ? "" : options->root, report_fd);
}

/* Those of the first run again when the second has ended, whoever has stopped them. */
static void start_timers(const struct apply_options *options, const char *directory, const char *result)
{
	bool followed = options->followed && !strcmp(result, HELPER_RESULT_APPLIED);

	if (followed && timers_are_taken_over(directory))
		return;
	/* Nothing follows an update that does not stand. */
	if (options->followed && !followed)
		timers_withdraw(directory);
	timers_start(directory, options->root);
	if (options->late)
		timers_start_first(directory, options->root);
}

/* In the child. Standard input stays: the payload may come from there. */
_Noreturn static void work(enum worker_verb verb, const struct apply_options *asked, const char *directory,
			   int report_fd, int lock_fd)
{
	bool whole_system = !strcmp(asked->root, "/");
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct apply_options with_spared = *asked, *options = &with_spared;
	struct freezer_spared spared = {};
	const char *result;

	/* Before we are somewhere else. */
	freezer_spare_channel(&spared);
	options->spared = &spared;
	setsid();
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	if (!options->payload || strcmp(options->payload, "-"))
		dup2(null, STDIN_FILENO);
	/* At boot we are where we should be, and systemd is not to be disturbed. */
	surroundings_enter(whole_system && !options->early, report_fd);
	for (unsigned i = 0; i < options->n_read_ahead; i++)
		readahead_begin(options->root, options->read_ahead[i]);
	freezer_spare(&spared, getpid());
	thaw_left(options, report_fd);
	if (options->late)
		options->timers_held = timers_take_over(directory);
	else
		timers_withdraw(directory);
	wait_for_others(directory);
	options->followed = options->followed && verb == WORKER_APPLY && timers_offer(directory);
	switch (verb) {
	case WORKER_APPLY:
		result = sequence_apply(options, directory, report_fd);
		break;
	case WORKER_RECOVER:
		result = sequence_recover(options, directory, report_fd);
		break;
	case WORKER_ROLLBACK:
	default:
		result = sequence_rollback(options, directory, report_fd);
		break;
	}
	release_report(report_fd);
	fsync(report_fd);
	close(lock_fd);
	if (!options->early)
		start_timers(options, directory, result);
	exit(exit_status(result));
}

/* With the lock in our hands: a new report and a worker that inherits the lock. */
static struct error *start(enum worker_verb verb, const struct apply_options *options, const char *directory,
			   int *lock_fd, struct running *ret)
{
	_cleanup_(close_fd) int report_fd = -1;
	char *end;
	struct error *error;
	pid_t pid;

	error = open_in(directory, "report", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, &report_fd);
	if (error)
		return error;
	reserve_report(report_fd);
	if (verb == WORKER_APPLY)
		started(options, report_fd);
	end = mmap(NULL, END_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (end == MAP_FAILED)
		return error_system(errno, NULL, "cannot share memory with the worker");
	event_end_to_memory(end, END_MAX);
	pid = fork();
	if (pid < 0)
		return error_system(errno, NULL, "cannot start the worker");
	if (pid == 0)
		work(verb, options, directory, report_fd, *lock_fd);
	event_end_to_memory(NULL, 0);
	close_fd(lock_fd);
	ret->end = end;
	ret->process_fd = run_open_process(pid);
	return NULL;
}

/* What the report on disk is about: the id of its first line and the result of its last. */
static bool is_report_of(const char *report, const struct apply_options *options)
{
	char wanted[SHA256_HEX_SIZE], found[SHA256_HEX_SIZE];

	sha256_to_hex(options->id, wanted);
	return member(report, "id", found, sizeof(found)) && !strcmp(wanted, found);
}

/*
 * What has been applied is not applied again, and what is being applied is waited for. Anything
 * else changed nothing, so that a new attempt is always right.
 */
static struct error *may_attach(enum worker_verb verb, const struct apply_options *options, int report_fd, bool busy,
				bool *ret)
{
	_cleanup_(free_ptr) char *report = NULL;
	char result[32] = "";
	struct error *error;
	bool same;

	error = read_report(report_fd, &report);
	if (error)
		return error;
	same = verb == WORKER_APPLY && is_report_of(report, options);
	if (busy && !same)
		return error_create(ERROR_BUSY, "another update is being applied to this guest");
	*ret = busy || (same && find_result(report, result, sizeof(result)) && !strcmp(result, HELPER_RESULT_APPLIED));
	return NULL;
}

/*
 * With one at work on the same payload, each with a copy of its own that comes through its own channel: waits for its
 * end. One that has lost its channel says "failed" then, or nothing, which is no word on the copy that we have.
 * Anything else is what we are here for, too. The lock is in our hands afterwards.
 */
static struct error *outlive(const struct apply_options *options, int lock_fd, int report_fd, bool *ret_attach)
{
	_cleanup_(free_ptr) char *report = NULL;
	char result[32] = "";
	struct error *error;

	if (flock(lock_fd, LOCK_EX) < 0)
		return error_system(errno, "lock", "cannot wait for the helper that is at work");
	error = read_report(report_fd, &report);
	if (error)
		return error;
	*ret_attach = is_report_of(report, options) && find_result(report, result, sizeof(result)) &&
		      strcmp(result, HELPER_RESULT_FAILED);
	return NULL;
}

/* There are other ways than the one we came by: who sent us takes one of those. */
static int give_up_arrival(struct error *error)
{
	fprintf(stderr, "helper: %s\n", error->message);
	error_destroy(error);
	return HELPER_EXIT_ARRIVAL;
}

int worker_run(enum worker_verb verb, const struct apply_options *options)
{
	_cleanup_(free_ptr) char *directory = NULL;
	_cleanup_(close_fd) int lock_fd = -1, report_fd = -1;
	struct error *error;
	struct running running = {.process_fd = -1};
	bool attach = false, busy;

	error = make_directory(options, &directory);
	if (!error && verb == WORKER_APPLY) {
		error = arrival_settle(options->root);
		if (error)
			return give_up_arrival(error);
	}
	if (!error)
		error = open_in(directory, "lock", O_RDWR | O_CREAT, &lock_fd);
	if (!error)
		error = open_in(directory, "report", O_RDONLY | O_CREAT, &report_fd);
	if (error)
		return fail(error);
	busy = flock(lock_fd, LOCK_EX | LOCK_NB) < 0;
	error = may_attach(verb, options, report_fd, busy, &attach);
	if (!error && busy && options->payload && !strcmp(options->payload, "-"))
		error = outlive(options, lock_fd, report_fd, &attach);
	if (!error && !attach)
		error = start(verb, options, directory, &lock_fd, &running);
	if (!error && lock_fd < 0)
		error = open_in(directory, "lock", O_RDWR, &lock_fd);
	if (error)
		return fail(error);
	if (lseek(report_fd, 0, SEEK_SET) < 0)
		return fail(error_system(errno, "report", "cannot read"));
	return relay(report_fd, lock_fd, &running);
}

int worker_status(const struct apply_options *options)
{
	_cleanup_(free_ptr) char *directory = NULL;
	_cleanup_(free_ptr) char *report = NULL;
	_cleanup_(close_fd) int report_fd = -1;
	char result[32];
	struct error *error;

	error = make_directory(options, &directory);
	if (!error)
		error = open_in(directory, "report", O_RDONLY | O_CREAT, &report_fd);
	if (!error)
		error = read_report(report_fd, &report);
	if (!error)
		error = io_write(STDOUT_FILENO, report, strlen(report), NULL);
	if (error)
		return fail(error);
	if (!*report)
		return exit_status(HELPER_RESULT_NOTHING);
	return find_result(report, result, sizeof(result)) ? exit_status(result) : 1;
}

/* A worker has said its last word a moment before its lock is gone: give it that moment. */
static struct error *take_lock(int lock_fd)
{
	for (int tries = 0; flock(lock_fd, LOCK_EX | LOCK_NB) < 0; tries++) {
		if (tries == 100)
			return error_create(ERROR_BUSY, "an update is being applied");
		usleep(100000);
	}
	return NULL;
}

/* Our directory, with nobody at work in it as long as *ret_lock is open. */
static struct error *open_directory(const struct apply_options *options, char **ret, int *ret_lock)
{
	struct error *error = make_directory(options, ret);

	if (!error)
		error = open_in(*ret, "lock", O_RDWR | O_CREAT, ret_lock);
	return error ? error : take_lock(*ret_lock);
}

int worker_look(const struct apply_options *options)
{
	_cleanup_(free_ptr) char *directory = NULL;
	_cleanup_(close_fd) int lock_fd = -1;
	struct error *error = open_directory(options, &directory, &lock_fd);

	return error ? fail(error) : exit_status(sequence_look(options, directory, STDOUT_FILENO));
}

/* What is chained to it. */
static struct error *forget_late(const struct apply_options *options, const char *directory)
{
	_cleanup_(free_ptr) char *path = string_format("%s/" HELPER_LATE, directory), *made = NULL;
	_cleanup_(close_fd) int lock_fd = -1;
	struct apply_options late = *options;
	bool timers = false;
	struct error *error;

	if (!path)
		return error_no_memory();
	if (options->late || access(path, F_OK) < 0)
		return NULL;
	late.late = true;
	error = open_directory(&late, &made, &lock_fd);
	return error ? error : sequence_forget(&late, made, &timers);
}

/* In a directory that is ours alone. */
static struct error *forget(const struct apply_options *options, const char *directory)
{
	bool whole_system = !strcmp(options->root, "/"), timers = false;
	struct error *error;

	surroundings_join(whole_system);
	timers_withdraw(directory);
	wait_for_others(directory);
	error = forget_late(options, directory);
	if (!error)
		error = sequence_forget(options, directory, &timers);
	/* Of one that was killed, or that had offered them. */
	timers_start(directory, options->root);
	if (error)
		return error;
	if (timers)
		timers_stop_own();
	arrival_forget(options->root);
	error = io_remove_tree(directory);
	if (whole_system)
		timers_unload();
	if (!error && whole_system)
		surroundings_forget();
	return error;
}

int worker_forget(const struct apply_options *options)
{
	_cleanup_(free_ptr) char *directory = NULL;
	_cleanup_(close_fd) int lock_fd = -1;
	struct error *error = open_directory(options, &directory, &lock_fd);

	if (!error)
		thaw_left(options, STDOUT_FILENO);
	if (!error)
		error = forget(options, directory);
	return error ? fail(error) : 0;
}

/* Another program than this one at our place: the host is about to begin an update. */
static bool is_replaced(const char *directory)
{
	_cleanup_(free_ptr) char *path = string_format("%s/helper", directory);
	struct stat there, own;

	return path && stat(path, &there) == 0 && stat("/proc/self/exe", &own) == 0 &&
	       (there.st_ino != own.st_ino || there.st_dev != own.st_dev);
}

int worker_expire(const struct apply_options *options)
{
	_cleanup_(free_ptr) char *directory = NULL;
	_cleanup_(close_fd) int lock_fd = -1;
	struct error *error = open_directory(options, &directory, &lock_fd);
	bool over = false;

	/* The timer comes again. */
	if (error && error->code == ERROR_BUSY) {
		error_destroy(error);
		return 0;
	}
	if (!error)
		error = sequence_is_over(options, directory, &over);
	if (!error && over && !is_replaced(directory))
		error = forget(options, directory);
	return error ? fail(error) : 0;
}
