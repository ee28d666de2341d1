/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories are read as a whole and kept by name: the index of a large one (htree) is passed over, for its blocks
 * hold the same entries. One damaged block makes the whole directory EIO: what is missing would not be seen.
 */
#include <pthread.h>
#include <string.h>

#include "disk/ext4/reader.h"

/* What is kept of directories that nobody reads just now. */
#define KEPT_BYTES_MAX (64u << 20)
#define KEPT_BUCKETS   4096

struct listings {
	pthread_mutex_t lock;
	uint64_t tick;
	size_t bytes;
	struct listing *buckets[KEPT_BUCKETS]; /* one each: another directory with the same takes its place */
};

static size_t listing_bytes(const struct listing *listing)
{
	return sizeof(*listing) + listing->n * sizeof(*listing->entries) + listing->names_size +
	       ((size_t)listing->mask + 1) * sizeof(*listing->buckets);
}

static void listing_destroy(struct listing *listing)
{
	if (!listing)
		return;
	free(listing->entries);
	free(listing->names);
	free(listing->buckets);
	free(listing);
}
DEFINE_CLEANUP(struct listing *, listing_destroy)

struct error *listings_create(struct listings **ret)
{
	struct listings *listings = calloc(1, sizeof(*listings));

	if (!listings)
		return error_no_memory();
	pthread_mutex_init(&listings->lock, NULL);
	*ret = listings;
	return NULL;
}

void listings_destroy(struct listings *listings)
{
	if (!listings)
		return;
	for (size_t i = 0; i < KEPT_BUCKETS; i++)
		listing_destroy(listings->buckets[i]);
	pthread_mutex_destroy(&listings->lock);
	free(listings);
}

/* ---- Reading ---- */

struct building {
	struct listing *listing;
	size_t entries_room, names_room;
	int result;
};

static int grow(void **array, size_t *room, size_t needed, size_t element)
{
	size_t wanted = *room ? *room : 64;
	void *bigger;

	if (needed <= *room)
		return 0;
	while (wanted < needed)
		wanted *= 2;
	bigger = reallocarray(*array, wanted, element);
	if (!bigger)
		return ENOMEM;
	*array = bigger;
	*room = wanted;
	return 0;
}

static int add_entry(struct building *building, uint32_t inode, unsigned type, const char *name, size_t length)
{
	struct listing *listing = building->listing;
	size_t names = (size_t)listing->names_size + length + 1;
	int r;

	if (length == 1 && name[0] == '.')
		return 0;
	if (length == 2 && name[0] == '.' && name[1] == '.') {
		listing->parent = inode;
		return 0;
	}
	if (length == 0 || memchr(name, 0, length) || memchr(name, '/', length))
		return EIO;
	if (listing->n == LISTING_ENTRIES_MAX || names > UINT32_MAX)
		return EFBIG;
	r = grow((void **)&listing->entries, &building->entries_room, listing->n + 1, sizeof(*listing->entries));
	if (r == 0)
		r = grow((void **)&listing->names, &building->names_room, names, 1);
	if (r)
		return r;
	listing->entries[listing->n++] = (struct listed){
		.inode = inode, .name = listing->names_size, .length = (uint8_t)length, .type = (uint8_t)type};
	memcpy(listing->names + listing->names_size, name, length);
	listing->names[names - 1] = 0;
	listing->names_size = (uint32_t)names;
	return 0;
}

/* A block as ext2fs_read_dir_block4() gives it, in the host's order of bytes. */
static int add_block(struct reader *reader, struct building *building)
{
	unsigned size = reader->fs->blocksize;

	for (unsigned offset = 0; offset < size;) {
		const struct ext2_dir_entry *entry = (void *)(reader->block + offset);
		unsigned length, record;
		int r = 0;

		if (size - offset < 8 || ext2fs_get_rec_len(reader->fs, (struct ext2_dir_entry *)entry, &record))
			return EIO;
		length = (unsigned)ext2fs_dirent_name_len(entry);
		if (record < 8 || record % 4 || record > size - offset || length + 8 > record)
			return EIO;
		/* Inode 0: free, or the checksum at the end. */
		if (entry->inode)
			r = add_entry(building, entry->inode, (unsigned)ext2fs_dirent_file_type(entry), entry->name,
				      length);
		if (r)
			return r;
		offset += record;
	}
	return 0;
}

static int read_blocks(struct reader *reader, uint32_t number, struct ext2_inode_large *inode,
		       struct building *building)
{
	uint64_t blocks = EXT2_I_SIZE(inode) / reader->fs->blocksize;
	struct run run = {0};

	if (blocks > LISTING_BLOCKS_MAX)
		return EFBIG;
	for (uint64_t at = 0, i = 0; at < blocks; at += i) {
		int r = reader_map(reader, number, inode, at, blocks - at, &run);

		if (r)
			return r;
		/* A hole holds no names, and no system makes one here: damage. */
		if (!run.physical)
			return EIO;
		for (i = 0; i < run.blocks; i++) {
			if (ext2fs_read_dir_block4(reader->fs, run.physical + i, reader->block, 0, number))
				return EIO;
			r = add_block(reader, building);
			if (r)
				return r;
		}
	}
	return 0;
}

static int add_inline(ext2_ino_t directory, int entry_number, struct ext2_dir_entry *entry, int offset, int block_size,
		      char *block, void *data)
{
	struct building *building = data;

	(void)directory, (void)entry_number, (void)offset, (void)block_size, (void)block;
	building->result = add_entry(building, entry->inode, (unsigned)ext2fs_dirent_file_type(entry), entry->name,
				     (size_t)ext2fs_dirent_name_len(entry));
	return building->result ? DIRENT_ABORT : 0;
}

