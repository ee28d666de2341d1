/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting QEMU so that it outlives us: in a session of its own, output to the log. The guest
 * never runs before vm_continue() (-S); the memory image comes in by `migrate-incoming`, so that
 * a failure is reported over QMP or by the end of the process, not by a guess.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/io.h"
#include "base/log.h"
#include "base/process.h"
#include "hypervisor/qemu.h"
#include "hypervisor/quote.h"
#include "hypervisor/wire.h"

#define START_MS    60000 /* until the QMP socket is there */
#define POLL_MS     20
#define LOAD_MIN_MS 300000
#define LOAD_RATE   4096 /* bytes a millisecond that even a slow disk delivers */
#define LOG_TAIL    1024 /* bytes of the log shown in an error */

static void pause_ms(long ms)
{
	struct timespec pause = {.tv_nsec = ms * 1000000};

	nanosleep(&pause, NULL);
}

/* A start under way. */
struct launch {
	struct vm *vm;
	off_t log_start; /* size of the log before */
	struct qmp *qmp;
	int pidfd;        /* of the process behind the QMP socket, -1 until it is there */
	bool child_ended; /* the process we started: with -daemonize it ends and QEMU goes on */
	int child_status;
};

static void launch_deinit(struct launch *launch)
{
	qmp_close(launch->qmp);
	close_fd(&launch->pidfd);
}

/* Adds the last lines of what QEMU has said since the start to the error. */
static struct error *with_log(const struct launch *launch, struct error *error)
{
	const char *path = launch->vm->settings.log_path;
	_cleanup_(close_fd) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char text[LOG_TAIL + 1];
	off_t end, start;
	ssize_t n;

	if (fd < 0)
		return error;
	end = lseek(fd, 0, SEEK_END);
	start = end - LOG_TAIL > launch->log_start ? end - LOG_TAIL : launch->log_start;
	n = end > start ? pread(fd, text, LOG_TAIL, start) : 0;
	while (n > 0 && text[n - 1] == '\n')
		n--;
	if (n <= 0)
		return error;
	text[n] = '\0';
	return error_remedy(error, "QEMU said: %s", text);
}

/* The command with what we add to it; the strings stay borrowed, the caller frees the array. */
static const char **launch_argv(const struct vm *vm, bool incoming)
{
	static const char *const paused[] = {"-S", NULL};
	static const char *const deferred[] = {"-S", "-incoming", "defer", NULL};
	const char *const *more = incoming ? deferred : paused;
	size_t n = 0, extra = 0;
	const char **argv;

	while (vm->settings.command[n])
		n++;
	while (more[extra])
		extra++;
	argv = calloc(n + extra + 1, sizeof(*argv));
	if (!argv)
		return NULL;
	memcpy(argv, vm->settings.command, n * sizeof(*argv));
	memcpy(argv + n, more, extra * sizeof(*argv));
	return argv;
}

static struct error *open_log(struct launch *launch, int *ret)
{
	const char *path = launch->vm->settings.log_path;
	int fd = open(path ? path : "/dev/null", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_system(errno, path, "cannot open log");
	launch->log_start = lseek(fd, 0, SEEK_END);
	*ret = fd;
	return NULL;
}

static struct error *start_process(struct launch *launch, bool incoming)
{
	struct vm *vm = launch->vm;
	_cleanup_(free_ptr) const char **argv = launch_argv(vm, incoming);
	_cleanup_(close_fd) int log = -1;
	struct process_options options = {.argv = argv, .directory = vm->settings.directory, .new_session = true};
	struct error *error;

