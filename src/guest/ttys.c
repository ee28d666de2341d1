/* SPDX-License-Identifier: Apache-2.0 */
/* Drivers of terminals, and consoles: drivers/tty/tty_io.c, kernel/printk/printk.c. */
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"

#define LIST_MAX 4096u

/* ---- Drivers ---- */

struct tty_layout {
	struct member driver, name, major, minor, n, type, subtype, link;
	uint64_t first_type; /* TTY_DRIVER_TYPE_SYSTEM */
	struct guest_tty_driver_list *list;
};

static struct error *visit_driver(struct guest *guest, struct gva address, void *context)
{
	struct tty_layout *layout = context;
	struct guest_tty_driver_list *list = layout->list;
	uint64_t driver, name, major, minor, n, type, subtype;
	const struct member_read reads[] = {
		{&layout->driver, &driver},   {&layout->name, &name}, {&layout->major, &major},
		{&layout->minor, &minor},     {&layout->n, &n},       {&layout->type, &type},
		{&layout->subtype, &subtype},
	};
	struct guest_tty_driver one = {0};
	struct error *error = guest_read_members(guest, address, reads, ARRAY_SIZE(reads));

	if (!error && list->n == LIST_MAX)
		error = error_format(NULL, address.v, "the guest has more than %u drivers of terminals", LIST_MAX);
	if (!error && driver)
		error = memory_read_string(&guest->memory, (struct gva){driver}, one.driver, sizeof(one.driver));
	if (!error && name)
		error = memory_read_string(&guest->memory, (struct gva){name}, one.name, sizeof(one.name));
	if (!error)
		error = array_room(&list->items, list->n, sizeof(*list->items));
	if (error)
		return error;
	one.major = (uint32_t)major;
	one.minor = (uint32_t)minor;
	one.n = (uint32_t)n;
	one.type = (uint32_t)(type - layout->first_type) + 1;
	one.subtype = (uint32_t)subtype;
	list->items[list->n++] = one;
	return NULL;
}

struct error *guest_tty_drivers(struct guest *guest, struct guest_tty_driver_list *ret)
{
	struct guest_tty_driver_list list = {0};
	struct tty_layout layout = {.list = &list, .first_type = 1};
	const struct member_need needs[] = {
		{"tty_driver", "driver_name", &layout.driver},
		{"tty_driver", "name", &layout.name},
		{"tty_driver", "major", &layout.major},
		{"tty_driver", "minor_start", &layout.minor},
		{"tty_driver", "num", &layout.n},
		{"tty_driver", "type", &layout.type},
		{"tty_driver", "subtype", &layout.subtype},
		{"tty_driver", "tty_drivers", &layout.link},
	};
	struct gva head;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = symbols_get(guest->symbols, "tty_drivers", &head);
	/* Without the enumeration, which came with 6.18, they count from 1. */
	(void)types_enum(guest->types, "tty_driver_type", "TTY_DRIVER_TYPE_SYSTEM", &layout.first_type);
	if (!error)
		error = walk_note(&list.incomplete, list_walk(guest, head, layout.link.offset, visit_driver, &layout));
	if (error) {
		guest_tty_driver_list_deinit(&list);
		return error_wrap(error, "the guest's terminals");
	}
	*ret = list;
	return NULL;
}

void guest_tty_driver_list_deinit(struct guest_tty_driver_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_tty_driver_list){0};
}

/* ---- Consoles ---- */

#define CON_BUFFERED 1u /* CON_PRINTBUFFER, … : include/linux/console.h */
#define CON_CONSDEV  2u
#define CON_ENABLED  4u
#define CON_BOOT     8u
#define CON_ANYTIME  16u
#define CON_BRAILLE  32u
#define CON_NBCON    256u /* 6.6 and later */

struct console_layout {
	struct member name, flags, index, read, write, unblank, device;
	struct member next; /* of a list of its own; 6.1 has that, 6.12 the usual one */
	bool old, has_nbcon;
	struct guest_tty_driver_list ttys;
	struct guest_console_list *list;
};

