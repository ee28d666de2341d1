/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of a file system's device in memory. A page of the device's own page cache has a ring of buffers, one a block.
 * Those of metadata are changed in place and marked: by the journal (jbddirty) until it has them, then as dirty
 * until they are in their place; locked or in asynchronous writing while they go there.
 */
#include <string.h>

#include "guest/containers.h"
#include "guest/newer_layout.h"
#include "guest/object.h"
#include "guest/vfs.h"

#define BUFFER_MIN     512u
/* enum jbd_state_bits (include/linux/jbd2.h) begins at BH_PrivateStart; this one's place is that of 3.x to 7.x. */
#define JBD_DIRTY_STEP 5u

/* ---- Buffers ---- */

static struct error *find_bit(const struct types *types, const char *name, uint64_t *ret)
{
	uint64_t bit;
	struct error *error = types_get_enum(types, "bh_state_bits", name, &bit);

	if (!error && bit > 62)
		error = error_create(ERROR_FORMAT, "%s is bit %llu", name, (unsigned long long)bit);
	if (!error)
		*ret = UINT64_C(1) << bit;
	return error;
}

/* jbd2 is a module in most distributions, whose types before 5.11 are nowhere. */
static struct error *find_journal_bit(struct guest *guest, uint64_t *ret)
{
	const struct types *types;
	uint64_t bit;
	struct error *error = guest_module_types(guest, "jbd2", &types);

	if (!error && types_enum(types, "jbd_state_bits", "BH_JBDDirty", &bit) && bit < 63) {
		*ret = UINT64_C(1) << bit;
		return NULL;
	}
	if (!error)
		error = find_bit(guest->types, "BH_PrivateStart", ret);
	if (!error)
		*ret <<= JBD_DIRTY_STEP;
	return error;
}

struct error *buffer_layout_load(struct guest *guest, struct buffer_layout *ret)
{
	struct member unused;
	const struct member_need needs[] = {
		{"buffer_head", "b_blocknr", &ret->block}, {"buffer_head", "b_state", &unused},
		{"buffer_head", "b_this_page", &unused},   {"buffer_head", "b_page", &unused},
		{"buffer_head", "b_size", &unused},
	};
	uint64_t dirty, lock, writing, journal;
	struct error *error = page_cache_layout_get(guest, &ret->cache);

	ret->span = (struct object_span){0};
	if (!error)
		error = object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);
	if (!error)
		error = find_bit(guest->types, "BH_Uptodate", &ret->uptodate);
	if (!error)
		error = find_bit(guest->types, "BH_Dirty", &dirty);
	if (!error)
		error = find_bit(guest->types, "BH_Lock", &lock);
	if (!error)
		error = find_bit(guest->types, "BH_Async_Write", &writing);
	if (!error)
		error = find_journal_bit(guest, &journal);
	if (error)
		return error_wrap(error, "buffers of the guest");
	ret->newer = dirty | lock | writing | journal;
	return NULL;
}

/* What page.private points to is a ring of buffers only if these point back: see has_blocks() in page_cache.c. */
static struct error *read_buffer(struct guest *guest, const struct buffer_layout *layout, uint64_t folio,
				 uint64_t address, struct object *ret, bool *ret_is_one)
{
	struct error *error = object_load(guest, layout->span, address, ret);
	uint64_t size = error ? 0 : object_get(ret, &layout->cache->buffer_size);

	*ret_is_one = !error && object_get(ret, &layout->cache->buffer_page) == folio && size >= BUFFER_MIN &&
		      (size & (size - 1)) == 0;
	return error;
}

struct error *buffers_walk(struct guest *guest, const struct buffer_layout *layout, uint64_t folio, uint64_t size,
			   buffer_visit visit, void *context, bool *ret)
{
	struct object object;
	uint64_t next;
	struct buffer buffer = {0};
	struct error *error = guest_read_member(guest, (struct gva){folio}, &layout->cache->page_private, &next);

	*ret = false;
	for (; !error && buffer.offset < size; buffer.offset += buffer.size) {
		bool is_one;
		uint64_t state;

		error = read_buffer(guest, layout, folio, next, &object, &is_one);
		if (!error && !is_one && buffer.offset == 0)
			return NULL;
		if (!error && !is_one)
			error = error_format(NULL, next, "a ring of buffers of the guest is broken");
		if (error)
			return error;
		*ret = true;
		state = object_get(&object, &layout->cache->buffer_state);
		buffer.size = object_get(&object, &layout->cache->buffer_size);
		if (buffer.size > size - buffer.offset)
			return error_format(NULL, next, "a buffer of the guest is larger than its page");
		buffer.block = object_get(&object, &layout->block);
		buffer.uptodate = state & layout->uptodate;
		buffer.newer = state & layout->newer;
		next = object_get(&object, &layout->cache->buffer_next);
		error = visit(guest, &buffer, context);
	}
	return error;
}

