/* SPDX-License-Identifier: Apache-2.0 */
/* Options of ext4 (_ext4_show_options) and FAT (fat_show_options). */
#include <stdlib.h>
#include <string.h>

#include "guest/mount_options.h"

/* ---- ext4 ---- */

/* Bits of s_mount_opt and s_mount_opt2 (fs/ext4/ext4.h), the same in all kernels that have them. */
#define JOURNAL_CHECKSUM   0x800000u
#define QUOTA              0x40000u
#define USER_QUOTA         0x80000u
#define GROUP_QUOTA        0x100000u
#define PROJECT_QUOTA      0x200000u
#define DATA_MODE          0xc00u
#define ERRORS_CONTINUE    0x10u
#define ERRORS_READ_ONLY   0x20u
#define ERRORS_PANIC       0x40u
#define INIT_INODE_TABLE   0x80000000u
#define DATA_ERROR_ABORT   0x10000000u
#define DAX_ALWAYS         0x200u
#define OPT2_DAX_NEVER     0x20u
#define OPT2_DAX_INODE     0x40u
#define OPT2_OPTIMIZE_SCAN 0x80u

#define SB_INLINECRYPT     (UINT64_C(1) << 17)
#define SB_I_VERSION       (UINT64_C(1) << 23)

/* Kernels that an option is shown by, told by members of ext4_sb_info. */
enum ext4_age {
	ALL,
	OLD, /* before 5.13 or so */
	NEW,
};

/* A switch: shown where it differs from the default of the file system. */
struct ext4_switch {
	const char *word;
	uint32_t bits;
	bool set; /* shown if all bits are set; else if none is */
	enum ext4_age age;
	bool second; /* of s_mount_opt2 */
};

/* In the order of ext4_mount_opts[]. */
static const struct ext4_switch ext4_switches[] = {
	{",minixdf", 0x80, true},
	{",bsddf", 0x80, false},
	{",grpid", 0x4, true},
	{",nogrpid", 0x4, false},
	{",block_validity", 0x20000000, true},
	{",noblock_validity", 0x20000000, false},
	{",dioread_nolock", 0x400000, true},
	{",dioread_lock", 0x400000, false},
	{",discard", 0x40000000, true},
	{",nodiscard", 0x40000000, false},
	{",delalloc", 0x8000000, true},
	{",nodelalloc", 0x8000000, false},
	{",warn_on_error", 0x2000000, true},
	{",nowarn_on_error", 0x2000000, false},
	{",nojournal_checksum", JOURNAL_CHECKSUM, false},
	{",journal_checksum", JOURNAL_CHECKSUM, true},
	{",journal_async_commit", 0x1000000 | JOURNAL_CHECKSUM, true},
	{",norecovery", 0x100, true},
	{",barrier", 0x20000, true},
	{",nobarrier", 0x20000, false},
	{",noauto_da_alloc", 0x10000, true},
	{",auto_da_alloc", 0x10000, false},
	{",noinit_itable", INIT_INODE_TABLE, false},
	{",user_xattr", 0x4000, true},
	{",nouser_xattr", 0x4000, false, OLD},
	{",acl", 0x8000, true},
	{",noacl", 0x8000, false, OLD},
	{",nouid32", 0x2000, true},
	{",debug", 0x8, true},
	{",quota", QUOTA | USER_QUOTA, true},
	{",usrquota", QUOTA | USER_QUOTA, true},
	{",grpquota", QUOTA | GROUP_QUOTA, true},
	{",prjquota", QUOTA | PROJECT_QUOTA, true},
	{",noquota", QUOTA | USER_QUOTA | GROUP_QUOTA | PROJECT_QUOTA, false},
	{",nombcache", 0x1, true},
	{",prefetch_block_bitmaps", 0x4000000, true, OLD},
	{",no_prefetch_block_bitmaps", 0x4000000, true, NEW},
	{",abort", 0x100, true, NEW, true},
};

/* What is read of struct ext4_sb_info; 0 for what a kernel has not. */
struct ext4_values {
	uint64_t super, opt, opt2, def_opt, def_opt2, block, resuid, resgid, commit, min_batch, max_batch, stripe;
	uint64_t readahead, wait_mult, max_dir, groups, quota_format;
	bool old;
	uint16_t errors, def_resuid, def_resgid; /* of the superblock on disk, as memory has it */
};

