/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow/attend.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/major.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "shadow/record.h"

/* Processes of the host that are looked at. */
#define PROCESSES_MAX 65536u
/* Scripts that run at the same time: one, unless a script calls dpkg. */
#define SCRIPTS_MAX   16u
/* What a program may wait for at once and still be understood. */
#define WAITS_MAX     64u
/* Processes that wait at the same time, of which is kept who they are. */
#define WAITERS_MAX   64u
/* Rounds of stopping: a process may start others meanwhile. */
#define KILL_ROUNDS   20u

struct process {
	uint32_t pid, parent;
	uint32_t terminal;        /* its controlling one as proc_pid_stat(5) has it; 0: none */
	unsigned long long start; /* since boot, in ticks: tells one process from another of the same number */
	bool inside;              /* below the warden */
};

/* By number. Those of the run are among them, and no process that is older than the run. */
struct processes {
	struct process *items;
	size_t n, space;
};

struct script {
	uint32_t pid;
	unsigned long long start;
	uint64_t seen_ns; /* when it was first seen */
	bool present;     /* in the look that goes on */
	char *package, *script;
};

struct waiter {
	uint32_t pid;
	unsigned long long start;
};

struct attend {
	const struct shadow_attendant *options;
	int input;     /* our end of the program's standard input; -1: ended */
	char pipe[32]; /* which that is: "pipe:[N]" */
	int terminal;  /* our side of it; -1: none yet */
	dev_t device;  /* the program's side; 0: none yet */
	uint64_t looked_ns;
	struct processes processes;
	struct script scripts[SCRIPTS_MAX];
	/* Who waited for input at the last look, and was not asked then. */
	struct waiter waiters[WAITERS_MAX];
	size_t n_waiters;
};

/* --- who is there --- */

/* "PID (NAME) STATE PPID … TERMINAL … START": the name may hold anything. */
static bool parse_stat(const char *text, struct process *ret)
{
	const char *p = strrchr(text, ')');

	return p && sscanf(p + 1, " %*c %u %*d %*d %u %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
			   &ret->parent, &ret->terminal, &ret->start) == 3;
}

/* One short file of a process, NUL-terminated. */
static bool read_text(uint32_t pid, const char *name, char *text, size_t size)
{
	_cleanup_(close_fd) int fd = -1;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, size - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return true;
}

static bool read_process(uint32_t pid, struct process *ret)
{
	char text[1024];

	if (!read_text(pid, "stat", text, sizeof(text)))
		return false;
	*ret = (struct process){.pid = pid};
	return parse_stat(text, ret);
}

static struct error *add_process(struct processes *list, uint32_t pid, unsigned long long since)
{
	if (list->n == list->space) {
		size_t space = list->space ? 2 * list->space : 256;
		struct process *items = reallocarray(list->items, space, sizeof(*items));

		if (!items)
			return error_no_memory();
		list->items = items;
		list->space = space;
	}
	if (read_process(pid, &list->items[list->n]) && list->items[list->n].start >= since)
		list->n++;
	return NULL;
}

static int compare_processes(const void *left, const void *right)
{
	const struct process *a = left, *b = right;

	return (a->pid > b->pid) - (a->pid < b->pid);
}

static const struct process *find_process(const struct processes *list, uint32_t pid)
{
	const struct process key = {.pid = pid};

	return list->n ? bsearch(&key, list->items, list->n, sizeof(key), compare_processes) : NULL;
}

/* A child's number may be lower than its parent's: until nothing is found any more. */
static void mark_below(struct processes *list, uint32_t root)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < list->n; i++) {
			struct process *process = &list->items[i];
			const struct process *parent;

			if (process->inside)
				continue;
			parent = find_process(list, process->parent);
			process->inside = process->parent == root || (parent && parent->inside);
			more |= process->inside;
		}
	}
}

static struct error *list_processes(struct processes *list, uint32_t root)
{
	_cleanup_(closedir_ptr) DIR *proc = opendir("/proc");
	const struct dirent *entry;
	struct process warden = {0};

	/* What began before it is none of its descendants. */
	(void)!read_process(root, &warden);
	list->n = 0;
	while (proc && list->n < PROCESSES_MAX && (entry = readdir(proc))) {
		struct error *error = NULL;

		if (isdigit((unsigned char)entry->d_name[0]))
			error = add_process(list, (uint32_t)strtoul(entry->d_name, NULL, 10), warden.start);
		if (error)
			return error;
	}
	if (list->n)
		qsort(list->items, list->n, sizeof(*list->items), compare_processes);
	mark_below(list, root);
	return NULL;
}

/* --- scripts --- */

