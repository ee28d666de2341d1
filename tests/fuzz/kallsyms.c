/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the memory of a kernel: its symbol tables are searched for, read and asked. */
#include "guest/internal.h"
#include "tests/fuzz/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct symbols *symbols)
{
	static const char *const names[] = {"_stext", "linux_banner", "init_task", "", "x"};
	struct symbol symbol;
	struct gva address;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)symbols_find(symbols, names[i], &address);
	for (size_t i = 0; i < symbols_count(symbols) && i < 300; i++) {
		symbols_at(symbols, i, &symbol);
		(void)symbols_find(symbols, symbol.name, &address);
	}
}

static bool accept_all(void *data, const struct symbols *symbols, struct gva banner)
{
	return true;
}

static void read_tables(struct memory *memory, struct kallsyms_tables *tables)
{
	_cleanup_(symbols_destroy_ptr) struct symbols *symbols = NULL;
	struct error *error = symbols_load(memory, tables, &symbols);

	if (error) {
		error_destroy(error);
		tables->accept = accept_all;
		error = symbols_load(memory, tables, &symbols);
	}
	if (!error)
		ask(symbols);
	error_destroy(error);
}

/* Tables at places that the first bytes say, as a note does. */
static void read_named(struct memory *memory, const uint8_t *data, size_t size)
{
	uint16_t at[6];
	struct kallsyms_tables tables;

	if (size < sizeof(at))
		return;
	memcpy(at, data, sizeof(at));
	tables = (struct kallsyms_tables){
		.names = {KERNEL_BASE + at[0]},
		.num_syms = {KERNEL_BASE + at[1]},
		.token_table = {KERNEL_BASE + at[2]},
		.token_index = {KERNEL_BASE + at[3]},
		.places = {{{KERNEL_BASE + at[4]}, {at[5] ? KERNEL_BASE + at[5] : 0}, at[0] & 1}},
		.n_places = 1,
	};
	read_tables(memory, &tables);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image *image = fuzz_memory(data, size);
	struct memory memory;
	struct kallsyms_search search = {.memory = &memory, .from = {KERNEL_BASE}, .end = {KERNEL_BASE + size}};
	struct kallsyms_tables tables;

	if (!image)
		return 0;
	memory_init_linear(&memory, image, KERNEL_BASE);
	read_named(&memory, data, size);
	while (kallsyms_next(&search, &tables))
		read_tables(&memory, &tables);
	image_close(image);
	return 0;
}
