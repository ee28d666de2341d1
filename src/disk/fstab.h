/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's /etc/fstab: its lines as plain data, and which partition a line means. Guest bytes;
 * nothing here touches the host.
 */
#ifndef DISK_FSTAB_H
#define DISK_FSTAB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "disk/partition.h"

/* Far more than any administrator writes. */
#define FSTAB_SIZE_MAX  (1024 * 1024) /* bytes */
#define FSTAB_LINES_MAX 4096

struct fstab_entry {
	char *source;  /* as written: "UUID=…", "/dev/vda2", "tmpfs" */
	char *target;  /* normalised: absolute, no empty or "." components, no trailing slash; "none" for swap */
	char *type;    /* "auto" if empty */
	char *options; /* "defaults" if none */
};

struct fstab {
	struct fstab_entry *entries;
	size_t n;
	size_t n_malformed; /* lines that say nothing, which mount(8) skips, too */
};

/* Parses `size` bytes. ERROR_FORMAT: more than the bounds, or a target with "..". */
struct error *fstab_parse(const char *text, size_t size, struct fstab *ret) _must_check_;
void fstab_deinit(struct fstab *fstab);

/* The partition a source names, by UUID, LABEL, PARTUUID, PARTLABEL or device name of the first disk. */
enum fstab_match {
	FSTAB_MATCH_NONE, /* on another disk, or nowhere */
	FSTAB_MATCH_ONE,
	FSTAB_MATCH_SEVERAL, /* several partitions answer to the name */
};
enum fstab_match fstab_find(const struct fstab_entry *entry, const struct partition_list *list,
			    const struct partition **ret);

/* Does the comma-separated option list hold `name`, alone or with a value? */
bool fstab_has_option(const struct fstab_entry *entry, const char *name);
/* The value of the last NAME=VALUE; NULL if there is none. malloc'd. */
struct error *fstab_option_value(const struct fstab_entry *entry, const char *name, char **ret) _must_check_;

/* Why a line is no file system of a disk that is mounted at boot: "swap", "noauto", …; NULL if it is one. */
const char *fstab_skip_reason(const struct fstab_entry *entry);

#endif
