/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's image locks (block/file-posix.c), taken by ourselves: byte 100 + N of a file is locked
 * by whoever uses permission N, byte 200 + N by whoever does not share it. The storage daemon
 * alone would not do: below an overlay it reads a backing file while others write to it.
 */
#ifndef DISK_LOCK_H
#define DISK_LOCK_H

#include "base/error.h"

/*
 * Opens `path` for reading and refuses to share it with a writer, until *ret_fd is closed. Fails
 * with ERROR_BUSY if there is one already.
 */
struct error *lock_image(const char *path, int *ret_fd) _must_check_;

#endif
