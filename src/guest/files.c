/* SPDX-License-Identifier: Apache-2.0 */
/* Files by path: through the mounts and the dentry cache, as the guest's first process would see them. */
#include "guest/files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest/containers.h"
#include "guest/object.h"
#include "guest/page_cache.h"
#include "guest/vfs.h"

#define LINKS_MAX     40u         /* MAXSYMLINKS */
#define REMAINING_MAX (64u << 10) /* of a path with the targets of links put in */

#define TMPFS_MAGIC   UINT64_C(0x01021994)
#define RAMFS_MAGIC   UINT64_C(0x858458f6)

/* File systems whose files have no contents but what the kernel makes when they are read. */
static const uint64_t made_when_read[] = {
	0x9fa0,     /* proc */
	0x62656572, /* sysfs */
	0x27e0eb,   /* cgroup */
	0x63677270, /* cgroup2 */
	0x64626720, /* debugfs */
	0x74726163, /* tracefs */
	0x73636673, /* securityfs */
	0x62656570, /* configfs */
	0xcafe4a11, /* bpf */
	0x1cd1,     /* devpts */
	0x19800202, /* mqueue */
	0x6165676c, /* pstore */
	0xde5e81e4, /* efivarfs */
	0xf97cff8c, /* selinuxfs */
	0x43415d53, /* smackfs */
	0x5a3c69f0, /* apparmorfs */
	0x65735543, /* fusectl */
	0x42494e4d, /* binfmt_misc */
	0x0187,     /* autofs */
	0x6e736673, /* nsfs */
	0x50494446, /* pidfs */
	0x67596969, /* rpc_pipefs */
	0x6e667364, /* nfsd */
	0x07655821, /* resctrl */
};

static bool is_in(const uint64_t *magics, size_t n, uint64_t magic)
{
	for (size_t i = 0; i < n; i++)
		if (magics[i] == magic)
			return true;
	return false;
}

void guest_file_deinit(struct guest_file *file)
{
	free(file->name);
	free(file->link);
	*file = (struct guest_file){0};
}

void guest_file_list_deinit(struct guest_file_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		guest_file_deinit(&list->items[i]);
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_file_list){0};
}

/* ---- Inodes ---- */

static struct error *read_magic(struct guest *guest, const struct vfs_layout *layout, const struct object *inode,
				uint64_t *ret)
{
	return guest_read_member(guest, (struct gva){object_get(inode, &layout->path->inode_super)},
				 &layout->super_magic, ret);
}

/*
 * The target of a symbolic link: what the inode points to, or for long ones the file's first page. *ret stays NULL
 * where memory has neither.
 */
static struct error *read_link(struct guest *guest, const struct vfs_layout *layout, const struct object *inode,
			       uint64_t magic, char **ret)
{
	uint64_t address = object_get(inode, &layout->inode_link), size = object_get(inode, &layout->inode_size_bytes);
	bool in_memory = magic == TMPFS_MAGIC || magic == RAMFS_MAGIC;
	const struct page_cache_layout *cache;
	char target[FILE_PATH_SIZE] = "";
	struct error *error;

	if (address)
		return vfs_string(guest, address, ret);
	if (size == 0 || size >= sizeof(target) || is_in(made_when_read, ARRAY_SIZE(made_when_read), magic))
		return NULL;
	error = page_cache_layout_get(guest, &cache);
	if (!error)
		error = page_cache_read(guest, cache, (struct gva){object_get(inode, &layout->inode_mapping)},
					in_memory ? PAGE_CACHE_MEMORY : PAGE_CACHE_DISK, 0, target, size);
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		return NULL;
	}
	if (error)
		return error;
	*ret = strdup(target);
	return *ret ? NULL : error_no_memory();
}

/* All of *ret but for its name. */
static struct error *read_file(struct guest *guest, const struct vfs_layout *layout, uint64_t address,
			       struct guest_file *ret)
{
	uint64_t magic, device;
	struct object inode;
	struct error *error = object_load(guest, layout->inode_span, address, &inode);

