/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the kernel's own file systems and of simple ones in modules, in the order of their show_options. */
#include <string.h>

#include "guest/containers.h"
#include "guest/mount_options.h"

#define RULES(array) .rules = (array), .n_rules = ARRAY_SIZE(array)

static uint64_t root_value(uint64_t mode)
{
	return mode & 07777 & ~UINT64_C(01000);
}

/* ---- tmpfs ---- */

/* What a tmpfs mounted without size= may hold: half of the pages that the kernel manages. */
static struct error *default_blocks(struct guest *guest, uint64_t *ret)
{
	struct error *error = guest_symbol_u64(guest, "_totalram_pages", ret);

	if (!error)
		*ret /= 2;
	return error;
}

static struct error *show_tmpfs_size(const struct option_context *context, uint64_t value)
{
	uint64_t usual;
	struct error *error = default_blocks(context->guest, &usual);

	if (!error && value != usual)
		fprintf(context->out, ",size=%lluk", (unsigned long long)value * (PAGE_SIZE / 1024));
	return error;
}

static struct error *show_tmpfs_inodes(const struct option_context *context, uint64_t value)
{
	uint64_t usual;
	struct error *error = default_blocks(context->guest, &usual);

	if (!error && value != usual)
		fprintf(context->out, ",nr_inodes=%llu", (unsigned long long)value);
	return error;
}

struct inode64_search {
	const struct option_context *context;
	struct member full;
	bool found;
};

static struct error *look_for_inode64(struct guest *guest, struct gva super, void *data)
{
	struct inode64_search *search = data;
	const struct vfs_layout *layout = search->context->layout;
	uint64_t operations, info, full;
	const struct member_read reads[] = {{&layout->super_operations, &operations}, {&layout->super_info, &info}};
	struct error *error = guest_read_members(guest, super, reads, ARRAY_SIZE(reads));

	if (error || operations != search->context->super->operations || !info)
		return error;
	error = guest_read_member(guest, (struct gva){info}, &search->full, &full);
	if (!error && full)
		search->found = true;
	return error;
}

/* "inode32" is shown only where inode64 is the default (CONFIG_TMPFS_INODE64): then some other tmpfs has it. */
static struct error *show_tmpfs_inode64(const struct option_context *context, uint64_t value)
{
	struct inode64_search search = {.context = context};
	struct member list = types_find(context->guest->types, "super_block", "s_list");
	struct gva head;
	struct error *error = NULL;

	search.full = option_member(context, "shmem_sb_info", "full_inums");
	if (value) {
		fputs(",inode64", context->out);
		return NULL;
	}
	if (!search.full.present || !list.present || !symbols_find(context->guest->symbols, "super_blocks", &head))
		return NULL;
	error = list_walk(context->guest, head, list.offset, look_for_inode64, &search);
	if (!error && search.found)
		fputs(",inode32", context->out);
	return error;
}

static struct error *show_tmpfs_huge(const struct option_context *context, uint64_t value)
{
	static const char *const words[] = {NULL, "always", "within_size", "advise"};

	if (value && value < ARRAY_SIZE(words))
		fprintf(context->out, ",huge=%s", words[value]);
	return NULL;
}

/* "0-1,3", as "%*pbl" writes it. */
static void show_nodes(FILE *out, const uint8_t *bits, unsigned n)
{
	const char *separator = ":";

	for (unsigned i = 0; i < n; i++) {
		unsigned last = i;

		if (!(bits[i / 8] >> i % 8 & 1))
			continue;
		while (last + 1 < n && bits[(last + 1) / 8] >> (last + 1) % 8 & 1)
			last++;
		fprintf(out, last > i ? "%s%u-%u" : "%s%u", separator, i, last);
		separator = ",";
		i = last;
	}
}

