/* SPDX-License-Identifier: Apache-2.0 */
/* Applies the tables of mount_tables.c to a file system. */
#include "guest/mount_options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A table with its members looked up. */
struct resolved {
	bool done;
	const struct types *types;
	struct member hop;
	struct member *members; /* one a rule; owned */
	uint64_t *values;       /* one a rule; UINT64_MAX for a constant that this kernel has not; owned */
};

struct mount_options {
	struct guest *guest;             /* borrowed */
	const struct vfs_layout *layout; /* borrowed */
	struct resolved *tables;         /* one for each of option_tables; owned */
	struct resolved tmpfs, ramfs;
	struct gva tmpfs_operations, ramfs_operations; /* 0: unknown */
	bool selinux;
	uint32_t selinux_offset;
	struct member selinux_flags;
};

/* ---- SELinux ---- */

#define SELINUX_SB_INITIALIZED UINT64_C(0x0200) /* SE_SBINITIALIZED (security/selinux/include/security.h) */
#define SELINUX_SB_LABELS      UINT64_C(0x0100) /* SBLABEL_MNT */

/* Whether SELinux has a policy, and where it keeps what it knows of a file system. */
static struct error *find_selinux(struct mount_options *options)
{
	struct guest *guest = options->guest;
	struct member initialized = types_find(guest->types, "selinux_state", "initialized");
	struct member offset = types_find(guest->types, "lsm_blob_sizes", "lbs_superblock"); /* 5.13 and later */
	struct gva state, sizes;
	uint64_t value;
	struct error *error;

	options->selinux_flags = types_find(guest->types, "superblock_security_struct", "flags");
	if (!initialized.present || !options->selinux_flags.present ||
	    !symbols_find(guest->symbols, "selinux_state", &state))
		return NULL;
	error = guest_read_member(guest, state, &initialized, &value);
	if (error || !value)
		return error;
	options->selinux = true;
	if (!offset.present || !symbols_find(guest->symbols, "selinux_blob_sizes", &sizes))
		return NULL;
	error = guest_read_member(guest, sizes, &offset, &value);
	options->selinux_offset = (uint32_t)value;
	return error;
}

struct error *mount_options_show_security(struct mount_options *options, const struct vfs_super *super, FILE *out)
{
	uint64_t flags;
	struct error *error;

	if (!options->selinux || !super->security)
		return NULL;
	error = guest_read_member(options->guest, (struct gva){super->security + options->selinux_offset},
				  &options->selinux_flags, &flags);
	if (!error && flags & SELINUX_SB_INITIALIZED && flags & SELINUX_SB_LABELS)
		fputs(",seclabel", out);
	return error;
}

/* ---- Tables ---- */

struct error *mount_options_create(struct guest *guest, const struct vfs_layout *layout, struct mount_options **ret)
{
	_cleanup_(mount_options_destroy_ptr) struct mount_options *options = calloc(1, sizeof(*options));
	struct error *error;

	if (!options)
		return error_no_memory();
	options->guest = guest;
	options->layout = layout;
	options->tables = calloc(option_tables_n, sizeof(*options->tables));
	if (!options->tables)
		return error_no_memory();
	/* Without all symbols in kallsyms (CONFIG_KALLSYMS_ALL) these stay 0 and the name decides. */
	(void)symbols_find(guest->symbols, "shmem_ops", &options->tmpfs_operations);
	(void)symbols_find(guest->symbols, "ramfs_ops", &options->ramfs_operations);
	error = find_selinux(options);
	if (error)
		return error;
	*ret = take_ptr(options);
	return NULL;
}

struct member option_member(const struct option_context *context, const char *structure, const char *path)
{
	return module_member(context->guest, context->types, structure, path);
}

struct error *option_value(const struct option_context *context, const char *structure, const char *path,
			   struct gva object, uint64_t *ret)
{
	struct member member = option_member(context, structure, path);

	*ret = 0;
	return member.present ? guest_read_member(context->guest, object, &member, ret) : NULL;
}

static void resolved_deinit(struct resolved *resolved)
{
	free(resolved->members);
	free(resolved->values);
}

void mount_options_destroy(struct mount_options *options)
{
	if (!options)
		return;
	for (size_t i = 0; options->tables && i < option_tables_n; i++)
		resolved_deinit(&options->tables[i]);
	free(options->tables);
	resolved_deinit(&options->tmpfs);
	resolved_deinit(&options->ramfs);
	free(options);
}

static struct error *resolve(struct mount_options *options, const struct option_table *table, struct resolved *ret)
{
	struct option_context context = {.guest = options->guest, .layout = options->layout};
	struct error *error = NULL;

