/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens a guest: finds its kernel in one of three ways, the cheap ones first, and reads symbols
 * and types. What is found is believed only if it reads like a kernel.
 *
 * A guest that has gone into another kernel by kexec, or into one for a crash dump, still holds
 * the former one. Of several that are whole, the one whose clock is latest is running.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/guest.h"
#include "guest/internal.h"

/* Each costs up to a tenth of a second; copies of the note occur, dozens of them only in a forged image. */
#define CANDIDATES_MAX 16u
#define BTF_MAX        (64u * 1024 * 1024)

#define EXACTLY        "The file must be of exactly the kernel that the guest runs"

/* One way to a kernel. */
struct candidate {
	struct kernel_image image;
	bool has_note;
	struct kernel_note note;
};

/* All of them, and the best so far. */
struct opening {
	struct image *image;
	const struct guest_options *options;
	struct guest *best; /* owned */
	int64_t best_time_ns;
	struct error *error;           /* of the candidate that led furthest; owned */
	bool has_symbols;              /* that one's symbols were read */
	uint64_t seen[CANDIDATES_MAX]; /* where the images of former candidates are */
	unsigned n_seen;
};

/* ---- Symbols ---- */

static bool tables_of_note(const struct kernel_note *note, struct kallsyms_tables *ret)
{
	*ret = (struct kallsyms_tables){
		.names = {note->kallsyms_names},
		.num_syms = {note->kallsyms_num_syms},
		.token_table = {note->kallsyms_token_table},
		.token_index = {note->kallsyms_token_index},
		.places = {{{note->kallsyms_offsets}, {note->kallsyms_relative_base}, false}},
		.n_places = 1,
		.stext = note->stext,
	};
	if (note->kallsyms_addresses)
		ret->places[0] = (struct kallsyms_place){{note->kallsyms_addresses}, {0}, true};
	return note->kallsyms_names && note->kallsyms_num_syms && note->kallsyms_token_table &&
	       note->kallsyms_token_index && ret->places[0].values.v;
}

/* Tries the tables that are found in a range until some are right; *ret stays NULL if none is there. */
static struct error *search_symbols(struct guest *guest, struct gva from, struct gva end, uint64_t stext,
				    struct symbols **ret)
{
	struct kallsyms_search search = {.memory = &guest->memory, .from = from, .end = end};
	struct kallsyms_tables tables;
	struct error *error = NULL;

	while (kallsyms_next(&search, &tables)) {
		error_destroy(error);
		tables.stext = stext;
		error = symbols_load(&guest->memory, &tables, ret);
		if (!error)
			return NULL;
	}
	/* Tables that are there but cut off by missing memory; ERROR_NOT_FOUND is for no kernel. */
	return error && error->code == ERROR_NOT_FOUND ? error_recode(error, ERROR_FORMAT) : error;
}

/* Without symbols it may be a kernel all the same, or something else that has page tables: ERROR_NOT_FOUND. */
static struct error *no_symbols(struct guest *guest, const struct kernel_image *image)
{
	static const char text[] = "Linux version ";
	struct gva banner = image->start;

	if (!memory_find(&guest->memory, &banner, image->end, text, sizeof(text) - 1))
		return error_create(ERROR_NOT_FOUND, "no Linux kernel is at 0x%llx",
				    (unsigned long long)image->start.v);
	return error_remedy(error_create(ERROR_UNSUPPORTED, "the guest's kernel has no table of its symbols"),
			    "The guest needs a kernel built with CONFIG_KALLSYMS_ALL");
}

static struct error *load_symbols(struct guest *guest, const struct candidate *candidate)
{
	const struct kernel_image *image = &candidate->image;
	struct kallsyms_tables tables;
	struct error *error;

	if (candidate->has_note && tables_of_note(&candidate->note, &tables))
		return symbols_load(&guest->memory, &tables, &guest->symbols);
	error = search_symbols(guest, image->read_only, image->read_only_end, candidate->note.stext, &guest->symbols);
	if (error || guest->symbols)
		return error;
	error = search_symbols(guest, image->start, image->end, candidate->note.stext, &guest->symbols);
	if (error || guest->symbols)
		return error;
	return no_symbols(guest, image);
}

/* ---- Types ---- */

static struct error *load_own_types(struct guest *guest, struct gva start, struct gva stop)
{
	_cleanup_(free_ptr) void *blob = NULL;
	struct error *error;

