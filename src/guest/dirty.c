/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is not on disk yet: of every file system on a block device the inodes with dirty pages or metadata, and the
 * block devices' own pages. The kernel queues dirty inodes by device and by cgroup; the list of a file system's
 * inodes has them all, in memory and once.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/files.h"
#include "guest/object.h"
#include "guest/page_cache.h"
#include "guest/vfs.h"

struct dirty_layout {
	struct member super_list, super_inodes, inode_list, inode_state, inode_queue;
	struct object_span inode_span; /* the members above, and those of vfs_layout */
	uint64_t dirty_inode;          /* bits of i_state; 0: unknown, the queue decides */
};

struct walk {
	const struct vfs_layout *vfs;
	const struct page_cache_layout *cache;
	struct dirty_layout layout;
	struct vfs_super super; /* the one being looked at */
	bool of_devices;        /* it is the one that holds the block devices' inodes */
	char id[32];
	struct guest_dirty_list list;
};

void guest_dirty_list_deinit(struct guest_dirty_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].path);
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_dirty_list){0};
}

/*
 * I_DIRTY_SYNC, I_DIRTY_DATASYNC and I_DIRTY_TIME are constants since 6.19, macros before: bits 0, 1 and 11, moved by
 * bits for waiting in 6.11 (__I_LRU_ISOLATING), more than once.
 */
static uint64_t find_dirty_bits(const struct types *types)
{
	uint64_t sync, data, time, unused;

	if (types_enum(types, NULL, "I_DIRTY_SYNC", &sync) && types_enum(types, NULL, "I_DIRTY_DATASYNC", &data) &&
	    types_enum(types, NULL, "I_DIRTY_TIME", &time))
		return sync | data | time;
	if (types_enum(types, NULL, "__I_LRU_ISOLATING", &unused) || types_find(types, "inode", "i_mtime_sec").present)
		return 0;
	return 1u << 0 | 1u << 1 | 1u << 11;
}

static struct error *load_layout(struct guest *guest, const struct vfs_layout *vfs, struct dirty_layout *ret)
{
	const struct member_need super[] = {
		{"super_block", "s_list", &ret->super_list},
		{"super_block", "s_inodes", &ret->super_inodes},
	};
	const struct member_need inode[] = {
		{"inode", "i_sb_list", &ret->inode_list},
		{"inode", "i_state", &ret->inode_state},
		{"inode", "i_io_list", &ret->inode_queue},
	};
	struct error *error = types_need(guest->types, super, ARRAY_SIZE(super));

	ret->dirty_inode = find_dirty_bits(guest->types);
	ret->inode_span = vfs->inode_span;
	return error ? error : object_need(guest->types, inode, ARRAY_SIZE(inode), &ret->inode_span);
}

/* Whether the inode is in a queue of those to be written: its list_head does not point to itself. */
static bool is_queued(const struct walk *walk, const struct object *inode)
{
	struct member next = walk->layout.inode_queue;

	next.size = sizeof(uint64_t);
	return object_get(inode, &next) != inode->address.v + next.offset && object_get(inode, &next) != 0;
}

static bool has_dirty_metadata(const struct walk *walk, const struct object *inode)
{
	if (walk->layout.dirty_inode)
		return object_get(inode, &walk->layout.inode_state) & walk->layout.dirty_inode;
	return is_queued(walk, inode);
}

static struct error *find_path(struct guest *guest, struct walk *walk, const struct object *inode, char **ret)
{
	struct member first = walk->vfs->inode_aliases;
	uint64_t alias;

	first.size = sizeof(uint64_t);
	alias = object_get(inode, &first);
	if (!alias || walk->of_devices)
		return NULL;
	return dentry_path(guest, walk->vfs->path, alias - walk->vfs->dentry_alias.offset, ret);
}

/* "vda1" by the file system that is mounted from it, else its numbers. */
static void name_device(const struct walk *walk, uint64_t device, char ret[32])
{
	if (walk->of_devices)
		snprintf(ret, 32, "%llu:%llu", (unsigned long long)device >> 20, (unsigned long long)device & 0xfffff);
	else
		memcpy(ret, walk->id, sizeof(walk->id));
}