	if (!argv)
		return error_no_memory();
	if (!argv[0])
		return error_create(ERROR_USAGE, "the VM file has no command");
	error = open_log(launch, &log);
	if (error)
		return error;
	options.stdout_fd = log;
	options.stderr_fd = log;
	return process_start(&options, &vm->child);
}

static bool child_failed(struct launch *launch)
{
	struct vm *vm = launch->vm;

	if (!launch->child_ended && waitpid(vm->child, &launch->child_status, WNOHANG) == vm->child) {
		launch->child_ended = true;
		vm->child = 0;
	}
	return launch->child_ended && launch->child_status != 0;
}

static bool process_ended(const struct launch *launch)
{
	struct pollfd fd = {.fd = launch->pidfd, .events = POLLIN};

	return poll(&fd, 1, 0) > 0;
}

static struct error *died(const struct launch *launch, const char *when)
{
	return with_log(launch, error_create(ERROR_FAILED, "QEMU has ended %s", when));
}

/* Waits until the new process serves QMP. A socket left behind by an older one refuses connections till then. */
static struct error *await_qmp(struct launch *launch)
{
	const char *path = launch->vm->settings.qmp;
	uint64_t deadline_ns = wire_deadline(START_MS);

	for (;;) {
		struct error *error = qmp_open(path, &launch->qmp);

		if (!error)
			return qemu_pidfd(launch->qmp, &launch->pidfd);
		if (child_failed(launch)) {
			error_destroy(error);
			return died(launch, "right after its start");
		}
		if (clock_monotonic_ns() >= deadline_ns)
			return with_log(launch, error_wrap(error, "QEMU was started, but does not serve QMP"));
		error_destroy(error);
		pause_ms(POLL_MS);
	}
}

/* Ends what a failed start has left: it never ran a guest instruction. */
static void abandon(struct launch *launch)
{
	struct vm *vm = launch->vm;

	if (launch->qmp)
		error_destroy(qemu_quit_and_wait(vm, launch->qmp));
	child_failed(launch);
	if (vm->child > 0)
		process_stop(&vm->child, 5000);
	vm->child = 0;
}

static struct error *refuse_if_there(struct vm *vm)
{
	enum vm_state state;
	struct error *error = vm->hypervisor->state(vm, &state);

	if (error)
		return error;
	if (state == VM_OFF)
		return NULL;
	return error_remedy(
		error_create(ERROR_BUSY, "a process of this VM is there already (%s answers)", vm->settings.qmp),
		"end it first");
}

static struct error *migrate_incoming(struct launch *launch)
{
	const char *path = launch->vm->settings.memory;
	_cleanup_(free_ptr) char *quoted = shell_quote(path);
	_cleanup_(free_ptr) char *uri = quoted ? string_format("exec:cat %s", quoted) : NULL;
	json_t *arguments;

	if (!uri)
		return error_no_memory();
	arguments = json_pack("{s:s}", "uri", uri);
	if (!arguments)
		return error_create(ERROR_USAGE, "%s: the path is not UTF-8, which QMP cannot take", path);
	return qmp_execute(launch->qmp, "migrate-incoming", arguments, NULL);
}

/* *ret_loaded: the stream is in, and no more is to come. */
static struct error *load_progress(struct launch *launch, bool *ret_loaded)
{
	_cleanup_(json_decref_ptr) json_t *answer = NULL;
	char status[QMP_STATUS_SIZE];
	const char *phase, *why;
	struct error *error = qmp_execute(launch->qmp, "query-migrate", NULL, &answer);

	if (!error)
		error = qmp_status(launch->qmp, status);
	if (error)
		return error;
	phase = json_string_value(json_object_get(answer, "status"));
	why = json_string_value(json_object_get(answer, "error-desc"));
	if (phase && (strcmp(phase, "failed") == 0 || strcmp(phase, "cancelled") == 0))
		return error_create(ERROR_FAILED, "QEMU cannot load the memory image: %s", why ? why : phase);
	if (strcmp(status, "running") == 0)
		return error_create(ERROR_FAILED, "the guest runs although it was started paused");
	*ret_loaded = phase && strcmp(phase, "completed") == 0 && strcmp(status, "inmigrate") != 0;
	return NULL;
}

static struct error *await_loaded(struct launch *launch, uint64_t size)
{
	uint64_t deadline_ns = wire_deadline(LOAD_MIN_MS + size / LOAD_RATE);
	bool loaded = false;

