/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What statfs(2) says of a mounted file system: each kind counts in its own way, most of it in counters of which every
 * CPU keeps a part.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guest/containers.h"

#define MAGIC_EXT          0xef53u
#define MAGIC_TMPFS        0x01021994u
#define MAGIC_FAT          0x4d44u
#define MAGIC_XFS          0x58465342u
#define MAGIC_HUGE         0x958458f6u

#define SB_RDONLY          1u
#define SB_SYNC            16u
#define SB_MANDLOCK        64u

#define MINIX_DF           0x80u /* of s_mount_opt: EXT4_MOUNT_MINIX_DF */
#define INODE_SPACE        1024u /* shmem's BOGO_INODE_SIZE */
#define XFS_INO_MAX        ((UINT64_C(1) << 56) - 1)

/* ext4's superblock on disk, which memory holds in the same form (fs/ext4/ext4.h). */
#define EXT4_INODES        0x00u
#define EXT4_BLOCKS        0x04u
#define EXT4_RESERVED      0x08u
#define EXT4_MAGIC         0x38u
#define EXT4_INCOMPAT      0x60u
#define EXT4_UUID          0x68u
#define EXT4_BLOCKS_HIGH   0x150u
#define EXT4_RESERVED_HIGH 0x154u
#define INCOMPAT_64BIT     0x80u

struct super {
	struct gva address;
	uint64_t device, magic, block_size, flags, info;
	uint8_t uuid[16];
};

/* A number to read out of a structure; one that is absent from the types stays as it is. */
struct figure {
	const char *path;
	uint64_t *ret;
	bool optional;
	bool counter; /* a struct percpu_counter: the sum of its parts */
};

