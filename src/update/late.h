/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What takes effect only at the guest's next boot, and need not lengthen the time until its network opens: it becomes a
 * second update, chained to the first (doc/urgency.md). The rules are here and in late.c, and nowhere else.
 */
#ifndef UPDATE_LATE_H
#define UPDATE_LATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "changes/changes.h"

struct package_run;

/* What a full upgrade leaves to a second one. */
struct late {
	char *packages; /* "NAME VERSION" lines of apt's plan; NULL: none */
	char *pins;     /* apt's preferences that keep them as they are; NULL with `packages` */
};

void late_deinit(struct late *late);

/* Kernels, what is built for them, microcode, firmware, boot loaders: by a package's name, `n` bytes of it. */
bool late_is_package(const char *name, size_t n);

/*
 * By what it installs: `paths`, a line each, as dpkg-query -L has them. Some of it lies where only a boot looks, and
 * none of it is a program or a library.
 */
bool late_is_content(const char *paths);

/* What the programs of those packages make for the next boot (initramfs, boot menu); no leading '/'. */
bool late_is_made(const char *path);

/*
 * Asks the guest's apt which packages of its full upgrade can wait. Nothing can, where apt then would do nothing else,
 * or something that it would not do at once.
 */
struct error *late_decide(const struct package_run *run, struct late *ret) _must_check_;

/* Takes what is late_is_made() out of the list. */
void late_take_out(struct change_list *changes);

/*
 * What scripts left below /run, as `total` has it, less what `first` of an earlier moment has done. A file that is gone
 * since then is left alone.
 */
struct error *late_runtime(const struct action_list *first, const struct action_list *total, struct action_list *ret)
	_must_check_;

#endif
