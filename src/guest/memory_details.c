/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and addresses of a process's memory, as its mm_struct has them (task_mem() in fs/proc/task_mmu.c). */
#include <string.h>

#include "guest/details.h"

#define DUMP_FILTER_SHIFT 2u /* of mm.flags: MMF_DUMP_FILTER_*, macros that have not moved */
#define DUMP_FILTER_BITS  9u
#define OOM_SKIP          (UINT64_C(1) << 21) /* MMF_OOM_SKIP */

/* A counter with what each CPU counted since it last added up. */
static struct error *read_resident(struct guest *guest, const struct detail_layout *layout, const struct object *mm,
				   unsigned which, uint64_t *ret)
{
	uint64_t parts = object_get(mm, &layout->mm.rss_cpu[which]);
	int64_t sum = (int64_t)object_get(mm, &layout->mm.rss[which]);

	for_each_cpu(cpu, layout->online.online_set) {
		uint32_t part;
		struct error *error;

		if (!parts)
			break;
		error = memory_read_u32(&guest->memory, (struct gva){parts + layout->cpu_offsets[cpu]}, &part);
		if (error)
			return error;
		sum += (int32_t)part;
	}
	*ret = sum > 0 ? (uint64_t)sum : 0;
	return NULL;
}

static void load_addresses(const struct detail_mm_members *m, const struct object *mm, struct guest_task_memory *ret)
{
	ret->start_code = object_get(mm, &m->start_code);
	ret->end_code = object_get(mm, &m->end_code);
	ret->start_data = object_get(mm, &m->start_data);
	ret->end_data = object_get(mm, &m->end_data);
	ret->start_brk = object_get(mm, &m->start_brk);
	ret->brk = object_get(mm, &m->brk);
	ret->start_stack = object_get(mm, &m->start_stack);
	ret->arg_start = object_get(mm, &m->arg_start);
	ret->arg_end = object_get(mm, &m->arg_end);
	ret->env_start = object_get(mm, &m->env_start);
	ret->env_end = object_get(mm, &m->env_end);
}

static void load_sizes(const struct detail_mm_members *m, const struct object *mm, struct guest_task_memory *ret)
{
	ret->total = object_get(mm, &m->total);
	ret->peak = object_get(mm, &m->peak);
	ret->locked = object_get(mm, &m->locked);
	ret->pinned = object_get(mm, &m->pinned);
	ret->data = object_get(mm, &m->data);
	ret->exec = object_get(mm, &m->exec);
	ret->stack = object_get(mm, &m->stack);
	ret->resident_peak = object_get(mm, &m->resident_peak);
	ret->page_table_bytes = object_get(mm, &m->page_tables);
	ret->huge = object_get(mm, &m->huge);
	ret->has_huge = m->huge.present;
}

static void load_switches(const struct detail_layout *layout, const struct object *mm, struct guest_task_memory *ret)
{
	const struct detail_mm_members *m = &layout->mm;
	uint64_t flags = object_get(mm, &m->flags);

	ret->has_huge_pages = layout->has_huge_pages && !(flags & layout->huge_pages_flag);
	ret->dumping |= object_get(mm, &m->core_state) != 0; /* before 5.16 */
	ret->has_untag_mask = layout->shows_untag_mask;
	ret->untag_mask = m->untag_mask.present ? object_get(mm, &m->untag_mask) : UINT64_MAX;
	ret->dump_filter = flags >> DUMP_FILTER_SHIFT & ((1u << DUMP_FILTER_BITS) - 1);
	ret->oom_skip = flags & OOM_SKIP;
}

/* Pairs of words up to and with the one that is AT_NULL. */
static void load_auxv(const struct detail_mm_members *m, const struct object *mm, struct guest_task_memory *ret)
{
	uint32_t n = m->auxv.size / sizeof(uint64_t);

	if (n > GUEST_AUXV_WORDS)
		n = GUEST_AUXV_WORDS;
	memcpy(ret->auxv, mm->bytes + m->auxv.offset, n * sizeof(uint64_t));
	for (uint32_t i = 0; i + 1 < n && ret->n_auxv == 0; i += 2)
		if (ret->auxv[i] == 0)
			ret->n_auxv = i + 2;
}

struct error *memory_details(struct guest *guest, const struct detail_layout *layout, uint64_t address,
			     struct guest_task_memory *ret)
{
	const struct detail_mm_members *m = &layout->mm;
	uint64_t *const counters[RSS_COUNTERS] = {&ret->file, &ret->anonymous, &ret->swapped, &ret->shared};
	struct object mm;
	struct error *error = object_load(guest, m->span, address, &mm);

	for (unsigned i = 0; !error && i < RSS_COUNTERS; i++)
		error = read_resident(guest, layout, &mm, i, counters[i]);
	if (error)
		return error_wrap(error, "memory of a process");
	load_sizes(m, &mm, ret);
	load_addresses(m, &mm, ret);
	load_switches(layout, &mm, ret);
	load_auxv(m, &mm, ret);
	return NULL;
}
