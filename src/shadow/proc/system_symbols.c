/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/kallsyms and /proc/modules. */
#include <string.h>

#include "shadow/proc/system.h"

struct symbols_out {
	FILE *out;
	bool addresses;
	size_t n;
};

/* Two hundred thousand lines: without fprintf(). */
static void write_hex(uint64_t value, FILE *out)
{
	static const char digits[16] = "0123456789abcdef";
	char text[16];

	for (int i = 15; i >= 0; i--, value >>= 4)
		text[i] = digits[value & 15];
	fwrite_unlocked(text, 1, sizeof(text), out);
}

static void write_symbol(const struct guest_symbol *symbol, void *context)
{
	struct symbols_out *to = context;

	write_hex(to->addresses ? symbol->address : 0, to->out);
	putc_unlocked(' ', to->out);
	putc_unlocked(symbol->type, to->out);
	putc_unlocked(' ', to->out);
	fwrite_unlocked(symbol->name, 1, strlen(symbol->name), to->out);
	if (symbol->module)
		fprintf(to->out, "\t[%s]", symbol->module);
	putc_unlocked('\n', to->out);
	to->n++;
}

struct error *proc_write_kallsyms(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(error_destroy_ptr) struct error *incomplete = NULL;
	struct symbols_out to = {.out = out};
	struct error *error = guest_shows_addresses(facts->guest, &to.addresses);

	if (!error)
		error = guest_symbols(facts->guest, write_symbol, &to, &incomplete);
	return proc_list(error, &incomplete, &to.n);
}

static const char *state_of(const struct guest_module *module)
{
	if (module->state == 'L')
		return "Live";
	return module->state == 'C' ? "Loading" : "Unloading";
}

struct error *proc_write_modules(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_module_list_deinit) struct guest_module_list list = {0};
	bool addresses;
	struct error *error = guest_shows_addresses(facts->guest, &addresses);

	if (!error)
		error = PROC_LIST(guest_modules(facts->guest, &list), list);
	for (size_t i = 0; !error && i < list.n; i++) {
		const struct guest_module *module = &list.items[i];

		fprintf(out, "%s %llu %u %s%s %s 0x%016llx", module->name, (unsigned long long)module->size,
			module->refcount, *module->users ? module->users : "-", *module->users ? "," : "",
			state_of(module), addresses ? (unsigned long long)module->address : 0);
		if (*module->taint)
			fprintf(out, " (%s)", module->taint);
		fputc('\n', out);
	}
	return error;
}
