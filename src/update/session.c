/* SPDX-License-Identifier: Apache-2.0 */
#include "update/session.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/log.h"
#include "base/sha256.h"
#include "shadow/shadow.h"

/* The directory of a process that shares the VM with others has its number behind this. */
#define SHARE_PREFIX "share-"

/* Two VM files of one name are told apart by a hash of where they are. */
char *session_directory(const struct update_settings *settings, const char *path, const char *name)
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	if (!hash)
		return NULL;
	sha256_update(hash, path, strlen(path));
	sha256_final(hash, digest);
	sha256_to_hex(digest, hex);
	return string_format("%s/%s-%.8s", settings->state_dir, name, hex);
}

static struct error *lock_failure(int errnum, int fd, const struct session *session, const char *path)
{
	char pid[32] = "";
	ssize_t n;

	if (errnum != EWOULDBLOCK)
		return error_system(errnum, path, "cannot lock");
	n = pread(fd, pid, sizeof(pid) - 1, 0);
	return error_remedy(error_create(ERROR_BUSY, "%s: another operation works on its disk%s%s", session->file.name,
					 n > 0 ? ", process " : "", n > 0 ? pid : ""),
			    "wait until it has ended");
}

/* The lock is on the disk, not on the name: two VM files may name one disk. Of several who share it, one is named. */
static struct error *lock_disk(struct session *session, bool shared)
{
	_cleanup_(free_ptr) char *path = NULL;
	_cleanup_(close_fd) int fd = -1;
	struct stat st;
	struct error *error;
	char pid[32];

	if (stat(session->file.disk, &st) < 0)
		return error_remedy(
			error_recode(error_system(errno, session->file.disk, "cannot find the disk"), ERROR_NOT_FOUND),
			!strcmp(session->file.driver, "xen")
				? "that is where the domain in %s has it: name where it is here by \"disk\" in "
				  "a VM file with driver = xen"
			: session->file.uuid ? "it is where %s has it: see virsh dumpxml"
					     : "correct \"disk\" in %s",
			session->file.path);
	error = io_mkdirs(session->settings->run_dir, 0755);
	if (error)
		return error;
	path = string_format("%s/disk-%llx-%llu.lock", session->settings->run_dir, (unsigned long long)st.st_dev,
			     (unsigned long long)st.st_ino);
	if (!path)
		return error_no_memory();
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		int errnum = errno;

		error = error_system(errnum, path, "cannot create the lock");
		return errnum == EACCES ? error_remedy(error, "only root may do this") : error;
	}
	if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0)
		return lock_failure(errno, fd, session, path);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, strlen(pid), 0) < 0)
		return error_system(errno, path, "cannot write the lock");
	session->lock_fd = take_fd(fd);
	return NULL;
}

/* Who may exchange a bundle there is the guest's root. */
static struct error *check_state_directory(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return error_system(errno, path, "cannot look at");
	if (!(st.st_mode & S_IWOTH) || st.st_mode & S_ISVTX)
		return NULL;
	return error_remedy(error_create(ERROR_USAGE, "%s: anybody may write into the state directory", path),
			    "chmod o-w %s, and see that what is in it is yours", path);
}

static struct error *make_directory(const struct session *session)
{
	struct error *error = io_mkdirs(session->settings->state_dir, 0700);

	if (!error)
		error = check_state_directory(session->settings->state_dir);
	return error ? error : io_mkdirs(session->directory, 0700);
}

/* "DIRECTORY/share-PID" */
static char *share_directory(const struct session *session, pid_t pid)
{
	return string_format("%s/" SHARE_PREFIX "%d", session->directory, (int)pid);
}

/* The lock on a directory whose owner lives is held by it. */
static bool is_left_over(const char *path)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* What sharers who were killed, and whose supervisor was too, left behind. */
static struct error *sweep(const struct session *session)
{
	_cleanup_(closedir_ptr) DIR *directory = opendir(session->directory);
	struct error *error = NULL;
	struct dirent *entry;

	while (!error && directory && (entry = readdir(directory))) {
		_cleanup_(free_ptr) char *path = string_format("%s/%s", session->directory, entry->d_name);

		if (!path)
			return error_no_memory();
		if (strncmp(entry->d_name, SHARE_PREFIX, strlen(SHARE_PREFIX)) == 0 && is_left_over(path))
			error = io_remove_tree(path);
	}
	return error;
}

static struct error *make_scratch(struct session *session, enum session_access access)
{
	struct error *error;

	if (access != SESSION_SHARE) {
		session->scratch = strdup(session->directory);
		return session->scratch ? NULL : error_no_memory();
	}
	error = sweep(session);
	if (error)
		return error;
	session->scratch = share_directory(session, getpid());
	if (!session->scratch)
		return error_no_memory();
	error = io_mkdirs(session->scratch, 0700);
	if (error)
		return error;
	session->scratch_fd = open(session->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Somebody else's sweep may have found it before it was locked. */
	if (session->scratch_fd < 0 || flock(session->scratch_fd, LOCK_EX | LOCK_NB) < 0)
		return error_remedy(error_system(errno, session->scratch, "cannot lock"), "try again");
	return NULL;
}

static struct error *open_parts(const char *vm, enum session_access access, struct session *session)
{
	struct vm_settings settings;
	struct error *error = vm_file_load(session->settings->config_dir, vm, &session->file);

