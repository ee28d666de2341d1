/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/smaps and smaps_rollup (fs/proc/task_mmu.c). */
#include <inttypes.h>
#include <string.h>

#include "shadow/proc/process.h"

/* The words of VmFlags by bit; "": not shown, NULL: "??". */
static const char *const flag_words[64] = {
	"rd",
	"wr",
	"ex",
	"sh",
	"mr",
	"mw",
	"me",
	"ms",
	"gd",
	"um",
	"pf",
	NULL,
	"uw",
	"lo",
	"io",
	"sr",
	"rr",
	"dc",
	"de",
	"lf",
	"ac",
	"nr",
	"ht",
	"sf",
	"ar",
	"wf",
	"dd",
	"sd",
	"mm",
	"hg",
	"nh",
	"mg",
	/* The key that protects it is a line of its own. */
	"",
	"",
	"",
	"",
	"",
};
#define FLAG_DENY_WRITE   11u /* until 5.15 */
#define FLAG_MINOR_FAULTS 38u /* of userfaultfd: 38, before 5.17 and without shadow stacks 37 */
#define FLAG_SHADOW_STACK 37u
#define FLAG_DROPPABLE    40u
#define FLAG_SEALED       42u

static const char *flag_word(const struct guest_usage_format *format, unsigned bit)
{
	if (bit == FLAG_DENY_WRITE && format->has_deny_write)
		return "dw";
	if (bit == FLAG_SHADOW_STACK)
		return format->has_shadow_stack ? "ss" : "ui";
	if (bit == FLAG_MINOR_FAULTS)
		return "ui";
	if (bit == FLAG_DROPPABLE && format->has_sealed)
		return "dp";
	if (bit == FLAG_SEALED && format->has_sealed)
		return "sl";
	return flag_words[bit] ? flag_words[bit] : "??";
}

static void write_flags(const struct guest_usage_format *format, uint64_t flags, FILE *out)
{
	fputs("VmFlags: ", out);
	for (unsigned bit = 0; bit < 64; bit++) {
		const char *word = flags >> bit & 1 ? flag_word(format, bit) : "";

		if (*word)
			fprintf(out, "%s ", word);
	}
	fputc('\n', out);
}

static void write_kb(FILE *out, const char *name, uint64_t bytes)
{
	fprintf(out, "%-16s%8" PRIu64 " kB\n", name, bytes / 1024);
}

static void write_share(FILE *out, const char *name, uint64_t share)
{
	write_kb(out, name, share >> GUEST_SHARE_SHIFT);
}

static void write_usage(const struct guest_usage *usage, const struct guest_usage_format *format, bool sum, FILE *out)
{
	write_kb(out, "Rss:", usage->resident);
	write_share(out, "Pss:", usage->share);
	if (format->has_share_dirty)
		write_share(out, "Pss_Dirty:", usage->share_dirty);
	if (sum) {
		write_share(out, "Pss_Anon:", usage->share_anonymous);
		write_share(out, "Pss_File:", usage->share_file);
		write_share(out, "Pss_Shmem:", usage->share_memory);
	}
	write_kb(out, "Shared_Clean:", usage->shared_clean);
	write_kb(out, "Shared_Dirty:", usage->shared_dirty);
	write_kb(out, "Private_Clean:", usage->private_clean);
	write_kb(out, "Private_Dirty:", usage->private_dirty);
	write_kb(out, "Referenced:", usage->referenced);
	write_kb(out, "Anonymous:", usage->anonymous);
	if (format->has_merged)
		write_kb(out, "KSM:", usage->merged);
	write_kb(out, "LazyFree:", usage->lazy_free);
	write_kb(out, "AnonHugePages:", usage->anonymous_huge);
	write_kb(out, "ShmemPmdMapped:", usage->shared_memory_huge);
	write_kb(out, "FilePmdMapped:", usage->file_huge);
	write_kb(out, "Shared_Hugetlb:", usage->shared_hugetlb);
	/* One column less for the kernel's longest name. */
	fprintf(out, "Private_Hugetlb: %7" PRIu64 " kB\n", usage->private_hugetlb / 1024);
	write_kb(out, "Swap:", usage->swapped);
	write_share(out, "SwapPss:", usage->share_swapped);
	write_share(out, "Locked:", usage->share_locked);
}

