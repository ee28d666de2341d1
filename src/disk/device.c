/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/device.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"

struct device {
	int fd;
	uint64_t start, size; /* bytes */
};

/* An I/O manager is opened by a name; this one has none. */
static const struct device *being_opened;

static errcode_t device_close(io_channel channel)
{
	if (--channel->refcount > 0)
		return 0;
	free(channel->private_data);
	free(channel->name);
	free(channel);
	return 0;
}

static errcode_t device_set_blksize(io_channel channel, int size)
{
	if (size < 1024 || size > EXT2_MAX_BLOCK_SIZE)
		return EXT2_ET_UNEXPECTED_BLOCK_SIZE;
	channel->block_size = size;
	return 0;
}

/* Where `count` blocks lie, or -count bytes. */
static bool find_place(io_channel channel, unsigned long long block, int count, uint64_t *ret_offset, size_t *ret_size)
{
	const struct device *device = channel->private_data;
	size_t size = count < 0 ? (size_t) - (int64_t)count : (size_t)count * (size_t)channel->block_size;
	uint64_t offset;

	if (__builtin_mul_overflow(block, (unsigned long long)channel->block_size, &offset) || offset > device->size ||
	    size > device->size - offset)
		return false;
	*ret_offset = device->start + offset;
	*ret_size = size;
	return true;
}

static errcode_t device_read64(io_channel channel, unsigned long long block, int count, void *data)
{
	const struct device *device = channel->private_data;
	struct error *error;
	uint64_t offset;
	size_t size;

	if (!find_place(channel, block, count, &offset, &size))
		return EXT2_ET_SHORT_READ;
	error = io_pread(device->fd, data, size, offset, channel->name);
	error_destroy(error);
	return error ? EXT2_ET_SHORT_READ : 0;
}

static errcode_t device_write64(io_channel channel, unsigned long long block, int count, const void *data)
{
	const struct device *device = channel->private_data;
	struct error *error;
	uint64_t offset;
	size_t size;

	if (!find_place(channel, block, count, &offset, &size))
		return EXT2_ET_SHORT_WRITE;
	error = io_pwrite(device->fd, data, size, offset, channel->name);
	error_destroy(error);
	return error ? EXT2_ET_SHORT_WRITE : 0;
}

static errcode_t device_read(io_channel channel, unsigned long block, int count, void *data)
{
	return device_read64(channel, block, count, data);
}

static errcode_t device_write(io_channel channel, unsigned long block, int count, const void *data)
{
	return device_write64(channel, block, count, data);
}

/* Who opened the descriptor writes back what was written. */
static errcode_t device_flush(io_channel channel)
{
	(void)channel;
	return 0;
}

static errcode_t channel_open(const char *name, int flags, io_channel *ret);

static struct struct_io_manager manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "descriptor",
	.open = channel_open,
	.close = device_close,
	.set_blksize = device_set_blksize,
	.read_blk = device_read,
	.write_blk = device_write,
	.flush = device_flush,
	.read_blk64 = device_read64,
	.write_blk64 = device_write64,
};

static errcode_t channel_open(const char *name, int flags, io_channel *ret)
{
	io_channel channel = calloc(1, sizeof(*channel));
	struct device *device = malloc(sizeof(*device));

	(void)flags;
	if (channel)
		channel->name = strdup(name);
	if (!channel || !device || !channel->name) {
		if (channel)
			free(channel->name);
		free(channel);
		free(device);
		return EXT2_ET_NO_MEMORY;
	}
	*device = *being_opened;
	channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	channel->manager = &manager;
	channel->block_size = 1024;
	channel->refcount = 1;
	channel->private_data = device;
	*ret = channel;
	return 0;
}

errcode_t device_open(int fd, uint64_t start, uint64_t size, int flags, ext2_filsys *ret)
{
	const struct device device = {.fd = fd, .start = start, .size = size};
	errcode_t code;

	being_opened = &device;
	code = ext2fs_open2("the disk", NULL, flags, 0, 0, &manager, ret);
	being_opened = NULL;
	return code;
}
