/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/ext4/image.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <et/com_err.h>

/* One read of the disk for many blocks of a table of inodes; the kernel's ext4 reads 128 KiB at a time there. */
#define CHUNK_SIZE (64u * 1024)
#define CHUNK_SETS 64
#define CHUNK_WAYS 4
#define CHUNK_NONE UINT64_MAX

/* The superblock (fs/ext4/ext4.h), for what libext2fs believes: the size. */
#define SUPERBLOCK 1024
#define BLOCK_MAX  65536u

struct chunk {
	uint64_t number; /* CHUNK_NONE: empty */
	uint64_t used;   /* the tick of its last use */
	uint8_t *bytes;  /* CHUNK_SIZE; NULL: never filled */
};

struct image {
	int fd;
	uint64_t start, size;
	pthread_mutex_t lock; /* of all below */
	uint64_t tick;
	struct chunk chunks[CHUNK_SETS][CHUNK_WAYS];
};

struct error *image_create(int fd, uint64_t start, uint64_t size, struct image **ret)
{
	struct image *image = calloc(1, sizeof(*image));

	if (!image)
		return error_no_memory();
	image->fd = fd;
	image->start = start;
	image->size = size;
	pthread_mutex_init(&image->lock, NULL);
	for (size_t set = 0; set < CHUNK_SETS; set++)
		for (size_t way = 0; way < CHUNK_WAYS; way++)
			image->chunks[set][way].number = CHUNK_NONE;
	*ret = image;
	return NULL;
}

void image_destroy(struct image *image)
{
	if (!image)
		return;
	for (size_t set = 0; set < CHUNK_SETS; set++)
		for (size_t way = 0; way < CHUNK_WAYS; way++)
			free(image->chunks[set][way].bytes);
	pthread_mutex_destroy(&image->lock);
	free(image);
}

uint64_t image_size(const struct image *image)
{
	return image->size;
}

int image_read_data(const struct image *image, uint64_t offset, void *buffer, size_t n)
{
	if (offset > image->size || n > image->size - offset)
		return EIO;
	while (n > 0) {
		ssize_t r = pread(image->fd, buffer, n, (off_t)(image->start + offset));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? errno : EIO;
		buffer = (uint8_t *)buffer + r;
		offset += (uint64_t)r;
		n -= (size_t)r;
	}
	return 0;
}

static struct chunk *find(struct image *image, uint64_t number)
{
	struct chunk *set = image->chunks[number % CHUNK_SETS];

	for (size_t way = 0; way < CHUNK_WAYS; way++)
		if (set[way].number == number)
			return &set[way];
	return NULL;
}

/* Puts `bytes` in the place of the chunk of its set that was not used for longest; returns what was there. */
static uint8_t *replace(struct image *image, uint64_t number, uint8_t *bytes)
{
	struct chunk *set = image->chunks[number % CHUNK_SETS], *oldest = &set[0];
	uint8_t *old;

	/* Another thread may have read the same meanwhile. */
	if (find(image, number))
		return bytes;
	for (size_t way = 1; way < CHUNK_WAYS; way++)
		if (set[way].used < oldest->used)
			oldest = &set[way];
	old = oldest->bytes;
	*oldest = (struct chunk){.number = number, .used = ++image->tick, .bytes = bytes};
	return old;
}

/* Bytes of one chunk. The disk is read without the lock, so that other threads go on. */
static int read_chunk(struct image *image, uint64_t number, size_t from, void *buffer, size_t n)
{
	uint64_t offset = number * CHUNK_SIZE;
	size_t length = image->size - offset < CHUNK_SIZE ? (size_t)(image->size - offset) : CHUNK_SIZE;
	struct chunk *chunk;
	uint8_t *bytes;
	int r;

	pthread_mutex_lock(&image->lock);
	chunk = find(image, number);
	if (chunk) {
		chunk->used = ++image->tick;
		memcpy(buffer, chunk->bytes + from, n);
	}
	pthread_mutex_unlock(&image->lock);
	if (chunk)
		return 0;
	bytes = malloc(CHUNK_SIZE);
	if (!bytes)
		return ENOMEM;
	r = image_read_data(image, offset, bytes, length);
	if (r) {
		free(bytes);
		return r;
	}
	memcpy(buffer, bytes + from, n);
	pthread_mutex_lock(&image->lock);
	bytes = replace(image, number, bytes);
	pthread_mutex_unlock(&image->lock);
	free(bytes);
	return 0;
}

int image_read_metadata(struct image *image, uint64_t offset, void *buffer, size_t n)
{
	if (offset > image->size || n > image->size - offset)
		return EIO;
	while (n > 0) {
		size_t from = (size_t)(offset % CHUNK_SIZE);
		size_t part = n < CHUNK_SIZE - from ? n : CHUNK_SIZE - from;
		int r = read_chunk(image, offset / CHUNK_SIZE, from, buffer, part);

		if (r)
			return r;
		buffer = (uint8_t *)buffer + part;
		offset += part;
		n -= part;
	}
	return 0;
}

