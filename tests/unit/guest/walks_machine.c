/* SPDX-License-Identifier: Apache-2.0 */
/* The walks behind the files of /proc that are of the whole system. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "tests/unit/guest/walks.h"

/* Of a list with items, n and incomplete: adds to *ret_items, and gives back what stopped it. */
#define ADD_LIST(name, type, call, deinit)                                                                             \
	static struct error *add_##name(struct guest *guest, size_t *ret_items)                                        \
	{                                                                                                              \
		struct type list = {0};                                                                                \
		struct error *error = call(guest, &list);                                                              \
                                                                                                                       \
		if (error)                                                                                             \
			return error;                                                                                  \
		*ret_items += list.n;                                                                                  \
		error = take_ptr(list.incomplete);                                                                     \
		deinit(&list);                                                                                         \
		return error;                                                                                          \
	}

ADD_LIST(cpu_work, guest_cpu_work_list, guest_cpu_work, guest_cpu_work_list_deinit)
ADD_LIST(interrupts, guest_interrupt_list, guest_interrupts, guest_interrupt_list_deinit)
ADD_LIST(processors, guest_processor_list, guest_processors, guest_processor_list_deinit)
ADD_LIST(vm_counts, guest_count_list, guest_vm_counts, guest_count_list_deinit)
ADD_LIST(block_devices, guest_block_device_list, guest_block_devices, guest_block_device_list_deinit)
ADD_LIST(zones, guest_zone_list, guest_zones, guest_zone_list_deinit)
ADD_LIST(types, guest_file_system_type_list, guest_file_system_types, guest_file_system_type_list_deinit)
ADD_LIST(swaps, guest_swap_list, guest_swaps, guest_swap_list_deinit)
ADD_LIST(characters, guest_numbered_list, guest_character_majors, guest_numbered_list_deinit)
ADD_LIST(blocks, guest_numbered_list, guest_block_majors, guest_numbered_list_deinit)
ADD_LIST(misc, guest_numbered_list, guest_misc_devices, guest_numbered_list_deinit)
ADD_LIST(frame_buffers, guest_numbered_list, guest_frame_buffers, guest_numbered_list_deinit)
ADD_LIST(dma_channels, guest_numbered_list, guest_dma_channels, guest_numbered_list_deinit)
ADD_LIST(locks, guest_lock_list, guest_file_locks, guest_lock_list_deinit)
ADD_LIST(ttys, guest_tty_driver_list, guest_tty_drivers, guest_tty_driver_list_deinit)
ADD_LIST(consoles, guest_console_list, guest_consoles, guest_console_list_deinit)
ADD_LIST(controllers, guest_controller_list, guest_controllers, guest_controller_list_deinit)
ADD_LIST(memory, guest_resource_list, guest_memory_resources, guest_resource_list_deinit)
ADD_LIST(ports, guest_resource_list, guest_port_resources, guest_resource_list_deinit)

typedef struct error *(*add_items)(struct guest *guest, size_t *ret_items);

/* All are walked; the first error is returned. */
static struct error *add_all(struct guest *guest, const add_items *parts, size_t n, size_t *ret_items)
{
	struct error *error = NULL;

	*ret_items = 0;
	for (size_t i = 0; i < n; i++) {
		struct error *one = parts[i](guest, ret_items);

		if (error)
			error_destroy(one);
		else
			error = one;
	}
	return error;
}

struct error *walk_processors(struct guest *guest, size_t *ret_items)
{
	static const add_items parts[] = {add_processors, add_cpu_work, add_interrupts};

	return add_all(guest, parts, ARRAY_SIZE(parts), ret_items);
}

static struct error *add_uses(struct guest *guest, size_t *ret_items)
{
	struct guest_memory_uses uses;

	++*ret_items;
	return guest_memory_uses(guest, &uses);
}

static struct error *add_boot(struct guest *guest, size_t *ret_items)
{
	_cleanup_(free_ptr) char *banner = NULL;
	_cleanup_(free_ptr) char *line = NULL;
	char names[GUEST_SOFTIRQS][16];
	struct guest_boot boot;
	struct error *error = guest_banner(guest, &banner);

	*ret_items += 4;
	if (!error)
		error = guest_command_line(guest, &line);
	if (!error)
		error = guest_softirq_names(guest, names);
	return error ? error : guest_boot(guest, &boot);
}

struct error *walk_counts(struct guest *guest, size_t *ret_items)
{
	static const add_items parts[] = {add_vm_counts, add_uses, add_zones, add_boot};

	return add_all(guest, parts, ARRAY_SIZE(parts), ret_items);
}

/* Not every kernel has these. */
static struct error *add_optional(struct guest *guest, size_t *ret_items)
{
	static const add_items parts[] = {add_frame_buffers, add_dma_channels};
	struct error *error = NULL;

	for (size_t i = 0; !error && i < ARRAY_SIZE(parts); i++) {
		error = parts[i](guest, ret_items);
		if (error && error->code == ERROR_UNSUPPORTED) {
			error_destroy(error);
			error = NULL;
		}
	}
	return error;
}

struct error *walk_tables(struct guest *guest, size_t *ret_items)
{
	static const add_items parts[] = {add_types,  add_swaps, add_characters, add_blocks,
					  add_misc,   add_ttys,  add_consoles,   add_controllers,
					  add_memory, add_ports, add_optional,   add_locks};

	return add_all(guest, parts, ARRAY_SIZE(parts), ret_items);
}

struct error *walk_disks(struct guest *guest, size_t *ret_items)
{
	*ret_items = 0;
	return add_block_devices(guest, ret_items);
}

static void count_symbol(const struct guest_symbol *symbol, void *context)
{
	++*(size_t *)context;
}

struct error *walk_symbols(struct guest *guest, size_t *ret_items)
{
	struct error *incomplete = NULL, *error;

	*ret_items = 0;
	error = guest_symbols(guest, count_symbol, ret_items, &incomplete);
	return error ? error : incomplete;
}
