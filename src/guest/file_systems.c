/* SPDX-License-Identifier: Apache-2.0 */
/* Mounted file systems, from the kernel's list super_blocks. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guest/containers.h"

/* ext4's superblock on disk, which memory holds in the same form (fs/ext4/ext4.h). */
#define EXT4_MTIME      0x2cu  /* le32 */
#define EXT4_MOUNTS     0x34u  /* le16 */
#define EXT4_MAGIC      0x38u  /* le16 */
#define EXT4_MTIME_HIGH 0x274u /* 8 bits */
#define EXT4_SUPER_SIZE 1024u

#define SUPERS_MAX      (1u << 18) /* some ten of each container of a large host */

struct super_layout {
	struct member list, type, id, uuid, info, device, type_name;
	/* Not looked up until an ext4 file system is met. */
	bool has_ext4;
	struct member ext4_super, ext4_back;
};

static struct error *load_layout(struct guest *guest, struct super_layout *ret)
{
	const struct member_need needs[] = {
		{"super_block", "s_list", &ret->list},
		{"super_block", "s_type", &ret->type},
		{"super_block", "s_id", &ret->id},
		{"super_block", "s_uuid", &ret->uuid},
		{"super_block", "s_fs_info", &ret->info},
		{"super_block", "s_dev", &ret->device},
		{"file_system_type", "name", &ret->type_name},
	};

	ret->has_ext4 = false;
	return types_need(guest->types, needs, ARRAY_SIZE(needs));
}

/* ext4 is part of the kernel in some distributions and a module in others. */
static struct error *find_ext4(struct guest *guest, struct super_layout *layout)
{
	const struct types *types;
	struct error *error;

	if (layout->has_ext4)
		return NULL;
	error = guest_module_types(guest, "ext4", &types);
	if (error)
		return error;
	layout->ext4_super = module_member(guest, types, "ext4_sb_info", "s_es");
	layout->ext4_back = module_member(guest, types, "ext4_sb_info", "s_sb");
	layout->has_ext4 = true;
	return NULL;
}

static struct error *read_ext4(struct guest *guest, struct super_layout *layout, struct gva super,
			       struct guest_file_system *fs)
{
	uint8_t bytes[EXT4_SUPER_SIZE];
	uint64_t info, back, address;
	struct error *error = find_ext4(guest, layout);

	if (error)
		return error;
	if (!layout->ext4_super.present || !layout->ext4_back.present)
		return NULL; /* a module without type information: the rest is known all the same */
	error = guest_read_member(guest, super, &layout->info, &info);
	if (!error)
		error = guest_read_member(guest, (struct gva){info}, &layout->ext4_back, &back);
	if (!error && back != super.v)
		error = error_format(NULL, info, "struct ext4_sb_info is not where it should be");
	if (!error)
		error = guest_read_member(guest, (struct gva){info}, &layout->ext4_super, &address);
	if (!error)
		error = memory_read(&guest->memory, (struct gva){address}, bytes, sizeof(bytes));
	if (error)
		return error_wrap(error, "ext4 file system on %s", fs->id);
	if (le16_at(bytes + EXT4_MAGIC) != 0xef53)
		return error_format(NULL, address, "ext4 file system on %s: no superblock in memory", fs->id);
	fs->has_ext4 = true;
	fs->ext4_mount_count = le16_at(bytes + EXT4_MOUNTS);
	fs->ext4_mount_time_s = le32_at(bytes + EXT4_MTIME) | (uint64_t)bytes[EXT4_MTIME_HIGH] << 32;
	return NULL;
}

static struct error *read_super(struct guest *guest, struct super_layout *layout, struct gva super,
				struct guest_file_system *fs)
{
	uint64_t type, name, device;
	struct error *error = guest_read_member(guest, super, &layout->type, &type);

	if (!error)
		error = guest_read_member(guest, (struct gva){type}, &layout->type_name, &name);
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){name}, fs->type, sizeof(fs->type));
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){super.v + layout->id.offset}, fs->id,
					   sizeof(fs->id));
	if (!error)
		error = memory_read(&guest->memory, (struct gva){super.v + layout->uuid.offset}, fs->uuid,
				    sizeof(fs->uuid));
	if (!error)
		error = guest_read_member(guest, super, &layout->device, &device);
	if (error)
		return error;
	fs->major = (uint32_t)device >> 20;
	fs->minor = device & 0xfffff;
	return strcmp(fs->type, "ext4") == 0 ? read_ext4(guest, layout, super, fs) : NULL;
}

struct walk {
	struct super_layout layout;
	struct guest_file_system *items;
	size_t n;
};

static struct error *visit_super(struct guest *guest, struct gva super, void *context)
{
	struct walk *walk = context;
	struct guest_file_system fs = {.address = super.v};
	struct error *error = read_super(guest, &walk->layout, super, &fs);

	if (!error && walk->n >= SUPERS_MAX)
		error = error_format(NULL, super.v, "more than %u file systems", SUPERS_MAX);
	if (!error)
		error = array_room(&walk->items, walk->n, sizeof(*walk->items));
	if (!error)
		walk->items[walk->n++] = fs;
	return error;
}

struct error *guest_file_systems(struct guest *guest, struct guest_file_system **ret, size_t *ret_n)
{
	struct walk walk = {0};
	struct gva head;
	struct error *error = load_layout(guest, &walk.layout);

	if (!error)
		error = symbols_get(guest->symbols, "super_blocks", &head);
	if (!error)
		error = list_walk(guest, head, walk.layout.list.offset, visit_super, &walk);
	if (error) {
		free(walk.items);
		return error_wrap(error, "the guest's mounted file systems");
	}
	*ret = walk.items;
	*ret_n = walk.n;
	return NULL;
}
