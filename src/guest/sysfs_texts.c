/* SPDX-License-Identifier: Apache-2.0 */
/* Files of sysfs that are no device's: the board's names, parameters of modules, the kernel's own; and those of
 * control groups. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "guest/internal.h"
#include "guest/sysfs.h"

static struct error *unknown(void)
{
	return error_create(ERROR_NOT_FOUND, "memory does not tell it, or we do not know how");
}

static struct error *done(char **ret, char *made)
{
	*ret = made;
	return made ? NULL : error_no_memory();
}

/* ---- /sys/class/dmi/id ---- */

/* enum dmi_field by the kernel's own names: "product_name" is DMI_PRODUCT_NAME. */
static struct error *show_dmi(struct guest *guest, const char *file, char **ret)
{
	char name[48] = "DMI_", value[256] = "";
	uint64_t field, address;
	struct gva table;
	struct error *error;

	for (size_t i = 0; file[i] && i < sizeof(name) - 5; i++)
		name[i + 4] = (char)(file[i] >= 'a' && file[i] <= 'z' ? file[i] - 'a' + 'A' : file[i]);
	if (!types_enum(guest->types, "dmi_field", name, &field) || field > 64)
		return unknown();
	error = symbols_get(guest->symbols, "dmi_ident", &table);
	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){table.v + field * 8}, &address);
	if (!error && !address)
		return unknown();
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){address}, value, sizeof(value));
	return error ? error : done(ret, string_format("%s\n", value));
}

/* ---- /sys/module/NAME/parameters ---- */

struct param {
	uint64_t ops, arg;
};

static struct error *read_param(struct guest *guest, uint64_t attribute, struct param *ret)
{
	struct member holder = types_find(guest->types, "param_attribute", "param");
	struct member inner = types_find(guest->types, "param_attribute", "mattr");
	struct member ops = types_find(guest->types, "kernel_param", "ops");
	struct member arg = types_find(guest->types, "kernel_param", "arg");
	uint64_t param;
	struct error *error;

	/* A file is of a struct attribute, the first of the structures around it. */
	if (!holder.present || !inner.present || !ops.present || !arg.present || !attribute)
		return unknown();
	error = guest_read_member(guest, (struct gva){attribute - inner.offset}, &holder, &param);
	if (!error)
		error = guest_read_member(guest, (struct gva){param}, &ops, &ret->ops);
	return error ? error : guest_read_member(guest, (struct gva){param}, &arg, &ret->arg);
}

enum param_form {
	SIGNED_NUMBER,
	UNSIGNED_NUMBER,
	TRUTH,
	NOT_TRUTH,
	POINTED_TEXT
};

static const struct {
	const char *symbol;
	enum param_form form;
	unsigned size;
} forms[] = {
	{"param_ops_int", SIGNED_NUMBER, 4},
	{"param_ops_uint", UNSIGNED_NUMBER, 4},
	{"param_ops_short", SIGNED_NUMBER, 2},
	{"param_ops_ushort", UNSIGNED_NUMBER, 2},
	{"param_ops_long", SIGNED_NUMBER, 8},
	{"param_ops_ulong", UNSIGNED_NUMBER, 8},
	{"param_ops_ullong", UNSIGNED_NUMBER, 8},
	{"param_ops_byte", UNSIGNED_NUMBER, 1},
	{"param_ops_bool", TRUTH, 1},
	{"param_ops_invbool", NOT_TRUTH, 1},
	{"param_ops_bool_enable_only", TRUTH, 1},
	{"param_ops_charp", POINTED_TEXT, 8},
};

static struct error *write_param(struct guest *guest, enum param_form form, unsigned size, uint64_t bits, char **ret)
{
	char value[1024] = "";
	struct error *error = NULL;

	switch (form) {
	case SIGNED_NUMBER:
		return done(ret, string_format("%" PRId64 "\n", (int64_t)(bits << (64 - 8 * size)) >> (64 - 8 * size)));
	case UNSIGNED_NUMBER:
		return done(ret, string_format("%" PRIu64 "\n", bits));
	case TRUTH:
		return done(ret, strdup(bits ? "Y\n" : "N\n"));
	case NOT_TRUTH:
		return done(ret, strdup(bits ? "N\n" : "Y\n"));
	case POINTED_TEXT:
		if (bits)
			error = memory_read_string(&guest->memory, (struct gva){bits}, value, sizeof(value));
		return error ? error : done(ret, string_format("%s\n", bits ? value : "(null)"));
	}
	return unknown();
}

