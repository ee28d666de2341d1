/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/units.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "apply/events.h"
#include "apply/report.h"
#include "base/io.h"

#define RECOVERY        "ouassister-recover"
#define RECOVERY_TARGET "sysinit.target.d"
#define RECOVERY_MARK   "run/.ouassister-open"

/*
 * Among what is ordered before it are those that do not wait for sysinit.target, although they run programs of the
 * guest. systemd-sysusers.service is not: newer ones come before the file systems are mounted.
 */
#define RECOVERY_TEXT                                                                                                  \
	"[Unit]\n"                                                                                                     \
	"Description=Finish or undo an update that was interrupted\n"                                                  \
	"DefaultDependencies=no\n"                                                                                     \
	"Conflicts=shutdown.target\n"                                                                                  \
	"After=local-fs.target systemd-remount-fs.service\n"                                                           \
	"Before=sysinit.target systemd-tmpfiles-setup.service systemd-update-done.service ldconfig.service "           \
	"apparmor.service network-pre.target networking.service cloud-init-local.service\n"                            \
	"RequiresMountsFor=" HELPER_DIRECTORY "%s\n"                                                                   \
	"ConditionPathExists=" HELPER_PATH "\n"                                                                        \
	"ConditionPathExists=!/" RECOVERY_MARK "\n"                                                                    \
	"\n"                                                                                                           \
	"[Service]\n"                                                                                                  \
	"Type=oneshot\n"                                                                                               \
	"ExecStart=" HELPER_PATH " recover --early%s%s\n"                                                              \
	"SuccessExitStatus=4 6\n"

#define KEEP            "ouassister-keep"
#define KEEP_TARGET     "timers.target.d"
/* Where systemd notes when a timer fired last, by which it knows that it missed one. */
#define STAMP_DIRECTORY "var/lib/systemd/timers"

/* After a run that found somebody at work, or the time not come, it looks again. */
#define KEEP_TIMER_TEXT                                                                                                \
	"[Unit]\n"                                                                                                     \
	"Description=When the old files of an update go\n"                                                             \
	"\n"                                                                                                           \
	"[Timer]\n"                                                                                                    \
	"OnCalendar=%s UTC\n"                                                                                          \
	"Persistent=true\n"                                                                                            \
	"OnUnitInactiveSec=6h\n"                                                                                       \
	"Unit=" KEEP ".service\n"

#define KEEP_SERVICE_TEXT                                                                                              \
	"[Unit]\n"                                                                                                     \
	"Description=Remove the old files of an update\n"                                                              \
	"ConditionPathExists=" HELPER_PATH "\n"                                                                        \
	"\n"                                                                                                           \
	"[Service]\n"                                                                                                  \
	"Type=oneshot\n"                                                                                               \
	"ExecStart=" HELPER_PATH " expire\n"                                                                           \
	"Nice=19\n"                                                                                                    \
	"IOSchedulingClass=idle\n"

bool units_has_systemd(void)
{
	return access("/run/systemd/system", F_OK) == 0;
}

/* UNIT_DIRECTORY, through no symlink; ERROR_NOT_FOUND if the guest has none. */
static struct error *open_units(struct transaction *t, int *ret)
{
	struct error *error;
	const char *name;
	int directory;

	/* Files may have been switched since it was looked up. */
	tree_forget_parent(&t->tree);
	error = tree_parent(&t->tree, UNIT_DIRECTORY "/x", &directory, &name);
	if (error)
		return error;
	*ret = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? error_system(errno, UNIT_DIRECTORY, "cannot open") : NULL;
}

/* What comes and goes of ours is not for others to see; a time is no reason to fail. */
static void restore_time(int fd, const struct stat *before)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, before->st_mtim};
	struct stat now;

	if (fstat(fd, &now) == 0 &&
	    (now.st_mtim.tv_sec != before->st_mtim.tv_sec || now.st_mtim.tv_nsec != before->st_mtim.tv_nsec))
		futimens(fd, times);
}

/* Systemd complains of units that not everybody can read. */
static struct error *put(int directory, const char *name, const char *text)
{
	_cleanup_(close_fd) int fd =
		openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0 || fchmod(fd, 0644) < 0)
		return error_system(errno, name, "cannot make the unit");
	return io_write(fd, text, strlen(text), name);
}

