/* SPDX-License-Identifier: Apache-2.0 */
/* Domains of Xen's: what the configuration in a file of `xl save`'s says, in place of a VM file. */
#ifndef UPDATE_VMFILE_XEN_H
#define UPDATE_VMFILE_XEN_H

#include <stdbool.h>

#include "base/error.h"
#include "update/vmfile.h"

/* Whether this is "xen:NAME", or the path of a file of `xl save`'s. */
bool vm_file_is_xen(const char *vm);

/*
 * All that a VM file would say: of "xen:NAME" the file of that name where xendomains keeps its saved domains
 * (/var/lib/xen/save, or $OUASSISTER_XEN_SAVE_DIR). No channel: there is nobody to tell of one.
 */
struct error *vm_file_load_xen(const char *vm, struct vm_file *file) _must_check_;

/*
 * What a VM file with `driver = xen` leaves to the save file that it names: the domain, and its disk where that is not
 * said. The disk is the domain's first one that can be written, or `target` of [xen]. Paths are those of the host that
 * saved the domain.
 */
struct error *vm_file_ask_xen(struct vm_file *file) _must_check_;

#endif