static struct error *read_ext4_disk(const struct option_context *context, struct ext4_values *v)
{
	const struct {
		uint32_t offset;
		uint16_t *ret;
	} fields[] = {{0x3c, &v->errors}, {0x50, &v->def_resuid}, {0x52, &v->def_resgid}};
	struct error *error = NULL;

	for (size_t i = 0; !error && i < ARRAY_SIZE(fields); i++)
		error = memory_read(&context->guest->memory, (struct gva){v->super + fields[i].offset}, fields[i].ret,
				    sizeof(*fields[i].ret));
	return error;
}

static struct error *read_ext4(const struct option_context *context, struct ext4_values *v)
{
	const struct {
		const char *member;
		uint64_t *ret;
	} members[] = {
		{"s_es", &v->super},
		{"s_mount_opt", &v->opt},
		{"s_mount_opt2", &v->opt2},
		{"s_def_mount_opt", &v->def_opt},
		{"s_def_mount_opt2", &v->def_opt2},
		{"s_sb_block", &v->block},
		{"s_resuid", &v->resuid},
		{"s_resgid", &v->resgid},
		{"s_commit_interval", &v->commit},
		{"s_min_batch_time", &v->min_batch},
		{"s_max_batch_time", &v->max_batch},
		{"s_stripe", &v->stripe},
		{"s_inode_readahead_blks", &v->readahead},
		{"s_li_wait_mult", &v->wait_mult},
		{"s_max_dir_size_kb", &v->max_dir},
		{"s_groups_count", &v->groups},
		{"s_jquota_fmt", &v->quota_format},
	};
	struct error *error = NULL;

	for (size_t i = 0; !error && i < ARRAY_SIZE(members); i++)
		error = option_value(context, "ext4_sb_info", members[i].member, context->info, members[i].ret);
	v->old = !option_member(context, "ext4_sb_info", "s_def_mount_opt2").present &&
		 !option_member(context, "ext4_sb_info", "s_mb_max_linear_groups").present;
	/* Without a default of its own only `abort` is a switch there, and it is never the default. */
	return error ? error : read_ext4_disk(context, v);
}

static void show_ext4_switches(FILE *out, const struct ext4_values *v)
{
	for (size_t i = 0; i < ARRAY_SIZE(ext4_switches); i++) {
		const struct ext4_switch *s = &ext4_switches[i];
		uint64_t now = s->second ? v->opt2 : v->opt, usual = s->second ? v->def_opt2 : v->def_opt;

		if ((s->age == OLD && !v->old) || (s->age == NEW && v->old) || !(s->bits & (now ^ usual)))
			continue;
		if (s->set ? (now & s->bits) == s->bits : !(now & s->bits))
			fputs(s->word, out);
	}
}

static void show_ext4_errors(FILE *out, const struct ext4_values *v)
{
	if (v->opt & ERRORS_READ_ONLY && v->errors != 2)
		fputs(",errors=remount-ro", out);
	if (v->opt & ERRORS_CONTINUE && v->errors != 1)
		fputs(",errors=continue", out);
	if (v->opt & ERRORS_PANIC && v->errors != 3)
		fputs(",errors=panic", out);
}

static void show_unless(FILE *out, const char *text, uint64_t value, uint64_t usual)
{
	if (value != usual)
		fprintf(out, "%s%llu", text, (unsigned long long)value);
}

static void show_ext4_numbers(const struct option_context *context, const struct ext4_values *v, unsigned hz)
{
	static const char *const modes[] = {"", ",data=journal", ",data=ordered", ",data=writeback"};
	FILE *out = context->out;

	if (v->commit != UINT64_C(5) * hz)
		fprintf(out, ",commit=%llu", (unsigned long long)v->commit / hz);
	show_unless(out, ",min_batch_time=", v->min_batch, 0);
	show_unless(out, ",max_batch_time=", v->max_batch, 15000);
	if (v->old && context->super->flags & SB_I_VERSION)
		fputs(",i_version", out);
	show_unless(out, ",stripe=", v->stripe, 0);
	if (DATA_MODE & (v->opt ^ v->def_opt))
		fputs(modes[(v->opt & DATA_MODE) >> 10], out);
	show_unless(out, ",inode_readahead_blks=", v->readahead, 32);
	if (v->opt & INIT_INODE_TABLE)
		show_unless(out, ",init_itable=", v->wait_mult, 10);
	show_unless(out, ",max_dir_size_kb=", v->max_dir, 0);
	if (v->opt & DATA_ERROR_ABORT)
		fputs(",data_err=abort", out);
}

