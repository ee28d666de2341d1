/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the walks over the guest's file systems share beyond paths (paths.h): more members of mounts, dentries and
 * inodes, file systems, directories. Private to guest/.
 */
#ifndef GUEST_VFS_H
#define GUEST_VFS_H

#include "guest/internal.h"
#include "guest/paths.h"

/* Which member is where. Optional ones may be absent; the comment says in which kernels they are. */
struct vfs_layout {
	const struct path_layout *path;            /* the members that paths need; borrowed from the guest */
	struct object_span mount_span, inode_span; /* of what is read of each, those of path included */

	struct member mount_source, mount_id, mount_group, mount_master;
	struct member mount_children, mount_child; /* a mount's list of those mounted on it, and its place in one */
	struct member mount_list;                  /* in mnt_namespace.list (before 6.8) */
	struct member mount_node;                  /* in mnt_namespace.mounts, a red-black tree (6.8 and later) */
	struct member mount_flags;                 /* mnt.mnt_flags */
	struct member mount_propagation;           /* mnt_t_flags (6.17 and later; before, bits of mnt_flags) */
	struct member mount_idmap;                 /* mnt.mnt_idmap (6.2 and later) */
	struct member mount_userns;                /* mnt.mnt_userns (5.12 to 6.1) */
	struct member namespace_list, namespace_mounts;

	struct member dentry_subdirs, dentry_child;    /* list_head (before 6.8) */
	struct member dentry_children, dentry_sibling; /* hlist (6.8 and later) */

	struct member inode_mode, inode_uid, inode_gid, inode_links, inode_device, inode_size_bytes;
	struct member inode_mtime_s, inode_mtime_ns, inode_link, inode_mapping, inode_data;
	struct member inode_aliases; /* i_dentry: its dentries, linked by dentry_alias */
	struct member dentry_alias;

	struct member super_flags, super_type, super_subtype, super_info, super_operations, super_root;
	struct member super_id, super_bdev, super_security, super_userns, super_block_size, super_magic;
	struct member type_name;
	struct member task_proxy, proxy_mount;
};

/* Borrowed from the guest, which keeps it. */
struct error *vfs_layout_get(struct guest *guest, const struct vfs_layout **ret) _must_check_;

/* Calls `visit` with each entry of a directory that exists and is in the dentry cache, in no order. */
typedef struct error *(*vfs_visit)(struct guest *guest, const struct object *dentry, void *context);
struct error *vfs_walk_directory(struct guest *guest, const struct vfs_layout *layout, uint64_t dentry, vfs_visit visit,
				 void *context) _must_check_;

/* A file system that is mounted. */
struct vfs_super {
	struct gva address;
	uint32_t device; /* dev_t as the kernel has it: 12 bits major, 20 bits minor */
	uint64_t flags;  /* s_flags */
	uint64_t info;   /* s_fs_info */
	uint64_t operations, root, bdev, security, user_namespace, block_size, magic;
	char type[32];    /* file_system_type.name */
	char subtype[64]; /* "" for none */
};
struct error *vfs_super_read(struct guest *guest, const struct vfs_layout *layout, uint64_t address,
			     struct vfs_super *ret) _must_check_;

/* A string of the guest at `address`, at most FILE_PATH_SIZE bytes; malloc'd. */
struct error *vfs_string(struct guest *guest, uint64_t address, char **ret) _must_check_;

/* ---- mount_options.c ---- */

struct mount_options;

/* Resolves what it needs of the guest's types when first met: one for a whole walk. */
struct error *mount_options_create(struct guest *guest, const struct vfs_layout *layout, struct mount_options **ret)
	_must_check_;
void mount_options_destroy(struct mount_options *options);
DEFINE_CLEANUP(struct mount_options *, mount_options_destroy)

/* Appends the options that the kernel's show_options adds for this file system, each after a comma. */
struct error *mount_options_show(struct mount_options *options, const struct vfs_super *super, FILE *out) _must_check_;
/* The same for what the security module adds (SELinux: seclabel). */
struct error *mount_options_show_security(struct mount_options *options, const struct vfs_super *super, FILE *out)
	_must_check_;

#endif
