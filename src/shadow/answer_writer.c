/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens for writing. Of files that belong to the sleeping processes, and of devices, who opens them is noted.
 *
 * Of files below /sys, which is read-only in the shadow: the caller gets one end of a pair of
 * sockets, and what it writes, each write by itself, becomes an action. The file does not change for those who read it.
 * Of udevadm, which writes to every device, the command is what counts.
 *
 * A caller that lies about the path when the kernel looks again finds a read-only /sys, or a file it may open anyway.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/log.h"
#include "shadow/answer.h"
#include "shadow/need.h"
#include "shadow/record.h"
#include "shadow/runtime.h"

/* Files that programs of one run hold open so. */
#define WRITERS_MAX 256u

struct writer {
	int fd;               /* our end; -1: free */
	struct action action; /* without data */
};

struct answer_writers {
	struct writer items[WRITERS_MAX];
	uint32_t last_udevadm; /* its number on the host; it is recorded once */
};

static void free_writer(struct writer *writer)
{
	close_fd(&writer->fd);
	action_deinit(&writer->action);
}

void answer_writers_destroy(struct answer_writers *writers)
{
	for (size_t i = 0; writers && i < WRITERS_MAX; i++)
		free_writer(&writers->items[i]);
	free(writers);
}

static void record_write(struct answers *answers, const struct writer *writer, const uint8_t *data, size_t size)
{
	struct action words = writer->action, action;
	struct error *error;

	words.data = (uint8_t *)data;
	words.size = size;
	error = action_copy(&words, &action);
	if (!error)
		error = record_action(answers->shadow, 0, action);
	if (error)
		log_debug("not recorded: %s", error->message);
	error_destroy(error);
}