	if (!error)
		error = read_magic(guest, layout, &inode, &magic);
	if (error)
		return error;
	device = object_get(&inode, &layout->inode_device);
	*ret = (struct guest_file){
		.inode_address = address,
		.inode = object_get(&inode, &layout->path->inode_number),
		.mode = (uint32_t)object_get(&inode, &layout->inode_mode),
		.uid = (uint32_t)object_get(&inode, &layout->inode_uid),
		.gid = (uint32_t)object_get(&inode, &layout->inode_gid),
		.links = (uint32_t)object_get(&inode, &layout->inode_links),
		.size = object_get(&inode, &layout->inode_size_bytes),
		.mtime_s = (int64_t)object_get(&inode, &layout->inode_mtime_s),
		.mtime_ns = (uint32_t)object_get(&inode, &layout->inode_mtime_ns),
		.resident = magic == TMPFS_MAGIC || magic == RAMFS_MAGIC,
	};
	if (S_ISCHR(ret->mode) || S_ISBLK(ret->mode)) {
		ret->major = (uint32_t)(device >> 20);
		ret->minor = device & 0xfffff;
	}
	return S_ISLNK(ret->mode) ? read_link(guest, layout, &inode, magic, &ret->link) : NULL;
}

struct error *guest_open_file(struct guest *guest, uint64_t file, struct guest_file *ret)
{
	const struct vfs_layout *layout;
	struct file_facts facts;
	struct error *error = vfs_layout_get(guest, &layout);

	if (!error)
		error = file_read(guest, layout->path, file, &facts);
	if (!error)
		error = read_file(guest, layout, facts.inode, ret);
	return error_wrap(error, "an open file");
}

/* ---- Paths ---- */

struct lookup {
	struct guest *guest;
	const struct vfs_layout *layout;
	struct place root, place;
	char name[FILE_NAME_SIZE]; /* by which `place` was reached */
	char *remaining;           /* what is still to be followed; owned */
	size_t position;           /* in it */
	unsigned links;
};

struct mount_search {
	const struct lookup *lookup;
	uint64_t found;
};

static struct error *compare_mount(struct guest *guest, struct gva mount, void *context)
{
	struct mount_search *search = context;
	uint64_t point;
	struct error *error = guest_effort(guest, 1, mount.v); /* mounts may also go in circles */

	if (!error)
		error = guest_read_member(guest, mount, &search->lookup->layout->path->mount_point, &point);
	/* The newest one of several at a place is at the end. */
	if (!error && point == search->lookup->place.dentry)
		search->found = mount.v;
	return error;
}

/* From a directory, or file, to what is mounted on it; also on top of that. */
static struct error *enter_mounts(struct lookup *lookup)
{
	const struct vfs_layout *layout = lookup->layout;

	for (;;) {
		struct mount_search search = {.lookup = lookup};
		struct error *error =
			list_walk(lookup->guest, (struct gva){lookup->place.mount + layout->mount_children.offset},
				  layout->mount_child.offset, compare_mount, &search);

		if (error || !search.found)
			return error;
		lookup->place.mount = search.found;
		error = guest_read_member(lookup->guest, (struct gva){search.found}, &layout->path->mount_root,
					  &lookup->place.dentry);
		if (error)
			return error;
	}
}

/* To the directory above; the root is its own. */
static struct error *go_up(struct lookup *lookup)
{
	const struct vfs_layout *layout = lookup->layout;
	struct place *place = &lookup->place;

	while (place->mount != lookup->root.mount || place->dentry != lookup->root.dentry) {
		uint64_t top, parent;
		const struct member_read reads[] = {{&layout->path->mount_parent, &parent},
						    {&layout->path->mount_point, &place->dentry}};
		struct error *error =
			guest_read_member(lookup->guest, (struct gva){place->mount}, &layout->path->mount_root, &top);

		if (!error && place->dentry != top) {
			error = guest_read_member(lookup->guest, (struct gva){place->dentry},
						  &layout->path->dentry_parent, &place->dentry);
			return error ? error : enter_mounts(lookup);
		}
		if (!error)
			error = guest_effort(lookup->guest, 1, place->mount);
		if (!error)
			error = guest_read_members(lookup->guest, (struct gva){place->mount}, reads, ARRAY_SIZE(reads));
		if (error)
			return error;
		if (parent == place->mount)
			return error_format(NULL, place->mount, "the guest's mounts do not lead to its root");
		place->mount = parent;
	}
	return NULL;
}

