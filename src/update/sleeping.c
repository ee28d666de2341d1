/* SPDX-License-Identifier: Apache-2.0 */
#include "update/sleeping.h"

#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "update/newer.h"
#include "update/os_release.h"
#include "update/shut_down.h"

#define OS_RELEASE_MAX 65536

struct error *sleeping_refuse_running(struct session *session)
{
	enum vm_state state;
	struct error *error = vm_state(session->vm, &state);

	if (error)
		return error;
	if (state == VM_OFF)
		return NULL;
	return error_remedy(error_create(ERROR_BUSY, "%s: the VM is not asleep, a process answers on %s",
					 session->file.name, vm_file_place(&session->file)),
			    "run: ouassister suspend %s", session->file.path);
}

/* Before anything is opened: the files are those that `suspend` left. */
static struct error *check_files(struct session *session, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *now = NULL;
	struct error *error;

	if (!session_has_memory(session))
		return session_missing_memory(session);
	error = fingerprint_files(&session->file, &now);
	/* libvirt itself sees to it that a managed save is of this disk: it may be a newer one, made by its own tools.
	 */
	if (!error && session->state.state == STATE_SUSPENDED && session->state.fingerprint &&
	    !session->file.managed_save)
		error = error_remedy(fingerprint_compare(session->state.fingerprint, now),
				     "the memory no longer belongs to this disk: start the VM without it");
	if (error)
		return error;
	*ret = take_ptr(now);
	return NULL;
}

static struct error *open_memory(struct session *session, struct sleeping *sleeping)
{
	struct error *error = error_remedy(image_open(session->file.memory, &session->image_options, &sleeping->image),
					   "\"memory\" must name the whole image of a suspend, as QEMU wrote it");

	if (!error)
		error = guest_open(sleeping->image, &session->guest_options, &sleeping->guest);
	if (!error)
		error = guest_uts(sleeping->guest, &sleeping->uts);
	sleeping->has_uts = !error;
	if (!error)
		error = guest_clock(sleeping->guest, &sleeping->clock);
	if (!error)
		error = guest_boot_id(sleeping->guest, sleeping->boot_id);
	if (!error)
		error = guest_tasks(sleeping->guest, GUEST_PROCESSES, &sleeping->processes);
	/* Half a list could hide a package manager at work. */
	if (!error)
		error = error_wrap(take_ptr(sleeping->processes.incomplete),
				   "the guest's list of processes is damaged");
	return error_wrap(error, "memory of %s", session->file.name);
}

/* A memory image that was used up may have been copied beforehand: the guest's own clock tells. */
static struct error *refuse_spent(const struct session *session, const json_t *fingerprint)
{
	if (!session->state.spent || !json_equal(session->state.spent, json_object_get(fingerprint, "guest")))
		return NULL;
	return error_remedy(
		error_create(ERROR_CONFLICT,
			     "%s: the memory image is spent: the guest was woken from this very state before",
			     session->file.memory),
		"start the VM with its own command, and suspend it again");
}

/* "xxxxxxxx-xxxx-…" to 16 bytes; false if it is none. */
static bool parse_uuid(const char *text, uint8_t ret[16])
{
	size_t n = 0;

	for (; *text; text++) {
		char pair[3] = {text[0], text[1]};
		char *end;

		if (*text == '-')
			continue;
		if (n == 16 || !text[1])
			return false;
		ret[n++] = (uint8_t)strtoul(pair, &end, 16);
		if (*end)
			return false;
		text++;
	}
	return n == 16;
}

static const struct guest_file_system *find_by_uuid(const struct guest_file_system *systems, size_t n, const char *text)
{
	uint8_t uuid[16];

	if (!parse_uuid(text, uuid))
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (!memcmp(systems[i].uuid, uuid, sizeof(uuid)))
			return &systems[i];
	return NULL;
}