	if (stop.v <= start.v || stop.v - start.v > BTF_MAX)
		return error_format(NULL, start.v, "the guest's type information (BTF) ends at 0x%llx",
				    (unsigned long long)stop.v);
	blob = malloc(stop.v - start.v);
	if (!blob)
		return error_no_memory();
	error = memory_read(&guest->memory, start, blob, stop.v - start.v);
	return error ? error : types_create(blob, stop.v - start.v, NULL, &guest->types);
}

static struct error *load_types(struct guest *guest, const struct guest_options *options)
{
	struct gva start = {0}, stop = {0};
	bool has_own = symbols_find(guest->symbols, "__start_BTF", &start) &&
		       symbols_find(guest->symbols, "__stop_BTF", &stop);
	struct error *error;

	if (options->btf_path) {
		error = types_load_file(options->btf_path, &guest->types);
		/* Types of modules refer to the kernel's own by their numbers. */
		guest->foreign_types = error || types_blob_size(guest->types) != stop.v - start.v;
		if (error && !error->remedy && error->code != ERROR_NO_MEMORY)
			error = error_remedy(error, EXACTLY);
		return error;
	}
	if (!has_own)
		error = error_create(ERROR_UNSUPPORTED,
				     "the guest's kernel has no type information (BTF) in its memory");
	else
		error = error_wrap(load_own_types(guest, start, stop), "type information of the guest's kernel");
	if (error && error->code == ERROR_NO_MEMORY)
		return error;
	return error_remedy(error, "Give that of exactly this kernel with --btf FILE: its vmlinux with a section .BTF, "
				   "or what `pahole -J` makes of its debug information");
}

/* ---- Whether it is a kernel ---- */

static struct error *check_banner(struct guest *guest, const struct candidate *candidate)
{
	char banner[128], wanted[128];
	struct gva address;
	struct error *error = symbols_get(guest->symbols, "linux_banner", &address);

	if (!error)
		error = memory_read_string(&guest->memory, address, banner, sizeof(banner));
	if (error)
		return error;
	snprintf(wanted, sizeof(wanted), "Linux version %s%s", candidate->note.release, candidate->has_note ? " " : "");
	if (strncmp(banner, wanted, strlen(wanted)) != 0)
		return error_format(NULL, address.v, "the kernel's banner is not '%s'", wanted);
	return NULL;
}

/* The kernel knows itself how far it was moved. */
static struct error *check_phys_base(struct guest *guest)
{
	struct gva banner, variable;
	struct gpa physical = {0};
	uint64_t stored;
	struct error *error = symbols_get(guest->symbols, "linux_banner", &banner);

	if (error || !symbols_find(guest->symbols, "phys_base", &variable))
		return error;
	error = memory_translate(&guest->memory, banner, &physical);
	if (!error)
		error = memory_read_u64(&guest->memory, variable, &stored);
	if (error || stored == physical.v - (banner.v - KERNEL_BASE))
		return error;
	return error_format(NULL, variable.v, "the kernel's phys_base is 0x%llx, but its banner is at 0x%llx",
			    (unsigned long long)stored, (unsigned long long)physical.v);
}

static struct error *check_kernel(struct guest *guest, const struct candidate *candidate,
				  const struct guest_options *options)
{
	struct error *error = check_banner(guest, candidate);

	if (!error)
		error = check_phys_base(guest);
	if (!error)
		error = options->btf_path ? fit_check_file(guest) : fit_check(guest);
	if (error && options->btf_path && (error->code == ERROR_FORMAT || error->code == ERROR_UNSUPPORTED))
		return error_remedy(error_wrap(error_recode(error, ERROR_USAGE), "%s does not fit the guest's kernel",
					       options->btf_path),
				    EXACTLY);
	return error;
}

/* ---- One candidate ---- */

/* From the page tables that were found to the kernel's own, which map everything. */
static struct error *use_own_tables(struct guest *guest, const struct kernel_image *image)
{
	uint64_t sme_mask = image->sme_mask;
	struct gva table, mask;
	struct gpa top = {0};
	struct error *error = symbols_get(guest->symbols, "init_top_pgt", &table);

	if (!error)
		error = memory_translate(&guest->memory, table, &top);
	if (!error && symbols_find(guest->symbols, "sme_me_mask", &mask))
		error = memory_read_u64(&guest->memory, mask, &sme_mask);
	if (!error)
		memory_init(&guest->memory, guest->memory.image, top, image->five_levels, sme_mask);
	return error;
}

static struct error *read_kernel(struct guest *guest, const struct candidate *candidate,
				 const struct guest_options *options)
{
	struct error *error = load_symbols(guest, candidate);

	if (!error)
		error = use_own_tables(guest, &candidate->image);
	if (!error)
		error = load_types(guest, options);
	return error ? error : check_kernel(guest, candidate, options);
}