/* Which NUMA nodes the pages come from (mpol_to_str): mode, how the nodes are meant, and the nodes. */
static struct error *show_tmpfs_policy(const struct option_context *context, uint64_t policy)
{
	static const char *const words[] = {
		NULL, "prefer", "bind", "interleave", "local", "prefer (many)", "weighted interleave"};
	struct member nodes = option_member(context, "mempolicy", "nodes"); /* v.nodes before 5.14 */
	uint8_t bits[128] = {0};
	uint64_t mode = 0, flags = 0;
	struct error *error = NULL;

	if (!nodes.present)
		nodes = option_member(context, "mempolicy", "v.nodes");
	if (!policy || !nodes.present || nodes.size > sizeof(bits))
		return NULL;
	error = option_value(context, "mempolicy", "mode", (struct gva){policy}, &mode);
	if (!error)
		error = option_value(context, "mempolicy", "flags", (struct gva){policy}, &flags);
	if (!error)
		error = memory_read(&context->guest->memory, (struct gva){policy + nodes.offset}, bits, nodes.size);
	if (error || mode == 0 || mode >= ARRAY_SIZE(words))
		return error;
	fprintf(context->out, ",mpol=%s", words[mode]);
	if (flags & 1u << 15)
		fputs("=static", context->out);
	else if (flags & 1u << 14)
		fputs("=relative", context->out);
	if (mode != 4)
		show_nodes(context->out, bits, nodes.size * 8);
	return NULL;
}

/* super_block.s_dquot.flags: usage is accounted for users (bit 0), groups (1), not suspended (6, 7). */
static struct error *show_tmpfs_quota(const struct option_context *context, uint64_t value)
{
	uint64_t flags;
	struct error *error = option_value(context, "super_block", "s_dquot.flags", context->super->address, &flags);

	if (!error && (flags & 0x41) == 0x01)
		fputs(",usrquota", context->out);
	if (!error && (flags & 0x82) == 0x02)
		fputs(",grpquota", context->out);
	return error;
}

static const struct option_rule tmpfs_rules[] = {
	{"max_blocks", CALL, .show = show_tmpfs_size},
	{"max_inodes", CALL, .show = show_tmpfs_inodes},
	{"mode", UNLESS, ",mode=", OCTAL3, 01777},
	{"uid", UNLESS, ",uid=", DECIMAL, 0},
	{"gid", UNLESS, ",gid=", DECIMAL, 0},
	{"full_inums", CALL, .show = show_tmpfs_inode64},
	{"huge", CALL, .show = show_tmpfs_huge},
	{"mpol", CALL, .show = show_tmpfs_policy},
	{"noswap", IF, ",noswap", WORD, 1},
	{NULL, CALL, .show = show_tmpfs_quota},
	{"qlimits.usrquota_bhardlimit", UNLESS, ",usrquota_block_hardlimit=", DECIMAL, 0},
	{"qlimits.grpquota_bhardlimit", UNLESS, ",grpquota_block_hardlimit=", DECIMAL, 0},
	{"qlimits.usrquota_ihardlimit", UNLESS, ",usrquota_inode_hardlimit=", DECIMAL, 0},
	{"qlimits.grpquota_ihardlimit", UNLESS, ",grpquota_inode_hardlimit=", DECIMAL, 0},
};
const struct option_table option_table_tmpfs = {.structure = "shmem_sb_info", RULES(tmpfs_rules)};

static const struct option_rule ramfs_rules[] = {
	{"mount_opts.mode", UNLESS, ",mode=", OCTAL, 0755},
};
const struct option_table option_table_ramfs = {.structure = "ramfs_fs_info", RULES(ramfs_rules)};

/* ---- Views of the kernel ---- */

static struct error *show_hidepid(const struct option_context *context, uint64_t value)
{
	static const char *const words[] = {NULL, "noaccess", "invisible", NULL, "ptraceable"};

	if (value && value < ARRAY_SIZE(words) && words[value])
		fprintf(context->out, ",hidepid=%s", words[value]);
	return NULL;
}

