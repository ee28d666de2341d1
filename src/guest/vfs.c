/* SPDX-License-Identifier: Apache-2.0 */
/* Structures of the guest's virtual file system, and paths through them. */
#include "guest/vfs.h"

#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/object.h"

/* ---- Layout ---- */

static struct error *load_mounts(struct guest *guest, struct vfs_layout *l)
{
	const struct member_need needs[] = {
		{"mount", "mnt", &l->mount_vfs},
		{"mount", "mnt_parent", &l->mount_parent},
		{"mount", "mnt_mountpoint", &l->mount_point},
		{"mount", "mnt_devname", &l->mount_source},
		{"mount", "mnt_id", &l->mount_id},
		{"mount", "mnt_group_id", &l->mount_group},
		{"mount", "mnt_master", &l->mount_master},
		{"mount", "mnt_mounts", &l->mount_children},
		{"mount", "mnt_child", &l->mount_child},
		{"mount", "mnt_list", &l->mount_list, .optional = true},
		{"mount", "mnt_node", &l->mount_node, .optional = true},
		{"mount", "mnt_t_flags", &l->mount_propagation, .optional = true},
		{"mount", "mnt.mnt_flags", &l->mount_flags},
		{"mount", "mnt.mnt_root", &l->mount_root},
		{"mount", "mnt.mnt_sb", &l->mount_super},
		{"mount", "mnt.mnt_idmap", &l->mount_idmap, .optional = true},
		{"mount", "mnt.mnt_userns", &l->mount_userns, .optional = true},
		{"mnt_namespace", "list", &l->namespace_list, .optional = true},
		{"mnt_namespace", "mounts", &l->namespace_mounts},
		{"mnt_namespace", "root", &l->namespace_root},
		{"task_struct", "nsproxy", &l->task_proxy},
		{"task_struct", "fs", &l->task_fs},
		{"nsproxy", "mnt_ns", &l->proxy_mount},
		{"fs_struct", "root.mnt", &l->fs_mount},
		{"fs_struct", "root.dentry", &l->fs_dentry},
	};

	return types_need(guest->types, needs, ARRAY_SIZE(needs));
}

static struct error *load_dentries(struct guest *guest, struct vfs_layout *l)
{
	const struct member_need needs[] = {
		{"dentry", "d_flags", &l->dentry_flags},
		{"dentry", "d_parent", &l->dentry_parent},
		{"dentry", "d_name.name", &l->dentry_name},
		{"dentry", "d_name.len", &l->dentry_length},
		{"dentry", "d_inode", &l->dentry_inode},
		{"dentry", "d_sb", &l->dentry_super},
		{"dentry", "d_hash.pprev", &l->dentry_hashed},
		{"dentry", "d_u.d_alias", &l->dentry_alias, .optional = true},
		{"dentry", "d_subdirs", &l->dentry_subdirs, .optional = true},
		{"dentry", "d_child", &l->dentry_child, .optional = true},
		{"dentry", "d_children", &l->dentry_children, .optional = true},
		{"dentry", "d_sib", &l->dentry_sibling, .optional = true},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	/* In a union that has lost its name (7.0). */
	if (!error && !l->dentry_alias.present)
		error = types_need(guest->types, &(struct member_need){"dentry", "d_alias", &l->dentry_alias}, 1);
	if (!error && !(l->dentry_subdirs.present && l->dentry_child.present) &&
	    !(l->dentry_children.present && l->dentry_sibling.present))
		error = error_create(ERROR_UNSUPPORTED, "the guest's kernel links directory entries in an unknown way");
	return error;
}

static struct error *load_inodes(struct guest *guest, struct vfs_layout *l)
{
	const struct member_need needs[] = {
		{"inode", "i_mode", &l->inode_mode},
		{"inode", "i_uid", &l->inode_uid},
		{"inode", "i_gid", &l->inode_gid},
		{"inode", "i_ino", &l->inode_number},
		{"inode", "i_nlink", &l->inode_links},
		{"inode", "i_rdev", &l->inode_device},
		{"inode", "i_size", &l->inode_size_bytes},
		{"inode", "i_link", &l->inode_link},
		{"inode", "i_mapping", &l->inode_mapping},
		{"inode", "i_private", &l->inode_private},
		{"inode", "i_sb", &l->inode_super},
		{"inode", "i_data", &l->inode_data},
		{"inode", "i_op", &l->inode_operations},
		{"inode", "i_dentry", &l->inode_aliases},
		/* A struct timespec64, renamed in 6.6, then two numbers (6.11). */
		{"inode", "i_mtime.tv_sec", &l->inode_mtime_s, .optional = true},
		{"inode", "i_mtime.tv_nsec", &l->inode_mtime_ns, .optional = true},
	};
	const struct member_need renamed[] = {
		{"inode", "__i_mtime.tv_sec", &l->inode_mtime_s, .optional = true},
		{"inode", "__i_mtime.tv_nsec", &l->inode_mtime_ns, .optional = true},
	};
	const struct member_need split[] = {
		{"inode", "i_mtime_sec", &l->inode_mtime_s},
		{"inode", "i_mtime_nsec", &l->inode_mtime_ns},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error && !l->inode_mtime_s.present)
		error = types_need(guest->types, renamed, ARRAY_SIZE(renamed));
	if (!error && !l->inode_mtime_s.present)
		error = types_need(guest->types, split, ARRAY_SIZE(split));
	return error;
}

static struct error *load_supers(struct guest *guest, struct vfs_layout *l)
{
	const struct member_need needs[] = {
		{"super_block", "s_dev", &l->super_device},
		{"super_block", "s_flags", &l->super_flags},
		{"super_block", "s_type", &l->super_type},
		{"super_block", "s_subtype", &l->super_subtype},
		{"super_block", "s_fs_info", &l->super_info},
		{"super_block", "s_op", &l->super_operations},
		{"super_block", "s_root", &l->super_root},
		{"super_block", "s_id", &l->super_id},
		{"super_block", "s_bdev", &l->super_bdev},
		{"super_block", "s_security", &l->super_security, .optional = true}, /* with CONFIG_SECURITY */
		{"super_block", "s_user_ns", &l->super_userns},
		{"super_block", "s_blocksize", &l->super_block_size},
		{"super_block", "s_magic", &l->super_magic},
		{"file_system_type", "name", &l->type_name},
	};

