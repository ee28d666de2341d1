/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suspend: stop, save, quit. QEMU 7.2 saves to a command's standard input only, and says
 * "completed" before that command has written its last bytes. So the command renames the file
 * once `cat` has succeeded: the new name is the proof that all of it is there.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/io.h"
#include "base/log.h"
#include "base/progress.h"
#include "hypervisor/qemu.h"
#include "hypervisor/quote.h"
#include "hypervisor/wire.h"

#define SAVE_POLL_MS   50
#define SAVE_STALL_MS  120000      /* without a byte written: the disk hangs */
#define SAVE_FINISH_MS 60000       /* from "completed" to the renamed file */
#define SAVE_BANDWIDTH (1ll << 40) /* bytes a second: no limit; QEMU's default is 128 MiB */

struct save {
	struct vm *vm;
	struct qmp *qmp;
	char *partial;  /* being written */
	char *complete; /* written, not durable yet */
	bool was_running;
};

static void save_deinit(struct save *save)
{
	qmp_close(save->qmp);
	free(save->partial);
	free(save->complete);
}

/* The file is made here, so that its mode is ours from the first byte on. */
static struct error *create_partial(struct save *save)
{
	const char *memory = save->vm->settings.memory;
	_cleanup_(close_fd) int fd = -1;
	struct stat status;

	if (lstat(memory, &status) == 0)
		return error_remedy(error_create(ERROR_USAGE, "%s: there is a memory image already", memory),
				    "move it away; it belongs to an older state of the disk");
	save->partial = string_format("%s.partial", memory);
	save->complete = string_format("%s.complete", memory);
	if (!save->partial || !save->complete)
		return error_no_memory();
	/* Left behind by a save that was killed; the guest has gone on since. */
	unlink(save->partial);
	unlink(save->complete);
	fd = open(save->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? error_system(errno, save->partial, "cannot create") : NULL;
}

static struct error *check_status(struct save *save)
{
	char status[QMP_STATUS_SIZE];
	struct error *error = qmp_status(save->qmp, status);

	if (error)
		return error;
	save->was_running = strcmp(status, "running") == 0;
	if (save->was_running || strcmp(status, "paused") == 0)
		return NULL;
	return error_create(ERROR_UNSUPPORTED, "QEMU's state is \"%s\": only a running or paused guest can be saved",
			    status);
}

/* Options of live migration that would change the format of the stream, or split it. */
static struct error *clear_capabilities(struct qmp *qmp)
{
	_cleanup_(json_decref_ptr) json_t *now = NULL;
	_cleanup_(json_decref_ptr) json_t *wanted = json_array();
	size_t i;
	json_t *capability;
	struct error *error = qmp_execute(qmp, "query-migrate-capabilities", NULL, &now);

	if (error)
		return error;
	json_array_foreach(now, i, capability)
	{
		const char *name = json_string_value(json_object_get(capability, "capability"));

		if (!name || !json_is_true(json_object_get(capability, "state")) || strcmp(name, "events") == 0)
			continue;
		if (json_array_append_new(wanted, json_pack("{s:s, s:b}", "capability", name, "state", 0)) < 0)
			return error_no_memory();
	}
	if (json_array_size(wanted) == 0)
		return NULL;
	return qmp_execute(qmp, "migrate-set-capabilities", json_pack("{s:O}", "capabilities", wanted), NULL);
}

static struct error *begin_migration(struct save *save)
{
	_cleanup_(free_ptr) char *from = shell_quote(save->partial);
	_cleanup_(free_ptr) char *to = shell_quote(save->complete);
	_cleanup_(free_ptr) char *uri = NULL;
	json_t *arguments;
	struct error *error = clear_capabilities(save->qmp);

	if (!error)
		error = qmp_execute(save->qmp, "migrate-set-parameters",
				    json_pack("{s:I}", "max-bandwidth", (json_int_t)SAVE_BANDWIDTH), NULL);
	if (error)
		return error;
	if (from && to)
		uri = string_format("exec:cat > %s && mv -f %s %s", from, from, to);
	if (!uri)
		return error_no_memory();
	arguments = json_pack("{s:s}", "uri", uri);
	if (!arguments)
		return error_create(ERROR_USAGE, "%s: the path is not UTF-8, which QMP cannot take", save->partial);
	return qmp_execute(save->qmp, "migrate", arguments, NULL);
}

/* One look at the migration. *ret_bytes: written so far. */
static struct error *save_progress(struct save *save, uint64_t *ret_bytes, bool *ret_done)
{
	_cleanup_(json_decref_ptr) json_t *answer = NULL;
	const char *phase, *why;
	json_t *ram;
	uint64_t bytes;
	struct error *error = qmp_execute(save->qmp, "query-migrate", NULL, &answer);