static struct script *find_script(struct attend *attend, const struct process *process)
{
	for (size_t i = 0; i < SCRIPTS_MAX; i++)
		if (attend->scripts[i].pid == process->pid && attend->scripts[i].start == process->start)
			return &attend->scripts[i];
	return NULL;
}

/*
 * dpkg's own child is the script; what it started has the same environment and another parent, and what was left to
 * init (which is the warden's child) is no script any more.
 */
static bool is_script(const struct processes *list, const struct process *process, uint32_t warden,
		      struct action *ret_origin)
{
	const struct process *parent = find_process(list, process->parent);
	struct action above = {};
	bool inherited;

	if (!parent || !parent->inside || parent->parent == warden || !record_own_origin(process->pid, ret_origin))
		return false;
	inherited = record_own_origin(parent->pid, &above);
	action_deinit(&above);
	return !inherited;
}

static void script_deinit(struct script *script)
{
	free(script->package);
	free(script->script);
	*script = (struct script){};
}

static void note_script(struct attend *attend, const struct process *process, uint32_t warden)
{
	struct script *script = find_script(attend, process);
	struct action origin = {};

	if (script) {
		script->present = true;
		return;
	}
	if (is_script(&attend->processes, process, warden, &origin)) {
		for (size_t i = 0; i < SCRIPTS_MAX && !script; i++)
			if (!attend->scripts[i].pid)
				script = &attend->scripts[i];
		if (script)
			*script = (struct script){.pid = process->pid,
						  .start = process->start,
						  .seen_ns = clock_monotonic_ns(),
						  .present = true,
						  .package = take_ptr(origin.package),
						  .script = take_ptr(origin.script)};
	}
	action_deinit(&origin);
}

static void note_scripts(struct attend *attend, uint32_t warden)
{
	for (size_t i = 0; i < SCRIPTS_MAX; i++)
		attend->scripts[i].present = false;
	for (size_t i = 0; i < attend->processes.n; i++)
		if (attend->processes.items[i].inside)
			note_script(attend, &attend->processes.items[i], warden);
	for (size_t i = 0; i < SCRIPTS_MAX; i++)
		if (attend->scripts[i].pid && !attend->scripts[i].present)
			script_deinit(&attend->scripts[i]);
}

/* The script that a process belongs to; NULL: none. */
static struct script *script_above(struct attend *attend, const struct process *process)
{
	for (unsigned i = 0; process && process->inside && i < 4096; i++) {
		struct script *script = find_script(attend, process);

		if (script)
			return script;
		process = find_process(&attend->processes, process->parent);
	}
	return NULL;
}

/* --- ending --- */

/* That very process, or nobody: a number may have been given away meanwhile. */
static bool signal_process(const struct process *process, int signal)
{
	_cleanup_(close_fd) int fd = (int)syscall(SYS_pidfd_open, process->pid, 0);
	struct process now;

	return fd >= 0 && read_process(process->pid, &now) && now.start == process->start &&
	       syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) == 0;
}

/* Below the script, or left behind by what was: such a one still carries the script's name. */
static bool belongs_to(struct attend *attend, const struct process *process, uint32_t warden,
		       const struct script *script)
{
	const struct process *parent = find_process(&attend->processes, process->parent);
	struct action origin = {};
	bool same;

	if (script_above(attend, process) == script)
		return true;
	if (!parent || parent->parent != warden || process->start < script->start ||
	    !record_own_origin(process->pid, &origin))
		return false;
	same = script->package && strcmp(origin.package, script->package) == 0;
	action_deinit(&origin);
	return same;
}

/* Sends it to all that the script started, and a SIGSTOP to itself; *ret_n: how many there were. */
static struct error *signal_script(struct attend *attend, uint32_t warden, const struct script *script, int signal,
				   size_t *ret_n)
{
	struct error *error = list_processes(&attend->processes, warden);

	*ret_n = 0;
	for (size_t i = 0; !error && i < attend->processes.n; i++) {
		const struct process *process = &attend->processes.items[i];

		if (process->pid == script->pid && signal != SIGSTOP)
			continue;
		if (process->inside && belongs_to(attend, process, warden, script))
			*ret_n += signal_process(process, signal);
	}
	return error;
}

/*
 * All are stopped first, until there are no more: one whose child is killed would go on with its next line, and end as
 * if all were well. The script itself goes last, for then dpkg goes on.
 */
static struct error *end_script(struct attend *attend, uint32_t warden, const struct script *script)
{
	const struct process top = {.pid = script->pid, .start = script->start};
	size_t n = 0, before;
	struct error *error = NULL;

