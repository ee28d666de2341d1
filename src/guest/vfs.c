/* SPDX-License-Identifier: Apache-2.0 */
/* Structures of the guest's virtual file system. */
#include "guest/vfs.h"

#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/object.h"

/* ---- Layout ---- */

static struct error *load_mounts(struct guest *guest, struct vfs_layout *l)
{
	const struct member_need mount[] = {
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
		{"mount", "mnt.mnt_idmap", &l->mount_idmap, .optional = true},
		{"mount", "mnt.mnt_userns", &l->mount_userns, .optional = true},
	};
	const struct member_need others[] = {
		{"mnt_namespace", "list", &l->namespace_list, .optional = true},
		{"mnt_namespace", "mounts", &l->namespace_mounts},
		{"task_struct", "nsproxy", &l->task_proxy},
		{"nsproxy", "mnt_ns", &l->proxy_mount},
	};
	struct error *error = object_need(guest->types, mount, ARRAY_SIZE(mount), &l->mount_span);

	return error ? error : types_need(guest->types, others, ARRAY_SIZE(others));
}

static struct error *load_dentries(struct guest *guest, struct vfs_layout *l)
{
	const struct member_need needs[] = {
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
		{"inode", "i_nlink", &l->inode_links},
		{"inode", "i_rdev", &l->inode_device},
		{"inode", "i_size", &l->inode_size_bytes},
		{"inode", "i_link", &l->inode_link},
		{"inode", "i_mapping", &l->inode_mapping},
		{"inode", "i_data", &l->inode_data},
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
	struct error *error = object_need(guest->types, needs, ARRAY_SIZE(needs), &l->inode_span);

	if (!error && !l->inode_mtime_s.present)
		error = object_need(guest->types, renamed, ARRAY_SIZE(renamed), &l->inode_span);
	if (!error && !l->inode_mtime_s.present)
		error = object_need(guest->types, split, ARRAY_SIZE(split), &l->inode_span);
	return error;
}

static struct error *load_supers(struct guest *guest, struct vfs_layout *l)
{
	const struct member_need needs[] = {
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

static struct error *load_layout(struct guest *guest, struct vfs_layout *ret)
{
	struct error *error = path_layout_get(guest, &ret->path);

	if (error)
		return error;
	ret->mount_span = ret->path->mount_span;
	ret->inode_span = ret->path->inode_span;
	error = load_mounts(guest, ret);
	if (!error)
		error = load_dentries(guest, ret);
	if (!error)
		error = load_inodes(guest, ret);
	return error ? error : load_supers(guest, ret);
}

DEFINE_LAYOUT_GET(, vfs_layout_get, vfs_layout, vfs, load_layout)

struct error *vfs_string(struct guest *guest, uint64_t address, char **ret)
{
	char text[FILE_PATH_SIZE];
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
	const struct path_layout *path = layout->path;
	struct object dentry;
	struct error *error = guest_effort(guest, 1, address.v);

	if (!error)
		error = object_load(guest, path->dentry_span, address.v, &dentry);
	if (error)
		return error;
	/* Names known not to exist, readers' places in the directory; and what has been unlinked. */
	if (!object_get(&dentry, &path->dentry_inode) || !object_get(&dentry, &path->dentry_hashed))
		return NULL;
	if (object_get(&dentry, &path->dentry_parent) != walk->dentry)
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

/* ---- File systems ---- */

struct error *vfs_super_read(struct guest *guest, const struct vfs_layout *layout, uint64_t address,
			     struct vfs_super *ret)
{
	struct vfs_super super = {.address = {address}};
	uint64_t device, type, subtype, name;
	const struct member_read reads[] = {
		{&layout->path->super_device, &device},
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