static struct error *match_mount(const struct session *session, const struct disk_mount *mount,
				 const struct guest_file_system *systems, size_t n)
{
	const struct guest_file_system *found = find_by_uuid(systems, n, mount->uuid);

	if (!found && !strcmp(mount->target, "/"))
		return error_remedy(error_create(ERROR_CONFLICT,
						 "%s is the memory of another VM than the disk %s: its kernel has no "
						 "file system %s mounted, which holds the disk's root",
						 session->file.memory, session->file.disk, mount->uuid),
				    "correct \"memory\" or \"disk\" in %s", session->file.path);
	if (!found || !found->has_ext4)
		return NULL;
	if (found->ext4_mount_count == mount->ext4_mount_count && found->ext4_mount_time_s == mount->ext4_mount_time_s)
		return NULL;
	return error_remedy(
		error_create(
			ERROR_CONFLICT,
			"the memory %s and the disk %s do not belong together: in the memory the file system for %s "
			"was "
			"mounted %u time%s, on the disk %u time%s: the disk has changed since the suspend, or one of "
			"the two is another VM's",
			session->file.memory, session->file.disk, mount->target, found->ext4_mount_count,
			plural(found->ext4_mount_count), mount->ext4_mount_count, plural(mount->ext4_mount_count)),
		"correct \"memory\" or \"disk\" in %s; if they are right, the VM ran meanwhile and its memory is "
		"worthless",
		session->file.path);
}

/*
 * The disk of a partition, by the kernel's naming: a disk whose name ends with a digit has a 'p'
 * before the partition's number ("nvme0n1p2" to "nvme0n1"), another has not ("vda2" to "vda"). A
 * disk without partitions stays. NULL without memory.
 */
static char *without_partition(const char *id)
{
	static const char digits[] = "0123456789";
	size_t length = strlen(id);

	while (length && strchr(digits, id[length - 1]))
		length--;
	if (length > 1 && id[length - 1] == 'p' && strchr(digits, id[length - 2]))
		return strndup(id, length - 1);
	return strcspn(id, digits) < length ? strdup(id) : strndup(id, length);
}

/* The file systems that the guest's kernel had mounted are those of the disk, in the same state. */
static struct error *match_memory_and_disk(const struct session *session, struct sleeping *sleeping)
{
	const struct guest_file_system *systems = sleeping->systems;
	size_t n = sleeping->n_systems, n_mounts;
	const struct disk_mount *mounts = disk_mounts(sleeping->disk, &n_mounts);
	struct error *error = NULL;

	for (size_t i = 0; !error && i < n_mounts; i++)
		error = match_mount(session, &mounts[i], systems, n);
	if (!error && n_mounts) {
		const struct guest_file_system *root = find_by_uuid(systems, n, mounts[0].uuid);

		sleeping->disk_name = root ? without_partition(root->id) : NULL;
	}
	return error;
}

/* Where memory does not tell what is mounted, /etc/fstab does. */
static struct error *read_mounts(struct sleeping *sleeping)
{
	struct guest_mount_list *mounts = &sleeping->mounts;
	struct error *error = guest_mounts(sleeping->guest, 0, mounts);

	if (!error)
		error = guest_mounts_visible(mounts);
	if (mounts->incomplete)
		log_warning("%s", mounts->incomplete->message);
	if (error && error->code != ERROR_NO_MEMORY) {
		log_warning("%s", error->message);
		error_destroy(take_ptr(error));
		guest_mount_list_deinit(mounts);
	}
	return error ? error : guest_file_systems(sleeping->guest, &sleeping->systems, &sleeping->n_systems);
}

/* What is said at the call wins over the VM file. */
static struct error *choose_way(const struct session *session, enum disk_way *ret)
{
	const char *word = session->settings->disk ? session->settings->disk : session->file.disk_reader;

	*ret = DISK_WAY_USERSPACE;
	return word ? disk_way_parse(word, ret) : NULL;
}

static struct error *open_disk(struct session *session, struct sleeping *sleeping)
{
	const struct disk_memory memory = {.mounts = &sleeping->mounts,
					   .systems = sleeping->systems,
					   .n_systems = sleeping->n_systems,
					   .guest = session->settings->disk_alone ? NULL : sleeping->guest,
					   .keep = session->keep};
	struct disk_options options = {
		.path = session->file.disk, .format = session->file.format, .memory = sleeping->guest ? &memory : NULL};
	struct error *error;
	size_t n_notes;