/* ---- As libext2fs wants it ---- */

/* An I/O manager is opened by a name; this one has none. */
static __thread struct image *being_opened;

static errcode_t channel_open(const char *name, int flags, io_channel *ret);

static errcode_t channel_close(io_channel channel)
{
	if (--channel->refcount > 0)
		return 0;
	free(channel->name);
	free(channel);
	return 0;
}

static errcode_t channel_set_blksize(io_channel channel, int size)
{
	if (size < 1024 || (unsigned)size > BLOCK_MAX)
		return EXT2_ET_UNEXPECTED_BLOCK_SIZE;
	channel->block_size = size;
	return 0;
}

/* A negative count is one of bytes. */
static errcode_t channel_read64(io_channel channel, unsigned long long block, int count, void *data)
{
	struct image *image = channel->private_data;
	uint64_t offset;
	size_t n;

	if (count == INT32_MIN || __builtin_mul_overflow(block, (unsigned long long)channel->block_size, &offset))
		return EXT2_ET_SHORT_READ;
	n = count < 0 ? (size_t)-count : (size_t)count * (size_t)channel->block_size;
	return image_read_metadata(image, offset, data, n) ? EXT2_ET_SHORT_READ : 0;
}

static errcode_t channel_read(io_channel channel, unsigned long block, int count, void *data)
{
	return channel_read64(channel, block, count, data);
}

static errcode_t channel_write64(io_channel channel, unsigned long long block, int count, const void *data)
{
	(void)channel, (void)block, (void)count, (void)data;
	return EXT2_ET_RO_FILSYS;
}

static errcode_t channel_write(io_channel channel, unsigned long block, int count, const void *data)
{
	return channel_write64(channel, block, count, data);
}

static errcode_t channel_flush(io_channel channel)
{
	(void)channel;
	return 0;
}

static struct struct_io_manager manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "image",
	.open = channel_open,
	.close = channel_close,
	.set_blksize = channel_set_blksize,
	.read_blk = channel_read,
	.write_blk = channel_write,
	.flush = channel_flush,
	.read_blk64 = channel_read64,
	.write_blk64 = channel_write64,
};

static errcode_t channel_open(const char *name, int flags, io_channel *ret)
{
	io_channel channel = calloc(1, sizeof(*channel));

	(void)flags;
	if (!channel)
		return EXT2_ET_NO_MEMORY;
	channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	channel->manager = &manager;
	channel->name = strdup(name);
	channel->block_size = 1024;
	channel->refcount = 1;
	channel->private_data = being_opened;
	if (!channel->name) {
		free(channel);
		return EXT2_ET_NO_MEMORY;
	}
	*ret = channel;
	return 0;
}

/* What libext2fs would believe and allocate memory by: the kernel refuses such a superblock as well. */
static struct error *check_superblock(struct image *image)
{
	struct ext2_super_block super;
	uint64_t blocks, per_group, size;
	unsigned shift;

	if (image_read_metadata(image, SUPERBLOCK, &super, sizeof(super)))
		return error_create(ERROR_FORMAT, "the superblock cannot be read");
	if (ext2fs_le16_to_cpu(super.s_magic) != EXT2_SUPER_MAGIC)
		return error_create(ERROR_FORMAT, "it has no superblock of ext2, ext3 or ext4");
	shift = ext2fs_le32_to_cpu(super.s_log_block_size);
	blocks = ext2fs_le32_to_cpu(super.s_blocks_count);
	if (ext2fs_le32_to_cpu(super.s_feature_incompat) & EXT4_FEATURE_INCOMPAT_64BIT)
		blocks |= (uint64_t)ext2fs_le32_to_cpu(super.s_blocks_count_hi) << 32;
	per_group = ext2fs_le32_to_cpu(super.s_blocks_per_group);
	if (shift > 6 || per_group == 0 || __builtin_mul_overflow(blocks, UINT64_C(1024) << shift, &size))
		return error_create(ERROR_FORMAT, "its superblock makes no sense");
	if (size > image->size)
		return error_create(ERROR_FORMAT, "its superblock says %llu bytes, and the partition has %llu",
				    (unsigned long long)size, (unsigned long long)image->size);
	return NULL;
}

struct error *image_open_ext2(struct image *image, ext2_filsys *ret)
{
	struct error *error = check_superblock(image);
	errcode_t r;

	if (error)
		return error;
	initialize_ext2_error_table();
	being_opened = image;
	r = ext2fs_open2("image", NULL, EXT2_FLAG_64BITS, 0, 0, &manager, ret);
	being_opened = NULL;
	if (r == EXT2_ET_UNSUPP_FEATURE || r == EXT2_ET_RO_UNSUPP_FEATURE)
		return error_create(ERROR_UNSUPPORTED, "it has features that libext2fs does not know");
	if (r == EXT2_ET_NO_MEMORY)
		return error_no_memory();
	if (r)
		return error_create(ERROR_FORMAT, "libext2fs refuses it: %s", error_message(r));
	return NULL;
}