/* In the directory `below` of `units`, which is made. */
static struct error *put_drop_in(int units, const char *below, const char *name, const char *text)
{
	bool made = mkdirat(units, below, 0755) == 0;
	_cleanup_(close_fd) int fd = openat(units, below, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct error *error;
	struct stat st;

	/* The umask of the worker is 077. */
	if (fd < 0 || (made && fchmod(fd, 0755) < 0) || fstat(fd, &st) < 0)
		return error_system(errno, below, "cannot make the directory");
	error = put(fd, name, text);
	restore_time(fd, &st);
	return error;
}

static struct error *drop(int directory, const char *name)
{
	if (unlinkat(directory, name, 0) < 0 && errno != ENOENT)
		return error_system(errno, name, "cannot remove the unit");
	return NULL;
}

/* And the directory, if it is empty then. */
static struct error *drop_drop_in(int units, const char *below, const char *name)
{
	_cleanup_(close_fd) int fd = openat(units, below, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct error *error;
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return NULL;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_system(errno, below, "cannot open the directory");
	error = drop(fd, name);
	restore_time(fd, &st);
	if (!error && unlinkat(units, below, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY && errno != EEXIST)
		error = error_system(errno, below, "cannot remove the directory");
	return error;
}

/* A guest whose /etc is not to be written is updated all the same; a disk that is full or broken is one more reason not
 * to begin. */
static struct error *tolerate(const struct transaction *t, struct error *error, const char *what)
{
	if (!error || error->code == ERROR_NO_MEMORY || error->errnum == ENOSPC || error->errnum == EDQUOT ||
	    error->errnum == EIO)
		return error;
	event_note(t->report_fd, UNIT_DIRECTORY, "%s: %s", what, error->message);
	error_destroy(error);
	return NULL;
}

static bool is_plain(const char *path)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_.-+:,@";

	return path[strspn(path, plain)] == '\0';
}

/* " /boot /srv": the mounts that the update is on. One of an odd name is left to local-fs.target. */
static char *list_mounts(const struct tree *tree)
{
	char *list = strdup("");

	for (size_t i = 0; list && i < tree->n_file_systems; i++) {
		const char *mount = tree->file_systems[i].mount;
		char *longer = is_plain(mount) ? string_format("%s /%s", list, mount) : strdup(list);

		free(list);
		list = longer;
	}
	return list;
}

/* The next boot is told what this process was told. */
static char *keep_words(const struct transaction *t)
{
	if (t->keep_s < 0)
		return strdup("");
	return t->keep_s ? string_format(" --keep %lld", (long long)t->keep_s) : strdup(" --keep none");
}

static bool will_be_synced(const struct tree *tree, const struct stat *st)
{
	for (size_t i = 0; i < tree->n_file_systems; i++)
		if (tree->file_systems[i].device == (uint64_t)st->st_dev)
			return true;
	return false;
}

static struct error *add_recovery(struct transaction *t)
{
	_cleanup_(free_ptr) char *mounts = list_mounts(&t->tree), *keep = keep_words(t);
	_cleanup_(free_ptr) char *text =
		mounts && keep ? string_format(RECOVERY_TEXT, mounts, t->late ? " --late" : "", keep) : NULL;
	_cleanup_(close_fd) int units = -1;
	struct error *error;
	struct stat st;

