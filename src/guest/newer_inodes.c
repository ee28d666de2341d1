/* SPDX-License-Identifier: Apache-2.0 */
/* Inodes of a file system in memory, and what of their contents is newer than the disk. */
#include <string.h>

#include "guest/containers.h"
#include "guest/newer_layout.h"
#include "guest/object.h"
#include "guest/vfs.h"

#define I_ENCRYPTED        (UINT64_C(1) << 14) /* S_ENCRYPTED (include/linux/fs.h), 4.14 and later */
#define EXT4_JOURNAL_DATA  (UINT64_C(1) << 14) /* EXT4_JOURNAL_DATA_FL of ext4_inode_info.i_flags */
#define MOUNT_DATA_MODE    0xc00u              /* EXT4_MOUNT_DATA_FLAGS of s_mount_opt */
#define MOUNT_JOURNAL_DATA 0x400u              /* EXT4_MOUNT_JOURNAL_DATA */
#define NS_MASK            0x3fffffffu         /* above it ctime has a flag (I_CTIME_QUERIED, 6.13 and later) */

struct time_members {
	struct member s, ns;
};

struct inode_layout {
	const struct vfs_layout *vfs;
	struct buffer_layout buffers;
	struct object_span span;
	struct member inodes; /* super_block.s_inodes */
	struct member list, queue, flags, generation;
	struct time_members atime, mtime, ctime;
	struct member mapping_count;          /* address_space.nrpages */
	struct member ext4_inode, ext4_flags; /* ext4_inode_info.vfs_inode, .i_flags; not in kernels without them */
};

struct inodes_walk {
	struct inode_layout layout;
	const struct guest_file_system *fs;
	bool journaled; /* contents of all files go through the journal */
	guest_inode_visit visit;
	void *context;
};

/* ---- Layout ---- */

/* A struct timespec64, renamed in 6.6, then two numbers (6.11). */
static struct error *find_time(const struct types *types, const char *name, struct time_members *ret,
			       struct object_span *span)
{
	static const char *const forms[][2] = {
		{"%s.tv_sec", "%s.tv_nsec"}, {"__%s.tv_sec", "__%s.tv_nsec"}, {"%s_sec", "%s_nsec"}};
	char s[32], ns[32];

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(s, sizeof(s), forms[i][0], name);
		snprintf(ns, sizeof(ns), forms[i][1], name);
#pragma GCC diagnostic pop
		if (types_find(types, "inode", s).present)
			break;
	}
	return object_need(types, (struct member_need[]){{"inode", s, &ret->s}, {"inode", ns, &ret->ns}}, 2, span);
}

static struct error *load_ext4(struct guest *guest, struct inode_layout *ret)
{
	const struct types *types;
	struct error *error = guest_module_types(guest, "ext4", &types);

	if (error)
		return error;
	ret->ext4_inode = types_find(types, "ext4_inode_info", "vfs_inode");
	ret->ext4_flags = types_find(types, "ext4_inode_info", "i_flags");
	return NULL;
}

static struct error *load_layout(struct guest *guest, struct inode_layout *ret)
{
	const struct member_need inode[] = {
		{"inode", "i_sb_list", &ret->list},
		{"inode", "i_io_list", &ret->queue},
		{"inode", "i_flags", &ret->flags},
		{"inode", "i_generation", &ret->generation},
	};
	const struct member_need others[] = {
		{"super_block", "s_inodes", &ret->inodes},
		{"address_space", "nrpages", &ret->mapping_count},
	};
	struct error *error = vfs_layout_get(guest, &ret->vfs);

	if (error)
		return error;
	ret->span = ret->vfs->inode_span;
	error = object_need(guest->types, inode, ARRAY_SIZE(inode), &ret->span);
	if (!error)
		error = types_need(guest->types, others, ARRAY_SIZE(others));
	if (!error)
		error = find_time(guest->types, "i_atime", &ret->atime, &ret->span);
	if (!error)
		error = find_time(guest->types, "i_mtime", &ret->mtime, &ret->span);
	if (!error)
		error = find_time(guest->types, "i_ctime", &ret->ctime, &ret->span);
	if (!error)
		error = buffer_layout_load(guest, &ret->buffers);
	return error ? error : load_ext4(guest, ret);
}

/* ---- Inodes ---- */

static struct guest_time take_time(const struct object *inode, const struct time_members *members)
{
	return (struct guest_time){(int64_t)object_get(inode, &members->s),
				   (uint32_t)object_get(inode, &members->ns) & NS_MASK};
}

