/* SPDX-License-Identifier: Apache-2.0 */
/* `resume --running`: the VM has been woken by somebody else, behind a gate of theirs, from the image that was updated.
 */
#ifndef UPDATE_RESUME_ADOPT_H
#define UPDATE_RESUME_ADOPT_H

#include "update/resuming.h"

/*
 * Closes our own gate and takes the VM for loaded, if it runs, its memory image is gone, and the file that it was
 * ("DEVICE:INODE:SIZE:MTIME", as stat(1) has them, the time in ns) is the one that the bundle was computed from.
 * ERROR_CONFLICT, ERROR_USAGE: it is not, and nothing was done.
 */
struct error *resume_adopt(struct resume *r) _must_check_;

#endif