static void show_ext4_rest(const struct option_context *context, const struct ext4_values *v)
{
	FILE *out = context->out;

	if (context->super->flags & SB_INLINECRYPT)
		fputs(",inlinecrypt", out);
	if (v->opt & DAX_ALWAYS)
		fputs(strcmp(context->super->type, "ext2") == 0 ? ",dax" : ",dax=always", out);
	else if (v->opt2 & OPT2_DAX_NEVER)
		fputs(",dax=never", out);
	else if (v->opt2 & OPT2_DAX_INODE)
		fputs(",dax=inode", out);
	/* On by default from 16 block groups (MB_DEFAULT_LINEAR_SCAN_THRESHOLD). */
	if (!v->old && (v->groups >= 16) != !!(v->opt2 & OPT2_OPTIMIZE_SCAN))
		fprintf(out, ",mb_optimize_scan=%d", v->groups < 16);
}

static struct error *show_ext4_quota(const struct option_context *context, uint64_t format)
{
	static const char *const words[] = {"", "vfsold", "vfsv0", "", "vfsv1"};
	static const char *const names[] = {",usrjquota=", ",grpjquota="};
	static const char *const members[] = {"s_qf_names[0]", "s_qf_names[1]"};
	struct error *error = NULL;

	if (format)
		fprintf(context->out, ",jqfmt=%s", format < ARRAY_SIZE(words) ? words[format] : "");
	for (size_t i = 0; !error && i < ARRAY_SIZE(names); i++) {
		_cleanup_(free_ptr) char *text = NULL;
		uint64_t address;

		error = option_value(context, "ext4_sb_info", members[i], context->info, &address);
		if (!error && address)
			error = vfs_string(context->guest, address, &text);
		if (!error && text)
			fprintf(context->out, "%s%s", names[i], text);
	}
	return error;
}

struct error *option_show_ext4(const struct option_context *context, uint64_t unused)
{
	struct ext4_values v = {0};
	unsigned hz = 0;
	uint64_t back = 0;
	struct error *error;

	if (!option_member(context, "ext4_sb_info", "s_mount_opt").present)
		return NULL; /* no types of the module: nothing is known */
	error = option_value(context, "ext4_sb_info", "s_sb", context->info, &back);
	if (!error && back != context->super->address.v)
		error = error_format(NULL, context->info.v, "struct ext4_sb_info is not where it should be");
	if (!error)
		error = read_ext4(context, &v);
	if (!error)
		error = guest_tick_rate(context->guest, &hz);
	if (error)
		return error;
	show_unless(context->out, ",sb=", v.block, 1);
	show_ext4_switches(context->out, &v);
	if (v.resuid || v.def_resuid)
		fprintf(context->out, ",resuid=%llu", (unsigned long long)v.resuid);
	if (v.resgid || v.def_resgid)
		fprintf(context->out, ",resgid=%llu", (unsigned long long)v.resgid);
	show_ext4_errors(context->out, &v);
	show_ext4_numbers(context, &v, hz);
	show_ext4_rest(context, &v);
	return show_ext4_quota(context, v.quota_format);
}

/* ---- FAT ---- */

static struct error *fat_value(const struct option_context *context, const char *option, uint64_t *ret)
{
	char path[64];

	snprintf(path, sizeof(path), "options.%s", option);
	return option_value(context, "msdos_sb_info", path, context->info, ret);
}

/* Appends TEXT and the name of a character set; `skip` bytes of it are left out ("cp" of "cp437"). */
static struct error *show_charset(const struct option_context *context, const char *member, const char *text,
				  unsigned skip)
{
	_cleanup_(free_ptr) char *name = NULL;
	uint64_t table, address;
	struct error *error = option_value(context, "msdos_sb_info", member, context->info, &table);

	if (error || !table)
		return error;
	error = option_value(context, "nls_table", "charset", (struct gva){table}, &address);
	if (!error && address)
		error = vfs_string(context->guest, address + skip, &name);
	if (!error && name)
		fprintf(context->out, "%s%s", text, name);
	return error;
}

static const char *shortname_word(uint64_t value)
{
	switch (value) {
	case 0x0102:
		return "win95";
	case 0x0204:
		return "winnt";
	case 0x0104:
		return "mixed";
	case 0x0101:
		return "lower";
	default:
		return "unknown";
	}
}

static struct error *show_fat_flag(const struct option_context *context, const char *option, bool wanted,
				   const char *text)
{
	uint64_t value;
	struct error *error = fat_value(context, option, &value);

	if (!error && !!value == wanted)
		fputs(text, context->out);
	return error;
}

