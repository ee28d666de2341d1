/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of devices and drivers: devices, misc, dma, consoles, tty/drivers, iomem, ioports, swaps. */
#include <string.h>

#include "shadow/proc/system.h"

struct error *proc_write_devices(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_numbered_list_deinit) struct guest_numbered_list characters = {0};
	_cleanup_(guest_numbered_list_deinit) struct guest_numbered_list blocks = {0};
	struct error *error = PROC_LIST(guest_character_majors(facts->guest, &characters), characters);

	if (!error)
		error = PROC_LIST(guest_block_majors(facts->guest, &blocks), blocks);
	if (error)
		return error;
	fputs("Character devices:\n", out);
	for (size_t i = 0; i < characters.n; i++)
		fprintf(out, "%3u %s\n", characters.items[i].number, characters.items[i].name);
	fputs("\nBlock devices:\n", out);
	for (size_t i = 0; i < blocks.n; i++)
		fprintf(out, "%3u %s\n", blocks.items[i].number, blocks.items[i].name);
	return NULL;
}

struct error *proc_write_misc(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_numbered_list_deinit) struct guest_numbered_list list = {0};
	struct error *error = PROC_LIST(guest_misc_devices(facts->guest, &list), list);

	for (size_t i = 0; !error && i < list.n; i++)
		fprintf(out, "%3u %s\n", list.items[i].number, list.items[i].name);
	return error;
}

struct error *proc_write_dma(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_numbered_list_deinit) struct guest_numbered_list list = {0};
	struct error *error = PROC_LIST(guest_dma_channels(facts->guest, &list), list);

	for (size_t i = 0; !error && i < list.n; i++)
		fprintf(out, "%2u: %s\n", list.items[i].number, list.items[i].name);
	return error;
}

struct error *proc_write_fb(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_numbered_list_deinit) struct guest_numbered_list list = {0};
	struct error *error = PROC_LIST(guest_frame_buffers(facts->guest, &list), list);

	for (size_t i = 0; !error && i < list.n; i++)
		fprintf(out, "%u %s\n", list.items[i].number, list.items[i].name);
	return error;
}

struct error *proc_write_consoles(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_console_list_deinit) struct guest_console_list list = {0};
	struct error *error = PROC_LIST(guest_consoles(facts->guest, &list), list);

	for (size_t i = 0; !error && i < list.n; i++) {
		const struct guest_console *one = &list.items[i];
		int size = fprintf(out, "%s%d", one->name, one->index);

		fprintf(out, "%*s %c%c%c (%s)", size < 20 ? 20 - size : 0, "", one->reads ? 'R' : '-',
			one->writes ? 'W' : '-', one->unblanks ? 'U' : '-', one->flags);
		if (one->has_device)
			fprintf(out, " %4u:%u", one->major, one->minor);
		fputc('\n', out);
	}
	return error;
}

/* ---- Terminals ---- */

enum tty_type {
	TTY_SYSTEM = 1,
	TTY_CONSOLE,
	TTY_SERIAL,
	TTY_PTY,
	TTY_SCC,
};

static void write_tty_type(const struct guest_tty_driver *tty, FILE *out)
{
	static const char *const system[] = {"system", "system:/dev/tty", "system:console", "system:vtmaster"};
	static const char *const pty[] = {"pty", "pty:master", "pty:slave"};

	if (tty->type == TTY_SYSTEM)
		fputs(system[tty->subtype < ARRAY_SIZE(system) ? tty->subtype : 0], out);
	else if (tty->type == TTY_CONSOLE)
		fputs("console", out);
	else if (tty->type == TTY_SERIAL)
		fputs("serial", out);
	else if (tty->type == TTY_PTY)
		fputs(pty[tty->subtype < ARRAY_SIZE(pty) ? tty->subtype : 0], out);
	else
		fprintf(out, "type:%u.%u", tty->type, tty->subtype);
	fputc('\n', out);
}

static void write_tty(const struct guest_tty_driver *tty, FILE *out)
{
	fprintf(out, "%-20s /dev/%-8s ", *tty->driver ? tty->driver : "unknown", tty->name);
	if (tty->n > 1)
		fprintf(out, "%3u %u-%u ", tty->major, tty->minor, tty->minor + tty->n - 1);
	else
		fprintf(out, "%3u %7u ", tty->major, tty->minor);
	write_tty_type(tty, out);
}

