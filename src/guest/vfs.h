/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts, dentries and inodes: what the walks over the guest's file systems share. Private to guest/.
 *
 * Structures are read whole, once, into a struct record; members are then taken out of it.
 */
#ifndef GUEST_VFS_H
#define GUEST_VFS_H

#include "guest/internal.h"
#include "guest/page_cache.h"

/* Which member is where. Optional ones may be absent; the comment says in which kernels they are. */
struct vfs_layout {
	uint32_t mount_size, dentry_size, inode_size; /* bytes to read of each: up to the last member used */

	struct member mount_vfs, mount_parent, mount_point, mount_source, mount_id, mount_group, mount_master;
	struct member mount_children, mount_child; /* a mount's list of those mounted on it, and its place in one */
	struct member mount_list;                  /* in mnt_namespace.list (before 6.8) */
	struct member mount_node;                  /* in mnt_namespace.mounts, a red-black tree (6.8 and later) */
	struct member mount_flags;                 /* mnt.mnt_flags */
	struct member mount_propagation;           /* mnt_t_flags (6.17 and later; before, bits of mnt_flags) */
	struct member mount_idmap;                 /* mnt.mnt_idmap (6.2 and later) */
	struct member mount_userns;                /* mnt.mnt_userns (5.12 to 6.1) */
	struct member mount_root, mount_super;     /* mnt.mnt_root, mnt.mnt_sb */
	struct member namespace_list, namespace_mounts, namespace_root;

	struct member dentry_flags, dentry_parent, dentry_name, dentry_length, dentry_inode, dentry_hashed;
	struct member dentry_super;
	struct member dentry_subdirs, dentry_child;    /* list_head (before 6.8) */
	struct member dentry_children, dentry_sibling; /* hlist (6.8 and later) */

	struct member inode_mode, inode_uid, inode_gid, inode_number, inode_links, inode_device, inode_size_bytes;
	struct member inode_mtime_s, inode_mtime_ns, inode_link, inode_mapping, inode_private, inode_super, inode_data;
	struct member inode_operations, inode_aliases; /* i_dentry: its dentries, linked by dentry_alias */
	struct member dentry_alias;

	struct member super_device, super_flags, super_type, super_subtype, super_info, super_operations, super_root;
	struct member super_id, super_bdev, super_security, super_userns, super_block_size, super_magic;
	struct member type_name;
	struct page_cache_layout cache;
	struct member task_proxy, task_fs, proxy_mount, fs_mount, fs_dentry;
};

/* Borrowed from the guest, which keeps it. */
struct error *vfs_layout_get(struct guest *guest, const struct vfs_layout **ret) _must_check_;

#define RECORD_MAX 2048u

/* A structure of the guest, read whole. */
struct record {
	struct gva address;
	uint8_t bytes[RECORD_MAX];
};
/* `size` <= RECORD_MAX. */
struct error *record_read(struct guest *guest, struct gva address, uint32_t size, struct record *ret) _must_check_;
/* A member of at most 8 bytes that the record covers; 0 for one that is absent or not covered. */
uint64_t record_value(const struct record *record, const struct member *member);

#define VFS_NAME_SIZE 256u  /* NAME_MAX and a NUL */
#define VFS_PATH_SIZE 4096u /* PATH_MAX: the kernel shows no longer ones */

/* The name of a dentry that was read: *ret_size bytes, and a NUL behind them. */
struct error *vfs_dentry_name(struct guest *guest, const struct vfs_layout *layout, const struct record *dentry,
			      char ret[VFS_NAME_SIZE], size_t *ret_size) _must_check_;

/* A place in the tree of all mounts; addresses of a struct mount and a struct dentry. */
struct vfs_place {
	uint64_t mount, dentry;
};

/* Calls `visit` with each entry of a directory that exists and is in the dentry cache, in no order. */
typedef struct error *(*vfs_visit)(struct guest *guest, const struct record *dentry, void *context);
struct error *vfs_walk_directory(struct guest *guest, const struct vfs_layout *layout, uint64_t dentry, vfs_visit visit,
				 void *context) _must_check_;

/* The root directory of a task, and its mount namespace. ERROR_NOT_FOUND: the task has ended. `task` 0: pid 1's. */
struct error *vfs_task_root(struct guest *guest, const struct vfs_layout *layout, uint64_t task, struct vfs_place *root,
			    uint64_t *ret_namespace) _must_check_;

/*
 * The path of `place` as seen from `root`; malloc'd, NULL if it is not below that root. *steps counts the links that
 * were followed: the caller's walk as a whole ends at VFS_STEPS_MAX with an error.
 */
#define VFS_STEPS_MAX (UINT64_C(1) << 24)
struct error *vfs_path(struct guest *guest, const struct vfs_layout *layout, struct vfs_place place,
		       struct vfs_place root, uint64_t *steps, char **ret) _must_check_;
/* The path of a dentry from its file system's root, with "//deleted" behind it if it has been unlinked; malloc'd. */
struct error *vfs_dentry_path(struct guest *guest, const struct vfs_layout *layout, uint64_t dentry, uint64_t *steps,
			      char **ret) _must_check_;

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

/* A string of the guest at `address`, at most VFS_PATH_SIZE bytes; malloc'd. */
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