static const struct option_rule proc_rules[] = {
	{"pid_gid", UNLESS, ",gid=", DECIMAL, 0},
	{"hide_pid", CALL, .show = show_hidepid},
	{"pidonly", UNLESS, ",subset=pid", WORD, 0},
};

static struct error *show_devpts_max(const struct option_context *context, uint64_t value)
{
	if (value < 1u << 20) /* NR_UNIX98_PTY_MAX */
		fprintf(context->out, ",max=%llu", (unsigned long long)value);
	return NULL;
}

static struct error *show_devpts_owner(const struct option_context *context, uint64_t value)
{
	uint64_t uid, gid, has_gid;
	struct error *error = option_value(context, "pts_fs_info", "mount_opts.uid", context->info, &uid);

	if (!error)
		error = option_value(context, "pts_fs_info", "mount_opts.gid", context->info, &gid);
	if (!error)
		error = option_value(context, "pts_fs_info", "mount_opts.setgid", context->info, &has_gid);
	if (!error && value)
		fprintf(context->out, ",uid=%llu", (unsigned long long)uid);
	if (!error && has_gid)
		fprintf(context->out, ",gid=%llu", (unsigned long long)gid);
	return error;
}

static const struct option_rule devpts_rules[] = {
	{"mount_opts.setuid", CALL, .show = show_devpts_owner},
	{"mount_opts.mode", ALWAYS, ",mode=", OCTAL3},
	{"mount_opts.ptmxmode", ALWAYS, ",ptmxmode=", OCTAL3},
	{"mount_opts.max", CALL, .show = show_devpts_max},
};

static struct error *show_huge_pages(const struct option_context *context, uint64_t hstate)
{
	uint64_t order, spool, most, least;
	struct error *error = option_value(context, "hstate", "order", (struct gva){hstate}, &order);
	unsigned long long page;

	if (!error)
		error = option_value(context, "hugetlbfs_sb_info", "spool", context->info, &spool);
	if (error)
		return error;
	if (order > 40)
		return error_format(NULL, hstate, "huge pages of 2^%llu pages", (unsigned long long)order);
	page = (unsigned long long)PAGE_SIZE << order;
	fprintf(context->out, ",pagesize=%llu%c", page >= 1 << 20 ? page >> 20 : page >> 10,
		page >= 1 << 20 ? 'M' : 'K');
	if (!spool)
		return NULL;
	error = option_value(context, "hugepage_subpool", "max_hpages", (struct gva){spool}, &most);
	if (!error)
		error = option_value(context, "hugepage_subpool", "min_hpages", (struct gva){spool}, &least);
	if (!error && most != UINT64_MAX)
		fprintf(context->out, ",size=%llu", (unsigned long long)most * page);
	if (!error && least != UINT64_MAX)
		fprintf(context->out, ",min_size=%llu", (unsigned long long)least * page);
	return error;
}

static const struct option_rule hugetlbfs_rules[] = {
	{"uid", UNLESS, ",uid=", DECIMAL, 0},      {"gid", UNLESS, ",gid=", DECIMAL, 0},
	{"mode", UNLESS, ",mode=", OCTAL, 0755},   {"max_inodes", UNLESS, ",nr_inodes=", DECIMAL, UINT64_MAX},
	{"hstate", CALL, .show = show_huge_pages},
};

/* debugfs and tracefs: mount_opts before 6.6. */
static const struct option_rule debug_rules[] = {
	{"mount_opts.uid", UNLESS, ",uid=", DECIMAL, 0},    {"uid", UNLESS, ",uid=", DECIMAL, 0},
	{"mount_opts.gid", UNLESS, ",gid=", DECIMAL, 0},    {"gid", UNLESS, ",gid=", DECIMAL, 0},
	{"mount_opts.mode", UNLESS, ",mode=", OCTAL, 0700}, {"mode", UNLESS, ",mode=", OCTAL, 0700},
};