	while (!loaded) {
		struct error *error = load_progress(launch, &loaded);

		/* Its end is the reason, a cut connection only the symptom. */
		if (error && process_ended(launch)) {
			error_destroy(error);
			return error_wrap(died(launch, "while it loaded the memory image"), "%s",
					  launch->vm->settings.memory);
		}
		if (error)
			return with_log(launch, error);
		if (!loaded && clock_monotonic_ns() >= deadline_ns)
			return with_log(launch, error_create(ERROR_TIMEOUT, "QEMU does not finish loading %s",
							     launch->vm->settings.memory));
		if (!loaded)
			pause_ms(POLL_MS);
	}
	return NULL;
}

/* True if one of the process's descriptors is the file. */
static bool process_holds(pid_t pid, const struct stat *file)
{
	char path[64];
	_cleanup_(closedir_ptr) DIR *directory = NULL;
	struct dirent *entry;
	struct stat status;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	directory = opendir(path);
	while (directory && (entry = readdir(directory)))
		if (fstatat(dirfd(directory), entry->d_name, &status, 0) == 0 && status.st_dev == file->st_dev &&
		    status.st_ino == file->st_ino)
			return true;
	return false;
}

/*
 * The disk that was looked at is the disk the guest will write to: a command that names another
 * one would bring memory and disk together that do not belong together.
 */
static struct error *require_disk(struct launch *launch)
{
	const struct vm_settings *settings = &launch->vm->settings;
	struct stat file;
	pid_t pid;
	struct error *error;

	if (!settings->disk)
		return NULL;
	if (stat(settings->disk, &file) < 0)
		return error_system(errno, settings->disk, "cannot find the disk");
	error = qmp_pid(launch->qmp, &pid);
	if (error || process_holds(pid, &file))
		return error;
	return error_remedy(error_create(ERROR_USAGE, "the VM's command does not open its disk %s", settings->disk),
			    "\"disk\" and \"command\" of the VM file must name the same image");
}

/* What QEMU would wait for until nobody believes in it any more. */
static struct error *look_at_memory(const char *memory, struct stat *ret)
{
	if (stat(memory, ret) < 0)
		return errno == ENOENT ? error_create(ERROR_NOT_FOUND, "%s: there is no saved memory image", memory)
				       : error_system(errno, memory, "cannot look at memory image");
	if (!S_ISREG(ret->st_mode))
		return error_create(ERROR_USAGE, "%s: the memory image is no ordinary file", memory);
	if (ret->st_size == 0)
		return error_format(memory, 0, "the file is empty, not a memory image");
	return NULL;
}

static struct error *load(struct launch *launch)
{
	const char *memory = launch->vm->settings.memory;
	struct stat status;
	struct error *error = look_at_memory(memory, &status);

	if (!error)
		error = refuse_if_there(launch->vm);
	if (!error)
		error = start_process(launch, true);
	if (error)
		return error;
	error = await_qmp(launch);
	if (!error)
		error = require_disk(launch);
	if (!error)
		error = migrate_incoming(launch);
	if (!error)
		error = await_loaded(launch, (uint64_t)status.st_size);
	if (error)
		abandon(launch);
	return error;
}

struct error *qemu_load(struct vm *vm)
{
	_cleanup_(launch_deinit) struct launch launch = {.vm = vm, .pidfd = -1};

	return load(&launch);
}

static struct error *boot_paused(struct launch *launch)
{
	char status[QMP_STATUS_SIZE];
	struct error *error = refuse_if_there(launch->vm);

	if (!error)
		error = start_process(launch, false);
	if (error)
		return error;
	error = await_qmp(launch);
	if (!error)
		error = require_disk(launch);
	if (!error)
		error = qmp_status(launch->qmp, status);
	if (!error && strcmp(status, "running") == 0)
		error = error_create(ERROR_FAILED, "the guest runs although it was started paused");
	if (error)
		abandon(launch);
	return error;
}

struct error *qemu_boot_paused(struct vm *vm)
{
	_cleanup_(launch_deinit) struct launch launch = {.vm = vm, .pidfd = -1};

	return boot_paused(&launch);
}
