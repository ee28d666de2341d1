/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the shadow room: what scripts were after that only the running guest has, and which scripts there were. */
#ifndef SHADOW_NEED_H
#define SHADOW_NEED_H

#include "shadow/internal.h"

/* Takes the options' files and scripts over into the shadow. */
struct error *needs_init(struct shadow *shadow, const struct shadow_options *options) _must_check_;
void needs_deinit(struct shadow *shadow);

/* Whether one more would be kept. */
bool need_has_room(const struct shadow *shadow, enum shadow_need_kind kind);

/*
 * Notes what the process with this number on the host, which waits for our answer, was after; 0: not known. `path` may
 * be NULL. What cannot be kept is dropped: there is enough of it by then.
 */
void need_note(struct shadow *shadow, uint32_t host_pid, enum shadow_need_kind kind, const char *path,
	       const char *format, ...) _printf_(5, 6);

/* The same of a live file: what is done to it as a verb, "writes". */
void need_note_live(struct shadow *shadow, uint32_t host_pid, const struct shadow_live_file *file, const char *verb);

/*
 * Notes that dpkg starts a maintainer script, once for each; false: it is not to run. Both names are plain.
 */
bool need_script(struct shadow *shadow, const char *package, const char *script);

/* Whether a live file's path ends so ("ibdata1"): most names are of none. */
bool live_has_name(const struct shadow *shadow, const char *name);
/*
 * The live file with this inode number, of those whose paths end so, or of all where `name` is NULL, and of those on
 * this mount of the disk, or on any where `mount` is NULL; NULL: none.
 */
const struct shadow_live_file *live_find(const struct shadow *shadow, const char *name, uint64_t inode,
					 const char *mount);

/* Where the guest has its EFI system partition mounted; NULL: nowhere, or memory does not tell. */
const char *need_efi(const struct shadow *shadow);

/* Notes a path below it that is written to; by name, for it need not be there. */
void need_note_below_efi(struct shadow *shadow, uint32_t host_pid, const char *path);

#endif
