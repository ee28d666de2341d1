/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/storage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/io.h"
#include "base/json.h"
#include "base/process.h"
#include "disk/files.h"
#include "disk/lock.h"

/* The daemon opens files and mounts; on a loaded machine that takes seconds, never a minute. */
#define START_TIMEOUT_NS (UINT64_C(60) * 1000000000)
#define POLL_NS          (5 * 1000000)
#define LOG_MAX          (64 * 1024)
#define STOP_GRACE_MS    5000

struct storage {
	pid_t daemon;
	char *export_path;
	int export_fd;
	int locks[DISK_CHAIN_MAX]; /* one a file of the chain */
	size_t n_locks;
};

static uint64_t overlay_size(const struct disk_file *image)
{
	return (image->virtual_size + 511) & ~UINT64_C(511); /* a raw file may end within a sector */
}

static struct error *create_overlay(const char *path, const struct disk_file *image)
{
	_cleanup_(free_ptr) char *size = string_format("%" PRIu64, overlay_size(image));

	if (!size)
		return error_no_memory();
	/* No backing file in its header: the chain is stated to the daemon, and nothing is probed. */
	return error_wrap(
		process_check((const char *const[]){"qemu-img", "create", "-q", "-f", "qcow2", path, size, NULL}),
		"create the throw-away overlay");
}

/* "--blockdev" of the chain's file number `i`; node names are "file0", "file1", … */
static json_t *chain_node(const struct disk_file *files, size_t n, size_t i)
{
	char node[32], backing[32];
	json_t *json;

	snprintf(node, sizeof(node), "file%zu", i);
	snprintf(backing, sizeof(backing), "file%zu", i + 1);
	json = json_pack("{s:s, s:s, s:b, s:{s:s, s:s, s:b, s:s}}", "driver", files[i].format, "node-name", node,
			 "read-only", 1, "file", "driver", files[i].block_device ? "host_device" : "file", "filename",
			 files[i].path, "read-only", 1, "locking", "on");
	if (!json || strcmp(files[i].format, "qcow2") != 0)
		return json;
	/* null: whatever the header says, no backing file. */
	if (json_object_set_new(json, "backing", i + 1 < n ? json_string(backing) : json_null()) < 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static json_t *overlay_node(const char *path)
{
	/* Nobody reads it after a crash: no flushes. */
	return json_pack("{s:s, s:s, s:s, s:{s:b, s:b}, s:{s:s, s:s, s:{s:b, s:b}}}", "driver", "qcow2", "node-name",
			 "overlay", "backing", "file0", "cache", "direct", 0, "no-flush", 1, "file", "driver", "file",
			 "filename", path, "cache", "direct", 0, "no-flush", 1);
}

static json_t *export_node(const char *path)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:b}", "type", "fuse", "id", "disk", "node-name", "overlay",
			 "mountpoint", path, "writable", 1, "growable", 0);
}

/* The daemon's arguments; strings from `first_owned` on are ours to free. */
struct arguments {
	const char *argv[2 * (DISK_CHAIN_MAX + 2) + 4];
	char *owned[DISK_CHAIN_MAX + 2];
	size_t n, n_owned;
};

static void arguments_deinit(struct arguments *a)
{
	for (size_t i = 0; i < a->n_owned; i++)
		free(a->owned[i]);
}

/* Takes `json`. */
static struct error *add_json(struct arguments *a, const char *option, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (!text) /* out of memory, or a path that is not UTF-8, which JSON cannot carry */
		return error_create(ERROR_UNSUPPORTED, "describe the disk to qemu-storage-daemon: a path is not UTF-8");
	a->owned[a->n_owned++] = text;
	a->argv[a->n++] = option;
	a->argv[a->n++] = text;
	return NULL;
}

static struct error *make_arguments(const struct disk_file *files, size_t n, const char *overlay,
				    const char *export_path, const char *pid_path, struct arguments *a)
{
	struct error *error = NULL;

	a->argv[a->n++] = "qemu-storage-daemon";
	for (size_t i = n; !error && i-- > 0;)
		error = add_json(a, "--blockdev", chain_node(files, n, i));
	if (!error)
		error = add_json(a, "--blockdev", overlay_node(overlay));
	if (!error)
		error = add_json(a, "--export", export_node(export_path));
	a->argv[a->n++] = "--pidfile";
	a->argv[a->n++] = pid_path;
	a->argv[a->n] = NULL;
	return error;
}