/* Whether the inode is in a queue of those to be written: its list_head does not point to itself. */
static bool is_queued(const struct inode_layout *layout, const struct object *inode)
{
	struct member next = layout->queue;
	uint64_t value;

	next.size = sizeof(value);
	value = object_get(inode, &next);
	return value && value != inode->address.v + next.offset;
}

/* ext4 alone journals contents: of all files by a mount option, of single ones by a flag of the inode. */
static struct error *is_journaled(struct guest *guest, const struct inodes_walk *walk, uint64_t inode, bool *ret)
{
	const struct inode_layout *layout = &walk->layout;
	uint64_t flags;
	struct error *error;

	*ret = walk->journaled;
	if (*ret || !walk->fs->has_ext4)
		return NULL;
	/* Where the flag is unknown (5.10) the buffers are asked. */
	if (!layout->ext4_inode.present || !layout->ext4_flags.present) {
		*ret = true;
		return NULL;
	}
	error = guest_read_member(guest, (struct gva){inode - layout->ext4_inode.offset}, &layout->ext4_flags, &flags);
	if (!error)
		*ret = flags & EXT4_JOURNAL_DATA;
	return error;
}

static struct error *note_entry(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context)
{
	(void)guest;
	(void)first;
	(void)last;
	*(bool *)context |= !(entry & 1);
	return NULL;
}

/* Whether guest_inode_data() would find anything; sometimes true where it would not. */
static struct error *has_data(struct guest *guest, const struct inodes_walk *walk, const struct object *inode,
			      bool journaled, bool *ret)
{
	const struct page_cache_layout *cache = walk->layout.buffers.cache;
	uint64_t mapping = object_get(inode, &walk->layout.vfs->inode_mapping), count;
	struct error *error = guest_read_member(guest, (struct gva){mapping}, &walk->layout.mapping_count, &count);

	*ret = journaled && count;
	if (error || journaled || !count)
		return error;
	return xarray_walk_marked(guest, (struct gva){mapping + cache->mapping_pages.offset},
				  XARRAY_DIRTY | XARRAY_WRITEBACK, note_entry, ret);
}

static struct error *visit_inode(struct guest *guest, struct gva address, void *context)
{
	struct inodes_walk *walk = context;
	const struct inode_layout *l = &walk->layout;
	struct object object;
	struct guest_cached_inode inode = {.address = address.v};
	struct error *error = object_load(guest, l->span, address.v, &object);

	if (!error)
		error = is_journaled(guest, walk, address.v, &inode.journaled);
	if (!error)
		error = has_data(guest, walk, &object, inode.journaled, &inode.data);
	if (error)
		return error;
	inode.number = object_get(&object, &l->vfs->path->inode_number);
	inode.mode = (uint32_t)object_get(&object, &l->vfs->inode_mode);
	inode.links = (uint32_t)object_get(&object, &l->vfs->inode_links);
	inode.uid = (uint32_t)object_get(&object, &l->vfs->inode_uid);
	inode.gid = (uint32_t)object_get(&object, &l->vfs->inode_gid);
	inode.generation = (uint32_t)object_get(&object, &l->generation);
	inode.size = object_get(&object, &l->vfs->inode_size_bytes);
	inode.atime = take_time(&object, &l->atime);
	inode.mtime = take_time(&object, &l->mtime);
	inode.ctime = take_time(&object, &l->ctime);
	inode.changed = is_queued(l, &object);
	inode.encrypted = object_get(&object, &l->flags) & I_ENCRYPTED;
	return walk->visit(guest, &inode, walk->context);
}

static struct error *read_data_mode(struct guest *guest, struct inodes_walk *walk)
{
	const struct types *types;
	struct member options;
	uint64_t info, value;
	struct error *error;

	if (!walk->fs->has_ext4)
		return NULL;
	error = guest_module_types(guest, "ext4", &types);
	if (error)
		return error;
	options = module_member(guest, types, "ext4_sb_info", "s_mount_opt");
	if (!options.present)
		return error_create(ERROR_UNSUPPORTED, "the guest's kernel does not tell its mount options");
	error = guest_read_member(guest, (struct gva){walk->fs->address}, &walk->layout.vfs->super_info, &info);
	if (!error)
		error = guest_read_member(guest, (struct gva){info}, &options, &value);
	if (!error)
		walk->journaled = (value & MOUNT_DATA_MODE) == MOUNT_JOURNAL_DATA;
	return error;
}