static struct error *show_fat_owner(const struct option_context *context)
{
	uint64_t uid = 0, gid = 0, files = 0, directories = 0, utime = 0;
	struct error *error = fat_value(context, "fs_uid", &uid);

	if (!error)
		error = fat_value(context, "fs_gid", &gid);
	if (!error)
		error = fat_value(context, "fs_fmask", &files);
	if (!error)
		error = fat_value(context, "fs_dmask", &directories);
	if (!error)
		error = fat_value(context, "allow_utime", &utime);
	if (error)
		return error;
	show_unless(context->out, ",uid=", uid, 0);
	show_unless(context->out, ",gid=", gid, 0);
	fprintf(context->out, ",fmask=%04llo,dmask=%04llo", (unsigned long long)files, (unsigned long long)directories);
	if (utime)
		fprintf(context->out, ",allow_utime=%04llo", (unsigned long long)utime);
	return show_charset(context, "nls_disk", ",codepage=", 2);
}

static struct error *show_fat_names(const struct option_context *context, bool is_vfat)
{
	uint64_t shortname, check;
	struct error *error = NULL;

	if (is_vfat)
		error = show_charset(context, "nls_io", ",iocharset=", 0);
	if (!error)
		error = fat_value(context, "shortname", &shortname);
	if (!error && is_vfat)
		fprintf(context->out, ",shortname=%s", shortname_word(shortname));
	if (!error)
		error = fat_value(context, "name_check", &check);
	if (!error && check != 'n')
		fprintf(context->out, ",check=%c", (char)check);
	return error;
}

static struct error *show_fat_flags(const struct option_context *context, bool is_vfat)
{
	static const struct {
		const char *option, *text;
		bool wanted, on_vfat, on_msdos;
	} flags[] = {
		{"usefree", ",usefree", true, true, true},     {"quiet", ",quiet", true, true, true},
		{"showexec", ",showexec", true, true, true},   {"sys_immutable", ",sys_immutable", true, true, true},
		{"dotsOK", ",dotsOK=yes", true, false, true},  {"nocase", ",nocase", true, false, true},
		{"utf8", ",utf8", true, true, false},          {"unicode_xlate", ",uni_xlate", true, true, false},
		{"numtail", ",nonumtail", false, true, false}, {"rodir", ",rodir", true, true, false},
		{"flush", ",flush", true, true, true},
	};
	struct error *error = NULL;

	for (size_t i = 0; !error && i < ARRAY_SIZE(flags); i++)
		if (is_vfat ? flags[i].on_vfat : flags[i].on_msdos)
			error = show_fat_flag(context, flags[i].option, flags[i].wanted, flags[i].text);
	return error;
}

static struct error *show_fat_rest(const struct option_context *context)
{
	static const char *const errors_words[] = {"remount-ro", "continue", "panic"};
	uint64_t zone_set = 0, zone = 0, errors = 0, nfs = 0;
	struct error *error = fat_value(context, "tz_set", &zone_set);

	if (!error)
		error = fat_value(context, "time_offset", &zone);
	if (!error)
		error = fat_value(context, "errors", &errors);
	if (!error)
		error = fat_value(context, "nfs", &nfs);
	if (error)
		return error;
	if (zone_set && zone)
		fprintf(context->out, ",time_offset=%d", (int32_t)zone);
	else if (zone_set)
		fputs(",tz=UTC", context->out);
	fprintf(context->out, ",errors=%s", errors_words[errors < ARRAY_SIZE(errors_words) ? errors : 0]);
	if (nfs)
		fputs(nfs == 2 ? ",nfs=nostale_ro" : ",nfs=stale_rw", context->out);
	error = show_fat_flag(context, "discard", true, ",discard");
	return error ? error : show_fat_flag(context, "dos1xfloppy", true, ",dos1xfloppy");
}

struct error *option_show_fat(const struct option_context *context, uint64_t unused)
{
	bool is_vfat = strcmp(context->super->type, "vfat") == 0;
	struct error *error;

	if (!option_member(context, "msdos_sb_info", "options.fs_fmask").present)
		return NULL; /* no types of the module: nothing is known */
	error = show_fat_owner(context);
	if (!error)
		error = show_fat_names(context, is_vfat);
	if (!error)
		error = show_fat_flags(context, is_vfat);
	return error ? error : show_fat_rest(context);
}
