/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/timers.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "apply/act.h"
#include "apply/events.h"
#include "apply/fault.h"
#include "apply/run.h"
#include "apply/systemd.h"
#include "apply/units.h"
#include "base/io.h"

#define CALL_TIMEOUT_MS 90000
#define TIMERS_MAX      64
#define FILE_MAX        65536
#define OFFER           "timers.offered"
/* Until the host has opened the gate and brought the second update, several times over. */
#define OFFER_POLLS     300
#define OFFER_POLL_NS   (100 * 1000 * 1000)

/* Those of Debian, Fedora, openSUSE and Arch. Each goes by the calendar: stopped and started again it misses nothing.
 */
static const char *const held[] = {
	"apt-daily.timer",
	"apt-daily-upgrade.timer",
	"dpkg-db-backup.timer",
	"logrotate.timer",
	"man-db.timer",
	"etckeeper.timer",
	"plocate-updatedb.timer",
	"mlocate-updatedb.timer",
	"updatedb.timer",
	"dnf-automatic.timer",
	"dnf-automatic-install.timer",
	"dnf-automatic-download.timer",
	"dnf-automatic-notifyonly.timer",
	"dnf5-automatic.timer",
	"transactional-update.timer",
	"pacman-filesdb-refresh.timer",
	"backup-rpmdb.timer",
};

static char *file_path(const char *directory)
{
	return string_format("%s/timers", directory);
}

/* "" if there is none. */
static struct error *read_noted(const char *directory, char **ret)
{
	_cleanup_(free_ptr) char *path = file_path(directory);
	struct error *error = path ? io_read_file(path, FILE_MAX, ret, NULL) : error_no_memory();

	if (!error || error->code != ERROR_NOT_FOUND)
		return error;
	error_destroy(error);
	*ret = strdup("");
	return *ret ? NULL : error_no_memory();
}

struct error *timers_note(const char *directory, const char *timer)
{
	_cleanup_(free_ptr) char *path = file_path(directory), *noted = NULL;
	_cleanup_(close_fd) int fd = -1;
	struct error *error;
	char line[256];
	int n = snprintf(line, sizeof(line), "%s\n", timer);

	if (!path)
		return error_no_memory();
	error = read_noted(directory, &noted);
	if (error || (size_t)n >= sizeof(line))
		return error;
	if (lines_have(noted, timer))
		return NULL;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? error_system(errno, path, "cannot open") : io_write(fd, line, n, path);
}

static struct error *hold(struct transaction *t, struct systemd *manager)
{
	const char *running[ARRAY_SIZE(held)];
	bool runs[ARRAY_SIZE(held)];
	struct error *error = systemd_ask_running(manager, held, ARRAY_SIZE(held), runs);
	size_t n = 0;

	for (size_t i = 0; !error && i < ARRAY_SIZE(held); i++) {
		if (!runs[i])
			continue;
		running[n++] = held[i];
		error = timers_note(t->directory, held[i]);
	}
	fault_point();
	if (!error && n)
		error = systemd_stop(manager, running, n);
	fault_point();
	/* The update goes on as it would with nothing to hold. */
	if (error && error->code == ERROR_FAILED) {
		event_note(t->report_fd, NULL, "timers that are due may fire in the middle: %s", error->message);
		error_destroy(error);
		return NULL;
	}
	return error;
}

struct error *timers_hold(struct transaction *t, bool with_actions)
{
	struct unit_states states = {};
	struct error *error = NULL;
	struct systemd manager;

	if (!units_has_systemd())
		return NULL;
	systemd_open(&manager);
	/* What the first update has stopped is still down. */
	if (!t->timers_held)
		error = hold(t, &manager);
	systemd_close(&manager);
	if (!error && with_actions)
		error = unit_states_ask(&t->payload.actions, &states);
	if (error || !with_actions)
		return error;
	unit_states_deinit(&t->states);
	t->states = states;
	return NULL;
}

/*
 * Our own timer has just come, and the directory's time was put back: systemd (from 246 on) looks for a unit it does
 * not know only if the time of a directory is not the one at which it read them all. -1: there is none.
 */
static int renew_directory(const char *root, struct stat *before)
{
	_cleanup_(free_ptr) char *path = string_format("%s/" UNIT_DIRECTORY, strcmp(root, "/") ? root : "");
	_cleanup_(close_fd) int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd < 0 || fstat(fd, before) < 0 || futimens(fd, NULL) < 0)
		return -1;
	return take_fd(fd);
}

static void start(const char *const *timers, size_t n, const char *root)
{
	struct stat before;
	_cleanup_(close_fd) int fd = renew_directory(root, &before);
	struct systemd manager;

	systemd_open(&manager);
	error_destroy(systemd_start(&manager, timers, n));
	systemd_close(&manager);
	if (fd >= 0)
		futimens(fd, (const struct timespec[2]){{.tv_nsec = UTIME_OMIT}, before.st_mtim});
}

void timers_start(const char *directory, const char *root)
{
	const char *timers[TIMERS_MAX];
	_cleanup_(free_ptr) char *noted = NULL;
	struct error *error = read_noted(directory, &noted);
	size_t n = 0;

	for (char *save = NULL, *timer = error ? NULL : strtok_r(noted, "\n", &save); timer && n < TIMERS_MAX;
	     timer = strtok_r(NULL, "\n", &save))
		timers[n++] = timer;
	error_destroy(error);
	if (n == 0)
		return;
	start(timers, n, root);
	timers_forget(directory);
}

void timers_start_first(const char *late, const char *root)
{
	_cleanup_(free_ptr) char *directory = string_format("%s/..", late);

	if (directory)
		timers_start(directory, root);
}

bool timers_offer(const char *directory)
{
	_cleanup_(free_ptr) char *path = string_format("%s/" OFFER, directory);
	_cleanup_(close_fd) int fd = path ? open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;

	return fd >= 0;
}

bool timers_withdraw(const char *directory)
{
	_cleanup_(free_ptr) char *path = string_format("%s/" OFFER, directory);

	return path && unlink(path) == 0;
}

/* Of two who would remove it one can: who that is has the timers. */
bool timers_take_over(const char *late)
{
	_cleanup_(free_ptr) char *path = string_format("%s/../" OFFER, late);

	return path && unlink(path) == 0;
}

bool timers_are_taken_over(const char *directory)
{
	_cleanup_(free_ptr) char *path = string_format("%s/" OFFER, directory);

	if (!path)
		return false;
	for (unsigned i = 0; i < OFFER_POLLS && access(path, F_OK) == 0; i++)
		nanosleep(&(struct timespec){.tv_nsec = OFFER_POLL_NS}, NULL);
	return !timers_withdraw(directory);
}

void timers_forget(const char *directory)
{
	_cleanup_(free_ptr) char *path = file_path(directory);

	if (path)
		unlink(path);
}

void timers_unload(void)
{
	static const char *const argv[] = {"systemctl", "daemon-reload", NULL};
	_cleanup_(run_result_deinit) struct run_result result = {};

	if (units_has_systemd())
		error_destroy(run((char *const *)argv, CALL_TIMEOUT_MS, &result));
}

void timers_stop_own(void)
{
	static const char *const argv[] = {"systemctl", "stop", "--no-block", "--", "ouassister-keep-*.timer", NULL};
	_cleanup_(run_result_deinit) struct run_result result = {};

	error_destroy(run((char *const *)argv, CALL_TIMEOUT_MS, &result));
}