	sleeping->work_dir = string_format("%s/" SESSION_WORK_DIR, session->scratch);
	if (!sleeping->work_dir)
		return error_no_memory();
	options.work_dir = sleeping->work_dir;
	error = disk_private_namespace();
	/* What a killed process left there; nothing is mounted in it, its namespace is gone. */
	if (!error)
		error = io_remove_tree(sleeping->work_dir);
	if (!error)
		error = io_mkdirs(sleeping->work_dir, 0700);
	if (!error)
		error = choose_way(session, &options.way);
	if (!error)
		error = disk_open(&options, &sleeping->disk);
	if (error)
		return error_wrap(error, "disk of %s", session->file.name);
	for (const char *const *note = disk_notes(sleeping->disk, &n_notes); n_notes; n_notes--)
		log_info("%s", *note++);
	newer_log(session->file.name, sleeping->disk);
	return NULL;
}

static struct error *read_os_release(struct sleeping *sleeping)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error =
		io_read_in_root(disk_root(sleeping->disk), "/etc/os-release", OS_RELEASE_MAX, &text, NULL);

	if (error) {
		log_debug("%s", error->message);
		error_destroy(error);
	}
	sleeping->os_name = os_release_value(text, "PRETTY_NAME");
	sleeping->os_id = os_release_value(text, "ID");
	return sleeping->os_name && sleeping->os_id ? NULL : error_no_memory();
}

/* A firmware's partition is of a kind that never tells, and nothing of a sleeping system hangs on it. */
bool sleeping_mount_is_let_go(const struct disk_mount *mount, bool names_memory)
{
	if (mount->unmounted == DISK_UNMOUNTED_UNKNOWN)
		return !names_memory || !strcmp(mount->type, "vfat");
	return mount->unmounted == DISK_UNMOUNTED_YES;
}

static struct error *refuse_undecided(const struct session *session, const struct disk_mount *mount)
{
	return error_remedy(error_create(ERROR_NOT_FOUND,
					 "there is no memory image %s, and whether %s was unmounted cannot be told of "
					 "%s: the VM was shut down, or it sleeps and its memory is elsewhere",
					 session->file.memory, mount->target, mount->type),
			    "if it sleeps, correct \"memory\" in %s; if it was shut down, take \"memory\" out of it",
			    session->file.path);
}

static struct error *refuse_mounted(const struct session *session, const struct disk_mount *mount)
{
	return error_remedy(
		error_create(ERROR_NOT_FOUND,
			     "there is no memory image %s, and %s (%s) was not unmounted: the VM sleeps and its "
			     "memory is elsewhere, or it was cut off without a shutdown",
			     session->file.memory ? session->file.memory : "(no \"memory\" in the VM file)",
			     mount->target, mount->type),
		"if it sleeps, correct \"memory\" in %s; if it was cut off, start it with its own command, and "
		"suspend it or shut it down",
		session->file.path);
}

/* What ran there has let go of its disk: otherwise it sleeps somewhere, or was cut off. */
static struct error *require_shut_down(const struct session *session, const struct sleeping *sleeping)
{
	size_t n;
	const struct disk_mount *mounts = disk_mounts(sleeping->disk, &n);
	struct error *missing;

	for (size_t i = 0; i < n; i++) {
		if (sleeping_mount_is_let_go(&mounts[i], session->file.memory)) {
			if (mounts[i].unmounted == DISK_UNMOUNTED_UNKNOWN)
				log_info("%s: whether %s was unmounted cannot be told of %s", session->file.name,
					 mounts[i].target, mounts[i].type);
			continue;
		}
		missing = session_missing_memory(session);
		if (missing->code == ERROR_CONFLICT)
			return missing;
		error_destroy(missing);
		return mounts[i].unmounted == DISK_UNMOUNTED_NO ? refuse_mounted(session, &mounts[i])
								: refuse_undecided(session, &mounts[i]);
	}
	return NULL;
}

/* That of a suspended VM may have been moved away: its disk is still as the suspend left it. */
static struct error *refuse_lost_memory(struct session *session, const json_t *now)
{
	_cleanup_(json_decref_ptr) json_t *disk = NULL;
	const json_t *before = session->state.fingerprint;
	struct error *error;

	if (session->state.state == STATE_OPEN || session->state.state == STATE_OPEN_LATE || !before ||
	    !fingerprint_has_memory(before))
		return NULL;
	disk = json_pack("{s:n, s:O}", "memory", "disk", json_object_get(before, "disk"));
	if (!disk)
		return error_no_memory();
	error = fingerprint_compare(disk, now);
	if (!error)
		return session_missing_memory(session);
	error_destroy(error);
	return NULL;
}

