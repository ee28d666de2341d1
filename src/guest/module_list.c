/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded modules, as /proc/modules lists them (kernel/module/procfs.c). */
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/object.h"

#define STATE_COMING   1u
#define STATE_GOING    2u
#define STATE_UNFORMED 3u /* being set up: listed nowhere */

/* What a module that nobody uses counts (MODULE_REF_BASE). */
#define REFCOUNT_BASE  1u
/* Modules that use one module; lists in a corrupt image can be long. */
#define USERS_MAX      65536u

/* The letters of the taints that a module can bring, by number (Documentation/admin-guide/tainted-kernels.rst). */
static const char taint_letters[] = {
	[0] = 'P',  [1] = 'F',  [10] = 'C', [12] = 'O', [13] = 'E',
	[15] = 'K', [16] = 'X', [17] = 'T', [18] = 'N', [19] = 'J',
};

/* Where a module's memory is and how much: two areas, since 6.4 (ac3b43283923) an array by purpose. */
struct area_layout {
	struct member base, size;
};

#define AREAS_MAX 8u /* MOD_MEM_NUM_TYPES is 7 */

struct module_layout {
	struct object_span span;
	struct member state, list, name, init, exit, refcnt, taints, source_list;
	struct member use_list, use_source;
	struct area_layout areas[AREAS_MAX];
	size_t n_areas;
	struct member user_name;
};

static struct error *load_areas(struct guest *guest, struct module_layout *ret)
{
	const char *names[AREAS_MAX] = {"core_layout", "init_layout", NULL};
	struct error *error = NULL;
	char path[64];

	if (types_find(guest->types, "module", "mem").present) {
		static const char *const mem[AREAS_MAX] = {"mem[0]", "mem[1]", "mem[2]", "mem[3]",
							   "mem[4]", "mem[5]", "mem[6]", "mem[7]"};

		memcpy(names, mem, sizeof(names));
	}
	for (ret->n_areas = 0; !error && ret->n_areas < AREAS_MAX && names[ret->n_areas]; ret->n_areas++) {
		struct area_layout *area = &ret->areas[ret->n_areas];
		/* The text comes first; how many there are behind it is the array's business. */
		bool optional = ret->n_areas > 0;
		char size_path[64];

		snprintf(path, sizeof(path), "%s.base", names[ret->n_areas]);
		snprintf(size_path, sizeof(size_path), "%s.size", names[ret->n_areas]);
		error = object_need(guest->types,
				    (struct member_need[]){{"module", path, &area->base, optional},
							   {"module", size_path, &area->size, optional}},
				    2, &ret->span);
	}
	return error;
}

static struct error *load_layout(struct guest *guest, struct module_layout *ret)
{
	const struct member_need needs[] = {
		{"module", "state", &ret->state},
		{"module", "list", &ret->list},
		{"module", "name", &ret->name},
		{"module", "init", &ret->init},
		{"module", "taints", &ret->taints},
		/* Only where modules can be unloaded. */
		{"module", "exit", &ret->exit, .optional = true},
		{"module", "refcnt", &ret->refcnt, .optional = true},
		{"module", "source_list", &ret->source_list, .optional = true},
	};
	const struct member_need use_needs[] = {
		{"module_use", "source_list", &ret->use_list},
		{"module_use", "source", &ret->use_source},
	};
	struct error *error;

	*ret = (struct module_layout){0};
	error = object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);
	if (!error)
		error = load_areas(guest, ret);
	if (!error && ret->source_list.present)
		error = types_need(guest->types, use_needs, ARRAY_SIZE(use_needs));
	return error;
}

/* ---- The names of the users ---- */

struct users {
	const struct module_layout *layout;
	char *text;
	size_t size, n;
};

static struct error *append_user(struct users *users, const char *name)
{
	size_t n = strlen(name);
	char *text = realloc(users->text, users->size + n + 2);

	if (!text)
		return error_no_memory();
	users->text = text;
	if (users->size > 0)
		text[users->size++] = ',';
	memcpy(text + users->size, name, n + 1);
	users->size += n;
	return NULL;
}