struct name_search {
	const struct vfs_layout *layout;
	const char *name;
	size_t size;
	uint64_t found;
};

static struct error *compare_name(struct guest *guest, const struct object *dentry, void *context)
{
	struct name_search *search = context;
	char name[FILE_NAME_SIZE];
	size_t size;
	struct error *error;

	if (search->found || object_get(dentry, &search->layout->path->dentry_length) != search->size)
		return NULL;
	error = dentry_name(guest, search->layout->path, dentry, name, &size);
	if (!error && memcmp(name, search->name, size) == 0)
		search->found = dentry->address.v;
	return error;
}

static struct error *not_found(const struct lookup *lookup, const char *name, bool resident)
{
	if (resident)
		return error_create(ERROR_NOT_FOUND, "the guest has no '%s' there", name);
	return error_create(ERROR_NOT_FOUND, "'%s' is not in the guest's memory (nobody looked for it lately)", name);
}

/* To the entry `name` of the directory. */
static struct error *go_down(struct lookup *lookup, const char *name, size_t size)
{
	struct name_search search = {.layout = lookup->layout, .name = name, .size = size};
	struct error *error =
		vfs_walk_directory(lookup->guest, lookup->layout, lookup->place.dentry, compare_name, &search);

	if (error && search.found) {
		error_destroy(error);
		error = NULL;
	}
	if (error)
		return error;
	memcpy(lookup->name, name, size);
	lookup->name[size] = '\0';
	if (!search.found)
		return error_create(ERROR_NOT_FOUND, "%s", lookup->name);
	lookup->place.dentry = search.found;
	return enter_mounts(lookup);
}

/* Puts the target of a link before what remains; a relative one begins in the directory `from`. */
static struct error *follow_link(struct lookup *lookup, const char *target, struct place from)
{
	char *remaining = NULL;

	if (++lookup->links > LINKS_MAX)
		return error_create(ERROR_FAILED, "more than %u symbolic links", LINKS_MAX);
	if (strlen(target) + strlen(lookup->remaining + lookup->position) > REMAINING_MAX)
		return error_create(ERROR_FAILED, "its symbolic links lead to a path of more than %u bytes",
				    REMAINING_MAX);
	if (asprintf(&remaining, "%s/%s", target, lookup->remaining + lookup->position) < 0)
		return error_no_memory();
	/* What was asked without a slash behind it may be a file. */
	if (!lookup->remaining[lookup->position])
		remaining[strlen(target)] = '\0';
	free(lookup->remaining);
	lookup->remaining = remaining;
	lookup->position = 0;
	lookup->place = *target == '/' ? lookup->root : from;
	return NULL;
}

static struct error *read_place(struct lookup *lookup, struct guest_file *ret)
{
	uint64_t inode;
	struct error *error = guest_read_member(lookup->guest, (struct gva){lookup->place.dentry},
						&lookup->layout->path->dentry_inode, &inode);

	return error ? error : read_file(lookup->guest, lookup->layout, inode, ret);
}

/* One name of the path. The place before is a directory. */
static struct error *take_component(struct lookup *lookup, bool follow)
{
	_cleanup_(guest_file_deinit) struct guest_file before = {0}, file = {0};
	struct place from = lookup->place;
	const char *name = lookup->remaining + lookup->position;
	size_t size = strcspn(name, "/");
	bool more = name[size] != '\0';
	struct error *error;

	lookup->position += size + more;
	if (size == 0 || (size == 1 && name[0] == '.'))
		return NULL;
	if (size == 2 && memcmp(name, "..", 2) == 0) {
		strcpy(lookup->name, "..");
		return go_up(lookup);
	}
	if (size >= FILE_NAME_SIZE)
		return error_create(ERROR_NOT_FOUND, "a name of %zu bytes: no file has one", size);
	error = read_place(lookup, &before);
	if (!error && !S_ISDIR(before.mode))
		error = error_create(ERROR_NOT_FOUND, "'%s' is not a directory", lookup->name);
	if (error)
		return error;
	error = go_down(lookup, name, size);
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		return not_found(lookup, lookup->name, before.resident);
	}
	if (!error)
		error = read_place(lookup, &file);
	if (error || !S_ISLNK(file.mode) || (!more && !follow))
		return error;
	if (!file.link)
		return error_create(ERROR_NOT_FOUND,
				    "the target of the symbolic link '%s' is not in the guest's memory", lookup->name);
	return follow_link(lookup, file.link, from);
}

