/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First half of changes_read(), one layer at a time: what differs between the lower tree and the
 * merged view (scan.c), and which of those names are one file (links.c). The second half, read.c,
 * turns the result into the ordered list.
 *
 * Not differences: what is in upper only because overlayfs copied it up. Paths here are relative
 * to the layer's root.
 */
#ifndef CHANGES_SCAN_H
#define CHANGES_SCAN_H

#include <stdbool.h>
#include <sys/stat.h>

#include "changes/view.h"

enum scan_kind {
	SCAN_DELETE = 1, /* was there, is not */
	SCAN_DIRECTORY,  /* a directory where none was */
	SCAN_TOUCHED,    /* a directory that is in both: its attributes may differ */
	SCAN_FILE,       /* anything else that is in upper, or is below a renamed directory */
};

enum scan_verdict {
	VERDICT_NEW,      /* a new inode with the node's content */
	VERDICT_IN_PLACE, /* the inode of before; at most its attributes differ */
	VERDICT_LINK,     /* another name of `link_to` */
	VERDICT_STAYS,    /* a further name of an inode of before, whose IN_PLACE is `leader` */
};

struct scan_entry {
	enum scan_kind kind;
	char *path;
	bool room;             /* DELETE: something else comes in its place */
	bool linked_below;     /* FILE: not found in upper, but known to be a name of what is there */
	struct view_node node; /* DIRECTORY, FILE */
	bool had;              /* FILE: `before` is valid: the lower inode at the same path, no directory */
	struct stat before;
	enum scan_verdict verdict; /* FILE */
	char *link_to;             /* VERDICT_LINK, _STAYS: path of another name */
	size_t leader;             /* VERDICT_STAYS: index of the entry that is IN_PLACE */
	bool changed;              /* VERDICT_IN_PLACE: its attributes turned out to differ */
};

/* A name of a lower inode that has several. */
struct lower_name {
	uint64_t inode;
	char *path;
};

struct scan {
	const struct change_layer *layer;     /* borrowed */
	const struct change_options *options; /* borrowed */
	struct scan_entry *entries;           /* parents before children; deleted trees children first */
	size_t n;
	bool names_loaded;
	struct lower_name *names; /* sorted by inode, then path */
	size_t n_names;
};
void scan_deinit(struct scan *scan);

/* Fills entries. */
struct error *scan_layer(struct scan *scan) _must_check_;
/* Decides the verdicts; may append entries for names that overlayfs did not copy up. */
struct error *scan_links(struct scan *scan) _must_check_;

/* Takes ownership of what `entry` points to, also on failure. */
struct error *scan_append(struct scan *scan, struct scan_entry entry) _must_check_;

/* Whether the path, of this layer, is not to be carried. */
bool scan_excluded(const struct scan *scan, const char *path);

/* The path as the guest knows it, without the leading '/'; NULL without memory. */
char *layer_guest_path(const struct change_layer *layer, const char *path);

/* All names of a lower inode: *ret_n of them at *ret, borrowed. Reads the lower tree once. */
struct error *scan_lower_names(struct scan *scan, uint64_t inode, const struct lower_name **ret, size_t *ret_n)
	_must_check_;
/* The lower inode with several names that overlayfs calls `origin`; 0 if there is none. */
struct error *scan_find_origin(struct scan *scan, const void *origin, size_t size, uint64_t *ret) _must_check_;

#endif