/* A directory within its inode is too small to be long; libext2fs knows its layout. */
static int read_inline(struct reader *reader, uint32_t number, struct building *building)
{
	errcode_t r = ext2fs_dir_iterate2(reader->fs, number, 0, reader->block, add_inline, building);

	return building->result ? building->result : reader_errno(r);
}

/* ---- By name ---- */

static uint32_t hash_name(const char *name, size_t length)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	return hash ^ hash >> 15;
}

static int index_names(struct listing *listing)
{
	uint32_t buckets = 8;

	while (buckets < listing->n * 2)
		buckets *= 2;
	listing->mask = buckets - 1;
	listing->buckets = calloc(buckets, sizeof(*listing->buckets));
	if (!listing->buckets)
		return ENOMEM;
	for (uint32_t i = 0; i < listing->n; i++) {
		const struct listed *entry = &listing->entries[i];
		uint32_t at = hash_name(listing->names + entry->name, entry->length);

		while (listing->buckets[at & listing->mask])
			at++;
		listing->buckets[at & listing->mask] = i + 1;
	}
	return 0;
}

static const struct listed *find_name(const struct listing *listing, const char *name)
{
	size_t length = strlen(name);

	for (uint32_t at = hash_name(name, length);; at++) {
		uint32_t index = listing->buckets[at & listing->mask];
		const struct listed *entry = &listing->entries[index - 1];

		if (!index)
			return NULL;
		if (entry->length == length && memcmp(listing->names + entry->name, name, length) == 0)
			return entry;
	}
}

static int read_listing(struct reader *reader, uint32_t number, struct listing **ret)
{
	_cleanup_(listing_destroy_ptr) struct listing *listing = NULL;
	struct building building = {0};
	struct ext2_inode_large inode;
	int r = reader_inode(reader, number, &inode);

	if (r)
		return r;
	if (!LINUX_S_ISDIR(inode.i_mode))
		return ENOTDIR;
	/* Names that only the guest's key makes readable. */
	if (inode.i_flags & EXT4_ENCRYPT_FL)
		return ENOKEY;
	listing = calloc(1, sizeof(*listing));
	if (!listing)
		return ENOMEM;
	listing->inode = listing->parent = number;
	building.listing = listing;
	if (inode.i_flags & EXT4_INLINE_DATA_FL)
		r = read_inline(reader, number, &building);
	else
		r = read_blocks(reader, number, &inode, &building);
	if (r == 0)
		r = index_names(listing);
	if (r)
		return r;
	listing->references = 1;
	*ret = take_ptr(listing);
	return 0;
}

/* ---- Kept ---- */

/* Under the lock. What somebody still reads is destroyed by who gives it back last. */
static void drop(struct listings *listings, size_t bucket)
{
	struct listing *listing = listings->buckets[bucket];

	if (!listing)
		return;
	listings->buckets[bucket] = NULL;
	listings->bytes -= listing_bytes(listing);
	if (--listing->references == 0)
		listing_destroy(listing);
}

static void drop_oldest(struct listings *listings)
{
	size_t oldest = KEPT_BUCKETS;

	for (size_t i = 0; i < KEPT_BUCKETS; i++)
		if (listings->buckets[i] &&
		    (oldest == KEPT_BUCKETS || listings->buckets[i]->used < listings->buckets[oldest]->used))
			oldest = i;
	if (oldest < KEPT_BUCKETS)
		drop(listings, oldest);
}

static void keep(struct listings *listings, struct listing *listing)
{
	size_t bucket = listing->inode % KEPT_BUCKETS, bytes = listing_bytes(listing);

	if (bytes > KEPT_BYTES_MAX / 2)
		return;
	drop(listings, bucket);
	while (listings->bytes + bytes > KEPT_BYTES_MAX)
		drop_oldest(listings);
	listing->references++;
	listings->buckets[bucket] = listing;
	listings->bytes += bytes;
}

int reader_list(struct reader *reader, uint32_t directory, struct listing **ret)
{
	struct listings *listings = reader->listings;
	struct listing *listing;
	int r = 0;

	pthread_mutex_lock(&listings->lock);
	listing = listings->buckets[directory % KEPT_BUCKETS];
	if (listing && listing->inode == directory) {
		listing->references++;
		listing->used = ++listings->tick;
	} else {
		listing = NULL;
	}
	pthread_mutex_unlock(&listings->lock);
	if (!listing) {
		r = read_listing(reader, directory, &listing);
		if (r)
			return r;
		pthread_mutex_lock(&listings->lock);
		listing->used = ++listings->tick;
		keep(listings, listing);
		pthread_mutex_unlock(&listings->lock);
	}
	*ret = listing;
	return 0;
}

void reader_unlist(struct reader *reader, struct listing *listing)
{
	struct listings *listings = reader->listings;

	pthread_mutex_lock(&listings->lock);
	if (--listing->references == 0)
		listing_destroy(listing);
	pthread_mutex_unlock(&listings->lock);
}

int reader_lookup(struct reader *reader, uint32_t directory, const char *name, uint32_t *ret)
{
	const struct listed *entry;
	struct listing *listing;
	int r = reader_list(reader, directory, &listing);

	if (r)
		return r;
	/* The kernel asks so for what it has only the number of. */
	if (strcmp(name, ".") == 0) {
		*ret = directory;
	} else if (strcmp(name, "..") == 0) {
		*ret = listing->parent;
	} else {
		entry = find_name(listing, name);
		if (entry)
			*ret = entry->inode;
		else
			r = ENOENT;
	}
	reader_unlist(reader, listing);
	return r;
}
