/* SPDX-License-Identifier: Apache-2.0 */
/* All symbols, those of modules and BPF programs too (kernel/kallsyms.c, kernel/module/kallsyms.c). */
#include <ctype.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/object.h"

#define NAME_SIZE      512u /* KSYM_NAME_LEN */
#define MODULE_SIZE    64u
#define EXPORTS_MAX    65536u
#define STATE_UNFORMED 3u   /* being set up: listed nowhere */
#define PART           256u /* symbols read at a time */

struct list_layout {
	struct object_span span;
	struct member state, link, name, kallsyms, exports, n_exports;
	struct member table, n, strings, types; /* of mod_kallsyms */
	struct member export_value, export_name;
	uint32_t export_size;
};

struct walk {
	struct list_layout layout;
	void (*visit)(const struct guest_symbol *symbol, void *context);
	void *context;
	struct error **incomplete;
};

/* A step costs as much as the line that it makes: however long the names, all lines stay below some tens of MiB. */
static struct error *emit(struct guest *guest, const struct walk *walk, const struct guest_symbol *symbol)
{
	struct error *error = guest_effort(guest, 2 + strlen(symbol->name) / 8, symbol->address);

	/* The first entry of an ELF table has no name, and no line. */
	if (!error && *symbol->name)
		walk->visit(symbol, walk->context);
	return error;
}

static struct error *walk_kernel(struct guest *guest, const struct walk *walk)
{
	struct symbol symbol;
	struct error *error = NULL;

	for (size_t i = 0; !error && i < symbols_count(guest->symbols); i++) {
		symbols_at(guest->symbols, i, &symbol);
		error = emit(
			guest, walk,
			&(struct guest_symbol){.address = symbol.address, .type = symbol.type, .name = symbol.name});
	}
	return error;
}

/* ---- What a module exports: its type is shown as a capital letter ---- */

struct export
{
	uint64_t value, name; /* addresses */
};
struct exports {
	struct export *items;
	size_t n;
};

static int compare_exports(const void *a, const void *b)
{
	const struct export *x = a, *y = b;

	return x->value < y->value ? -1 : x->value > y->value;
}

/* Both are distances from where they stand. */
static struct error *read_exports(struct guest *guest, const struct list_layout *layout, uint64_t table, uint64_t n,
				  struct exports *ret)
{
	if (n > EXPORTS_MAX)
		return error_format(NULL, table, "a module of the guest exports %llu symbols", (unsigned long long)n);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t entry = table + i * layout->export_size, value, name;
		const struct member_read reads[] = {{&layout->export_value, &value}, {&layout->export_name, &name}};
		struct error *error = guest_read_members(guest, (struct gva){entry}, reads, ARRAY_SIZE(reads));

		if (!error)
			error = array_room(&ret->items, ret->n, sizeof(*ret->items));
		if (error)
			return error;
		ret->items[ret->n++] = (struct export){
			.value = entry + layout->export_value.offset + (uint64_t)(int64_t)(int32_t)value,
			.name = entry + layout->export_name.offset + (uint64_t)(int64_t)(int32_t)name,
		};
	}
	if (ret->n)
		qsort(ret->items, ret->n, sizeof(*ret->items), compare_exports);
	return NULL;
}

/* Several names may have one address. */
static bool is_exported(struct guest *guest, const struct exports *exports, uint64_t value, const char *name)
{
	const struct export key = {.value = value};
	const struct export *found =
		exports->n ? bsearch(&key, exports->items, exports->n, sizeof(key), compare_exports) : NULL;
	char exported[NAME_SIZE];

	if (!found)
		return false;
	while (found > exports->items && found[-1].value == value)
		found--;
	for (; found < exports->items + exports->n && found->value == value; found++) {
		struct error *error =
			memory_read_string(&guest->memory, (struct gva){found->name}, exported, sizeof(exported));

		if (!error && strcmp(exported, name) == 0)
			return true;
		error_destroy(error);
	}
	return false;
}

/* ---- A module's symbols ---- */

struct module_symbols {
	char name[MODULE_SIZE];
	struct exports exports;
	uint64_t table, n, strings, types;
};

static struct error *emit_part(struct guest *guest, const struct walk *walk, const struct module_symbols *module,
			       uint64_t first, uint64_t n)
{
	Elf64_Sym symbols[PART];
	char types[PART], name[NAME_SIZE];
	struct error *error = memory_read(&guest->memory, (struct gva){module->table + first * sizeof(*symbols)},
					  symbols, n * sizeof(*symbols));

	if (!error)
		error = memory_read(&guest->memory, (struct gva){module->types + first}, types, n);
	for (uint64_t i = 0; !error && i < n; i++) {
		struct guest_symbol symbol = {.address = symbols[i].st_value, .name = name, .module = module->name};

		error = memory_read_string(&guest->memory, (struct gva){module->strings + symbols[i].st_name}, name,
					   sizeof(name));
		if (error)
			return error;
		symbol.type = (char)(is_exported(guest, &module->exports, symbol.address, name)
					     ? toupper((unsigned char)types[i])
					     : tolower((unsigned char)types[i]));
		/* One byte of the guest's, which becomes part of a line. */
		if (!isalpha((unsigned char)symbol.type))
			symbol.type = '?';
		error = emit(guest, walk, &symbol);
	}
	return error;
}