/* Keeps the guest if it is the one that runs. */
static void keep_latest(struct opening *opening, struct guest *guest)
{
	struct guest_clock clock = {0};
	struct error *error = guest_clock(guest, &clock);

	error_destroy(error);
	if (opening->best && clock.realtime_ns <= opening->best_time_ns) {
		guest_close(guest);
		return;
	}
	guest_close(opening->best);
	opening->best = guest;
	opening->best_time_ns = clock.realtime_ns;
}

/* Keeps the error if the candidate led at least as far as former ones. */
static void keep_error(struct opening *opening, struct error *error, bool has_symbols)
{
	bool out_of_memory = opening->error && opening->error->code == ERROR_NO_MEMORY;

	/* That is no fault of the guest's: another candidate's error must not hide it. */
	if (out_of_memory || (opening->error && opening->has_symbols && !has_symbols)) {
		error_destroy(error);
		return;
	}
	error_destroy(opening->error);
	opening->error = error;
	opening->has_symbols = has_symbols || error->code == ERROR_UNSUPPORTED;
}

/* Whether another candidate led to the same image already; notes it. */
static bool was_seen(struct opening *opening, struct guest *guest, const struct kernel_image *image)
{
	struct gpa physical = {0};
	struct error *error = memory_translate(&guest->memory, image->start, &physical);

	error_destroy(error);
	for (unsigned i = 0; i < opening->n_seen; i++) {
		if (opening->seen[i] == physical.v)
			return true;
	}
	if (opening->n_seen < CANDIDATES_MAX)
		opening->seen[opening->n_seen++] = physical.v;
	return false;
}

static void try_candidate(struct opening *opening, const struct candidate *candidate)
{
	_cleanup_(guest_close_ptr) struct guest *guest = calloc(1, sizeof(*guest));
	const struct kernel_image *image = &candidate->image;
	struct error *error;

	if (!guest) {
		keep_error(opening, error_no_memory(), false);
		return;
	}
	memory_init(&guest->memory, opening->image, image->top, image->five_levels, image->sme_mask);
	if (!candidate->has_note && was_seen(opening, guest, image))
		return;
	error = read_kernel(guest, candidate, opening->options);
	if (!error)
		keep_latest(opening, take_ptr(guest));
	else if (!guest->symbols && error->code == ERROR_NOT_FOUND && !candidate->has_note)
		error_destroy(error);
	else
		keep_error(opening, error, guest->symbols != NULL);
}

/* ---- The ways ---- */

static void try_trampolines(struct opening *opening)
{
	struct candidate candidate = {0};
	struct gpa from = {0};

	for (unsigned i = 0; i < CANDIDATES_MAX && kernel_next_trampoline(opening->image, &from, &candidate.image); i++)
		try_candidate(opening, &candidate);
}

/* Until one is right. */
static void try_notes(struct opening *opening)
{
	struct candidate candidate = {.has_note = true};
	const struct kernel_note *note = &candidate.note;
	struct gpa from = {0};

	for (unsigned i = 0;
	     i < CANDIDATES_MAX && !opening->best && kernel_next_note(opening->image, &from, &candidate.note); i++) {
		struct gpa top = {note->init_top_pgt - KERNEL_BASE + (uint64_t)note->phys_base};

		if (!kernel_image_of(opening->image, top, note->five_levels, note->sme_mask, &candidate.image))
			keep_error(opening,
				   error_format(NULL, top.v, "the page tables that the kernel %s names map no kernel",
						note->release),
				   false);
		else
			try_candidate(opening, &candidate);
	}
}

/* Until one is right. */
static void try_all_memory(struct opening *opening)
{
	struct candidate candidate = {0};
	struct kernel_search search;

	kernel_search_init(&search, opening->image);
	for (unsigned i = 0; i < CANDIDATES_MAX && !opening->best && kernel_search_next(&search, &candidate.image); i++)
		try_candidate(opening, &candidate);
}

struct error *guest_open(struct image *image, const struct guest_options *options, struct guest **ret)
{
	const struct guest_options none = {0};
	struct opening opening = {.image = image, .options = options ? options : &none};

	try_trampolines(&opening);
	if (!opening.best && !opening.has_symbols)
		try_notes(&opening);
	if (!opening.best && !opening.has_symbols)
		try_all_memory(&opening);
	if (!opening.best)
		return opening.error ? error_wrap(opening.error, "reading the guest's kernel") : kernel_missing(image);
	error_destroy(opening.error);
	*ret = opening.best;
	return NULL;
}