	for (unsigned round = 0; !error && round < KILL_ROUNDS; round++) {
		before = n;
		error = signal_script(attend, warden, script, SIGSTOP, &n);
		if (n == before)
			break;
	}
	if (!error)
		error = signal_script(attend, warden, script, SIGKILL, &n);
	(void)signal_process(&top, SIGKILL);
	return error;
}

static struct error *check_time(struct attend *attend, uint32_t warden)
{
	uint64_t limit_ns = attend->options->script_timeout_s * UINT64_C(1000000000), now_ns = clock_monotonic_ns();

	for (size_t i = 0; limit_ns && i < SCRIPTS_MAX; i++) {
		struct script *script = &attend->scripts[i];
		struct error *error;

		if (!script->pid || now_ns - script->seen_ns < limit_ns)
			continue;
		attend->options->overdue(attend->options->data, script->package, script->script);
		error = end_script(attend, warden, script);
		script_deinit(script);
		if (error)
			return error;
	}
	return NULL;
}

/* --- waiting for input --- */

/* As the kernel has a device's number in texts: bits of the minor one are on both sides of the major one. */
static dev_t device_of(uint32_t number)
{
	return makedev(number >> 8 & 0xfff, (number & 0xff) | (number >> 12 & 0xfff00));
}

/* A terminal that a script made itself (expect, script) is its own affair. */
static bool is_our_terminal(const struct attend *attend, uint32_t pid, dev_t device)
{
	struct process process;

	if (device == makedev(TTYAUX_MAJOR, 0))
		device = read_process(pid, &process) ? device_of(process.terminal) : 0;
	return device != 0 && device == attend->device;
}

/* Whether this descriptor of the process is the standard input we hold the other end of, or our terminal. */
static bool is_input(const struct attend *attend, uint32_t pid, unsigned long long fd)
{
	char path[64], target[64];
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/fd/%llu", pid, fd);
	n = fd > INT32_MAX ? -1 : readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	if (strncmp(target, "pipe:", 5) == 0)
		return strcmp(target, attend->pipe) == 0;
	/* /dev/pts/N and /dev/tty. Of a file in /proc its server would be asked, which may be waiting for us. */
	return strncmp(target, "/dev/", 5) == 0 && stat(path, &st) == 0 && S_ISCHR(st.st_mode) &&
	       is_our_terminal(attend, pid, st.st_rdev);
}

