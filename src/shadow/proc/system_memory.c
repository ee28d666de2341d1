/* SPDX-License-Identifier: Apache-2.0 */
/* Files that tell how much memory there is and what it is used for. */
#include "shadow/proc/system.h"

#define UNKNOWN UINT64_MAX

/* A line with its number in KiB; a value that the kernel does not know has no line. */
struct line {
	const char *label;
	uint64_t value; /* bytes */
};

static void write_lines(const struct line *lines, size_t n, FILE *out)
{
	for (size_t i = 0; i < n; i++)
		if (lines[i].value != UNKNOWN)
			fprintf(out, "%-15s %8llu kB\n", lines[i].label, (unsigned long long)(lines[i].value / 1024));
}

static void write_counters(const struct guest_memory_counters *c, const struct guest_memory_uses *d, FILE *out)
{
	const struct line lines[] = {
		{"MemTotal:", c->total},
		{"MemFree:", c->free},
		{"MemAvailable:", c->available},
		{"Buffers:", c->buffers},
		{"Cached:", c->cached},
		{"SwapCached:", c->swap_cached},
		{"Active:", c->active},
		{"Inactive:", c->inactive},
		{"Active(anon):", c->active_anonymous},
		{"Inactive(anon):", c->inactive_anonymous},
		{"Active(file):", c->active_file},
		{"Inactive(file):", c->inactive_file},
		{"Unevictable:", c->unevictable},
		{"Mlocked:", c->locked},
		{"SwapTotal:", c->swap_total},
		{"SwapFree:", c->swap_free},
		{"Zswap:", d->zswap},
		{"Zswapped:", d->zswapped},
		{"Dirty:", c->dirty},
		{"Writeback:", c->writeback},
		{"AnonPages:", c->anonymous},
		{"Mapped:", c->mapped},
		{"Shmem:", c->shmem},
		{"KReclaimable:", c->kernel_reclaimable},
		{"Slab:", c->slab_reclaimable + c->slab_unreclaimable},
		{"SReclaimable:", c->slab_reclaimable},
		{"SUnreclaim:", c->slab_unreclaimable},
		{"KernelStack:", c->kernel_stack},
		{"PageTables:", c->page_tables},
		{"SecPageTables:", d->secondary_page_tables},
		{"NFS_Unstable:", 0}, /* nothing is counted since 5.8, the line stayed */
		{"Bounce:", d->bounce},
		{"WritebackTmp:", d->writeback_temporary},
		{"CommitLimit:", c->commit_limit},
		{"Committed_AS:", c->committed},
		{"VmallocTotal:", d->vmalloc_total},
		{"VmallocUsed:", c->vmalloc_used},
		{"VmallocChunk:", 0},
		{"Percpu:", d->per_cpu},
		{"EarlyMemtestBad:", d->memtest_bad},
	};

	write_lines(lines, ARRAY_SIZE(lines), out);
}

static void write_details(const struct guest_memory_uses *d, FILE *out)
{
	const struct line lines[] = {
		{"AnonHugePages:", d->anonymous_huge},
		{"ShmemHugePages:", d->shmem_huge},
		{"ShmemPmdMapped:", d->shmem_mapped},
		{"FileHugePages:", d->file_huge},
		{"FilePmdMapped:", d->file_mapped},
		{"CmaTotal:", d->cma_total},
		{"CmaFree:", d->cma_free},
		{"Unaccepted:", d->unaccepted},
		{"Balloon:", d->balloon},
		{"GPUActive:", d->gpu_active},
		{"GPUReclaim:", d->gpu_reclaim},
	};

	if (d->hardware_corrupted != UNKNOWN)
		fprintf(out, "HardwareCorrupted: %5llu kB\n", (unsigned long long)(d->hardware_corrupted / 1024));
	write_lines(lines, ARRAY_SIZE(lines), out);
}

static void write_huge(const struct guest_memory_uses *d, uint64_t all, FILE *out)
{
	const struct {
		const char *label;
		uint64_t pages;
	} counts[] = {
		{"HugePages_Total:", d->huge_total},
		{"HugePages_Free:", d->huge_free},
		{"HugePages_Rsvd:", d->huge_reserved},
		{"HugePages_Surp:", d->huge_surplus},
	};

	if (!d->has_huge)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		fprintf(out, "%-18s %5llu\n", counts[i].label, (unsigned long long)counts[i].pages);
	write_lines((struct line[]){{"Hugepagesize:", d->huge_size}, {"Hugetlb:", all}}, 2, out);
}

struct error *proc_write_meminfo(const struct proc_facts *facts, FILE *out)
{
	struct guest_memory_counters counters;
	struct guest_memory_uses details;
	struct error *error = guest_memory_counters(facts->guest, &counters);

	if (!error)
		error = guest_memory_uses(facts->guest, &details);
	if (error)
		return error;
	write_counters(&counters, &details, out);
	write_details(&details, out);
	write_huge(&details, counters.huge, out);
	write_lines((struct line[]){{"DirectMap4k:", details.direct_4k},
				    {"DirectMap2M:", details.direct_2m},
				    {"DirectMap1G:", details.direct_1g}},
		    3, out);
	return NULL;
}

struct error *proc_write_vmstat(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_count_list_deinit) struct guest_count_list list = {0};
	struct error *error = PROC_LIST(guest_vm_counts(facts->guest, &list), list);

	for (size_t i = 0; !error && i < list.n; i++)
		fprintf(out, "%s %llu\n", list.items[i].name, (unsigned long long)list.items[i].value);
	/* Counted no more since 5.8, and still shown (commit 8d92890bd6b8). */
	if (!error)
		fputs("nr_unstable 0\n", out);
	return error;
}

struct error *proc_write_buddyinfo(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_zone_list_deinit) struct guest_zone_list list = {0};
	struct error *error = PROC_LIST(guest_zones(facts->guest, &list), list);

	for (size_t i = 0; !error && i < list.n; i++) {
		fprintf(out, "Node %u, zone %8s ", list.items[i].node, list.items[i].name);
		for (uint32_t order = 0; order < list.items[i].n_orders; order++)
			fprintf(out, "%6llu ", (unsigned long long)list.items[i].free[order]);
		fputc('\n', out);
	}
	return error;
}