	return types_need(guest->types, needs, ARRAY_SIZE(needs));
}

static uint32_t record_size(const struct guest *guest, const char *type)
{
	uint32_t size = types_size(guest->types, type);

	return size < RECORD_MAX ? size : RECORD_MAX;
}

struct error *vfs_layout_get(struct guest *guest, const struct vfs_layout **ret)
{
	_cleanup_(free_ptr) struct vfs_layout *layout = NULL;
	struct error *error;

	if (!guest->vfs) {
		layout = calloc(1, sizeof(*layout));
		if (!layout)
			return error_no_memory();
		error = load_mounts(guest, layout);
		if (!error)
			error = load_dentries(guest, layout);
		if (!error)
			error = load_inodes(guest, layout);
		if (!error)
			error = load_supers(guest, layout);
		if (error)
			return error;
		error = page_cache_layout_load(guest, &layout->cache);
		if (error)
			return error;
		layout->mount_size = record_size(guest, "mount");
		layout->dentry_size = record_size(guest, "dentry");
		layout->inode_size = record_size(guest, "inode");
		guest->vfs = take_ptr(layout);
	}
	*ret = guest->vfs;
	return NULL;
}

/* ---- Records ---- */

struct error *record_read(struct guest *guest, struct gva address, uint32_t size, struct record *ret)
{
	memset(ret->bytes + size, 0, sizeof(ret->bytes) - size);
	ret->address = address;
	return memory_read(&guest->memory, address, ret->bytes, size);
}

uint64_t record_value(const struct record *record, const struct member *member)
{
	if (member->size > RECORD_MAX || member->offset > RECORD_MAX - member->size)
		return 0;
	return object_field(record->bytes, member);
}

struct error *vfs_string(struct guest *guest, uint64_t address, char **ret)
{
	char text[VFS_PATH_SIZE];
	struct error *error = memory_read_string(&guest->memory, (struct gva){address}, text, sizeof(text));
	char *copy;

	if (error)
		return error;
	copy = strdup(text);
	if (!copy)
		return error_no_memory();
	*ret = copy;
	return NULL;
}

/* ---- Paths ---- */

/* Grows to the left. */
struct path {
	char text[VFS_PATH_SIZE + 1];
	size_t start;
};

static void path_init(struct path *path)
{
	path->start = VFS_PATH_SIZE;
	path->text[VFS_PATH_SIZE] = '\0';
}

static struct error *path_prepend(struct path *path, const char *name, size_t size)
{
	if (size + 1 > path->start)
		return error_create(ERROR_FORMAT, "a path of the guest has more than %u bytes", VFS_PATH_SIZE);
	path->start -= size;
	memcpy(path->text + path->start, name, size);
	path->text[--path->start] = '/';
	return NULL;
}

static struct error *path_take(const struct path *path, const char *suffix, char **ret)
{
	const char *text = path->start == VFS_PATH_SIZE ? "/" : path->text + path->start;