static struct error *show_param(struct guest *guest, uint64_t attribute, char **ret)
{
	struct param param;
	struct error *error = read_param(guest, attribute, &param);

	for (size_t i = 0; !error && i < ARRAY_SIZE(forms); i++) {
		struct gva symbol;
		uint64_t bits = 0;

		if (!symbols_find(guest->symbols, forms[i].symbol, &symbol) || symbol.v != param.ops)
			continue;
		error = memory_read(&guest->memory, (struct gva){param.arg}, &bits, forms[i].size);
		return error ? error : write_param(guest, forms[i].form, forms[i].size, bits, ret);
	}
	return error ? error : unknown();
}

/* ---- /sys/kernel ---- */

static struct error *show_huge(struct guest *guest, char **ret)
{
	struct gva symbol;
	uint64_t flags;
	struct error *error = symbols_get(guest->symbols, "transparent_hugepage_flags", &symbol);

	if (!error)
		error = memory_read_u64(&guest->memory, symbol, &flags);
	if (error)
		return error;
	/* TRANSPARENT_HUGEPAGE_FLAG and _REQ_MADV_FLAG; a bit before them came (5.19) and went (6.6). */
	{
		uint64_t always, madvise;

		if (!types_enum(guest->types, "transparent_hugepage_flag", "TRANSPARENT_HUGEPAGE_FLAG", &always) ||
		    !types_enum(guest->types, "transparent_hugepage_flag", "TRANSPARENT_HUGEPAGE_REQ_MADV_FLAG",
				&madvise) ||
		    always > 63 || madvise > 63)
			return unknown();
		if (flags >> always & 1)
			return done(ret, strdup("[always] madvise never\n"));
		return done(ret,
			    strdup(flags >> madvise & 1 ? "always [madvise] never\n" : "always madvise [never]\n"));
	}
}

static struct error *show_pointer_set(struct guest *guest, const char *name, char **ret)
{
	struct gva symbol;
	uint64_t value;
	struct error *error = symbols_get(guest->symbols, name, &symbol);

	if (!error)
		error = memory_read_u64(&guest->memory, symbol, &value);
	return error ? error : done(ret, strdup(value ? "1\n" : "0\n"));
}

static struct error *show_kernel(struct guest *guest, const char *file, char **ret)
{
	struct gva symbol;
	uint64_t value;
	struct error *error;

	if (strcmp(file, "kexec_loaded") == 0)
		return show_pointer_set(guest, "kexec_image", ret);
	if (strcmp(file, "kexec_crash_loaded") == 0)
		return show_pointer_set(guest, "kexec_crash_image", ret);
	if (strcmp(file, "address_bits") == 0)
		return done(ret, strdup("64\n"));
	if (strcmp(file, "cpu_byteorder") == 0)
		return done(ret, strdup("little\n"));
	if (strcmp(file, "uevent_seqnum") != 0)
		return unknown();
	error = symbols_get(guest->symbols, "uevent_seqnum", &symbol);
	if (!error)
		error = memory_read_u64(&guest->memory, symbol, &value);
	return error ? error : done(ret, string_format("%" PRIu64 "\n", value));
}

struct error *sysfs_text(struct guest *guest, const struct guest_kernfs *tree, uint32_t index, char **ret)
{
	const struct guest_kernfs_node *node = &tree->items[index], *directory = &tree->items[node->parent];
	const struct guest_kernfs_node *above = &tree->items[directory->parent];

	if (strcmp(directory->name, "id") == 0 && strcmp(above->name, "dmi") == 0)
		return show_dmi(guest, node->name, ret);
	if (strcmp(directory->name, "parameters") == 0)
		return show_param(guest, node->object, ret);
	if (strcmp(directory->name, "transparent_hugepage") == 0 && strcmp(node->name, "enabled") == 0)
		return show_huge(guest, ret);
	if (strcmp(directory->name, "kernel") == 0 && directory->parent == 0)
		return show_kernel(guest, node->name, ret);
	return sysfs_cpu_text(guest, tree, index, ret);
}

/* ---- Control groups ---- */

/* The names of the controllers in the mask, in the kernel's order. */
static struct error *write_controllers(struct guest *guest, uint64_t mask, char **ret)
{
	struct member name_member = types_find(guest->types, "cgroup_subsys", "name");
	char line[512] = "";
	struct gva table;
	struct error *error = symbols_get(guest->symbols, "cgroup_subsys", &table);