	if (ret->done)
		return NULL;
	ret->types = options->guest->types;
	if (table->module)
		error = guest_module_types(options->guest, table->module, &ret->types);
	if (error)
		return error;
	context.types = ret->types;
	ret->members = calloc(table->n_rules, sizeof(*ret->members));
	ret->values = calloc(table->n_rules, sizeof(*ret->values));
	if (!ret->members || !ret->values)
		return error_no_memory();
	if (table->hop)
		ret->hop = option_member(&context, table->hop_structure, table->hop);
	for (size_t i = 0; i < table->n_rules; i++) {
		const struct option_rule *rule = &table->rules[i];

		if (rule->member)
			ret->members[i] = option_member(&context, table->structure, rule->member);
		ret->values[i] = rule->value;
		if (rule->constant && !types_enum(ret->types, NULL, rule->constant, &ret->values[i]))
			ret->members[i].present = false;
	}
	ret->done = true;
	return NULL;
}

/* The structure that the table speaks of; 0: this kernel or file system has none. */
static struct error *find_start(const struct option_table *table, const struct resolved *resolved,
				const struct option_context *context, struct gva *ret)
{
	struct gva address = {0};
	struct error *error = NULL;

	switch (table->start) {
	case AT_INFO:
		address.v = context->super->info;
		break;
	case AT_POINTER:
		if (context->super->info && resolved->hop.present)
			error = guest_read_member(context->guest, (struct gva){context->super->info}, &resolved->hop,
						  &address.v);
		break;
	case AT_SYMBOL:
		(void)symbols_find(context->guest->symbols, table->symbol, &address);
		break;
	case AT_SUPER:
		address = context->super->address;
		break;
	}
	if (!error)
		*ret = address;
	return error;
}

/* ---- Rules ---- */

static struct error *show_string(const struct option_context *context, const char *text, uint64_t address)
{
	_cleanup_(free_ptr) char *string = NULL;
	struct error *error = vfs_string(context->guest, address, &string);

	if (!error && *string)
		fprintf(context->out, "%s%s", text, string);
	return error;
}

static void show_number(FILE *out, const struct option_rule *rule, uint64_t value)
{
	unsigned long long number = value;

	fputs(rule->text, out);
	if (rule->form == DECIMAL)
		fprintf(out, "%llu", number);
	else if (rule->form == SIGNED)
		fprintf(out, "%d", (int32_t)value);
	else if (rule->form == OCTAL)
		fprintf(out, "%llo", number);
	else if (rule->form == OCTAL3)
		fprintf(out, "%03llo", number);
	else if (rule->form == OCTAL4)
		fprintf(out, "%04llo", number);
}

static bool applies(const struct option_rule *rule, const struct member *member, uint64_t wanted, uint64_t value)
{
	uint64_t mask = member->size >= 8 ? UINT64_MAX : (UINT64_C(1) << member->size * 8) - 1;

	switch (rule->when) {
	case UNLESS:
		return value != (wanted & mask);
	case IF:
		return value & wanted;
	case IF_NOT:
		return !(value & wanted);
	default:
		return true;
	}
}

static struct error *apply(const struct option_context *context, const struct option_rule *rule,
			   const struct member *member, uint64_t wanted)
{
	uint64_t value = 0;
	struct error *error = NULL;

	if (rule->member && !member->present)
		return NULL;
	if (rule->form == IN_PLACE)
		return show_string(context, rule->text, context->info.v + member->offset);
	if (member->present)
		error = guest_read_member(context->guest, context->info, member, &value);
	if (error)
		return error;
	if (rule->when == CALL)
		return rule->show(context, value);
	if (!applies(rule, member, wanted, value))
		return NULL;
	if (rule->form == STRING)
		return value ? show_string(context, rule->text, value) : NULL;
	show_number(context->out, rule, value);
	return NULL;
}

static struct error *show_table(struct mount_options *options, const struct option_table *table,
				struct resolved *resolved, const struct vfs_super *super, FILE *out)
{
	struct option_context context = {
		.guest = options->guest, .layout = options->layout, .super = super, .out = out};
	struct error *error = resolve(options, table, resolved);

	if (!error) {
		context.types = resolved->types;
		error = find_start(table, resolved, &context, &context.info);
	}
	for (size_t i = 0; !error && context.info.v && i < table->n_rules; i++)
		error = apply(&context, &table->rules[i], &resolved->members[i], resolved->values[i]);
	return error;
}

/* devtmpfs and the initial rootfs are tmpfs or ramfs by their operations; their names do not tell. */
static bool has_operations(const struct vfs_super *super, struct gva operations, const char *fstype)
{
	return operations.v ? super->operations == operations.v : strcmp(super->type, fstype) == 0;
}

struct error *mount_options_show(struct mount_options *options, const struct vfs_super *super, FILE *out)
{
	if (has_operations(super, options->tmpfs_operations, "tmpfs"))
		return show_table(options, &option_table_tmpfs, &options->tmpfs, super, out);
	if (has_operations(super, options->ramfs_operations, "ramfs"))
		return show_table(options, &option_table_ramfs, &options->ramfs, super, out);
	for (size_t i = 0; i < option_tables_n; i++)
		if (strcmp(super->type, option_tables[i].fstype) == 0)
			return show_table(options, &option_tables[i], &options->tables[i], super, out);
	return NULL;
}