	if (asprintf(ret, "%s%s", text, suffix) < 0)
		return error_no_memory();
	return NULL;
}

struct error *vfs_dentry_name(struct guest *guest, const struct vfs_layout *layout, const struct record *dentry,
			      char ret[VFS_NAME_SIZE], size_t *ret_size)
{
	uint64_t name = record_value(dentry, &layout->dentry_name);
	uint64_t size = record_value(dentry, &layout->dentry_length);
	struct error *error;

	if (size >= VFS_NAME_SIZE)
		return error_format(NULL, dentry->address.v, "a file name of %llu bytes", (unsigned long long)size);
	/* A short name lies in the dentry itself, which is read already. */
	if (name >= dentry->address.v && name - dentry->address.v + size <= layout->dentry_size) {
		memcpy(ret, dentry->bytes + (name - dentry->address.v), size);
	} else {
		error = memory_read(&guest->memory, (struct gva){name}, ret, size);
		if (error)
			return error;
	}
	ret[size] = '\0';
	*ret_size = size;
	return NULL;
}

static struct error *prepend_dentry(struct guest *guest, const struct vfs_layout *layout, const struct record *dentry,
				    struct path *path)
{
	char name[VFS_NAME_SIZE];
	size_t size;
	struct error *error = vfs_dentry_name(guest, layout, dentry, name, &size);

	return error ? error : path_prepend(path, name, size);
}

static struct error *count_step(uint64_t *steps, uint64_t address)
{
	if ((*steps)++ < VFS_STEPS_MAX)
		return NULL;
	return error_format(NULL, address, "the guest's directories go in circles");
}

/* One step up from the root of a mount; false in *ret: there is nothing above. */
static struct error *leave_mount(struct guest *guest, const struct vfs_layout *layout, struct vfs_place *place,
				 bool *ret)
{
	uint64_t parent, point;
	const struct member_read reads[] = {{&layout->mount_parent, &parent}, {&layout->mount_point, &point}};
	struct error *error = guest_read_members(guest, (struct gva){place->mount}, reads, ARRAY_SIZE(reads));

	if (error)
		return error;
	*ret = parent != place->mount;
	*place = (struct vfs_place){.mount = parent, .dentry = point};
	return NULL;
}

struct error *vfs_path(struct guest *guest, const struct vfs_layout *layout, struct vfs_place place,
		       struct vfs_place root, uint64_t *steps, char **ret)
{
	struct record dentry;
	struct path path;

	path_init(&path);
	while (place.mount != root.mount || place.dentry != root.dentry) {
		uint64_t top, parent;
		bool more = true;
		struct error *error = count_step(steps, place.dentry);

		if (!error)
			error = guest_read_member(guest, (struct gva){place.mount}, &layout->mount_root, &top);
		if (!error && place.dentry == top) {
			error = leave_mount(guest, layout, &place, &more);
			if (error || !more) {
				*ret = NULL;
				return error;
			}
			continue;
		}
		if (!error)
			error = record_read(guest, (struct gva){place.dentry}, layout->dentry_size, &dentry);
		if (error)
			return error;
		parent = record_value(&dentry, &layout->dentry_parent);
		if (parent == place.dentry) {
			*ret = NULL; /* moved out of what is mounted */
			return NULL;
		}
		error = prepend_dentry(guest, layout, &dentry, &path);
		if (error)
			return error;
		place.dentry = parent;
	}
	return path_take(&path, "", ret);
}

struct error *vfs_dentry_path(struct guest *guest, const struct vfs_layout *layout, uint64_t dentry, uint64_t *steps,
			      char **ret)
{
	const char *suffix = "";
	struct record record;
	struct path path;

	path_init(&path);
	for (bool first = true;; first = false) {
		uint64_t parent;
		struct error *error = count_step(steps, dentry);

		if (!error)
			error = record_read(guest, (struct gva){dentry}, layout->dentry_size, &record);
		if (error)
			return error;
		parent = record_value(&record, &layout->dentry_parent);
		if (parent == dentry)
			return path_take(&path, suffix, ret);
		if (first && !record_value(&record, &layout->dentry_hashed))
			suffix = "//deleted";
		error = prepend_dentry(guest, layout, &record, &path);
		if (error)
			return error;
		dentry = parent;
	}
}

/* ---- Directories ---- */

struct directory_walk {
	const struct vfs_layout *layout;
	uint64_t dentry;
	vfs_visit visit;
	void *context;
};

static struct error *visit_child(struct guest *guest, struct gva address, void *context)
{
	const struct directory_walk *walk = context;
	const struct vfs_layout *layout = walk->layout;
	struct record dentry;
	struct error *error = record_read(guest, address, layout->dentry_size, &dentry);

