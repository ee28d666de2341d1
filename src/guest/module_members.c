/* SPDX-License-Identifier: Apache-2.0 */
/* Members of what modules define, also where the kernel keeps no types of modules. */
#include <string.h>

#include "guest/internal.h"

/*
 * Kernels before 5.11 keep no types of modules. For these alone, told by the absence of the list of modules' types,
 * layouts of 5.10 are taken: ext4's from the types of a 5.10 kernel that has it built in, the others from the source,
 * where nothing that a configuration changes lies before these members. Each is checked by something that must hold:
 * ext4 points back to its super_block, autofs has a magic number.
 */
struct known_member {
	const char *structure, *path;
	uint32_t offset, size;
};
static const struct known_member known_members[] = {
	{"ovl_fs", "config.lowerdir", 56, 8},
	{"ovl_fs", "config.upperdir", 64, 8},
	{"ovl_fs", "config.workdir", 72, 8},
	{"ovl_fs", "config.default_permissions", 80, 1},
	{"ovl_fs", "config.redirect_mode", 88, 8},
	{"ovl_fs", "config.index", 96, 1},
	{"ovl_fs", "config.nfs_export", 97, 1},
	{"ovl_fs", "config.xino", 100, 4},
	{"ovl_fs", "config.metacopy", 104, 1},
	{"ovl_fs", "config.ovl_volatile", 105, 1},
	{"ovl_fs", "xino_mode", 152, 4},
	{"autofs_sb_info", "magic", 0, 4},
	{"autofs_sb_info", "pipefd", 4, 4},
	{"autofs_sb_info", "pipe", 8, 8},
	{"autofs_sb_info", "oz_pgrp", 16, 8},
	{"autofs_sb_info", "min_proto", 32, 4},
	{"autofs_sb_info", "max_proto", 36, 4},
	{"autofs_sb_info", "flags", 40, 4},
	{"autofs_sb_info", "exp_timeout", 48, 8},
	{"autofs_sb_info", "type", 56, 4},
	{"ext4_sb_info", "s_groups_count", 64, 4},
	{"ext4_sb_info", "s_overhead", 72, 8},
	{"ext4_sb_info", "s_cluster_bits", 84, 4},
	{"ext4_sb_info", "s_es", 104, 8},
	{"ext4_sb_info", "s_mount_opt", 120, 4},
	{"ext4_sb_info", "s_mount_opt2", 124, 4},
	{"ext4_sb_info", "s_def_mount_opt", 136, 4},
	{"ext4_sb_info", "s_sb_block", 144, 8},
	{"ext4_sb_info", "s_resv_clusters", 152, 8},
	{"ext4_sb_info", "s_resuid", 160, 4},
	{"ext4_sb_info", "s_resgid", 164, 4},
	{"ext4_sb_info", "s_inode_readahead_blks", 188, 4},
	{"ext4_sb_info", "s_freeclusters_counter", 224, 40},
	{"ext4_sb_info", "s_freeinodes_counter", 264, 40},
	{"ext4_sb_info", "s_dirtyclusters_counter", 344, 40},
	{"ext4_sb_info", "s_sb", 536, 8},
	{"ext4_sb_info", "s_commit_interval", 616, 8},
	{"ext4_sb_info", "s_max_batch_time", 624, 4},
	{"ext4_sb_info", "s_min_batch_time", 628, 4},
	{"ext4_sb_info", "s_qf_names[0]", 640, 8},
	{"ext4_sb_info", "s_qf_names[1]", 648, 8},
	{"ext4_sb_info", "s_jquota_fmt", 664, 4},
	{"ext4_sb_info", "s_stripe", 744, 8},
	{"ext4_sb_info", "s_max_dir_size_kb", 780, 4},
	{"ext4_sb_info", "s_li_wait_mult", 1072, 4},
};

struct member module_member(const struct guest *guest, const struct types *types, const char *structure,
			    const char *path)
{
	struct member member = types_find(types, structure, path);
	struct gva list;

	if (member.present || types_size(types, structure) != 0 || symbols_find(guest->symbols, "btf_modules", &list))
		return member;
	for (size_t i = 0; i < ARRAY_SIZE(known_members); i++) {
		const struct known_member *known = &known_members[i];

		if (strcmp(known->structure, structure) == 0 && strcmp(known->path, path) == 0)
			return (struct member){.present = true, .offset = known->offset, .size = known->size};
	}
	return member;
}