/* Reads the figures out of the structure `name` at `object`, of which the module `module` has the types. */
static struct error *read_figures(struct guest *guest, const char *module, const char *name, uint64_t object,
				  const struct figure *figures, size_t n)
{
	const struct types *types;
	struct error *error = guest_module_types(guest, module, &types);

	for (size_t i = 0; !error && i < n; i++) {
		const struct figure *figure = &figures[i];
		struct member member = module_member(guest, types, name, figure->path);

		if (!member.present && figure->optional)
			continue;
		if (!member.present)
			error = error_create(ERROR_UNSUPPORTED, "the guest's types lack %s of struct %s", figure->path,
					     name);
		else if (figure->counter)
			error = guest_percpu_counter(guest, (struct gva){object + member.offset}, figure->ret);
		else
			error = guest_read_member(guest, (struct gva){object}, &member, figure->ret);
	}
	return error;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* Halves of what the kernel calls u64_to_fsid(). */
static void set_id(struct guest_statfs *ret, uint64_t id)
{
	ret->id[0] = (uint32_t)id;
	ret->id[1] = (uint32_t)(id >> 32);
}

static uint64_t uuid_id(const uint8_t uuid[16])
{
	return le64_at(uuid) ^ le64_at(uuid + 8);
}

/* huge_encode_dev() */
static uint64_t device_id(uint64_t device)
{
	uint64_t major = device >> 20, minor = device & 0xfffff;

	return (minor & 0xff) | major << 8 | (minor & ~UINT64_C(0xff)) << 12;
}

static struct error *read_ext4(struct guest *guest, const struct super *super, struct guest_statfs *ret)
{
	uint64_t back, disk, overhead, bits, options, free, dirty, inodes, kept, blocks, reserved;
	const struct figure figures[] = {
		{"s_sb", &back},
		{"s_es", &disk},
		{"s_overhead", &overhead},
		{"s_cluster_bits", &bits},
		{"s_mount_opt", &options},
		{"s_resv_clusters", &kept},
		{"s_freeclusters_counter", &free, .counter = true},
		{"s_dirtyclusters_counter", &dirty, .counter = true},
		{"s_freeinodes_counter", &inodes, .counter = true},
	};
	uint8_t bytes[1024];
	struct error *error = read_figures(guest, "ext4", "ext4_sb_info", super->info, figures, ARRAY_SIZE(figures));

	if (!error && (back != super->address.v || bits > 16))
		error = error_format(NULL, super->info, "struct ext4_sb_info is not where it should be");
	if (!error)
		error = memory_read(&guest->memory, (struct gva){disk}, bytes, sizeof(bytes));
	if (!error && le16_at(bytes + EXT4_MAGIC) != MAGIC_EXT)
		error = error_format(NULL, disk, "no superblock of ext4 in memory");
	if (error)
		return error;
	blocks = le32_at(bytes + EXT4_BLOCKS);
	reserved = le32_at(bytes + EXT4_RESERVED);
	if (le32_at(bytes + EXT4_INCOMPAT) & INCOMPAT_64BIT) {
		blocks |= (uint64_t)le32_at(bytes + EXT4_BLOCKS_HIGH) << 32;
		reserved |= (uint64_t)le32_at(bytes + EXT4_RESERVED_HIGH) << 32;
	}
	ret->blocks = options & MINIX_DF ? blocks : less(blocks, overhead << bits);
	ret->free = less(free, dirty) << bits;
	ret->available = less(ret->free, reserved + (kept << bits));
	ret->files = le32_at(bytes + EXT4_INODES);
	ret->files_free = inodes;
	set_id(ret, uuid_id(bytes + EXT4_UUID));
	return NULL;
}

static struct error *read_tmpfs(struct guest *guest, const struct super *super, struct guest_statfs *ret)
{
	uint64_t max_blocks, max_inodes, used, free_inodes = 0, free_space = 0;
	const struct figure figures[] = {
		{"max_blocks", &max_blocks},
		{"max_inodes", &max_inodes},
		{"used_blocks", &used, .counter = true},
		/* In bytes since 6.6 (e07c469e979c). */
		{"free_inodes", &free_inodes, .optional = true},
		{"free_ispace", &free_space, .optional = true},
	};
	struct error *error = read_figures(guest, "shmem", "shmem_sb_info", super->info, figures, ARRAY_SIZE(figures));

	if (error)
		return error;
	ret->block_size = ret->fragment = PAGE_SIZE;
	if (max_blocks) {
		ret->blocks = max_blocks;
		ret->free = ret->available = less(max_blocks, used);
	}
	if (max_inodes) {
		ret->files = max_inodes;
		ret->files_free = free_inodes + free_space / INODE_SPACE;
	}
	/* The UUID is zero where the id is as well: before 5.13 (59cda49ecf6c). */
	set_id(ret, uuid_id(super->uuid));
	return NULL;
}

static struct error *read_fat(struct guest *guest, const struct super *super, struct guest_statfs *ret)
{
	uint64_t cluster, last, free, valid, long_names;
	const struct figure figures[] = {
		{"cluster_size", &cluster},  {"max_cluster", &last},          {"free_clusters", &free},
		{"free_clus_valid", &valid}, {"options.isvfat", &long_names},
	};
	struct error *error = read_figures(guest, "fat", "msdos_sb_info", super->info, figures, ARRAY_SIZE(figures));

	if (error)
		return error;
	/* The guest would count them now, in a table that need not be in memory. */
	if (!valid || (uint32_t)free == UINT32_MAX) {
		ret->room_known = false;
		return NULL;
	}
	ret->block_size = ret->fragment = cluster;
	ret->blocks = less(last, 2);
	ret->free = ret->available = free;
	/* A character of a name can take six bytes (NLS_MAX_CHARSET_SIZE). */
	ret->name_max = (long_names ? 255 : 12) * 6;
	set_id(ret, device_id(super->device));
	return NULL;
}

static struct error *read_xfs(struct guest *guest, const struct super *super, struct guest_statfs *ret)
{
	uint64_t back, block, blocks, log_start, log_blocks, per_block, counted, aside, tree = 0, inodes, inodes_free;
	uint64_t free = 0, max_inodes = 0, files;
	const struct figure figures[] = {
		{"m_super", &back},
		{"m_sb.sb_blocksize", &block},
		{"m_sb.sb_dblocks", &blocks},
		{"m_sb.sb_logstart", &log_start},
		{"m_sb.sb_logblocks", &log_blocks},
		{"m_sb.sb_inopblog", &per_block},
		{"m_sb.sb_icount", &counted},
		{"m_alloc_set_aside", &aside},
		{"m_allocbt_blks", &tree, .optional = true}, /* 5.13 and later (fd43cf600cf6) */
		{"m_ino_geo.maxicount", &max_inodes, .optional = true},
		{"m_icount", &inodes, .counter = true},
		{"m_ifree", &inodes_free, .counter = true},
		{"m_fdblocks", &free, .optional = true, .counter = true},
		/* 6.15 and later: an array, of which this is the first. */
		{"m_free[0].count", &free, .optional = true, .counter = true},
	};
	struct error *error = read_figures(guest, "xfs", "xfs_mount", super->info, figures, ARRAY_SIZE(figures));

	if (!error && (back != super->address.v || per_block > 16))
		error = error_format(NULL, super->info, "struct xfs_mount is not where it should be");
	if (error)
		return error;
	ret->block_size = ret->fragment = block;
	ret->blocks = less(blocks, log_start ? log_blocks : 0);
	ret->free = ret->available = less(free, aside + tree);
	/* As many as there would be if all free space were made inodes. */
	files = inodes + (ret->free << per_block);
	if (files > XFS_INO_MAX)
		files = XFS_INO_MAX;
	if (max_inodes && files > max_inodes)
		files = max_inodes;
	ret->files = files > counted ? files : counted;
	ret->files_free = less(ret->files, less(inodes, inodes_free));
	set_id(ret, device_id(super->device));
	return NULL;
}

/*
 * simple_statfs(): the magic number, and since 6.7 (ae62bcb5e7e5) an id, told by a member renamed in the same release
 * and again in 6.11.
 */
static void read_simple(struct guest *guest, const struct super *super, struct guest_statfs *ret)
{
	ret->block_size = ret->fragment = PAGE_SIZE;
	if (types_find(guest->types, "inode", "__i_atime").present ||
	    types_find(guest->types, "inode", "i_atime_sec").present)
		set_id(ret, device_id(super->device));
}

/* File systems without room: what they show is made by the kernel. */
static const uint32_t simple_magics[] = {
	0x9fa0,     /* proc */
	0x62656572, /* sysfs */
	0x1cd1,     /* devpts */
	0x0027e0eb, /* cgroup */
	0x63677270, /* cgroup2 */
	0x64626720, /* debugfs */
	0x74726163, /* tracefs */
	0x73636673, /* securityfs */
	0x62656570, /* configfs */
	0x6165676c, /* pstorefs */
	0xcafe4a11, /* bpf */
	0x19800202, /* mqueue */
	0x858458f6, /* ramfs */
	0x0187,     /* autofs */
	0x42494e4d, /* binfmt_misc */
	0x67596969, /* rpc_pipefs */
	0x65735543, /* fusectl */
	0xf97cff8c, /* selinuxfs */
	0x6e736673, /* nsfs */
};

static bool is_simple(uint64_t magic)
{
	for (size_t i = 0; i < ARRAY_SIZE(simple_magics); i++)
		if (simple_magics[i] == magic)
			return true;
	return false;
}

static struct error *read_kind(struct guest *guest, const struct super *super, struct guest_statfs *ret)
{
	switch (super->magic) {
	case MAGIC_EXT:
		return read_ext4(guest, super, ret);
	case MAGIC_TMPFS:
		return read_tmpfs(guest, super, ret);
	case MAGIC_FAT:
		return read_fat(guest, super, ret);
	case MAGIC_XFS:
		return read_xfs(guest, super, ret);
	case MAGIC_HUGE:
		return NULL; /* in huge pages, which are its blocks; it has no size but by an option */
	}
	if (is_simple(super->magic)) {
		read_simple(guest, super, ret);
		return NULL;
	}
	/* Of these (network file systems, FUSE, …) the kernel itself must ask, or nobody has written it here. */
	ret->room_known = false;
	return NULL;
}

struct search {
	struct member device, magic, block_size, flags, info, uuid, list;
	uint64_t wanted;
	struct super found;
};

static struct error *visit_super(struct guest *guest, struct gva address, void *context)
{
	struct search *search = context;
	struct super super = {.address = address};
	const struct member_read reads[] = {
		{&search->device, &super.device},
		{&search->magic, &super.magic},
		{&search->block_size, &super.block_size},
		{&search->flags, &super.flags},
		{&search->info, &super.info},
	};
	struct error *error;

	if (search->found.address.v)
		return NULL;
	error = guest_read_members(guest, address, reads, 1);
	if (error || super.device != search->wanted)
		return error;
	error = guest_read_members(guest, address, reads, ARRAY_SIZE(reads));
	if (!error)
		error = memory_read(&guest->memory, (struct gva){address.v + search->uuid.offset}, super.uuid,
				    sizeof(super.uuid));
	if (!error)
		search->found = super;
	return error;
}

static struct error *find_super(struct guest *guest, uint32_t major, uint32_t minor, struct super *ret)
{
	struct search search = {.wanted = (uint64_t)major << 20 | minor};
	const struct member_need needs[] = {
		{"super_block", "s_dev", &search.device},   {"super_block", "s_magic", &search.magic},
		{"super_block", "s_flags", &search.flags},  {"super_block", "s_blocksize", &search.block_size},
		{"super_block", "s_fs_info", &search.info}, {"super_block", "s_uuid", &search.uuid},
		{"super_block", "s_list", &search.list},
	};
	struct gva head;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = symbols_get(guest->symbols, "super_blocks", &head);
	if (!error)
		error = list_walk(guest, head, search.list.offset, visit_super, &search);
	/* What was found before the list broke is good. */
	if (search.found.address.v) {
		error_destroy(error);
		*ret = search.found;
		return NULL;
	}
	return error ? error : error_create(ERROR_NOT_FOUND, "the guest has no file system %u:%u", major, minor);
}

struct error *guest_statfs(struct guest *guest, uint32_t major, uint32_t minor, struct guest_statfs *ret)
{
	struct guest_statfs fs = {.name_max = 255, .room_known = true};
	struct super super = {0};
	struct error *error = find_super(guest, major, minor, &super);

	if (!error) {
		fs.type = super.magic;
		fs.block_size = fs.fragment = super.block_size;
		fs.read_only = super.flags & SB_RDONLY;
		fs.synchronous = super.flags & SB_SYNC;
		fs.mandatory_locks = super.flags & SB_MANDLOCK;
		error = read_kind(guest, &super, &fs);
	}
	if (error)
		return error_wrap(error, "file system %u:%u of the guest", major, minor);
	*ret = fs;
	return NULL;
}
