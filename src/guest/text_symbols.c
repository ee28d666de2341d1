/* SPDX-License-Identifier: Apache-2.0 */
/* Names of functions by their addresses, in the kernel and its modules. */
#include <elf.h>
#include <string.h>

#include "guest/unwind.h"

#define MODULE_SYMBOLS_MAX 65536u
#define BATCH              64u /* symbols read at once */

const struct module_text *text_module(const struct stack_layout *layout, uint64_t address)
{
	for (size_t i = 0; i < layout->n_modules; i++)
		if (address >= layout->modules[i].start && address < layout->modules[i].end)
			return &layout->modules[i];
	return NULL;
}

bool text_is_kernel(const struct stack_layout *layout, uint64_t address)
{
	return (address >= layout->text && address < layout->text_end) ||
	       (address >= layout->init_text && address < layout->init_text_end) || text_module(layout, address);
}

bool text_is_scheduler(const struct stack_layout *layout, uint64_t address)
{
	return (address >= layout->scheduler && address < layout->scheduler_end) ||
	       (address >= layout->locks && address < layout->locks_end);
}

/* The best of a batch so far. */
struct best {
	uint64_t address, start, end, name;
};

static struct error *is_named(struct guest *guest, uint64_t name, bool *ret)
{
	char first;
	struct error *error = memory_read(&guest->memory, (struct gva){name}, &first, 1);

	*ret = !error && first;
	return error;
}

static struct error *look_at(struct guest *guest, const Elf64_Sym *symbol, uint64_t names, struct best *best)
{
	bool named;
	struct error *error = NULL;

	if (symbol->st_shndx == SHN_UNDEF)
		return NULL;
	if (symbol->st_value > best->address) {
		if (symbol->st_value < best->end) {
			error = is_named(guest, names + symbol->st_name, &named);
			if (!error && named)
				best->end = symbol->st_value;
		}
		return error;
	}
	if (best->name && symbol->st_value <= best->start)
		return NULL;
	error = is_named(guest, names + symbol->st_name, &named);
	if (!error && named) {
		best->start = symbol->st_value;
		best->name = names + symbol->st_name;
	}
	return error;
}

/* The nearest symbol of a module's own table (find_kallsyms_symbol()). */
static struct error *module_name(struct guest *guest, const struct stack_layout *layout,
				 const struct module_text *module, struct best *best)
{
	uint64_t table = 0, symbols, n, names;
	const struct member_read reads[] = {
		{&layout->table_symbols, &symbols}, {&layout->table_n, &n}, {&layout->table_names, &names}};
	Elf64_Sym batch[BATCH];
	struct error *error = guest_read_member(guest, (struct gva){module->address}, &layout->module_symbols, &table);

	if (!error)
		error = guest_read_members(guest, (struct gva){table}, reads, ARRAY_SIZE(reads));
	if (!error && n > MODULE_SYMBOLS_MAX)
		error = error_format(NULL, table, "a module with %llu symbols", (unsigned long long)n);
	/* The first one stands for none. */
	for (uint64_t i = 1; !error && i < n; i += BATCH) {
		size_t size = n - i < BATCH ? n - i : BATCH;

		error = memory_read(&guest->memory, (struct gva){symbols + i * sizeof(*batch)}, batch,
				    size * sizeof(*batch));
		for (size_t k = 0; !error && k < size; k++)
			error = look_at(guest, &batch[k], names, best);
	}
	return error;
}

struct error *text_name(struct guest *guest, const struct stack_layout *layout, uint64_t address, char ret[512],
			uint64_t *ret_start, uint64_t *ret_end)
{
	const struct module_text *module = text_module(layout, address);
	struct best best = {.address = address};
	struct symbol symbol;
	struct error *error;

	ret[0] = '\0';
	*ret_start = *ret_end = address;
	if (!module) {
		if (symbols_lookup(guest->symbols, address, &symbol, ret_end)) {
			strcpy(ret, symbol.name);
			*ret_start = symbol.address;
		}
		return NULL;
	}
	best.end = module->end;
	error = module_name(guest, layout, module, &best);
	if (!error && best.name)
		error = memory_read_string(&guest->memory, (struct gva){best.name}, ret, sizeof(symbol.name));
	if (error)
		return error_wrap(error, "functions of module %s", module->name);
	*ret_start = best.start;
	*ret_end = best.end;
	return NULL;
}
