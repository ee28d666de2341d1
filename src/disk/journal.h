/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the journal of an ext3/4 file system lies, so that what is about to be replayed is read at once: e2fsck reads
 * it block by block and not in order, and each block that is not there yet is a way through loop device, FUSE and the
 * storage daemon. A hint and no more: whatever cannot be read here, e2fsck finds by itself.
 */
#ifndef DISK_JOURNAL_H
#define DISK_JOURNAL_H

/* Has the kernel read ahead what is in the journal on `device_fd`. `path`: for messages of errors, which are dropped.
 */
void journal_read_ahead(int device_fd, const char *path);

#endif