static struct error *read_inode(struct guest *guest, struct walk *walk, struct gva address)
{
	const struct vfs_layout *vfs = walk->vfs;
	struct guest_dirty_file file = {.inode_address = address.v, .block_device = walk->of_devices};
	struct gva mapping = {address.v + vfs->inode_data.offset};
	struct object inode;
	struct error *error = object_load(guest, walk->layout.inode_span, address.v, &inode);

	if (!error)
		error = page_cache_dirty(guest, walk->cache, mapping, &file.dirty_pages);
	if (error)
		return error;
	file.metadata = !walk->of_devices && has_dirty_metadata(walk, &inode);
	if (!file.metadata && !file.dirty_pages)
		return NULL;
	file.inode = object_get(&inode, &vfs->path->inode_number);
	file.size = object_get(&inode, &vfs->inode_size_bytes);
	name_device(walk, object_get(&inode, &vfs->inode_device), file.device);
	error = find_path(guest, walk, &inode, &file.path);
	if (!error)
		error = array_room(&walk->list.items, walk->list.n, sizeof(file));
	if (error) {
		free(file.path);
		return error;
	}
	walk->list.items[walk->list.n++] = file;
	return NULL;
}

/* Remembers the first thing that went wrong and goes on. */
static struct error *note(struct guest *guest, struct walk *walk, struct error *error)
{
	return guest_effort_spent(guest) ? error : walk_note(&walk->list.incomplete, error);
}

static struct error *visit_inode(struct guest *guest, struct gva inode, void *context)
{
	return note(guest, context, read_inode(guest, context, inode));
}

static struct error *visit_super(struct guest *guest, struct gva super, void *context)
{
	struct walk *walk = context;
	struct error *error = vfs_super_read(guest, walk->vfs, super.v, &walk->super);

	walk->of_devices = !error && strcmp(walk->super.type, "bdev") == 0;
	if (!error && !walk->super.bdev && !walk->of_devices)
		return NULL;
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){super.v + walk->vfs->super_id.offset}, walk->id,
					   sizeof(walk->id));
	if (!error)
		error = list_walk(guest, (struct gva){super.v + walk->layout.super_inodes.offset},
				  walk->layout.inode_list.offset, visit_inode, walk);
	return note(guest, walk, error);
}

/* Names the block devices by the file systems on them. */
struct naming {
	struct walk *walk;
};

static struct error *visit_name(struct guest *guest, struct gva super, void *context)
{
	struct walk *walk = ((struct naming *)context)->walk;
	struct vfs_super found;
	char id[32], numbers[32];
	struct error *error = vfs_super_read(guest, walk->vfs, super.v, &found);

	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){super.v + walk->vfs->super_id.offset}, id,
					   sizeof(id));
	if (error || !found.bdev)
		return error;
	snprintf(numbers, sizeof(numbers), "%u:%u", found.device >> 20, found.device & 0xfffff);
	for (size_t i = 0; i < walk->list.n; i++)
		if (walk->list.items[i].block_device && strcmp(walk->list.items[i].device, numbers) == 0)
			memcpy(walk->list.items[i].device, id, sizeof(id));
	return NULL;
}

struct error *guest_dirty_files(struct guest *guest, struct guest_dirty_list *ret)
{
	struct walk walk = {0};
	struct naming naming = {&walk};
	struct gva supers;
	struct error *error = vfs_layout_get(guest, &walk.vfs);

	if (!error)
		error = page_cache_layout_get(guest, &walk.cache);
	if (!error)
		error = load_layout(guest, walk.vfs, &walk.layout);
	if (!error)
		error = symbols_get(guest->symbols, "super_blocks", &supers);
	if (error)
		return error_wrap(error, "dirty files of the guest");
	guest_effort_begin(guest);
	error = list_walk(guest, supers, walk.layout.super_list.offset, visit_super, &walk);
	if (!error)
		error = list_walk(guest, supers, walk.layout.super_list.offset, visit_name, &naming);
	error = walk_note(&walk.list.incomplete, error);
	if (error) {
		guest_dirty_list_deinit(&walk.list);
		return error;
	}
	walk.list.incomplete = error_wrap(walk.list.incomplete, "dirty files of the guest");
	*ret = walk.list;
	return NULL;
}
