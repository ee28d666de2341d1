/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel that an update brings, and that runs after a reboot. Private to the room. */
#ifndef UPDATE_KERNEL_H
#define UPDATE_KERNEL_H

#include "base/error.h"
#include "changes/changes.h"
#include "guest/guest.h"

/* As uname tells them: -r and -v. Printable ASCII. */
struct kernel_names {
	char *release; /* NULL: there is none */
	char *build;   /* "#1 SMP PREEMPT_DYNAMIC Debian 6.1.140-1 (2025-05-22)"; NULL: not known */
};
void kernel_names_deinit(struct kernel_names *names);

/* Bytes at the beginning of an image that hold all that is asked of it, of a kernel of today. */
#define KERNEL_HEAD_MAX (64 * 1024)

/*
 * What an x86 kernel image says of itself, by the boot protocol's pointer to its version (2.00 and later). Names that
 * are not there, of other formats for example, stay NULL.
 */
struct error *kernel_image_names(const uint8_t *head, size_t size, struct kernel_names *ret) _must_check_;

/*
 * The highest of the kernels that the changes write to /boot, unless it is the one that runs, or that one is higher and
 * stays. `running`: NULL if not known.
 */
struct error *kernel_pending(const struct change_layer *layers, size_t n_layers, const struct change_list *changes,
			     const struct guest_uts *running, struct kernel_names *ret) _must_check_;

#endif