	if (!error)
		error = json_get_string(answer, "status", &phase);
	if (error)
		return error;
	why = json_string_value(json_object_get(answer, "error-desc"));
	if (strcmp(phase, "failed") == 0 || strcmp(phase, "cancelled") == 0)
		return error_create(ERROR_FAILED, "QEMU could not write the memory image: %s", why ? why : phase);
	ram = json_object_get(answer, "ram");
	bytes = (uint64_t)json_integer_value(json_object_get(ram, "transferred"));
	progress_update(bytes, (uint64_t)json_integer_value(json_object_get(ram, "total")));
	*ret_bytes = bytes;
	*ret_done = strcmp(phase, "completed") == 0;
	return NULL;
}

static void pause_poll(void)
{
	static const struct timespec pause = {.tv_nsec = SAVE_POLL_MS * 1000000};

	nanosleep(&pause, NULL);
}

static struct error *await_saved(struct save *save)
{
	uint64_t deadline_ns = wire_deadline(SAVE_STALL_MS);
	uint64_t bytes = 0, seen = 0;
	bool done = false;

	while (!done) {
		struct error *error = save_progress(save, &bytes, &done);

		if (error)
			return error;
		if (bytes != seen)
			deadline_ns = wire_deadline(SAVE_STALL_MS);
		seen = bytes;
		if (!done && clock_monotonic_ns() >= deadline_ns)
			return error_create(ERROR_TIMEOUT, "QEMU makes no progress with the memory image");
		if (!done)
			pause_poll();
	}
	deadline_ns = wire_deadline(SAVE_FINISH_MS);
	while (access(save->complete, F_OK) < 0) {
		if (clock_monotonic_ns() >= deadline_ns)
			return error_remedy(error_create(ERROR_FAILED,
							 "%s: the memory image was not written completely",
							 save->partial),
					    "see that there is space on that file system");
		pause_poll();
	}
	return NULL;
}

/* Durable under its final name, which must still be free. */
static struct error *publish(struct save *save)
{
	const char *memory = save->vm->settings.memory;
	_cleanup_(close_fd) int fd = open(save->complete, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct error *error;

	if (fd < 0)
		return error_system(errno, save->complete, "cannot open");
	if (fsync(fd) < 0)
		return error_system(errno, save->complete, "cannot make durable");
	if (renameat2(AT_FDCWD, save->complete, AT_FDCWD, memory, RENAME_NOREPLACE) < 0)
		return error_system(errno, memory, "cannot name the memory image");
	error = io_sync_parent(memory);
	/* The guest will go on: an image of now must not be found later. */
	if (error)
		unlink(memory);
	return error;
}

/* After a failure: what was written goes, and the guest goes on if it ran. */
static struct error *undo(struct save *save, struct error *error)
{
	struct error *failure = NULL;

	error_destroy(qmp_execute(save->qmp, "migrate_cancel", NULL, NULL));
	unlink(save->partial);
	unlink(save->complete);
	if (save->was_running)
		failure = qmp_execute(save->qmp, "cont", NULL, NULL);
	if (!failure)
		return error;
	failure = error_remedy(error_wrap(failure, "the guest is stopped and could not be continued"),
			       "the save had failed before: %s", error->message);
	error_destroy(error);
	return failure;
}

static struct error *save_memory(struct save *save)
{
	struct error *error = NULL;

	if (save->was_running)
		error = qmp_execute(save->qmp, "stop", NULL, NULL);
	if (!error)
		error = begin_migration(save);
	if (!error)
		error = await_saved(save);
	if (!error)
		error = publish(save);
	return error;
}

struct error *qemu_suspend(struct vm *vm)
{
	_cleanup_(save_deinit) struct save save = {.vm = vm};
	struct error *error = qmp_open(vm->settings.qmp, &save.qmp);

	if (error && error->code == ERROR_NOT_FOUND)
		return error_remedy(error, "it is not running, or not with this QMP socket");
	if (!error)
		error = check_status(&save);
	if (!error)
		error = create_partial(&save);
	if (error)
		return error;
	progress_step("suspend", "saving the memory");
	error = save_memory(&save);
	progress_end();
	if (error)
		return undo(&save, error);
	return error_wrap(qemu_quit_and_wait(vm, save.qmp), "the memory is saved, but its process is still there");
}