struct error *guest_cached_inodes(struct guest *guest, const struct guest_file_system *fs, guest_inode_visit visit,
				  void *context)
{
	struct inodes_walk walk = {.fs = fs, .visit = visit, .context = context};
	struct error *error = load_layout(guest, &walk.layout);

	if (!error)
		error = read_data_mode(guest, &walk);
	if (!error)
		error = list_walk(guest, (struct gva){fs->address + walk.layout.inodes.offset}, walk.layout.list.offset,
				  visit_inode, &walk);
	return error_wrap(error, "inodes of %s in memory", fs->id);
}

/* ---- Contents ---- */

struct data_walk {
	struct buffer_layout layout;
	guest_piece_visit visit;
	void *context;
	struct folio folio; /* the one at hand */
	bool journaled;
};

static struct error *visit_buffer(struct guest *guest, const struct buffer *buffer, void *context)
{
	struct data_walk *walk = context;
	struct guest_piece piece = {
		.offset = walk->folio.offset + buffer->offset,
		.size = (uint32_t)buffer->size,
		.newer = true,
		.place = {walk->folio.place.v + buffer->offset},
	};

	return buffer->uptodate && buffer->newer ? walk->visit(guest, &piece, walk->context) : NULL;
}

/* A page without buffers is dirty as a whole. */
static struct error *visit_whole(struct guest *guest, struct data_walk *walk)
{
	const struct page_cache_layout *cache = walk->layout.cache;
	struct error *error = NULL;

	if (!(walk->folio.flags & (cache->dirty | cache->writeback)) || !(walk->folio.flags & cache->uptodate))
		return NULL;
	for (uint64_t done = 0; !error && done < walk->folio.size; done += PAGE_SIZE) {
		struct guest_piece piece = {
			.offset = walk->folio.offset + done,
			.size = PAGE_SIZE,
			.newer = true,
			.place = {walk->folio.place.v + done},
		};

		error = walk->visit(guest, &piece, walk->context);
	}
	return error;
}

static struct error *visit_page(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context)
{
	struct data_walk *walk = context;
	const struct page_cache_layout *cache = walk->layout.cache;
	bool has_buffers = false;
	struct error *error;

	(void)last;
	if (entry & 1) /* an evicted page's shadow: what it had is on disk */
		return NULL;
	error = folio_read(guest, cache, first, entry, &walk->folio);
	if (error || walk->folio.offset != first * PAGE_SIZE)
		return error;
	if (walk->folio.flags & cache->private)
		error = buffers_walk(guest, &walk->layout, walk->folio.address, walk->folio.size, visit_buffer, walk,
				     &has_buffers);
	return error || has_buffers ? error : visit_whole(guest, walk);
}

struct error *guest_inode_data(struct guest *guest, const struct guest_cached_inode *inode, guest_piece_visit visit,
			       void *context)
{
	struct data_walk walk = {.visit = visit, .context = context, .journaled = inode->journaled};
	const struct vfs_layout *vfs;
	struct gva pages;
	uint64_t mapping;
	struct error *error = buffer_layout_load(guest, &walk.layout);

	if (!error)
		error = vfs_layout_get(guest, &vfs);
	if (!error)
		error = guest_read_member(guest, (struct gva){inode->address}, &vfs->inode_mapping, &mapping);
	if (error)
		return error;
	pages.v = mapping + walk.layout.cache->mapping_pages.offset;
	/* What the journal holds need not be marked in the page cache. */
	error = inode->journaled ? xarray_walk(guest, pages, visit_page, &walk)
				 : xarray_walk_marked(guest, pages, XARRAY_DIRTY | XARRAY_WRITEBACK, visit_page, &walk);
	return error_wrap(error, "contents of inode %llu in memory", (unsigned long long)inode->number);
}

struct error *guest_inode_path(struct guest *guest, uint64_t address, char **ret)
{
	const struct vfs_layout *vfs;
	struct member first;
	uint64_t alias;
	struct error *error = vfs_layout_get(guest, &vfs);

	if (error)
		return error;
	guest_effort_begin(guest);
	first = vfs->inode_aliases;
	first.size = sizeof(alias);
	error = guest_read_member(guest, (struct gva){address}, &first, &alias);
	if (error || !alias)
		return error;
	return dentry_path(guest, vfs->path, alias - vfs->dentry_alias.offset, ret);
}