/* What a daemon that did not start has said. */
static struct error *start_failure(const char *log_path, const char *image)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = io_read_file(log_path, LOG_MAX, &text, NULL);

	if (error)
		return error_wrap(error, "qemu-storage-daemon failed, and its messages cannot be read");
	if (strstr(text, "Failed to get") && strstr(text, "lock")) {
		error = error_create(ERROR_BUSY, "%s: another process has the disk image open for writing", image);
		return error_remedy(error, "suspend the VM (or end what uses the image) first");
	}
	text[strcspn(text, "\n")] = 0;
	return error_create(ERROR_FAILED, "%s: qemu-storage-daemon cannot open the disk: %s", image,
			    text[0] ? text : "no message");
}

/* The daemon writes its pid file when the export is there. */
static struct error *wait_ready(pid_t *daemon, const char *pid_path, const char *log_path, const char *image)
{
	uint64_t deadline = clock_monotonic_ns() + START_TIMEOUT_NS;
	const struct timespec pause = {.tv_nsec = POLL_NS};

	while (access(pid_path, F_OK) < 0) {
		int status;

		if (waitpid(*daemon, &status, WNOHANG) == *daemon) {
			*daemon = -1;
			return start_failure(log_path, image);
		}
		if (clock_monotonic_ns() > deadline)
			return error_create(ERROR_TIMEOUT, "%s: qemu-storage-daemon does not get ready", image);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static struct error *start_daemon(const struct disk_file *files, size_t n, const char *overlay, const char *run_dir,
				  struct storage *storage)
{
	_cleanup_(free_ptr) char *log_path = string_format("%s/log", run_dir);
	_cleanup_(free_ptr) char *pid_path = string_format("%s/pid", run_dir);
	_cleanup_(arguments_deinit) struct arguments arguments = {0};
	_cleanup_(close_fd) int log_fd = -1;
	struct error *error;

	if (!log_path || !pid_path)
		return error_no_memory();
	error = make_arguments(files, n, overlay, storage->export_path, pid_path, &arguments);
	if (error)
		return error;
	log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (log_fd < 0)
		return error_system(errno, log_path, "create");
	error = process_start(&(struct process_options){.argv = arguments.argv,
							.stderr_fd = log_fd,
							.new_session = true, /* the terminal's ^C is ours to handle */
							.die_with_parent = true},
			      &storage->daemon);
	if (error)
		return error;
	return wait_ready(&storage->daemon, pid_path, log_path, files[0].path);
}

static struct error *create_export_file(const char *run_dir, struct storage *storage)
{
	_cleanup_(close_fd) int fd = -1;

	storage->export_path = string_format("%s/disk", run_dir);
	if (!storage->export_path)
		return error_no_memory();
	fd = open(storage->export_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? error_system(errno, storage->export_path, "create") : NULL;
}

static struct error *lock_chain(const struct disk_file *files, size_t n, struct storage *storage)
{
	struct error *error = NULL;

	while (!error && storage->n_locks < n) {
		error = lock_image(files[storage->n_locks].path, &storage->locks[storage->n_locks]);
		storage->n_locks += !error;
	}
	return error;
}

struct error *storage_open(const struct disk_file *files, size_t n, const char *overlay_dir, const char *run_dir,
			   struct storage **ret)
{
	_cleanup_(free_ptr) char *overlay = string_format("%s/overlay.%d.qcow2", overlay_dir, (int)getpid());
	_cleanup_(storage_close_ptr) struct storage *storage = calloc(1, sizeof(*storage));
	struct error *error;

	if (!overlay || !storage)
		return error_no_memory();
	storage->daemon = -1;
	storage->export_fd = -1;
	error = lock_chain(files, n, storage);
	if (!error)
		error = create_export_file(run_dir, storage);
	if (!error)
		error = create_overlay(overlay, &files[0]);
	if (error)
		return error;
	error = start_daemon(files, n, overlay, run_dir, storage);
	/* From here on it lives as long as the daemon, however that ends. */
	unlink(overlay);
	if (error)
		return error;
	storage->export_fd = open(storage->export_path, O_RDWR | O_CLOEXEC);
	if (storage->export_fd < 0)
		return error_system(errno, storage->export_path, "open the exported disk");
	*ret = take_ptr(storage);
	return NULL;
}

const char *storage_path(const struct storage *storage)
{
	return storage->export_path;
}

int storage_fd(const struct storage *storage)
{
	return storage->export_fd;
}

void storage_close(struct storage *storage)
{
	if (!storage)
		return;
	close_fd(&storage->export_fd);
	process_stop(&storage->daemon, STOP_GRACE_MS);
	for (size_t i = 0; i < storage->n_locks; i++)
		close_fd(&storage->locks[i]);
	free(storage->export_path);
	free(storage);
}