/* The inode of the file system's root directory. */
static struct error *root_inode(const struct option_context *context, struct gva *ret)
{
	return guest_read_member(context->guest, (struct gva){context->super->root},
				 &context->layout->path->dentry_inode, &ret->v);
}

static struct error *show_root_owner(const struct option_context *context, struct gva inode)
{
	uint64_t uid, gid;
	const struct member_read reads[] = {{&context->layout->inode_uid, &uid}, {&context->layout->inode_gid, &gid}};
	struct error *error = guest_read_members(context->guest, inode, reads, ARRAY_SIZE(reads));

	if (!error && uid)
		fprintf(context->out, ",uid=%llu", (unsigned long long)uid);
	if (!error && gid)
		fprintf(context->out, ",gid=%llu", (unsigned long long)gid);
	return error;
}

static struct error *show_bpf(const struct option_context *context, uint64_t value)
{
	struct gva inode;
	uint64_t mode;
	struct error *error = root_inode(context, &inode);

	/* The owner is an option since the same kernel as bpf_mount_opts.uid (6.8). */
	if (!error && option_member(context, "bpf_mount_opts", "uid").present)
		error = show_root_owner(context, inode);
	if (!error)
		error = guest_read_member(context->guest, inode, &context->layout->inode_mode, &mode);
	if (!error && root_value(mode) != 0777)
		fprintf(context->out, ",mode=%llo", (unsigned long long)root_value(mode));
	return error;
}

static struct error *show_pstore(const struct option_context *context, uint64_t value)
{
	uint32_t bytes;
	struct gva address;
	struct error *error = NULL;

	/* 10240 is PSTORE_DEFAULT_KMSG_BYTES, which hardly any configuration changes. */
	if (!symbols_find(context->guest->symbols, "kmsg_bytes", &address))
		return NULL;
	error = memory_read_u32(&context->guest->memory, address, &bytes);
	if (!error && bytes != 10240)
		fprintf(context->out, ",kmsg_bytes=%u", bytes);
	return error;
}

static const struct option_rule bpf_rules[] = {{NULL, CALL, .show = show_bpf}};
static const struct option_rule pstore_rules[] = {{NULL, CALL, .show = show_pstore}};
static const struct option_rule efivarfs_rules[] = {
	{"mount_opts.uid", UNLESS, ",uid=", DECIMAL, 0},
	{"mount_opts.gid", UNLESS, ",gid=", DECIMAL, 0},
};

static const struct option_rule cgroup2_rules[] = {
	{"flags", IF, ",nsdelegate", WORD, .constant = "CGRP_ROOT_NS_DELEGATE"},
	{"flags", IF, ",favordynmods", WORD, .constant = "CGRP_ROOT_FAVOR_DYNMODS"},
	{"flags", IF, ",memory_localevents", WORD, .constant = "CGRP_ROOT_MEMORY_LOCAL_EVENTS"},
	{"flags", IF, ",memory_recursiveprot", WORD, .constant = "CGRP_ROOT_MEMORY_RECURSIVE_PROT"},
	{"flags", IF, ",memory_hugetlb_accounting", WORD, .constant = "CGRP_ROOT_MEMORY_HUGETLB_ACCOUNTING"},
	{"flags", IF, ",pids_localevents", WORD, .constant = "CGRP_ROOT_PIDS_LOCAL_EVENTS"},
};
static const struct option_rule cgroup1_rules[] = {{NULL, CALL, .show = option_show_cgroup1}};

/* ---- autofs ---- */

static struct error *show_autofs_owner(const struct option_context *context, uint64_t value)
{
	struct gva inode;
	struct error *error = root_inode(context, &inode);

	return error ? error : show_root_owner(context, inode);
}

static struct error *show_autofs_group(const struct option_context *context, uint64_t pid)
{
	uint64_t number = 0;
	struct error *error = NULL;

