/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/guest.h"

#include <stdlib.h>
#include <string.h>

#include "guest/internal.h"
#include "guest/task.h"

/* Each costs a tenth of a second; copies of the note occur, dozens of them only in a forged image. */
#define NOTES_MAX 16u
#define BTF_MAX   (64u * 1024 * 1024)

static struct error *load_types(struct guest *guest, const struct guest_options *options)
{
	_cleanup_(free_ptr) void *blob = NULL;
	struct gva start, stop;
	struct error *error = NULL;

	if (options->btf_path)
		return types_load_file(options->btf_path, &guest->types);
	if (!symbols_find(guest->symbols, "__start_BTF", &start) || !symbols_find(guest->symbols, "__stop_BTF", &stop))
		return error_remedy(
			error_create(ERROR_UNSUPPORTED,
				     "the guest's kernel has no type information (BTF) in its memory"),
			"Give that of exactly this kernel with --btf FILE: its vmlinux with a section .BTF, or "
			"what `pahole -J` made of its debug information");
	if (stop.v <= start.v || stop.v - start.v > BTF_MAX)
		return error_format(NULL, start.v, "the guest's type information (BTF) ends at 0x%llx",
				    (unsigned long long)stop.v);
	blob = malloc(stop.v - start.v);
	if (!blob)
		return error_no_memory();
	error = memory_read(&guest->memory, start, blob, stop.v - start.v);
	if (!error)
		error = types_create(blob, stop.v - start.v, NULL, &guest->types);
	return error_wrap(error, "type information of the guest's kernel");
}

static struct error *load_symbols(struct guest *guest, const struct kernel_note *note)
{
	struct kallsyms_tables tables = {
		.names = {note->kallsyms_names},
		.num_syms = {note->kallsyms_num_syms},
		.token_table = {note->kallsyms_token_table},
		.token_index = {note->kallsyms_token_index},
		.offsets = {note->kallsyms_offsets},
		.relative_base = {note->kallsyms_relative_base},
		.stext = note->stext,
	};

	if (!note->kallsyms_names || !note->kallsyms_num_syms || !note->kallsyms_token_table ||
	    !note->kallsyms_token_index || !note->kallsyms_offsets)
		return error_create(ERROR_UNSUPPORTED,
				    "the guest's kernel %s does not say where its symbols are (kernels before 6.0)",
				    note->release);
	return symbols_load(&guest->memory, &tables, &guest->symbols);
}

/* Notes can be copies or forgeries: what they lead to must look like the kernel they name. */
static struct error *check_kernel(struct guest *guest, const struct kernel_note *note)
{
	struct member comm = types_find(guest->types, "task_struct", "comm");
	char banner[128], wanted[128], name[16];
	struct gva address, task;
	struct error *error = symbols_get(guest->symbols, "linux_banner", &address);

	if (!error)
		error = symbols_get(guest->symbols, "init_task", &task);
	if (!error)
		error = memory_read_string(&guest->memory, address, banner, sizeof(banner));
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){task.v + comm.offset}, name, sizeof(name));
	if (error)
		return error;
	snprintf(wanted, sizeof(wanted), "Linux version %s ", note->release);
	if (strncmp(banner, wanted, strlen(wanted)) != 0)
		return error_format(NULL, address.v, "the kernel's banner is not that of %s", note->release);
	if (!comm.present || strcmp(name, "swapper/0") != 0)
		return error_format(NULL, task.v, "the kernel's first task is not swapper/0");
	return NULL;
}

static void reset(struct guest *guest)
{
	while (guest->n_modules > 0)
		types_destroy(guest->modules[--guest->n_modules].types);
	process_layout_destroy(guest->processes);
	free(guest->vfs);
	types_destroy(guest->types);
	symbols_destroy(guest->symbols);
	guest->processes = NULL;
	guest->vfs = NULL;
	guest->types = NULL;
	guest->symbols = NULL;
}

static struct error *try_note(struct guest *guest, struct image *image, const struct guest_options *options,
			      const struct kernel_note *note)
{
	uint64_t top = note->init_top_pgt - KERNEL_BASE + (uint64_t)note->phys_base;
	struct error *error;

	reset(guest);
	memory_init(&guest->memory, image, (struct gpa){top}, note->five_levels, note->sme_mask);
	error = load_symbols(guest, note);
	if (!error)
		error = load_types(guest, options);
	return error ? error : check_kernel(guest, note);
}

struct error *guest_open(struct image *image, const struct guest_options *options, struct guest **ret)
{
	const struct guest_options none = {0};
	_cleanup_(guest_close_ptr) struct guest *guest = calloc(1, sizeof(*guest));
	struct error *error = NULL;
	struct kernel_note note;
	struct gpa from = {0};

	if (!guest)
		return error_no_memory();
	for (unsigned i = 0; i < NOTES_MAX && kernel_next_note(image, &from, &note); i++) {
		error_destroy(error);
		error = try_note(guest, image, options ? options : &none, &note);
		if (error)
			continue;
		*ret = take_ptr(guest);
		return NULL;
	}
	if (error)
		return error_wrap(error, "reading the guest's kernel %s", note.release);
	error = error_create(ERROR_UNSUPPORTED,
			     "no Linux kernel is found in the guest's memory (no VMCOREINFO note in "
			     "%llu MiB)",
			     (unsigned long long)(image_ram_size(image) >> 20));
	return error_remedy(error, "Only Linux guests on x86-64 whose kernel supports crash dumps can be read");
}

void guest_close(struct guest *guest)
{
	if (!guest)
		return;
	reset(guest);
	free(guest);
}

struct error *guest_read_member(struct guest *guest, struct gva object, const struct member *member, uint64_t *ret)
{
	uint64_t value = 0;
	struct error *error;

	if (!member->present || member->size == 0 || member->size > sizeof(value))
		return error_create(ERROR_UNSUPPORTED, "a number of %u bytes in a structure of the guest",
				    member->size);
	error = memory_read(&guest->memory, (struct gva){object.v + member->offset}, &value, member->size);
	if (error)
		return error;
	if (member->bits)
		value = value >> member->shift & (UINT64_MAX >> (64 - member->bits));
	*ret = value;
	return NULL;
}

struct error *guest_read_members(struct guest *guest, struct gva object, const struct member_read *reads, size_t n)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < n; i++)
		error = guest_read_member(guest, object, reads[i].member, reads[i].ret);
	return error;
}

bool loop_guard_step(struct loop_guard *guard, uint64_t place)
{
	if (guard->steps++ > WALK_MAX || (guard->steps > 1 && place == guard->remembered))
		return false;
	if (guard->distance++ == guard->power) {
		guard->remembered = place;
		guard->power = guard->power ? guard->power * 2 : 1;
		guard->distance = 0;
	}
	return true;
}

void guest_effort_begin(struct guest *guest)
{
	guest->effort = 0;
}

struct error *guest_effort(struct guest *guest, uint64_t place)
{
	if (guest->effort++ > EFFORT_MAX)
		return error_format(NULL, place, "paths in the guest's memory that are too long in all");
	return NULL;
}