/* False: the program has closed its end. */
static bool collect(struct answers *answers, const struct writer *writer)
{
	uint8_t data[ACTION_DATA_MAX];
	ssize_t n;

	while ((n = recv(writer->fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
		record_write(answers, writer, data, (size_t)n);
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

void answers_collect(struct answers *answers)
{
	struct answer_writers *writers = answers->writers;

	for (size_t i = 0; writers && i < WRITERS_MAX; i++)
		if (writers->items[i].fd >= 0 && !collect(answers, &writers->items[i]))
			free_writer(&writers->items[i]);
}

static struct answer_writers *get_writers(struct answers *answers)
{
	if (answers->writers)
		return answers->writers;
	answers->writers = calloc(1, sizeof(*answers->writers));
	for (size_t i = 0; answers->writers && i < WRITERS_MAX; i++)
		answers->writers->items[i].fd = -1;
	return answers->writers;
}

static int give(struct answer_call *call, int fd, uint64_t flags)
{
	struct seccomp_notif_addfd add = {.id = call->request->id,
					  .flags = SECCOMP_ADDFD_FLAG_SEND,
					  .srcfd = (uint32_t)fd,
					  .newfd_flags = flags & O_CLOEXEC ? O_CLOEXEC : 0};

	if (ioctl(call->answers->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0)
		return errno == ENOENT ? ESRCH : errno;
	call->sent = true;
	return 0;
}

static int add_writer(struct answer_call *call, const char *path, uint64_t flags)
{
	struct answer_writers *writers = get_writers(call->answers);
	struct writer made = {.fd = -1, .action = {.kind = ACTION_WRITE}};
	int fds[2], errnum;
	size_t i = 0;

	while (writers && i < WRITERS_MAX && writers->items[i].fd >= 0)
		i++;
	if (!writers || i == WRITERS_MAX || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return EMFILE;
	made.fd = fds[0];
	made.action.path = strdup(path);
	record_origin(call->request->pid, &made.action);
	errnum = made.action.path ? give(call, fds[1], flags) : ENOMEM;
	close(fds[1]);
	if (errnum)
		free_writer(&made);
	else
		writers->items[i] = made;
	return errnum;
}

/* What it writes goes nowhere. */
static int give_sink(struct answer_call *call, uint64_t flags)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int errnum = fd < 0 ? EROFS : give(call, fd, flags);

	close_fd(&fd);
	return errnum;
}

static bool is_udevadm(struct answer_call *call)
{
	char text[64] = "";
	_cleanup_(close_fd) int fd = answer_open_proc(call, "comm", O_RDONLY);

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && strcmp(text, "udevadm\n") == 0;
}

static int answer_udevadm(struct answer_call *call, uint64_t flags)
{
	struct answer_writers *writers = get_writers(call->answers);
	struct error *error = NULL;

	if (writers && writers->last_udevadm != call->request->pid) {
		writers->last_udevadm = call->request->pid;
		error = record_caller(call->shadow, call->request->pid);
	}
	error_destroy(error);
	return error ? EROFS : give_sink(call, flags);
}

static bool may_write(struct answer_call *call, const struct stat *st)
{
	struct answer_caller caller;

	if (answer_caller(call, &caller) != 0)
		return false;
	if (answer_capable(&caller, CAP_DAC_OVERRIDE))
		return (st->st_mode & 0222) != 0;
	return (st->st_uid == SHADOW_ID_BASE + caller.fsuid && st->st_mode & 0200) || st->st_mode & 0002;
}

/* What every script writes to, and every shadow has. */
static bool is_everywhere(const char *path)
{
	static const char *const names[] = {"/dev/null", "/dev/tty",    "/dev/zero",
					    "/dev/full", "/dev/stdout", "/dev/stderr"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(path, names[i]) == 0)
			return true;
	return false;
}

/* Who opens a device that is none here: of the disk, to write to it, or another, which may fail. */
static void look_at_device(struct answer_call *call, const char *path)
{
	_cleanup_(close_fd) int fd = is_everywhere(path) ? -1 : answer_look_device(call, path);
	struct statfs fs;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || (!S_ISBLK(st.st_mode) && !S_ISCHR(st.st_mode)))
		return;
	if (S_ISBLK(st.st_mode))
		need_note(call->shadow, call->request->pid, SHADOW_NEED_DEVICE, path, "writes to the device %s", path);
	else if (fstatfs(fd, &fs) == 0 && fs.f_flags & ST_NODEV)
		need_note(call->shadow, call->request->pid, SHADOW_NEED_REFUSED, path, "needs the device %s", path);
}

static void look_at_file(struct answer_call *call, int directory, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const struct shadow_live_file *file;
	_cleanup_(close_fd) int fd = -1;

	if (strncmp(path, "/dev/", 5) == 0) {
		look_at_device(call, path);
		return;
	}
	runtime_note_writer(call->shadow, call->request->pid, path);
	if (strncmp(path, "/boot/", 6) == 0 || strncmp(path, "/efi/", 5) == 0)
		need_note_below_efi(call->shadow, call->request->pid, path);
	/* A link of another name is found at the end, by its inode, and then by watching names. */
	if (!call->shadow->watch_names && !live_has_name(call->shadow, name))
		return;
	fd = answer_look_path(call, directory, path, 0);
	file = answer_live(call, fd, call->shadow->watch_names ? NULL : name);
	if (file)
		need_note_live(call->shadow, call->request->pid, file, "writes");
}

/* Most opens are of something else: as little as possible is looked at. */
static int answer_path(struct answer_call *call, int directory, const char *path, uint64_t flags)
{
	_cleanup_(close_fd) int fd = -1;
	char real[PATH_MAX];
	struct stat st;

	call->proceed = true;
	if (path[0] != '/' || strncmp(path, "/sys/", 5) != 0)
		look_at_file(call, directory, path);
	if ((path[0] == '/' && strncmp(path, "/sys/", 5) != 0) || (flags & O_ACCMODE) != O_WRONLY)
		return 0;
	fd = answer_look_path(call, directory, path, 0);
	if (fd < 0 || !answer_path_of(fd, real) || strncmp(real, "/sys/", 5) != 0 || fstat(fd, &st) < 0 ||
	    !S_ISREG(st.st_mode) || !may_write(call, &st))
		return 0;
	answers_collect(call->answers);
	call->proceed = false;
	return is_udevadm(call) ? answer_udevadm(call, flags) : add_writer(call, real, flags);
}

static int answer_writer(struct answer_call *call, int directory, uint64_t address, uint64_t flags)
{
	char path[PATH_MAX];

	call->proceed = true;
	if (answer_read_string(call, address, path, sizeof(path), ENAMETOOLONG) != 0)
		return 0;
	return answer_path(call, directory, path, flags);
}

int answer_open(struct answer_call *call)
{
	return answer_writer(call, AT_FDCWD, call->args[0], call->args[1]);
}

int answer_openat(struct answer_call *call)
{
	return answer_writer(call, (int)call->args[0], call->args[1], call->args[2]);
}

/* The filter cannot look at its flags: they are in the caller's memory. What is odd about them the kernel says. */
int answer_openat2(struct answer_call *call)
{
	char path[PATH_MAX], *name = path;
	struct open_how how;
	uint64_t access;

	call->proceed = true;
	if (call->args[3] < sizeof(how) || answer_read(call, call->args[2], &how, sizeof(how)) != 0)
		return 0;
	access = how.flags & O_ACCMODE;
	if ((access != O_WRONLY && access != O_RDWR) || (how.flags & O_PATH) ||
	    (how.flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) ||
	    answer_read_string(call, call->args[1], path, sizeof(path), ENAMETOOLONG) != 0)
		return 0;
	/* Its directory is its root. */
	if (how.resolve & RESOLVE_IN_ROOT)
		name += strspn(name, "/");
	return answer_path(call, (int)call->args[0], name, how.flags);
}

int answer_creat(struct answer_call *call)
{
	return answer_writer(call, AT_FDCWD, call->args[0], O_CREAT | O_WRONLY | O_TRUNC);
}
