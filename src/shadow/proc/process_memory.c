/* SPDX-License-Identifier: Apache-2.0 */
/* What a process maps (fs/proc/task_mmu.c), and the rest of its mm_struct. */
#include <string.h>

#include "shadow/proc/process.h"

#define NAME_COLUMN 73 /* of a line of maps: 25 + 6 * sizeof(void *), with the blank before it */

void process_write_map(const struct guest_map *map, FILE *out)
{
	int n = fprintf(out, "%08llx-%08llx %s %08llx %02x:%02x %llu ", (unsigned long long)map->start,
			(unsigned long long)map->end, map->perms, (unsigned long long)map->offset, map->major,
			map->minor, (unsigned long long)map->inode);

	if (map->path[0]) {
		fprintf(out, "%*s", n < NAME_COLUMN ? NAME_COLUMN - n : 1, "");
		proc_write_escaped(out, map->path, "\n");
	}
	fputc('\n', out);
}

struct error *process_write_maps(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	_cleanup_(guest_map_list_deinit) struct guest_map_list list = {0};
	struct error *error;

	if (!task->dumpable)
		return NULL;
	error = PROC_LIST(guest_task_maps(facts->guest, task->address, &list), list);
	if (error)
		return error;
	for (size_t i = 0; i < list.n; i++)
		process_write_map(&list.items[i], out);
	return NULL;
}

struct error *process_write_auxv(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	struct guest_task_details details;
	struct error *error = guest_task_details(facts->guest, task->address, false, &details);

	if (error)
		return error;
	fwrite(details.memory.auxv, sizeof(details.memory.auxv[0]), details.memory.n_auxv, out);
	guest_task_details_deinit(&details);
	return NULL;
}

struct error *process_write_coredump_filter(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	struct guest_task_details details;
	struct error *error = guest_task_details(facts->guest, task->address, false, &details);

	if (error)
		return error;
	if (details.has_memory)
		fprintf(out, "%08x\n", details.memory.dump_filter);
	guest_task_details_deinit(&details);
	return NULL;
}