static void write_mapping(const struct guest_map *map, const struct guest_map_usage *usage,
			  const struct guest_usage_format *format, FILE *out)
{
	process_write_map(map, out);
	write_kb(out, "Size:", map->end - map->start);
	write_kb(out, "KernelPageSize:", usage->page_size);
	write_kb(out, "MMUPageSize:", usage->page_size);
	write_usage(&usage->usage, format, false, out);
	fprintf(out, format->wide ? "THPeligible:    %8u\n" : "THPeligible:    %u\n", usage->huge_pages);
	if (format->has_keys)
		fprintf(out, "ProtectionKey:  %8u\n", (unsigned)(map->flags >> 32 & 15));
	write_flags(format, map->flags, out);
}

/* The members of a struct guest_usage are all numbers of one size. */
static void add_usage(const struct guest_usage *usage, struct guest_usage *sum)
{
	uint64_t from[sizeof(*usage) / sizeof(uint64_t)], to[sizeof(*usage) / sizeof(uint64_t)];

	memcpy(from, usage, sizeof(from));
	memcpy(to, sum, sizeof(to));
	for (size_t i = 0; i < ARRAY_SIZE(to); i++)
		to[i] += from[i];
	memcpy(sum, to, sizeof(to));
}

static void write_sum(const struct guest_map_list *maps, const struct guest_map_usage *usages,
		      const struct guest_usage_format *format, FILE *out)
{
	struct guest_map all = {
		.start = maps->n ? maps->items[0].start : 0, .perms = "---p", .path = (char[]){"[rollup]"}};
	struct guest_usage sum = {0};

	for (size_t i = 0; i < maps->n; i++) {
		if (maps->items[i].kernel)
			continue;
		all.end = maps->items[i].end;
		add_usage(&usages[i].usage, &sum);
	}
	process_write_map(&all, out);
	write_usage(&sum, format, true, out);
}

struct usages {
	struct guest_map_list maps;
	struct guest_map_usage *items;
	struct guest_usage_format format;
};

static void usages_deinit(struct usages *usages)
{
	guest_map_list_deinit(&usages->maps);
	free(usages->items);
}

static struct error *load_usages(const struct proc_facts *facts, const struct guest_task *task, struct usages *ret)
{
	struct error *error = PROC_LIST(guest_task_maps(facts->guest, task->address, &ret->maps), ret->maps);

	if (!error)
		error = guest_usage_format(facts->guest, &ret->format);
	if (error)
		return error;
	ret->items = calloc(ret->maps.n + 1, sizeof(*ret->items));
	if (!ret->items)
		return error_no_memory();
	return guest_map_usage(facts->guest, task->address, &ret->maps, ret->items);
}

struct error *process_write_smaps(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	_cleanup_(usages_deinit) struct usages usages = {0};
	struct error *error;

	if (!task->dumpable)
		return NULL;
	error = load_usages(facts, task, &usages);
	for (size_t i = 0; !error && i < usages.maps.n; i++)
		write_mapping(&usages.maps.items[i], &usages.items[i], &usages.format, out);
	return error;
}

struct error *process_write_smaps_rollup(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	_cleanup_(usages_deinit) struct usages usages = {0};
	struct error *error;

	if (!task->dumpable)
		return error_create(ERROR_NOT_FOUND, "task %u has no memory of its own", task->pid);
	error = load_usages(facts, task, &usages);
	if (!error)
		write_sum(&usages.maps, usages.items, &usages.format, out);
	return error;
}