static void set_flags(const struct console_layout *layout, uint32_t flags, struct guest_console *ret)
{
	static const struct {
		uint32_t flag;
		char letter;
	} letters[] = {
		{CON_ENABLED, 'E'},  {CON_CONSDEV, 'C'}, {CON_BOOT, 'B'},    {CON_NBCON, 'N'},
		{CON_BUFFERED, 'p'}, {CON_BRAILLE, 'b'}, {CON_ANYTIME, 'a'},
	};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(letters); i++)
		if (letters[i].flag != CON_NBCON || layout->has_nbcon)
			ret->flags[n++] = flags & letters[i].flag ? letters[i].letter : ' ';
}

/*
 * Its device is computed by the driver. Drivers call their terminals as they call the console; that of the screen is
 * the one in front.
 */
static struct error *set_device(struct guest *guest, const struct console_layout *layout, struct guest_console *ret)
{
	uint32_t index = (uint32_t)(int32_t)ret->index, front;
	struct error *error;

	for (size_t i = 0; i < layout->ttys.n; i++) {
		const struct guest_tty_driver *tty = &layout->ttys.items[i];

		if (strcmp(tty->name, ret->name) != 0)
			continue;
		if (strcmp(ret->name, "tty") == 0) {
			error = guest_symbol_u32(guest, "fg_console", &front);
			if (error)
				return error;
			index = ret->index ? index - 1 : front;
		}
		ret->has_device = true;
		ret->major = tty->major;
		ret->minor = tty->minor + index;
		return NULL;
	}
	return NULL;
}

static struct error *visit_console(struct guest *guest, struct gva console, void *context)
{
	struct console_layout *layout = context;
	struct guest_console_list *list = layout->list;
	uint64_t flags, index, reads, writes, unblanks, device;
	const struct member_read members[] = {
		{&layout->flags, &flags},  {&layout->index, &index},      {&layout->read, &reads},
		{&layout->write, &writes}, {&layout->unblank, &unblanks}, {&layout->device, &device},
	};
	struct guest_console one = {0};
	struct error *error = guest_read_members(guest, console, members, ARRAY_SIZE(members));

	if (!error && list->n == LIST_MAX)
		error = error_format(NULL, console.v, "the guest has more than %u consoles", LIST_MAX);
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){console.v + layout->name.offset}, one.name,
					   sizeof(one.name));
	if (error)
		return error;
	one.index = (int16_t)index;
	one.reads = reads;
	one.writes = writes || (layout->has_nbcon && flags & CON_NBCON);
	one.unblanks = unblanks;
	set_flags(layout, (uint32_t)flags, &one);
	if (device)
		error = set_device(guest, layout, &one);
	if (!error)
		error = array_room(&list->items, list->n, sizeof(*list->items));
	if (!error)
		list->items[list->n++] = one;
	return error;
}

static struct error *walk_consoles(struct guest *guest, struct console_layout *layout)
{
	uint64_t console;
	struct gva head;
	struct error *error;

	if (!layout->old) {
		error = symbols_get(guest->symbols, "console_list", &head);
		return error ? error : hlist_walk(guest, head, layout->next.offset, visit_console, layout);
	}
	error = guest_symbol_u64(guest, "console_drivers", &console);
	while (!error && console) {
		error = visit_console(guest, (struct gva){console}, layout);
		if (!error)
			error = guest_read_member(guest, (struct gva){console}, &layout->next, &console);
	}
	return error;
}

struct error *guest_consoles(struct guest *guest, struct guest_console_list *ret)
{
	struct guest_console_list list = {0};
	struct console_layout layout = {.list = &list, .old = types_find(guest->types, "console", "next").present};
	const struct member_need needs[] = {
		{"console", "name", &layout.name},     {"console", "flags", &layout.flags},
		{"console", "index", &layout.index},   {"console", "read", &layout.read},
		{"console", "write", &layout.write},   {"console", "unblank", &layout.unblank},
		{"console", "device", &layout.device}, {"console", layout.old ? "next" : "node", &layout.next},
	};
	uint64_t nbcon;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	layout.has_nbcon = types_enum(guest->types, "cons_flags", "CON_NBCON", &nbcon);
	if (!error)
		error = guest_tty_drivers(guest, &layout.ttys);
	if (!error)
		error = walk_note(&list.incomplete, walk_consoles(guest, &layout));
	guest_tty_driver_list_deinit(&layout.ttys);
	if (error) {
		guest_console_list_deinit(&list);
		return error_wrap(error, "the guest's consoles");
	}
	*ret = list;
	return NULL;
}

void guest_console_list_deinit(struct guest_console_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_console_list){0};
}