static struct error *visit_use(struct guest *guest, struct gva use, void *context)
{
	struct users *users = context;
	char name[sizeof(((struct guest_module *)0)->name)];
	uint64_t source;
	struct error *error = guest_read_member(guest, use, &users->layout->use_source, &source);

	if (!error && users->n++ > USERS_MAX)
		error = error_format(NULL, use.v, "a module of the guest is used by more than %u", USERS_MAX);
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){source + users->layout->name.offset}, name,
					   sizeof(name));
	return error ? error : append_user(users, name);
}

static struct error *read_users(struct guest *guest, const struct module_layout *layout, struct gva module,
				const uint8_t *object, char **ret)
{
	struct users users = {.layout = layout};
	struct error *error = NULL;

	if (layout->source_list.present)
		error = list_walk(guest, (struct gva){module.v + layout->source_list.offset}, layout->use_list.offset,
				  visit_use, &users);
	if (!error && layout->exit.present && object_field(object, &layout->init) &&
	    !object_field(object, &layout->exit))
		error = append_user(&users, "[permanent]");
	if (!error && !users.text) {
		users.text = strdup("");
		error = users.text ? NULL : error_no_memory();
	}
	if (error) {
		free(users.text);
		return error;
	}
	*ret = users.text;
	return NULL;
}

/* ---- One module ---- */

static void set_taint(struct guest_module *module, uint64_t taints)
{
	size_t n = 0;

	for (size_t bit = 0; bit < sizeof(taint_letters); bit++)
		if (taints >> bit & 1 && taint_letters[bit])
			module->taint[n++] = taint_letters[bit];
	module->taint[n] = '\0';
}

struct list {
	const struct module_layout *layout;
	struct guest_module_list *list;
};

static struct error *visit_module(struct guest *guest, struct gva address, void *context)
{
	const struct module_layout *layout = ((struct list *)context)->layout;
	struct guest_module_list *list = ((struct list *)context)->list;
	struct guest_module module = {.state = 'L'};
	uint8_t object[OBJECT_MAX];
	struct error *error = object_read(guest, address, layout->span, object);
	uint64_t state, references;

	if (error)
		return error;
	state = object_field(object, &layout->state);
	if (state == STATE_UNFORMED)
		return NULL;
	if (state == STATE_COMING || state == STATE_GOING)
		module.state = state == STATE_COMING ? 'C' : 'G';
	module.address = object_field(object, &layout->areas[0].base);
	for (size_t i = 0; i < layout->n_areas; i++)
		module.size += object_field(object, &layout->areas[i].size);
	references = object_field(object, &layout->refcnt);
	module.refcount = (uint32_t)references - (layout->refcnt.present ? REFCOUNT_BASE : 0);
	set_taint(&module, object_field(object, &layout->taints));
	error = memory_read_string(&guest->memory, (struct gva){address.v + layout->name.offset}, module.name,
				   sizeof(module.name));
	if (!error)
		error = read_users(guest, layout, address, object, &module.users);
	if (!error)
		error = array_room(&list->items, list->n, sizeof(*list->items));
	if (error) {
		free(module.users);
		return error_wrap(error, "module at 0x%llx", (unsigned long long)address.v);
	}
	list->items[list->n++] = module;
	return NULL;
}

struct error *guest_modules(struct guest *guest, struct guest_module_list *ret)
{
	struct guest_module_list modules = {0};
	struct module_layout layout;
	struct list list = {&layout, &modules};
	struct gva head;
	struct error *error = load_layout(guest, &layout);

	if (!error)
		error = symbols_get(guest->symbols, "modules", &head);
	if (error)
		return error_wrap(error, "the guest's modules");
	modules.incomplete =
		error_wrap(list_walk(guest, head, layout.list.offset, visit_module, &list), "the guest's modules");
	*ret = modules;
	return NULL;
}

void guest_module_list_deinit(struct guest_module_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].users);
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_module_list){0};
}
