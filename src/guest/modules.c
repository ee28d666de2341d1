/* SPDX-License-Identifier: Apache-2.0 */
/* Types of kernel modules: the kernel keeps each module's BTF blob on its list btf_modules (5.11 and later). */
#include <stdlib.h>
#include <string.h>

#include "guest/internal.h"

#define MODULE_NAME_MAX 64u /* MODULE_NAME_LEN is 56 */
#define MODULE_BTF_MAX  (16u * 1024 * 1024)

struct btf_layout {
	struct member list, btf, data, data_size, name;
};

static struct error *load_layout(struct guest *guest, struct btf_layout *ret)
{
	const struct member_need needs[] = {
		{"btf_module", "list", &ret->list},    {"btf_module", "btf", &ret->btf}, {"btf", "data", &ret->data},
		{"btf", "data_size", &ret->data_size}, {"btf", "name", &ret->name},
	};

	return types_need(guest->types, needs, ARRAY_SIZE(needs));
}

static struct error *load_blob(struct guest *guest, const struct btf_layout *layout, struct gva btf, struct types **ret)
{
	_cleanup_(free_ptr) void *blob = NULL;
	uint64_t data, size;
	const struct member_read reads[] = {{&layout->data, &data}, {&layout->data_size, &size}};
	struct error *error = guest_read_members(guest, btf, reads, ARRAY_SIZE(reads));

	if (error)
		return error;
	if (size == 0 || size > MODULE_BTF_MAX)
		return error_format(NULL, btf.v, "type information of %llu bytes", (unsigned long long)size);
	blob = malloc(size);
	if (!blob)
		return error_no_memory();
	error = memory_read(&guest->memory, (struct gva){data}, blob, size);
	return error ? error : types_create(blob, size, guest->types, ret);
}

/* Leaves *ret alone if the module is not there. */
static struct error *load_module(struct guest *guest, const char *name, struct types **ret)
{
	struct btf_layout layout;
	struct loop_guard guard = {0};
	struct gva head;
	uint64_t next;
	struct error *error;

	/* Before 5.11 modules have no type information. */
	if (guest->foreign_types || !symbols_find(guest->symbols, "btf_modules", &head))
		return NULL;
	error = load_layout(guest, &layout);
	if (!error)
		error = memory_read_u64(&guest->memory, head, &next);
	while (!error && next != head.v) {
		char found[MODULE_NAME_MAX];
		uint64_t btf;

		if (!loop_guard_step(&guard, next))
			return error_format(NULL, next, "the list of modules goes in circles");
		error = guest_read_member(guest, (struct gva){next - layout.list.offset}, &layout.btf, &btf);
		if (!error)
			error = memory_read_string(&guest->memory, (struct gva){btf + layout.name.offset}, found,
						   sizeof(found));
		if (!error && strcmp(found, name) == 0)
			return error_wrap(load_blob(guest, &layout, (struct gva){btf}, ret), "types of module %s",
					  name);
		if (!error)
			error = memory_read_u64(&guest->memory, (struct gva){next}, &next);
	}
	return error_wrap(error, "types of module %s", name);
}

struct error *guest_module_types(struct guest *guest, const char *name, const struct types **ret)
{
	struct module_types *module = guest->modules;
	struct error *error;

	while (module < guest->modules + guest->n_modules && strcmp(module->name, name) != 0)
		module++;
	if (module == guest->modules + guest->n_modules) {
		if (guest->n_modules == GUEST_MODULES_MAX || strlen(name) >= sizeof(module->name))
			return error_create(ERROR_FAILED, "types of module %s: too many modules", name);
		*module = (struct module_types){0};
		strcpy(module->name, name);
		error = load_module(guest, name, &module->types);
		if (error)
			return error;
		guest->n_modules++;
	}
	*ret = module->types ? module->types : guest->types;
	return NULL;
}