	if (pid)
		error = option_value(context, "pid", "numbers[0].nr", (struct gva){pid}, &number);
	if (!error)
		fprintf(context->out, ",pgrp=%llu", (unsigned long long)number);
	return error;
}

static struct error *show_autofs_timeout(const struct option_context *context, uint64_t value)
{
	unsigned hz;
	struct error *error = guest_tick_rate(context->guest, &hz);

	if (!error)
		fprintf(context->out, ",timeout=%llu", (unsigned long long)value / hz);
	return error;
}

static struct error *show_autofs_type(const struct option_context *context, uint64_t value)
{
	fputs(value == 4 ? ",offset" : value == 2 ? ",direct" : ",indirect", context->out);
	return NULL;
}

static struct error *show_autofs_pipe(const struct option_context *context, uint64_t file)
{
	uint64_t inode, number;
	struct error *error;

	if (!file) {
		fputs(",pipe_ino=-1", context->out);
		return NULL;
	}
	error = option_value(context, "file", "f_inode", (struct gva){file}, &inode);
	if (!error)
		error = guest_read_member(context->guest, (struct gva){inode}, &context->layout->path->inode_number,
					  &number);
	if (!error)
		fprintf(context->out, ",pipe_ino=%lld", (long long)number);
	return error;
}

static struct error *check_autofs(const struct option_context *context, uint64_t magic)
{
	if (magic == 0x6d4a556d) /* AUTOFS_SBI_MAGIC */
		return NULL;
	return error_format(NULL, context->info.v, "struct autofs_sb_info is not where it should be");
}

static const struct option_rule autofs_rules[] = {
	{"magic", CALL, .show = check_autofs},
	{"pipefd", ALWAYS, ",fd=", SIGNED},
	{NULL, CALL, .show = show_autofs_owner},
	{"oz_pgrp", CALL, .show = show_autofs_group},
	{"exp_timeout", CALL, .show = show_autofs_timeout},
	{"min_proto", ALWAYS, ",minproto=", SIGNED},
	{"max_proto", ALWAYS, ",maxproto=", SIGNED},
	{"type", CALL, .show = show_autofs_type},
	{"flags", IF, ",strictexpire", WORD, 2},
	{"flags", IF, ",ignore", WORD, 4},
	{"pipe", CALL, .show = show_autofs_pipe}, /* with CONFIG_CHECKPOINT_RESTORE, which distributions have */
};

/* ---- fuse ---- */

static struct error *show_fuse(const struct option_context *context, uint64_t legacy)
{
	static const char *const members[] = {"user_id", "group_id", "default_permissions", "allow_other", "max_read"};
	uint64_t values[ARRAY_SIZE(members)] = {0};
	struct error *error = NULL;

	if (!legacy)
		return NULL;
	for (size_t i = 0; !error && i < ARRAY_SIZE(members); i++)
		error = option_value(context, "fuse_conn", members[i], context->info, &values[i]);
	if (error)
		return error;
	fprintf(context->out, ",user_id=%llu,group_id=%llu%s%s", (unsigned long long)values[0],
		(unsigned long long)values[1], values[2] ? ",default_permissions" : "",
		values[3] ? ",allow_other" : "");
	if (values[4] != UINT32_MAX)
		fprintf(context->out, ",max_read=%llu", (unsigned long long)values[4]);
	if (context->super->bdev && context->super->block_size != 512)
		fprintf(context->out, ",blksize=%llu", (unsigned long long)context->super->block_size);
	return NULL;
}

/* enum fuse_dax_mode; 0 is "as the server says". */
static struct error *show_fuse_dax(const struct option_context *context, uint64_t mode)
{
	static const char *const words[] = {"", ",dax=always", ",dax=never", ",dax=inode"};

	if (mode < ARRAY_SIZE(words))
		fputs(words[mode], context->out);
	return NULL;
}

