/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/escape.h"
#include "cli/json_out.h"
#include "cli/print.h"

#define PERMANENT "[permanent]"

/* The next of the names that commas separate; moves *at behind it. false: there is none. */
static bool next_user(const char **at, const char **ret, size_t *ret_size)
{
	if (**at == 0)
		return false;
	*ret = *at;
	*ret_size = strcspn(*at, ",");
	*at += *ret_size;
	if (**at == ',')
		(*at)++;
	return true;
}

static bool is_permanent(const char *name, size_t size)
{
	return size == strlen(PERMANENT) && memcmp(name, PERMANENT, size) == 0;
}

static void put_users(FILE *stream, const char *users)
{
	const char *name, *separator = " ";
	size_t size;

	while (next_user(&users, &name, &size)) {
		if (is_permanent(name, size))
			continue;
		fputs(separator, stream);
		escape_print(stream, name, size, ESCAPE_TEXT);
		separator = ",";
	}
}

void print_modules(FILE *stream, const struct guest_module_list *list)
{
	fprintf(stream, "%-19s %8s  %s\n", "Module", "Size", "Used by");
	for (size_t i = 0; i < list->n && !ferror(stream); i++) {
		const struct guest_module *module = &list->items[i];
		size_t n = strlen(module->name);

		escape_print(stream, module->name, n, ESCAPE_TEXT);
		fprintf(stream, "%*s %8llu  %u", n < 19 ? (int)(19 - n) : 0, "", (unsigned long long)module->size,
			module->refcount);
		put_users(stream, module->users);
		fputc('\n', stream);
	}
}

static const char *state_word(char state)
{
	switch (state) {
	case 'L':
		return "Live";
	case 'C':
		return "Loading";
	case 'G':
		return "Unloading";
	default:
		return NULL;
	}
}

static bool put_users_json(struct json_out *out, const char *users)
{
	bool permanent = false;
	const char *name;
	size_t size;

	json_out_array_begin(out, "used_by");
	while (next_user(&users, &name, &size)) {
		if (is_permanent(name, size))
			permanent = true;
		else
			json_out_string(out, NULL, name, size);
	}
	json_out_array_end(out);
	return permanent;
}

static void put_module(struct json_out *out, const struct guest_module *module)
{
	json_out_entry_begin(out);
	json_out_text(out, "name", module->name);
	json_out_u64(out, "size", module->size);
	json_out_u64(out, "refcount", module->refcount);
	json_out_bool(out, "permanent", put_users_json(out, module->users));
	json_out_text(out, "state", state_word(module->state));
	json_out_address(out, "address", module->address);
	json_out_text(out, "taint", module->taint);
	json_out_object_end(out);
}

void print_modules_json(FILE *stream, const struct guest_module_list *list)
{
	struct json_out out = json_out_begin(stream);

	json_out_list_begin(&out, "modules");
	for (size_t i = 0; i < list->n && !ferror(stream); i++)
		put_module(&out, &list->items[i]);
	json_out_list_end(&out);
	json_out_end(&out, list->incomplete ? list->incomplete->message : NULL);
}