/* The kernel's own, which are no drivers (fs/proc/proc_tty.c). */
static const struct guest_tty_driver pseudo_ttys[] = {
	{"/dev/tty", "tty", 5, 0, 1, TTY_SYSTEM, 1},
	{"/dev/console", "console", 5, 1, 1, TTY_SYSTEM, 2},
	{"/dev/ptmx", "ptmx", 5, 2, 1, TTY_SYSTEM, 0},
	{"/dev/vc/0", "vc/0", 4, 0, 1, TTY_SYSTEM, 3},
};

struct error *proc_write_tty_drivers(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_tty_driver_list_deinit) struct guest_tty_driver_list list = {0};
	struct error *error = PROC_LIST(guest_tty_drivers(facts->guest, &list), list);

	for (size_t i = 0; !error && list.n && i < ARRAY_SIZE(pseudo_ttys); i++)
		write_tty(&pseudo_ttys[i], out);
	for (size_t i = 0; !error && i < list.n; i++)
		write_tty(&list.items[i], out);
	return error;
}

/* ---- Addresses and ports ---- */

#define DEPTH_SHOWN 8u /* MAX_IORES_LEVEL */

static struct error *write_resources(struct error *error, const struct guest_resource_list *list, uint64_t small,
				     int width, FILE *out)
{
	if (error)
		return error;
	if (list->limit >= small)
		width *= 2;
	for (size_t i = 0; i < list->n; i++) {
		const struct guest_resource *one = &list->items[i];
		uint32_t depth = one->depth < DEPTH_SHOWN ? one->depth : DEPTH_SHOWN;

		fprintf(out, "%*s%0*llx-%0*llx : %s\n", (int)depth * 2, "", width, (unsigned long long)one->start,
			width, (unsigned long long)one->end, one->name);
	}
	return NULL;
}

struct error *proc_write_iomem(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_resource_list_deinit) struct guest_resource_list list = {0};

	return write_resources(PROC_LIST(guest_memory_resources(facts->guest, &list), list), &list, UINT64_MAX, 8, out);
}

struct error *proc_write_ioports(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_resource_list_deinit) struct guest_resource_list list = {0};

	return write_resources(PROC_LIST(guest_port_resources(facts->guest, &list), list), &list, 0x10000, 4, out);
}

/* ---- Swap ---- */

/* As the kernel writes paths here: blanks, line ends and backslashes as octal numbers. */
static int write_escaped(const char *path, FILE *out)
{
	int size = 0;

	for (; *path; path++) {
		if (strchr(" \t\n\\", *path))
			size += fprintf(out, "\\%03o", (unsigned char)*path);
		else
			size += fputc(*path, out) != EOF;
	}
	return size;
}

struct error *proc_write_swaps(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_swap_list_deinit) struct guest_swap_list list = {0};
	struct error *error = PROC_LIST(guest_swaps(facts->guest, &list), list);

	if (error)
		return error;
	fputs("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n", out);
	for (size_t i = 0; i < list.n; i++) {
		const struct guest_swap *swap = &list.items[i];
		unsigned long long size_kib = swap->size / 1024, used_kib = swap->used / 1024;
		int size = write_escaped(swap->path ? swap->path : "", out);

		fprintf(out, "%*s%s\t%llu\t%s%llu\t%s%d\n", size < 40 ? 40 - size : 1, " ",
			swap->is_file ? "file\t" : "partition", size_kib, size_kib < 10000000 ? "\t" : "", used_kib,
			used_kib < 10000000 ? "\t" : "", swap->priority);
	}
	return NULL;
}

/* ---- Control groups ---- */

struct error *proc_write_cgroups(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_controller_list_deinit) struct guest_controller_list list = {0};
	struct error *error = PROC_LIST(guest_controllers(facts->guest, &list), list);

	if (error)
		return error;
	fputs("#subsys_name\thierarchy\tnum_cgroups\tenabled\n", out);
	for (size_t i = 0; i < list.n; i++)
		fprintf(out, "%s\t%u\t%u\t%d\n", list.items[i].name, list.items[i].hierarchy, list.items[i].groups,
			list.items[i].enabled);
	return NULL;
}