struct error *guest_file_find(struct guest *guest, const char *path, bool follow, struct guest_file *ret)
{
	struct lookup lookup = {.guest = guest, .name = "/"};
	struct guest_file file = {0};
	struct error *error;

	if (path[0] != '/')
		return error_create(ERROR_USAGE, "'%s' is not an absolute path", path);
	guest_effort_begin(guest);
	error = vfs_layout_get(guest, &lookup.layout);
	if (!error)
		error = place_of_root(guest, lookup.layout->path, 0, &lookup.root);
	lookup.place = lookup.root;
	if (!error && !(lookup.remaining = strdup(path)))
		error = error_no_memory();
	while (!error && lookup.remaining[lookup.position])
		error = take_component(&lookup, follow);
	if (!error)
		error = read_place(&lookup, &file);
	if (!error && !(file.name = strdup(lookup.name)))
		error = error_no_memory();
	free(lookup.remaining);
	if (error) {
		guest_file_deinit(&file);
		return error_wrap(error, "%s", path);
	}
	*ret = file;
	return NULL;
}

/* ---- Contents ---- */

/* Which page cache has the file, and what is not in it; an error for files that have none. */
static struct error *find_contents(struct guest *guest, const struct vfs_layout *layout, const struct object *inode,
				   enum page_cache_kind *ret)
{
	uint32_t mode = (uint32_t)object_get(inode, &layout->inode_mode);
	uint64_t magic;
	struct error *error = read_magic(guest, layout, inode, &magic);

	if (error)
		return error;
	if (S_ISDIR(mode))
		return error_create(ERROR_USAGE, "it is a directory");
	if (!S_ISREG(mode))
		return error_create(ERROR_USAGE, "it is not a regular file: it has no contents of its own");
	if (is_in(made_when_read, ARRAY_SIZE(made_when_read), magic))
		return error_create(ERROR_UNSUPPORTED, "made when somebody reads them: only the running guest can");
	*ret = magic == TMPFS_MAGIC || magic == RAMFS_MAGIC ? PAGE_CACHE_MEMORY : PAGE_CACHE_DISK;
	return NULL;
}

struct error *guest_file_read(struct guest *guest, const struct guest_file *file, uint64_t offset, void *buffer,
			      size_t size, size_t *ret_size)
{
	enum page_cache_kind kind = PAGE_CACHE_MEMORY;
	const struct page_cache_layout *cache;
	const struct vfs_layout *layout;
	struct object inode;
	uint64_t end = 0;
	struct error *error = vfs_layout_get(guest, &layout);

	if (!error)
		error = page_cache_layout_get(guest, &cache);
	if (!error)
		error = object_load(guest, layout->inode_span, file->inode_address, &inode);
	if (!error)
		error = find_contents(guest, layout, &inode, &kind);
	if (!error)
		end = object_get(&inode, &layout->inode_size_bytes);
	if (!error && end > INT64_MAX)
		error = error_format(NULL, file->inode_address, "a size of %llu bytes", (unsigned long long)end);
	if (offset >= end)
		size = 0;
	else if (size > end - offset)
		size = (size_t)(end - offset);
	if (!error)
		error = page_cache_read(guest, cache, (struct gva){object_get(&inode, &layout->inode_mapping)}, kind,
					offset, buffer, size);
	if (error)
		return error_wrap(error, "contents of %s", file->name ? file->name : "a file");
	*ret_size = size;
	return NULL;
}

struct next_data {
	uint64_t first;
	bool found;
};

/* The error ends the walk and is dropped. */
static struct error *stop_at_data(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context)
{
	struct next_data *next = context;

	(void)guest;
	(void)last;
	(void)entry;
	next->first = first;
	next->found = true;
	return error_create(ERROR_NOT_FOUND, "found");
}