static const struct option_rule fuse_rules[] = {
	{"legacy_opts_show", CALL, .show = show_fuse},
	{"dax_dev", UNLESS, ",dax", WORD, 0}, /* before 5.17, for virtiofs */
	{"dax_mode", CALL, .show = show_fuse_dax},
};

/* ---- XFS ---- */

static struct error *show_xfs_inodes(const struct option_context *context, uint64_t features)
{
	fputs(features >> 56 & 1 ? ",inode32" : ",inode64", context->out);
	return NULL;
}

static struct error *show_xfs_allocation(const struct option_context *context, uint64_t features)
{
	uint64_t log;
	struct error *error = option_value(context, "xfs_mount", "m_allocsize_log", context->info, &log);

	if (!error && features >> 50 & 1 && log < 40)
		fprintf(context->out, ",allocsize=%lluk", (1ull << log) >> 10);
	return error;
}

static struct error *show_xfs_log_size(const struct option_context *context, uint64_t bytes)
{
	if ((int32_t)bytes > 0)
		fprintf(context->out, ",logbsize=%lluk", (unsigned long long)bytes >> 10);
	return NULL;
}

/* In blocks, shown in sectors of 512 bytes. */
static struct error *show_xfs_sectors(const struct option_context *context, const char *text, uint64_t blocks)
{
	uint64_t log;
	struct error *error = option_value(context, "xfs_mount", "m_blkbb_log", context->info, &log);

	if (!error && blocks && log < 16)
		fprintf(context->out, "%s%llu", text, (unsigned long long)blocks << log);
	return error;
}

static struct error *show_xfs_unit(const struct option_context *context, uint64_t blocks)
{
	return show_xfs_sectors(context, ",sunit=", blocks);
}

static struct error *show_xfs_width(const struct option_context *context, uint64_t blocks)
{
	return show_xfs_sectors(context, ",swidth=", blocks);
}