static bool read_memory(uint32_t pid, unsigned long long address, void *buffer, size_t size)
{
	char path[64];
	_cleanup_(close_fd) int fd = -1;

	snprintf(path, sizeof(path), "/proc/%u/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && address <= INT64_MAX && pread(fd, buffer, size, (off_t)address) == (ssize_t)size;
}

static bool polls_input(const struct attend *attend, uint32_t pid, const unsigned long long *args)
{
	struct pollfd fds[WAITS_MAX];

	if (args[1] > WAITS_MAX || !read_memory(pid, args[0], fds, args[1] * sizeof(*fds)))
		return false;
	for (size_t i = 0; i < args[1]; i++)
		if (fds[i].fd >= 0 && fds[i].events & POLLIN && is_input(attend, pid, (unsigned long long)fds[i].fd))
			return true;
	return false;
}

static bool selects_input(const struct attend *attend, uint32_t pid, const unsigned long long *args)
{
	uint64_t set;

	if (!args[1] || !read_memory(pid, args[1], &set, sizeof(set)))
		return false;
	for (unsigned long long i = 0; i < args[0] && i < WAITS_MAX; i++)
		if (set >> i & 1 && is_input(attend, pid, i))
			return true;
	return false;
}

/* One that waits for a while only will go on by itself. proc_pid_syscall(5): the number, then the registers. */
static bool waits_for_input(const struct attend *attend, uint32_t pid)
{
	unsigned long long args[6];
	char text[256];
	long number;

	if (!read_text(pid, "syscall", text, sizeof(text)))
		return false;
	if (sscanf(text, "%ld %llx %llx %llx %llx %llx %llx", &number, &args[0], &args[1], &args[2], &args[3], &args[4],
		   &args[5]) != 7)
		return false;
	switch (number) {
	case SYS_read:
	case SYS_readv:
		return is_input(attend, pid, args[0]);
	case SYS_poll:
		return (int)args[2] < 0 && polls_input(attend, pid, args);
	case SYS_ppoll:
		return !args[2] && polls_input(attend, pid, args);
	case SYS_select:
	case SYS_pselect6:
		return !args[4] && selects_input(attend, pid, args);
	default:
		return false;
	}
}

static bool has_waited(const struct attend *attend, const struct process *process)
{
	for (size_t i = 0; i < attend->n_waiters; i++)
		if (attend->waiters[i].pid == process->pid && attend->waiters[i].start == process->start)
			return true;
	return false;
}

/* No room in an empty pipe for an answer of a few bytes cannot be. */
static void give_answer(struct attend *attend, const char *answer)
{
	if (attend->input < 0 || write(attend->input, answer, strlen(answer)) != (ssize_t)strlen(answer))
		close_fd(&attend->input);
}

/* Somebody's own command: nothing comes, as from /dev/null; on the terminal an end of file is typed. */
static void end_input(struct attend *attend)
{
	close_fd(&attend->input);
	if (attend->terminal >= 0)
		(void)!write(attend->terminal, "\004", 1);
}

static struct error *ask(struct attend *attend, uint32_t warden, const struct process *process)
{
	const struct shadow_attendant *options = attend->options;
	struct script *script = script_above(attend, process);
	_cleanup_(free_ptr) char *answer = NULL;
	struct error *error = options->question(options->data, script ? script->package : NULL,
						script ? script->script : NULL, &answer);

	if (error)
		return error;
	if (answer)
		give_answer(attend, answer);
	else if (script)
		error = end_script(attend, warden, script);
	else
		end_input(attend);
	return error;
}

/*
 * Twice at the same: in between a read may just have been about to return. Of several that wait a script's is the one
 * to ask, even if that has to be seen once more: with the others the input may end, and a script must not take that for
 * an answer. One a look: what is typed has one reader, and when a script is ended the processes are others.
 */
static struct error *check_input(struct attend *attend, uint32_t warden)
{
	const struct process *chosen = NULL;
	bool of_script = false, again = false;
	struct waiter waiters[WAITERS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < attend->processes.n; i++) {
		const struct process *process = &attend->processes.items[i];
		bool script, waited;

		if (!process->inside || !waits_for_input(attend, process->pid))
			continue;
		script = script_above(attend, process);
		waited = has_waited(attend, process);
		if (!chosen || (script && !of_script) || (script == of_script && waited && !again)) {
			chosen = process;
			of_script = script;
			again = waited;
		}
		if (n < WAITERS_MAX)
			waiters[n++] = (struct waiter){process->pid, process->start};
	}
	attend->n_waiters = 0;
	for (size_t i = 0; i < n; i++)
		if (!again || waiters[i].pid != chosen->pid)
			attend->waiters[attend->n_waiters++] = waiters[i];
	return again ? ask(attend, warden, chosen) : NULL;
}

/* --- the door --- */

struct error *attend_create(const struct shadow_attendant *options, struct attend **ret, int *ret_input)
{
	_cleanup_(free_ptr) struct attend *attend = calloc(1, sizeof(*attend));
	int fds[2];
	struct stat st;

	if (!attend)
		return error_no_memory();
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_system(errno, NULL, "cannot create a pipe");
	if (fstat(fds[0], &st) < 0 || fcntl(fds[1], F_SETFL, O_NONBLOCK) < 0) {
		struct error *error = error_system(errno, NULL, "cannot set up a pipe");

		close(fds[0]);
		close(fds[1]);
		return error;
	}
	attend->options = options;
	attend->input = fds[1];
	snprintf(attend->pipe, sizeof(attend->pipe), "pipe:[%llu]", (unsigned long long)st.st_ino);
	attend->terminal = -1;
	*ret_input = fds[0];
	*ret = take_ptr(attend);
	return NULL;
}

void attend_terminal(struct attend *attend, int master)
{
	struct termios modes;
	unsigned number;

	close_fd(&attend->terminal);
	attend->terminal = master;
	attend->device = ioctl(master, TIOCGPTN, &number) == 0 ? makedev(UNIX98_PTY_SLAVE_MAJOR, number) : 0;
	/* What goes to the log are the program's own lines; nothing is typed that could be shown. */
	if (tcgetattr(master, &modes) == 0) {
		modes.c_oflag &= ~(tcflag_t)OPOST;
		modes.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(master, TCSANOW, &modes);
	}
}

struct error *attend_look(struct attend *attend, uint32_t warden)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct error *error;

	if (now_ns - attend->looked_ns < ATTEND_MS * UINT64_C(1000000))
		return NULL;
	attend->looked_ns = now_ns;
	error = list_processes(&attend->processes, warden);
	if (error)
		return error;
	note_scripts(attend, warden);
	error = check_time(attend, warden);
	return error ? error : check_input(attend, warden);
}

void attend_destroy(struct attend *attend)
{
	if (!attend)
		return;
	close_fd(&attend->input);
	close_fd(&attend->terminal);
	for (size_t i = 0; i < SCRIPTS_MAX; i++)
		script_deinit(&attend->scripts[i]);
	free(attend->processes.items);
	free(attend);
}