struct error *guest_file_next_data(struct guest *guest, const struct guest_file *file, uint64_t offset,
				   uint64_t *ret_offset, uint64_t *ret_end)
{
	const struct page_cache_layout *cache;
	const struct vfs_layout *layout;
	struct next_data next = {0};
	struct object inode;
	struct error *error = vfs_layout_get(guest, &layout);
	uint64_t end = 0;

	if (!error)
		error = page_cache_layout_get(guest, &cache);
	if (!error)
		error = object_load(guest, layout->inode_span, file->inode_address, &inode);
	if (error)
		return error_wrap(error, "contents of %s", file->name ? file->name : "a file");
	end = object_get(&inode, &layout->inode_size_bytes);
	error = xarray_walk_range(
		guest, (struct gva){object_get(&inode, &layout->inode_mapping) + cache->mapping_pages.offset},
		offset / PAGE_SIZE, UINT64_MAX, stop_at_data, &next);
	if (next.found) {
		error_destroy(error);
		error = NULL;
	}
	if (error)
		return error;
	if (!next.found || next.first > UINT64_MAX / PAGE_SIZE || next.first * PAGE_SIZE >= end || offset >= end)
		return error_create(ERROR_NOT_FOUND, "no data behind byte %llu", (unsigned long long)offset);
	*ret_offset = next.first * PAGE_SIZE > offset ? next.first * PAGE_SIZE : offset;
	*ret_end = end;
	return NULL;
}

/* ---- Directories ---- */

struct listing {
	const struct vfs_layout *layout;
	struct guest_file_list list;
};

static struct error *add_entry(struct guest *guest, const struct object *dentry, void *context)
{
	struct listing *listing = context;
	struct guest_file_list *list = &listing->list;
	struct guest_file file = {0};
	char name[FILE_NAME_SIZE];
	size_t size;
	struct error *error = dentry_name(guest, listing->layout->path, dentry, name, &size);

	if (!error && (size == 0 || strlen(name) != size || strchr(name, '/')))
		error = error_format(NULL, dentry->address.v, "a directory of the guest has an impossible name");
	if (!error)
		error = read_file(guest, listing->layout, object_get(dentry, &listing->layout->path->dentry_inode),
				  &file);
	if (!error && !(file.name = strdup(name)))
		error = error_no_memory();
	if (!error)
		error = array_room(&list->items, list->n, sizeof(*list->items));
	if (!error)
		list->items[list->n++] = file;
	else
		guest_file_deinit(&file);
	/* One entry that cannot be read does not hide the others. */
	return walk_note(&list->incomplete, error);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct guest_file *)a)->name, ((const struct guest_file *)b)->name);
}

/* A directory has one dentry. */
static struct error *find_dentry(struct guest *guest, const struct vfs_layout *layout, uint64_t inode, uint64_t *ret)
{
	uint64_t alias, mode;
	struct error *error = guest_read_member(guest, (struct gva){inode}, &layout->inode_mode, &mode);

	if (!error && !S_ISDIR(mode))
		error = error_create(ERROR_USAGE, "it is not a directory");
	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){inode + layout->inode_aliases.offset}, &alias);
	if (!error && !alias)
		error = error_create(ERROR_NOT_FOUND, "the directory has no name any more");
	if (!error)
		*ret = alias - layout->dentry_alias.offset;
	return error;
}

struct error *guest_directory(struct guest *guest, const struct guest_file *directory, struct guest_file_list *ret)
{
	struct listing listing = {0};
	uint64_t dentry;
	struct error *error = vfs_layout_get(guest, &listing.layout);

	guest_effort_begin(guest);
	if (!error)
		error = find_dentry(guest, listing.layout, directory->inode_address, &dentry);
	if (error)
		return error_wrap(error, "entries of %s", directory->name ? directory->name : "a directory");
	error = walk_note(&listing.list.incomplete,
			  vfs_walk_directory(guest, listing.layout, dentry, add_entry, &listing));
	if (error) {
		guest_file_list_deinit(&listing.list);
		return error;
	}
	listing.list.incomplete =
		error_wrap(listing.list.incomplete, "entries of %s", directory->name ? directory->name : "a directory");
	if (listing.list.n > 1)
		qsort(listing.list.items, listing.list.n, sizeof(*listing.list.items), by_name);
	*ret = listing.list;
	return NULL;
}