	if (error)
		return error;
	session->directory = session_directory(session->settings, session->file.path, session->file.name);
	if (session->directory) {
		session->log_path = string_format("%s/hypervisor.log", session->directory);
		session->bundle_path = string_format("%s/bundle", session->directory);
		session->late_path = string_format("%s/bundle.late", session->directory);
	}
	if (!session->log_path || !session->bundle_path || !session->late_path)
		return error_no_memory();
	if (access != SESSION_READ) {
		error = lock_disk(session, access == SESSION_SHARE);
		if (!error)
			error = make_directory(session);
		if (error)
			return error;
	}
	error = make_scratch(session, access);
	if (error)
		return error;
	error = state_load(session->directory, &session->state);
	if (error)
		return error;
	if (!session->state.vm_file) {
		session->state.vm_file = strdup(session->file.path);
		if (!session->state.vm_file)
			return error_no_memory();
	}
	settings = vm_file_settings(&session->file, session->log_path);
	return vm_create(session->file.driver, &settings, &session->vm);
}

struct error *session_open(const struct update_settings *settings, const char *vm, enum session_access access,
			   struct session *ret)
{
	struct error *error;

	/* vm_create() borrows from the session, so it is built in its place. */
	*ret = (struct session){.settings = settings, .lock_fd = -1, .scratch_fd = -1};
	error = open_parts(vm, access, ret);
	if (error)
		session_close(ret);
	return error;
}

static void drop_scratch(struct session *session)
{
	struct error *error = io_remove_tree(session->scratch);

	if (error)
		log_warning("%s", error->message);
	error_destroy(error);
	close_fd(&session->scratch_fd);
}

void session_close(struct session *session)
{
	vm_destroy(session->vm);
	state_deinit(&session->state);
	free(session->directory);
	free(session->log_path);
	free(session->bundle_path);
	free(session->late_path);
	vm_file_deinit(&session->file);
	if (session->scratch_fd >= 0)
		drop_scratch(session);
	free(session->scratch);
	close_fd(&session->lock_fd);
	*session = (struct session){.lock_fd = -1, .scratch_fd = -1};
}

json_t *session_document(const struct session *session)
{
	return json_pack("{s:i, s:s}", "version", 1, "vm", session->file.name);
}

bool session_has_memory(const struct session *session)
{
	return session->file.memory && (access(session->file.memory, F_OK) == 0 || errno != ENOENT);
}

struct error *session_missing_memory(const struct session *session)
{
	_cleanup_(free_ptr) char *spent = NULL;

	if (!session->file.memory)
		return error_remedy(error_create(ERROR_NOT_FOUND, "%s names no memory image", session->file.path),
				    "give it the key \"memory\" in [vm], and suspend the VM");
	spent = string_format("%s.spent", session->file.memory);
	if (spent && access(spent, F_OK) == 0)
		return error_remedy(
			error_create(
				ERROR_CONFLICT,
				"%s: the memory image is spent: the guest has run since, its memory no longer fits "
				"its disk",
				session->file.memory),
			"start the VM with its own command, and suspend it again");
	return error_remedy(error_create(ERROR_NOT_FOUND, "%s: there is no such memory image", session->file.memory),
			    "suspend the VM, or correct \"memory\" in %s", session->file.path);
}

struct error *session_require_process(const struct session *session)
{
	enum vm_state state;
	struct error *error = vm_state(session->vm, &state);

	if (error || state != VM_OFF)
		return error;
	/* Booted from its disk it would lose what its memory image holds. */
	if (session_has_memory(session))
		return error_remedy(error_create(ERROR_NOTHING, "%s: the VM sleeps, its memory image is %s",
						 session->file.name, session->file.memory),
				    "wake it first: ouassister resume, or resume --without-update");
	if (session->file.uri)
		return error_remedy(error_create(ERROR_FAILED, "%s: the domain does not run", session->file.name),
				    "start it: virsh -c %s start %s", session->file.uri, session->file.domain);
	if (session->file.uuid)
		return error_remedy(error_create(ERROR_FAILED, "%s: the domain does not run here", session->file.name),
				    "start it by xl create, on the dom0 that has its disk");
	return error_remedy(error_create(ERROR_FAILED, "%s: the VM does not run, nothing answers on %s",
					 session->file.name, vm_file_place(&session->file)),
			    "start it with the \"command\" of %s, or correct \"qmp\"", session->file.path);
}

struct error *session_tidy_up(const struct session *session)
{
	static const char *const names[] = {SESSION_WORK_DIR, SESSION_LAYERS_DIR, SESSION_SHADOW_DIR};
	struct error *error = NULL;

	for (size_t i = 0; !error && i < ARRAY_SIZE(names); i++) {
		_cleanup_(free_ptr) char *path = string_format("%s/%s", session->directory, names[i]);

		error = path ? io_remove_tree(path) : error_no_memory();
	}
	return error ? error : sweep(session);
}

/* What the process itself left, if it shared the VM; others may be at work. */
static struct error *tidy_up_share(const struct update_settings *settings, const char *vm, pid_t pid, bool *ret_shared)
{
	_cleanup_(free_ptr) char *path = NULL;
	struct session session;
	struct error *error = session_open(settings, vm, SESSION_READ, &session);

	if (error)
		return error;
	path = share_directory(&session, pid);
	session_close(&session);
	if (!path)
		return error_no_memory();
	*ret_shared = access(path, F_OK) == 0;
	return io_remove_tree(path);
}

struct error *update_tidy_up(const struct update_settings *settings, const char *vm, pid_t pid)
{
	struct session session;
	bool shared = false;
	struct error *error;

	shadow_tidy_up();
	error = tidy_up_share(settings, vm, pid, &shared);

	if (error || shared)
		return error;
	error = session_open(settings, vm, SESSION_WORK, &session);
	if (error)
		return error;
	error = session_tidy_up(&session);
	session_close(&session);
	return error;
}