	if (error)
		return error;
	/* Names known not to exist, readers' places in the directory; and what has been unlinked. */
	if (!record_value(&dentry, &layout->dentry_inode) || !record_value(&dentry, &layout->dentry_hashed))
		return NULL;
	if (record_value(&dentry, &layout->dentry_parent) != walk->dentry)
		return error_format(NULL, address.v, "a directory of the guest has an entry of another one");
	return walk->visit(guest, &dentry, walk->context);
}

struct error *vfs_walk_directory(struct guest *guest, const struct vfs_layout *layout, uint64_t dentry, vfs_visit visit,
				 void *context)
{
	struct directory_walk walk = {.layout = layout, .dentry = dentry, .visit = visit, .context = context};

	/* An hlist since 6.8. */
	if (layout->dentry_children.present)
		return hlist_walk(guest, (struct gva){dentry + layout->dentry_children.offset},
				  layout->dentry_sibling.offset, visit_child, &walk);
	return list_walk(guest, (struct gva){dentry + layout->dentry_subdirs.offset}, layout->dentry_child.offset,
			 visit_child, &walk);
}

/* ---- Tasks ---- */

/* The first process: the head of the list of tasks but for the idle one, whose pid it has not. */
static struct error *find_init(struct guest *guest, uint64_t *ret)
{
	struct member tasks, tgid;
	const struct member_need needs[] = {{"task_struct", "tasks", &tasks}, {"task_struct", "tgid", &tgid}};
	struct loop_guard guard = {0};
	struct gva idle;
	uint64_t next, id;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = symbols_get(guest->symbols, "init_task", &idle);
	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){idle.v + tasks.offset}, &next);
	while (!error && next != idle.v + tasks.offset) {
		error = guest_read_member(guest, (struct gva){next - tasks.offset}, &tgid, &id);
		if (!error && id == 1) {
			*ret = next - tasks.offset;
			return NULL;
		}
		if (!error && !loop_guard_step(&guard, next))
			error = error_format(NULL, next, "the guest's processes go in circles");
		if (!error)
			error = memory_read_u64(&guest->memory, (struct gva){next}, &next);
	}
	return error ? error : error_create(ERROR_NOT_FOUND, "the guest has no process 1");
}

struct error *vfs_task_root(struct guest *guest, const struct vfs_layout *layout, uint64_t task, struct vfs_place *root,
			    uint64_t *ret_namespace)
{
	uint64_t proxy, fs, mount, dentry, namespace;
	const struct member_read of_task[] = {{&layout->task_proxy, &proxy}, {&layout->task_fs, &fs}};
	const struct member_read of_fs[] = {{&layout->fs_mount, &mount}, {&layout->fs_dentry, &dentry}};
	struct error *error = task ? NULL : find_init(guest, &task);

	if (!error)
		error = guest_read_members(guest, (struct gva){task}, of_task, ARRAY_SIZE(of_task));
	if (!error && (!proxy || !fs))
		error = error_create(ERROR_NOT_FOUND, "the process has ended: it has no root directory any more");
	if (!error)
		error = guest_read_member(guest, (struct gva){proxy}, &layout->proxy_mount, &namespace);
	if (!error)
		error = guest_read_members(guest, (struct gva){fs}, of_fs, ARRAY_SIZE(of_fs));
	if (error)
		return error_wrap(error, "root directory of a process");
	*root = (struct vfs_place){.mount = mount - layout->mount_vfs.offset, .dentry = dentry};
	*ret_namespace = namespace;
	return NULL;
}

/* ---- File systems ---- */

struct error *vfs_super_read(struct guest *guest, const struct vfs_layout *layout, uint64_t address,
			     struct vfs_super *ret)
{
	struct vfs_super super = {.address = {address}};
	uint64_t device, type, subtype, name;
	const struct member_read reads[] = {
		{&layout->super_device, &device},
		{&layout->super_flags, &super.flags},
		{&layout->super_type, &type},
		{&layout->super_subtype, &subtype},
		{&layout->super_info, &super.info},
		{&layout->super_operations, &super.operations},
		{&layout->super_root, &super.root},
		{&layout->super_bdev, &super.bdev},
		{&layout->super_magic, &super.magic},
		{&layout->super_userns, &super.user_namespace},
		{&layout->super_block_size, &super.block_size},
	};
	struct error *error = guest_read_members(guest, super.address, reads, ARRAY_SIZE(reads));

	if (!error && layout->super_security.present)
		error = guest_read_member(guest, super.address, &layout->super_security, &super.security);
	if (!error)
		error = guest_read_member(guest, (struct gva){type}, &layout->type_name, &name);
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){name}, super.type, sizeof(super.type));
	if (!error && subtype)
		error = memory_read_string(&guest->memory, (struct gva){subtype}, super.subtype, sizeof(super.subtype));
	if (error)
		return error;
	super.device = (uint32_t)device;
	*ret = super;
	return NULL;
}