static struct error *emit_module(struct guest *guest, const struct walk *walk, struct module_symbols *module,
				 const struct object *object)
{
	const struct list_layout *layout = &walk->layout;
	struct gva kallsyms = {object_get(object, &layout->kallsyms)};
	const struct member_read reads[] = {{&layout->table, &module->table},
					    {&layout->n, &module->n},
					    {&layout->strings, &module->strings},
					    {&layout->types, &module->types}};
	struct error *error = read_exports(guest, layout, object_get(object, &layout->exports),
					   object_get(object, &layout->n_exports), &module->exports);

	if (!error)
		error = guest_read_members(guest, kallsyms, reads, ARRAY_SIZE(reads));
	for (uint64_t i = 0; !error && i < module->n; i += PART)
		error = emit_part(guest, walk, module, i, module->n - i < PART ? module->n - i : PART);
	return error_wrap(error, "symbols of module %s", module->name);
}

static struct error *visit_module(struct guest *guest, struct gva address, void *context)
{
	const struct walk *walk = context;
	const struct list_layout *layout = &walk->layout;
	struct module_symbols module = {0};
	struct object object;
	struct error *error = object_load(guest, layout->span, address.v, &object);

	if (!error && object_get(&object, &layout->state) == STATE_UNFORMED)
		return NULL;
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){address.v + layout->name.offset}, module.name,
					   sizeof(module.name));
	if (!error)
		error = emit_module(guest, walk, &module, &object);
	free(module.exports.items);
	return walk_note(walk->incomplete, error);
}

/* ---- BPF programs ---- */

struct bpf {
	const struct walk *walk;
	struct member start, name, link;
};

static struct error *visit_program(struct guest *guest, struct gva program, void *context)
{
	const struct bpf *bpf = context;
	char name[NAME_SIZE];
	struct guest_symbol symbol = {.type = 't', .name = name, .module = "bpf"};
	struct error *error = guest_read_member(guest, program, &bpf->start, &symbol.address);

	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){program.v + bpf->name.offset}, name,
					   sizeof(name));
	return error ? error : emit(guest, bpf->walk, &symbol);
}

static struct error *walk_programs(struct guest *guest, const struct walk *walk)
{
	struct bpf bpf = {
		.walk = walk,
		.start = types_find(guest->types, "bpf_ksym", "start"),
		.name = types_find(guest->types, "bpf_ksym", "name"),
		.link = types_find(guest->types, "bpf_ksym", "lnode"),
	};
	struct gva head;
	uint32_t shown;
	struct error *error;

	/* Before 5.8 they were listed otherwise; a kernel without JIT has none. */
	if (!bpf.start.present || !bpf.name.present || !bpf.link.present ||
	    !symbols_find(guest->symbols, "bpf_kallsyms", &head))
		return NULL;
	error = guest_symbol_u32(guest, "bpf_jit_kallsyms", &shown);
	return error || !shown ? error : list_walk(guest, head, bpf.link.offset, visit_program, &bpf);
}

/* ---- All of them ---- */

static struct error *load_layout(struct guest *guest, struct list_layout *ret)
{
	const struct member_need needs[] = {
		{"module", "state", &ret->state},  {"module", "list", &ret->link},
		{"module", "name", &ret->name},    {"module", "kallsyms", &ret->kallsyms},
		{"module", "syms", &ret->exports}, {"module", "num_syms", &ret->n_exports},
	};
	const struct member_need more[] = {
		{"mod_kallsyms", "symtab", &ret->table},
		{"mod_kallsyms", "num_symtab", &ret->n},
		{"mod_kallsyms", "strtab", &ret->strings},
		{"mod_kallsyms", "typetab", &ret->types},
		{"kernel_symbol", "value_offset", &ret->export_value},
		{"kernel_symbol", "name_offset", &ret->export_name},
	};
	struct error *error = object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);

	ret->export_size = types_size(guest->types, "kernel_symbol");
	return error ? error : types_need(guest->types, more, ARRAY_SIZE(more));
}

static struct error *walk_modules(struct guest *guest, struct walk *walk)
{
	struct gva head;
	struct error *error;

	if (!symbols_find(guest->symbols, "modules", &head))
		return NULL; /* CONFIG_MODULES=n */
	error = load_layout(guest, &walk->layout);
	return error ? error : list_walk(guest, head, walk->layout.link.offset, visit_module, walk);
}

struct error *guest_symbols(struct guest *guest, void (*visit)(const struct guest_symbol *symbol, void *context),
			    void *context, struct error **ret_incomplete)
{
	struct error *incomplete = NULL;
	struct walk walk = {.visit = visit, .context = context, .incomplete = &incomplete};
	struct error *error;

	guest_effort_begin(guest);
	error = walk_note(&incomplete, walk_kernel(guest, &walk));
	if (!error)
		error = walk_note(&incomplete, walk_modules(guest, &walk));
	if (!error)
		error = walk_note(&incomplete, walk_programs(guest, &walk));
	if (error) {
		error_destroy(incomplete);
		return error_wrap(error, "the guest's symbols");
	}
	*ret_incomplete = incomplete;
	return NULL;
}

/* 2 hides them from everybody. */
struct error *guest_shows_addresses(struct guest *guest, bool *ret)
{
	uint32_t restricted;
	struct error *error = guest_symbol_u32(guest, "kptr_restrict", &restricted);

	if (!error)
		*ret = restricted < 2;
	return error;
}
