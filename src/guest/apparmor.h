/* SPDX-License-Identifier: Apache-2.0 */
/* What AppArmor of a sleeping guest's kernel can do. Included by guest/guest.h. */
#ifndef GUEST_APPARMOR_H
#define GUEST_APPARMOR_H

#include <stddef.h>

#include "base/error.h"

struct guest;

/* Of the guest's table: kernels have some hundred entries, at most four deep. */
#define GUEST_APPARMOR_FEATURES_MAX 2000u
#define GUEST_APPARMOR_DEPTH_MAX    8u
#define GUEST_APPARMOR_TEXT_MAX     4096u /* bytes of one file; apparmor_parser takes 8 KiB of all together */

/* A file or directory below /sys/kernel/security/apparmor/features. */
struct guest_apparmor_feature {
	char *path; /* "policy/versions/v7": relative, no part is empty, "." or ".."; owned */
	char *text; /* what a read gives, newline included; NULL: it is a directory; owned */
};
struct guest_apparmor_features {
	struct guest_apparmor_feature *items; /* a directory before what is in it */
	size_t n;
};

/*
 * All of them: apparmor_parser names its cache by a hash over all files, so that a part of them would be worth nothing.
 * ERROR_NOT_FOUND: this kernel has no AppArmor, or it is off. ERROR_UNSUPPORTED: it has a kind of file that we do not
 * know. The tables are struct aa_sfs_entry[] of security/apparmor/apparmorfs.c (Linux 4.13 and later; what a file says
 * is aa_sfs_seq_show() there).
 */
struct error *guest_apparmor_features(struct guest *guest, struct guest_apparmor_features *ret) _must_check_;
void guest_apparmor_features_deinit(struct guest_apparmor_features *features);

#endif
