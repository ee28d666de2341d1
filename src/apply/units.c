/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/units.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

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
	"ExecStart=" HELPER_PATH " recover --early\n"                                                                  \
	"SuccessExitStatus=4 6\n"

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

static bool will_be_synced(const struct tree *tree, const struct stat *st)
{
	for (size_t i = 0; i < tree->n_file_systems; i++)
		if (tree->file_systems[i].device == (uint64_t)st->st_dev)
			return true;
	return false;
}

static struct error *add_recovery(struct transaction *t)
{
	_cleanup_(free_ptr) char *mounts = list_mounts(&t->tree);
	_cleanup_(free_ptr) char *text = mounts ? string_format(RECOVERY_TEXT, mounts) : NULL;
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

	if (error && error->code == ERROR_NOT_FOUND) {
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