	if (!text)
		return error_no_memory();
	error = open_units(t, &units);
	if (!error && fstat(units, &st) < 0)
		error = error_system(errno, UNIT_DIRECTORY, "cannot look at");
	if (error)
		return error;
	error = put(units, RECOVERY ".service", text);
	if (!error)
		error = put_drop_in(units, RECOVERY_TARGET, RECOVERY ".conf", "[Unit]\nWants=" RECOVERY ".service\n");
	restore_time(units, &st);
	if (!error && !will_be_synced(&t->tree, &st) && syncfs(units) < 0)
		error = error_system(errno, UNIT_DIRECTORY, "cannot sync the file system of");
	return error;
}

void units_mark_recovery(const struct transaction *t)
{
	_cleanup_(close_fd) int fd =
		openat(t->tree.root_fd, RECOVERY_MARK, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	/* Without it a service that starts may start the unit, which then finds the lock taken. */
	if (fd < 0)
		event_note(t->report_fd, RECOVERY_MARK, "cannot make the mark: %s", strerror(errno));
}

struct error *units_add_recovery(struct transaction *t)
{
	if (!t->whole_system || !units_has_systemd())
		return NULL;
	units_mark_recovery(t);
	return tolerate(t, add_recovery(t), "nothing will recover this update at boot");
}

static struct error *remove_recovery(struct transaction *t)
{
	_cleanup_(close_fd) int units = -1;
	struct error *error = open_units(t, &units);
	struct stat st;

	/* Absent, or a symlink: there was no place for it. */
	if (error && (error->code == ERROR_NOT_FOUND || error->code == ERROR_CONFLICT)) {
		error_destroy(error);
		return NULL;
	}
	if (!error && fstat(units, &st) < 0)
		error = error_system(errno, UNIT_DIRECTORY, "cannot look at");
	if (error)
		return error;
	/* What pulls it in goes first: a unit that nothing wants is harmless, the other way round one would be missed.
	 */
	error = drop_drop_in(units, RECOVERY_TARGET, RECOVERY ".conf");
	if (!error)
		error = drop(units, RECOVERY ".service");
	restore_time(units, &st);
	return error;
}

void units_remove_recovery(struct transaction *t)
{
	struct error *error;

	if (!t->whole_system)
		return;
	error = remove_recovery(t);
	/* It finds nothing to do, if it runs. */
	if (error)
		event_note(t->report_fd, UNIT_DIRECTORY, "a unit of the update stays: %s", error->message);
	else if (unlinkat(t->tree.root_fd, RECOVERY_MARK, 0) < 0 && errno != ENOENT)
		event_note(t->report_fd, RECOVERY_MARK, "cannot be removed: %s", strerror(errno));
	error_destroy(error);
}

/* --- the time that old files are kept --- */

static bool is_keep_timer(const char *name)
{
	size_t n = strlen(name);

	return !strncmp(name, KEEP "-", sizeof(KEEP)) && n > 6 && !strcmp(name + n - 6, ".timer");
}

/* What systemd notes of a timer. Absent: systemd would take its first start for a run. */
static void put_stamp(const struct transaction *t, const char *timer)
{
	_cleanup_(free_ptr) char *path = string_format(STAMP_DIRECTORY "/stamp-%s", timer);
	_cleanup_(close_fd) int fd =
		path ? openat(t->tree.root_fd, path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644) : -1;

	if (fd >= 0)
		futimens(fd, NULL);
}

static void drop_stamp(const struct transaction *t, const char *timer)
{
	_cleanup_(free_ptr) char *path = string_format(STAMP_DIRECTORY "/stamp-%s", timer);

	if (path)
		unlinkat(t->tree.root_fd, path, 0);
}

static struct error *drop_timers(const struct transaction *t, int units, const char *except, bool *ret_any)
{
	int fd = openat(units, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedir_ptr) DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	struct error *error = NULL;
	struct dirent *entry;

	if (!directory) {
		close_fd(&fd);
		return error_system(errno, UNIT_DIRECTORY, "cannot read");
	}
	while (!error && (entry = readdir(directory))) {
		if (!is_keep_timer(entry->d_name) || (except && !strcmp(entry->d_name, except)))
			continue;
		drop_stamp(t, entry->d_name);
		error = drop(units, entry->d_name);
		*ret_any = true;
	}
	return error;
}

static struct error *add_keep(struct transaction *t, const char *timer, const char *date)
{
	_cleanup_(free_ptr) char *text = string_format(KEEP_TIMER_TEXT, date);
	_cleanup_(free_ptr) char *drop_in = string_format("[Unit]\nWants=%s\n", timer);
	_cleanup_(close_fd) int units = -1;
	struct error *error;
	struct stat st;

	if (!text || !drop_in)
		return error_no_memory();
	error = open_units(t, &units);
	if (!error && fstat(units, &st) < 0)
		error = error_system(errno, UNIT_DIRECTORY, "cannot look at");
	if (error)
		return error;
	put_stamp(t, timer);
	error = put(units, KEEP ".service", KEEP_SERVICE_TEXT);
	if (!error)
		error = put(units, timer, text);
	if (!error)
		error = put_drop_in(units, KEEP_TARGET, KEEP ".conf", drop_in);
	restore_time(units, &st);
	if (!error && syncfs(units) < 0)
		error = error_system(errno, UNIT_DIRECTORY, "cannot sync the file system of");
	return error;
}

struct error *units_add_keep(struct transaction *t, int64_t until_s, char **ret_timer)
{
	static const char nobody[] = "the next update removes the old files, and nothing before it";
	_cleanup_(free_ptr) char *timer = string_format(KEEP "-%lld.timer", (long long)until_s);
	time_t until = until_s;
	struct error *error;
	char date[64];
	struct tm tm;

	*ret_timer = NULL;
	if (!t->whole_system)
		return NULL;
	if (!units_has_systemd()) {
		event_note(t->report_fd, NULL, "the guest does not run systemd: %s", nobody);
		return NULL;
	}
	if (!timer)
		return error_no_memory();
	if (!gmtime_r(&until, &tm) || !strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm))
		return error_create(ERROR_FAILED, "%lld is no time", (long long)until_s);
	error = add_keep(t, timer, date);
	if (!error)
		*ret_timer = take_ptr(timer);
	return tolerate(t, error, nobody);
}

struct error *units_remove_keep(struct transaction *t, const char *except, bool *ret_any)
{
	_cleanup_(close_fd) int units = -1;
	struct error *error;
	struct stat st;

	*ret_any = false;
	if (!t->whole_system)
		return NULL;
	error = open_units(t, &units);
	if (error) {
		bool absent = error->code == ERROR_NOT_FOUND || error->code == ERROR_CONFLICT;

		if (!absent)
			return error;
		error_destroy(error);
		return NULL;
	}
	if (fstat(units, &st) < 0)
		return error_system(errno, UNIT_DIRECTORY, "cannot look at");
	error = drop_timers(t, units, except, ret_any);
	if (!error && !except)
		error = drop_drop_in(units, KEEP_TARGET, KEEP ".conf");
	if (!error && !except)
		error = drop(units, KEEP ".service");
	restore_time(units, &st);
	return error;
}