static struct error *open_shut_down(struct session *session, struct sleeping *sleeping)
{
	struct error *error = fingerprint_files(&session->file, &sleeping->fingerprint);

	if (!error)
		error = refuse_lost_memory(session, sleeping->fingerprint);
	if (!error)
		error = open_disk(session, sleeping);
	if (!error)
		error = require_shut_down(session, sleeping);
	if (!error)
		error = shut_down_uts(disk_root(sleeping->disk), &sleeping->uts, &sleeping->has_uts);
	return error ? error : read_os_release(sleeping);
}

/* Its disk is all there is. */
static struct error *open_disk_alone(struct session *session, struct sleeping *sleeping)
{
	struct error *error;

	log_warning(
		"%s: there is no memory image%s%s: what runs sees the guest's disk, and no processes or kernel of it",
		session->file.name, session->file.memory ? " " : "", session->file.memory ? session->file.memory : "");
	error = open_disk(session, sleeping);
	if (!error)
		error = shut_down_uts(disk_root(sleeping->disk), &sleeping->uts, &sleeping->has_uts);
	return error ? error : read_os_release(sleeping);
}

static struct error *open_parts(struct session *session, enum sleeping_need need, struct sleeping *sleeping)
{
	struct error *error = sleeping_refuse_running(session);

	if (error)
		return error;
	progress_step("open", "reading memory and disk");
	if (need == MEMORY_IF_THERE && !session_has_memory(session))
		return open_disk_alone(session, sleeping);
	if (need == MEMORY_OR_SHUT_DOWN && !session_has_memory(session))
		return open_shut_down(session, sleeping);
	error = check_files(session, &sleeping->fingerprint);
	if (!error)
		error = open_memory(session, sleeping);
	if (!error)
		error = fingerprint_add_guest(sleeping->fingerprint, sleeping->boot_id, &sleeping->clock);
	if (!error)
		error = refuse_spent(session, sleeping->fingerprint);
	if (!error)
		error = read_mounts(sleeping);
	if (!error)
		error = open_disk(session, sleeping);
	if (!error)
		error = match_memory_and_disk(session, sleeping);
	return error ? error : read_os_release(sleeping);
}

struct error *sleeping_open(struct session *session, enum sleeping_need need, struct sleeping *ret)
{
	struct sleeping sleeping = {0};
	struct error *error = open_parts(session, need, &sleeping);

	if (error) {
		sleeping_close(&sleeping);
		return error;
	}
	*ret = sleeping;
	return NULL;
}

struct error *sleeping_open_disk_alone(struct session *session, const struct sleeping *sleeping, struct disk **ret)
{
	const struct disk_memory memory = {
		.mounts = &sleeping->mounts, .systems = sleeping->systems, .n_systems = sleeping->n_systems};
	struct disk_options options = {.path = session->file.disk,
				       .format = session->file.format,
				       .work_dir = sleeping->work_dir,
				       .memory = sleeping->guest ? &memory : NULL};
	struct error *error = choose_way(session, &options.way);

	return error_wrap(error ? error : disk_open(&options, ret), "disk of %s", session->file.name);
}

const struct guest_mount *sleeping_mount_of(const struct sleeping *sleeping, const char *path)
{
	const struct guest_mount *found = NULL;

	for (size_t i = 0; i < sleeping->mounts.n; i++) {
		const struct guest_mount *mount = &sleeping->mounts.items[i];

		if (guest_path_below(path, mount->target) && (!found || strlen(mount->target) >= strlen(found->target)))
			found = mount;
	}
	return found;
}

void sleeping_close(struct sleeping *sleeping)
{
	disk_close(sleeping->disk);
	guest_task_list_deinit(&sleeping->processes);
	guest_mount_list_deinit(&sleeping->mounts);
	free(sleeping->systems);
	guest_close(sleeping->guest);
	image_close(sleeping->image);
	if (sleeping->work_dir) {
		struct error *error = io_remove_tree(sleeping->work_dir);

		if (error)
			log_warning("%s", error->message);
		error_destroy(error);
	}
	free(sleeping->work_dir);
	free(sleeping->disk_name);
	free(sleeping->os_name);
	free(sleeping->os_id);
	json_decref(sleeping->fingerprint);
	*sleeping = (struct sleeping){0};
}
