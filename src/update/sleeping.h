/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sleeping guest, opened: its kernel out of the memory image, its files out of the disk, and
 * the proof that the two belong together. Private to the room.
 */
#ifndef UPDATE_SLEEPING_H
#define UPDATE_SLEEPING_H

#include "base/error.h"
#include "disk/disk.h"
#include "guest/guest.h"
#include "image/image.h"
#include "update/fingerprint.h"
#include "update/session.h"

struct sleeping {
	struct image *image;
	struct guest *guest; /* NULL: there is no memory image; then nothing of a kernel below is valid but `uts` */
	bool has_uts;
	struct guest_uts uts; /* without memory: of the kernel that the next boot takes (shut_down.h) */
	struct guest_clock clock;
	uint8_t boot_id[16];
	struct guest_task_list processes;
	struct guest_mount_list mounts; /* guest_mounts_visible(); n is 0: memory does not tell */
	struct guest_file_system *systems;
	size_t n_systems;
	char *work_dir; /* removed again by sleeping_close() */
	struct disk *disk;
	char *disk_name; /* the guest's name for its disk, "vda"; NULL: not known */
	char *os_name;   /* os-release's PRETTY_NAME, or "unknown" */
	char *os_id;     /* os-release's ID, or "unknown" */
	json_t *fingerprint;
};

enum sleeping_need {
	MEMORY_NEEDED,
	MEMORY_IF_THERE,    /* its disk alone will do, in whatever state, with a warning */
	MEMORY_OR_SHUT_DOWN /* the disk alone of a VM that was shut down */
};

/*
 * Opens both. ERROR_BUSY: the VM runs. ERROR_CONFLICT: the memory is spent, or another VM's, or
 * the disk has changed since the suspend. ERROR_NOT_FOUND: there is no memory image, and the VM was not shut down
 * either. Moves the process into a mount namespace of its own.
 */
struct error *sleeping_open(struct session *session, enum sleeping_need need, struct sleeping *ret) _must_check_;
/* The mount that the absolute path is on; NULL: memory does not tell of mounts, and all is on the disk. Borrowed. */
const struct guest_mount *sleeping_mount_of(const struct sleeping *sleeping, const char *path);
void sleeping_close(struct sleeping *sleeping);

/* Its disk once more, without what memory has of it; to be closed before the guest is. */
struct error *sleeping_open_disk_alone(struct session *session, const struct sleeping *sleeping, struct disk **ret)
	_must_check_;

/* ERROR_BUSY if a process answers where the VM's would. */
struct error *sleeping_refuse_running(struct session *session) _must_check_;

/*
 * Whether a mount of a disk without memory may pass for one that was let go of. One that does not tell may be a
 * sleeping VM's whose memory is elsewhere, unless the VM file names no memory at all.
 */
bool sleeping_mount_is_let_go(const struct disk_mount *mount, bool names_memory);

#endif
