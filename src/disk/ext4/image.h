/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one file system inside of the exported disk: every read of the ext4 reader goes through here, none can
 * leave its part of the disk, and nothing can be written. libext2fs sees it as an I/O manager.
 *
 * Metadata is kept in a cache that all threads share; file contents are not, for the kernel keeps those.
 */
#ifndef DISK_EXT4_IMAGE_H
#define DISK_EXT4_IMAGE_H

#include <ext2fs/ext2fs.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct image;

/* `fd` is the disk, borrowed, and never written to; the file system has `size` bytes from `start` on. */
struct error *image_create(int fd, uint64_t start, uint64_t size, struct image **ret) _must_check_;
void image_destroy(struct image *image);
DEFINE_CLEANUP(struct image *, image_destroy)

uint64_t image_size(const struct image *image);

/* Exactly n bytes at `offset` of the file system; 0, or EIO where they are not all inside of it, or another errno. */
int image_read_metadata(struct image *image, uint64_t offset, void *buffer, size_t n);
int image_read_data(const struct image *image, uint64_t offset, void *buffer, size_t n);

/* A read-only libext2fs handle of its own for the calling thread. ERROR_UNSUPPORTED, ERROR_FORMAT: what it is not. */
struct error *image_open_ext2(struct image *image, ext2_filsys *ret) _must_check_;

#endif