/* XFS_UQUOTA_ACCT and _ENFD, then those of projects and groups. */
static struct error *show_xfs_quota(const struct option_context *context, uint64_t flags)
{
	static const struct {
		uint32_t counted, enforced;
		const char *enforced_text, *counted_text;
	} kinds[] = {
		{0x0001, 0x0002, ",usrquota", ",uqnoenforce"},
		{0x0008, 0x0200, ",prjquota", ",pqnoenforce"},
		{0x0040, 0x0080, ",grpquota", ",gqnoenforce"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (flags & kinds[i].enforced)
			fputs(kinds[i].enforced_text, context->out);
		else if (flags & kinds[i].counted)
			fputs(kinds[i].counted_text, context->out);
	}
	if (!(flags & 0x0049))
		fputs(",noquota", context->out);
	return NULL;
}

#define XFS_FEATURE(n) (UINT64_C(1) << (n))

/* XFS_FEAT_* of xfs_mount.m_features (5.15 and later; before, m_flags had other bits, which are not told). */
static const struct option_rule xfs_rules[] = {
	{"m_features", IF, ",ikeep", WORD, XFS_FEATURE(57)},
	{"m_features", IF, ",wsync", WORD, XFS_FEATURE(52)},
	{"m_features", IF, ",noalign", WORD, XFS_FEATURE(49)},
	{"m_features", IF, ",swalloc", WORD, XFS_FEATURE(58)},
	{"m_features", IF, ",nouuid", WORD, XFS_FEATURE(63)},
	{"m_features", IF, ",norecovery", WORD, XFS_FEATURE(62)},
	{"m_features", IF, ",attr2", WORD, XFS_FEATURE(10)}, /* never set since 6.18 */
	{"m_features", IF, ",filestreams", WORD, XFS_FEATURE(59)},
	{"m_features", IF, ",grpid", WORD, XFS_FEATURE(55)},
	{"m_features", IF, ",discard", WORD, XFS_FEATURE(54)},
	{"m_features", IF, ",largeio", WORD, XFS_FEATURE(51)},
	{"m_features", IF, ",dax=always", WORD, XFS_FEATURE(60)},
	{"m_features", IF, ",dax=never", WORD, XFS_FEATURE(61)},
	{"m_features", IF, ",nolifetime", WORD, XFS_FEATURE(47)},
	{"m_features", CALL, .show = show_xfs_inodes},
	{"m_features", CALL, .show = show_xfs_allocation},
	{"m_logbufs", UNLESS, ",logbufs=", SIGNED, 0},
	{"m_logbsize", CALL, .show = show_xfs_log_size},
	{"m_logname", ALWAYS, ",logdev=", STRING},
	{"m_rtname", ALWAYS, ",rtdev=", STRING},
	{"m_dalign", CALL, .show = show_xfs_unit},
	{"m_swidth", CALL, .show = show_xfs_width},
	{"m_qflags", CALL, .show = show_xfs_quota},
};

/* ---- All of them ---- */

static const struct option_rule ext4_rules[] = {{NULL, CALL, .show = option_show_ext4}};
static const struct option_rule overlay_rules[] = {{NULL, CALL, .show = option_show_overlay}};
static const struct option_rule fat_rules[] = {{NULL, CALL, .show = option_show_fat}};

const struct option_table option_tables[] = {
	{.fstype = "proc", .structure = "proc_fs_info", RULES(proc_rules)},
	{.fstype = "devpts", .structure = "pts_fs_info", RULES(devpts_rules)},
	{.fstype = "hugetlbfs", .structure = "hugetlbfs_sb_info", RULES(hugetlbfs_rules)},
	{.fstype = "debugfs", .structure = "debugfs_fs_info", RULES(debug_rules)},
	{.fstype = "tracefs", .structure = "tracefs_fs_info", RULES(debug_rules)},
	{.fstype = "bpf", .start = AT_SUPER, RULES(bpf_rules)},
	{.fstype = "pstore", .start = AT_SUPER, RULES(pstore_rules)},
	{.fstype = "efivarfs", .module = "efivarfs", .structure = "efivarfs_fs_info", RULES(efivarfs_rules)},
	{.fstype = "cgroup2",
	 .structure = "cgroup_root",
	 .start = AT_SYMBOL,
	 .symbol = "cgrp_dfl_root",
	 RULES(cgroup2_rules)},
	{.fstype = "cgroup", .start = AT_SUPER, RULES(cgroup1_rules)},
	{.fstype = "autofs", .module = "autofs4", .structure = "autofs_sb_info", RULES(autofs_rules)},
	{.fstype = "fuse",
	 .module = "fuse",
	 .structure = "fuse_conn",
	 .start = AT_POINTER,
	 .hop_structure = "fuse_mount",
	 .hop = "fc",
	 RULES(fuse_rules)},
	{.fstype = "fuseblk",
	 .module = "fuse",
	 .structure = "fuse_conn",
	 .start = AT_POINTER,
	 .hop_structure = "fuse_mount",
	 .hop = "fc",
	 RULES(fuse_rules)},
	{.fstype = "virtiofs",
	 .module = "fuse",
	 .structure = "fuse_conn",
	 .start = AT_POINTER,
	 .hop_structure = "fuse_mount",
	 .hop = "fc",
	 RULES(fuse_rules)},
	{.fstype = "ext4", .module = "ext4", RULES(ext4_rules)},
	{.fstype = "ext3", .module = "ext4", RULES(ext4_rules)},
	{.fstype = "ext2", .module = "ext4", RULES(ext4_rules)},
	{.fstype = "xfs", .module = "xfs", .structure = "xfs_mount", RULES(xfs_rules)},
	{.fstype = "overlay", .module = "overlay", RULES(overlay_rules)},
	{.fstype = "vfat", .module = "fat", RULES(fat_rules)},
	{.fstype = "msdos", .module = "fat", RULES(fat_rules)},
};
const size_t option_tables_n = ARRAY_SIZE(option_tables);