struct error *folio_read(struct guest *guest, const struct page_cache_layout *layout, uint64_t first, uint64_t entry,
			 struct folio *ret)
{
	struct folio folio = {.address = entry & ~UINT64_C(3)};
	unsigned order = 0;
	struct error *error =
		memory_read_u64(&guest->memory, (struct gva){folio.address + layout->pages.flags.offset}, &folio.flags);

	if (!error && folio.flags & layout->pages.head_bit)
		error = page_order(guest, &layout->pages, (struct gva){folio.address}, &order);
	if (!error)
		error = page_physical(&layout->pages, (struct gva){folio.address}, &folio.place);
	if (error)
		return error;
	folio.size = (uint64_t)PAGE_SIZE << order;
	folio.offset = first * PAGE_SIZE & ~(folio.size - 1);
	*ret = folio;
	return NULL;
}

/* ---- Blocks of a device ---- */

struct blocks_walk {
	struct buffer_layout layout;
	guest_piece_visit visit;
	void *context;
	struct folio folio; /* the one at hand */
};

static struct error *visit_buffer(struct guest *guest, const struct buffer *buffer, void *context)
{
	struct blocks_walk *walk = context;
	struct guest_piece piece = {
		.offset = buffer->block * buffer->size,
		.size = (uint32_t)buffer->size,
		.newer = buffer->newer,
		.place = {walk->folio.place.v + buffer->offset},
	};

	if (!buffer->uptodate)
		return NULL;
	if (buffer->size > GUEST_PIECE_MAX || buffer->block > UINT64_MAX / buffer->size)
		return error_format(NULL, walk->folio.address, "a buffer of the guest lies beyond any device");
	return walk->visit(guest, &piece, walk->context);
}

static struct error *visit_page(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context)
{
	struct blocks_walk *walk = context;
	bool has_buffers = false;
	struct error *error;

	(void)last;
	if (entry & 1) /* an evicted page's shadow */
		return NULL;
	error = folio_read(guest, walk->layout.cache, first, entry, &walk->folio);
	/* In kernels before 5.17 each page of a large one has a slot with the first one in it. */
	if (error || walk->folio.offset != first * PAGE_SIZE || !(walk->folio.flags & walk->layout.cache->private))
		return error;
	return buffers_walk(guest, &walk->layout, walk->folio.address, walk->folio.size, visit_buffer, walk,
			    &has_buffers);
}

/* The page cache of the device: by a member of its own since 6.10 (bd_inode went away), by its inode before. */
static struct error *find_mapping(struct guest *guest, const struct guest_file_system *fs, uint64_t *ret)
{
	struct member mapping = types_find(guest->types, "block_device", "bd_mapping"), inode;
	const struct vfs_layout *vfs;
	uint64_t device, address = 0;
	struct error *error = vfs_layout_get(guest, &vfs);

	if (!error)
		error = guest_read_member(guest, (struct gva){fs->address}, &vfs->super_bdev, &device);
	if (error)
		return error;
	if (!device)
		return error_create(ERROR_UNSUPPORTED, "%s is not on a block device", fs->id);
	if (mapping.present)
		return guest_read_member(guest, (struct gva){device}, &mapping, ret);
	error = types_need(guest->types, &(struct member_need){"block_device", "bd_inode", &inode}, 1);
	if (!error)
		error = guest_read_member(guest, (struct gva){device}, &inode, &address);
	return error ? error : guest_read_member(guest, (struct gva){address}, &vfs->inode_mapping, ret);
}

struct error *guest_device_blocks(struct guest *guest, const struct guest_file_system *fs, guest_piece_visit visit,
				  void *context)
{
	struct blocks_walk walk = {.visit = visit, .context = context};
	uint64_t mapping;
	struct error *error = buffer_layout_load(guest, &walk.layout);

	if (!error)
		error = find_mapping(guest, fs, &mapping);
	if (!error)
		error = xarray_walk(guest, (struct gva){mapping + walk.layout.cache->mapping_pages.offset}, visit_page,
				    &walk);
	return error_wrap(error, "blocks of %s in memory", fs->id);
}

struct error *guest_piece_read(struct guest *guest, const struct guest_piece *piece, void *buffer)
{
	return image_read(guest->memory.image, piece->place, buffer, piece->size);
}