	if (!error && !name_member.present)
		return unknown();
	for (unsigned i = 0; !error && i < 16; i++) {
		uint64_t subsystem, address;
		char name[32];
		size_t n = strlen(line);

		if (!(mask >> i & 1))
			continue;
		error = memory_read_u64(&guest->memory, (struct gva){table.v + i * 8}, &subsystem);
		if (!error)
			error = guest_read_member(guest, (struct gva){subsystem}, &name_member, &address);
		if (!error)
			error = memory_read_string(&guest->memory, (struct gva){address}, name, sizeof(name));
		if (!error)
			snprintf(line + n, sizeof(line) - n, "%s%s", n ? " " : "", name);
	}
	return error ? error : done(ret, string_format("%s\n", line));
}

static uint64_t read_mask(struct guest *guest, const char *symbol)
{
	struct gva place;
	uint64_t value = 0;

	/* 16 bits until 6.17, then 32; what is behind is no controller's. */
	if (symbols_find(guest->symbols, symbol, &place))
		error_destroy(memory_read(&guest->memory, place, &value, 2));
	return value;
}

static struct error *read_control(struct guest *guest, uint64_t cgroup, uint64_t *ret)
{
	struct member control = types_find(guest->types, "cgroup", "subtree_control");

	if (!control.present || !cgroup)
		return unknown();
	return guest_read_member(guest, (struct gva){cgroup}, &control, ret);
}

/* What the group may use is what the one above it hands down; the first has all of the hierarchy. */
static struct error *read_available(struct guest *guest, const struct guest_kernfs *tree, uint32_t directory,
				    uint64_t *ret)
{
	struct member mask = types_find(guest->types, "cgroup_root", "subsys_mask");
	struct gva root;
	struct error *error;

	if (directory != 0)
		return read_control(guest, tree->items[tree->items[directory].parent].object, ret);
	if (!mask.present)
		return unknown();
	error = symbols_get(guest->symbols, "cgrp_dfl_root", &root);
	if (!error)
		error = guest_read_member(guest, root, &mask, ret);
	if (!error)
		*ret &= ~(read_mask(guest, "cgrp_dfl_inhibit_ss_mask") | read_mask(guest, "cgrp_dfl_implicit_ss_mask"));
	return error;
}

/* Reads a member of the group, 0 if this kernel has no such. */
static uint64_t read_group(struct guest *guest, uint64_t cgroup, const char *name)
{
	struct member member = types_find(guest->types, "cgroup", name);
	uint64_t value = 0;

	if (member.present)
		error_destroy(guest_read_member(guest, (struct gva){cgroup}, &member, &value));
	return value;
}

static struct error *show_events(struct guest *guest, uint64_t cgroup, char **ret)
{
	static const char *const counts[] = {"nr_populated_csets", "nr_populated_domain_children",
					     "nr_populated_threaded_children"};
	uint64_t bit, populated = 0;

	if (!cgroup || !types_find(guest->types, "cgroup", counts[0]).present ||
	    !types_enum(guest->types, NULL, "CGRP_FROZEN", &bit) || bit > 63)
		return unknown();
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		populated |= read_group(guest, cgroup, counts[i]);
	return done(ret, string_format("populated %u\nfrozen %u\n", populated != 0,
				       (unsigned)(read_group(guest, cgroup, "flags") >> bit & 1)));
}

/* "domain": neither threaded itself nor with threaded groups below. */
static struct error *show_type(struct guest *guest, uint64_t cgroup, char **ret)
{
	if (!cgroup || read_group(guest, cgroup, "dom_cgrp") != cgroup ||
	    read_group(guest, cgroup, "nr_threaded_children"))
		return unknown();
	return done(ret, strdup("domain\n"));
}

struct error *guest_cgroup_value(struct guest *guest, const struct guest_kernfs *tree, uint32_t index, char **ret)
{
	const struct guest_kernfs_node *node = &tree->items[index];
	uint64_t mask;
	struct error *error;

	if (strcmp(node->name, "cgroup.events") == 0)
		return show_events(guest, tree->items[node->parent].object, ret);
	if (strcmp(node->name, "cgroup.type") == 0)
		return show_type(guest, tree->items[node->parent].object, ret);
	if (strcmp(node->name, "cgroup.controllers") == 0)
		error = read_available(guest, tree, node->parent, &mask);
	else if (strcmp(node->name, "cgroup.subtree_control") == 0)
		error = read_control(guest, tree->items[node->parent].object, &mask);
	else
		error = unknown();
	return error ? error : write_controllers(guest, mask, ret);
}
