/* SPDX-License-Identifier: Apache-2.0 */
/* What a process maps: its VMAs as /proc/PID/maps shows them (fs/proc/task_mmu.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "guest/containers.h"
#include "guest/task.h"

#define VM_READ          UINT64_C(0x01)
#define VM_WRITE         UINT64_C(0x02)
#define VM_EXEC          UINT64_C(0x04)
#define VM_MAYSHARE      UINT64_C(0x80)

/* MM_CONTEXT_HAS_VSYSCALL: the second bit of mm_context_t.flags on x86-64. */
#define CONTEXT_VSYSCALL UINT64_C(2)
#define VSYSCALL_NONE    2u /* of vsyscall_mode, an enumeration without a name: EMULATE, XONLY, NONE */

#define NAME_SIZE        256u /* more than ANON_VMA_NAME_MAX_LEN and any "[name]" */

struct vma_layout {
	struct object_span span;
	struct member start, end, mm, flags, operations, page_offset, file, private;
	struct member next;            /* before 6.1 */
	struct member anon_name;       /* 5.17 and later, with CONFIG_ANON_VMA_NAME */
	bool anon_name_shared;         /* until 6.2 it lies where mapped files have something else */
	struct member operations_name; /* vm_operations_struct.name */
	struct member special_name;    /* vm_special_mapping.name */
	struct member name;            /* in struct anon_vma_name */
	uint64_t special_function;     /* special_mapping_name() */
	bool heap_touches;             /* neighbours of the heap are called so, too (before 6.6) */
};

struct walk {
	const struct process_layout *layout;
	const struct vma_layout *members; /* borrowed from the guest */
	struct object mm, vma;
	struct guest_map_list *list;
	size_t max;       /* items */
	size_t text_left; /* bytes of names that may still be kept */
	/* The file of the last VMA: a program's parts follow one another. */
	uint64_t last_file;
	struct mapped_file file;
	char *file_path;
};

static struct error *load_members(struct guest *guest, struct vma_layout *ret)
{
	const struct member_need needs[] = {
		{"vm_area_struct", "vm_start", &ret->start},
		{"vm_area_struct", "vm_end", &ret->end},
		{"vm_area_struct", "vm_mm", &ret->mm},
		{"vm_area_struct", "vm_flags", &ret->flags},
		{"vm_area_struct", "vm_ops", &ret->operations},
		{"vm_area_struct", "vm_pgoff", &ret->page_offset},
		{"vm_area_struct", "vm_file", &ret->file},
		{"vm_area_struct", "vm_private_data", &ret->private},
		{"vm_area_struct", "vm_next", &ret->next, .optional = true},
		{"vm_area_struct", "anon_name", &ret->anon_name, .optional = true},
	};
	const struct member_need others[] = {
		{"vm_operations_struct", "name", &ret->operations_name},
		{"vm_special_mapping", "name", &ret->special_name},
		{"anon_vma_name", "name", &ret->name, .optional = true},
	};
	struct member shared = types_find(guest->types, "vm_area_struct", "shared");
	struct gva function;
	struct error *error = object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);

	if (!error)
		error = types_need(guest->types, others, ARRAY_SIZE(others));
	if (error)
		return error;
	ret->anon_name_shared = ret->anon_name.present && shared.present && ret->anon_name.offset == shared.offset;
	if (symbols_find(guest->symbols, "special_mapping_name", &function))
		ret->special_function = function.v;
	/* The comparison became strict in 6.6; that also renamed this member of every inode (13bc24457850). */
	ret->heap_touches = types_find(guest->types, "inode", "i_ctime").present;
	return NULL;
}

DEFINE_LAYOUT_GET(static, get_members, vma_layout, vmas, load_members)

/* ---- Names ---- */

/* vm_ops->name() of special mappings: "[vdso]", "[vvar]", "[uprobes]". */
static struct error *special_name(struct guest *guest, const struct walk *walk, char ret[NAME_SIZE])
{
	const struct vma_layout *m = walk->members;
	uint64_t operations = object_get(&walk->vma, &m->operations), function = 0, name = 0;
	struct error *error = NULL;

	if (operations)
		error = guest_read_member(guest, (struct gva){operations}, &m->operations_name, &function);
	if (error || !function || function != m->special_function)
		return error;
	error = guest_read_member(guest, (struct gva){object_get(&walk->vma, &m->private)}, &m->special_name, &name);
	return error || !name ? error : memory_read_string(&guest->memory, (struct gva){name}, ret, NAME_SIZE);
}

static bool is_heap(const struct walk *walk, uint64_t start, uint64_t end)
{
	uint64_t brk = object_get(&walk->mm, &walk->layout->mm.brk);
	uint64_t start_brk = object_get(&walk->mm, &walk->layout->mm.start_brk);

	return walk->members->heap_touches ? start <= brk && end >= start_brk : start < brk && end > start_brk;
}

static bool is_stack(const struct walk *walk, uint64_t start, uint64_t end)
{
	uint64_t stack = object_get(&walk->mm, &walk->layout->mm.start_stack);

	return start <= stack && end >= stack;
}

/* The name that the process gave the VMA (PR_SET_VMA_ANON_NAME), in `format`. */
static struct error *given_name(struct guest *guest, const struct walk *walk, const char *prefix, char ret[NAME_SIZE])
{
	const struct vma_layout *m = walk->members;
	uint64_t address = object_get(&walk->vma, &m->anon_name);
	char name[NAME_SIZE - 32];
	struct error *error;

	if (!address || !m->name.present)
		return NULL;
	error = memory_read_string(&guest->memory, (struct gva){address + m->name.offset}, name, sizeof(name));
	if (!error)
		snprintf(ret, NAME_SIZE, "[%s:%s]", prefix, name);
	return error;
}

static struct error *anonymous_name(struct guest *guest, const struct walk *walk, const struct guest_map *map,
				    char ret[NAME_SIZE])
{
	struct error *error = special_name(guest, walk, ret);

	if (error || *ret)
		return error;
	if (!object_get(&walk->vma, &walk->members->mm))
		snprintf(ret, NAME_SIZE, "[vdso]");
	else if (is_heap(walk, map->start, map->end))
		snprintf(ret, NAME_SIZE, "[heap]");
	else if (is_stack(walk, map->start, map->end))
		snprintf(ret, NAME_SIZE, "[stack]");
	else
		error = given_name(guest, walk, "anon", ret);
	return error;
}

static struct error *set_name(struct walk *walk, const char *name, struct guest_map *map)
{
	if (strlen(name) > walk->text_left)
		return error_format(NULL, map->start, "names of more than %u MiB", TEXT_MAX >> 20);
	map->path = strdup(name);
	if (!map->path)
		return error_no_memory();
	walk->text_left -= strlen(name);
	return NULL;
}

/* ---- VMAs ---- */

/* What the file of the VMA at hand shows; it is kept for the next one. */
static struct error *load_file(struct guest *guest, struct walk *walk, uint64_t file)
{
	struct error *error;

	if (file == walk->last_file)
		return NULL;
	free(take_ptr(walk->file_path));
	walk->last_file = 0;
	error = mapped_file_read(guest, walk->layout->path, file, &walk->file);
	if (!error)
		error = place_path(guest, walk->layout->path, &walk->file.place, &walk->file_path);
	if (!error)
		walk->last_file = file;
	return error;
}

static struct error *file_fields(struct guest *guest, struct walk *walk, uint64_t file, struct guest_map *map)
{
	const struct vma_layout *m = walk->members;
	char name[NAME_SIZE] = "";
	struct error *error = load_file(guest, walk, file);

	map->offset = object_get(&walk->vma, &m->page_offset) * PAGE_SIZE;
	if (error)
		return error;
	map->inode = walk->file.inode;
	map->major = walk->file.major;
	map->minor = walk->file.minor;
	/* Shared memory without a file of its own can have a name, too (6.2 and later). */
	if (!m->anon_name_shared)
		error = given_name(guest, walk, "anon_shmem", name);
	if (error)
		return error;
	if (*name)
		return set_name(walk, name, map);
	return walk->file_path ? set_name(walk, walk->file_path, map) : NULL;
}

static struct error *reserve(struct walk *walk)
{
	if (walk->list->n > walk->max)
		return error_format(NULL, ERROR_NO_ADDRESS, "more mappings than fit into the guest's memory");
	return array_room(&walk->list->items, walk->list->n, sizeof(*walk->list->items));
}

static struct error *name_map(struct guest *guest, struct walk *walk, const char *fixed_name, struct guest_map *map)
{
	char name[NAME_SIZE] = "";
	struct error *error;

	if (map->file)
		return file_fields(guest, walk, map->file, map);
	if (fixed_name)
		return set_name(walk, fixed_name, map);
	error = anonymous_name(guest, walk, map, name);
	return error ? error : set_name(walk, name, map);
}

/* Makes an item of the VMA at hand. */
static struct error *append(struct guest *guest, struct walk *walk, const char *fixed_name)
{
	const struct vma_layout *m = walk->members;
	uint64_t flags = object_get(&walk->vma, &m->flags);
	struct guest_map *map;
	struct error *error = reserve(walk);

	if (error)
		return error;
	map = &walk->list->items[walk->list->n++];
	*map = (struct guest_map){
		.start = object_get(&walk->vma, &m->start),
		.end = object_get(&walk->vma, &m->end),
		.perms = {flags & VM_READ ? 'r' : '-', flags & VM_WRITE ? 'w' : '-', flags & VM_EXEC ? 'x' : '-',
			  flags & VM_MAYSHARE ? 's' : 'p'},
		.flags = flags,
		.anonymous = !object_get(&walk->vma, &m->operations),
		.kernel = !object_get(&walk->vma, &m->mm),
		.file = object_get(&walk->vma, &m->file),
	};
	error = walk_note(&walk->list->incomplete, name_map(guest, walk, fixed_name, map));
	if (error)
		return error;
	if (!map->path)
		map->path = strdup("");
	return map->path ? NULL : error_no_memory();
}

static struct error *visit_entry(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context)
{
	struct walk *walk = context;
	struct error *error = object_load(guest, walk->members->span, entry, &walk->vma);

	if (error)
		return error;
	if (object_get(&walk->vma, &walk->members->start) != first ||
	    object_get(&walk->vma, &walk->members->end) - 1 != last)
		return error_format(NULL, entry, "a VMA that does not have the addresses that it stands for");
	return append(guest, walk, NULL);
}

/* Before 6.1: a list by address, which cannot go in circles for as long as the addresses rise. */
static struct error *walk_list(struct guest *guest, struct walk *walk, uint64_t next)
{
	const struct vma_layout *m = walk->members;
	uint64_t end = 0;

	while (next) {
		struct error *error = object_load(guest, m->span, next, &walk->vma);

		if (!error && (object_get(&walk->vma, &m->start) < end ||
			       object_get(&walk->vma, &m->end) <= object_get(&walk->vma, &m->start)))
			error = error_format(NULL, next, "a VMA that is not behind the one before it");
		if (!error)
			error = append(guest, walk, NULL);
		if (error)
			return error;
		end = object_get(&walk->vma, &m->end);
		next = object_get(&walk->vma, &m->next);
	}
	return NULL;
}

static struct error *walk_vmas(struct guest *guest, struct walk *walk)
{
	const struct mm_members *m = &walk->layout->mm;

	if (m->maple.present)
		return maple_walk(guest, object_place(&walk->mm, &m->maple), visit_entry, walk);
	if (!m->mmap.present || !walk->members->next.present)
		return error_create(ERROR_UNSUPPORTED, "the guest's kernel keeps VMAs in an unknown way");
	return walk_list(guest, walk, object_get(&walk->mm, &m->mmap));
}

/* The page of old system calls, at one address in all processes; shown unless the kernel was booted without it. */
static struct error *append_gate(struct guest *guest, struct walk *walk)
{
	struct gva gate, mode;
	uint32_t value;
	struct error *error;

	if (!symbols_find(guest->symbols, "gate_vma", &gate) || !symbols_find(guest->symbols, "vsyscall_mode", &mode))
		return NULL;
	if (walk->layout->mm.context.present && !(object_get(&walk->mm, &walk->layout->mm.context) & CONTEXT_VSYSCALL))
		return NULL;
	error = memory_read_u32(&guest->memory, mode, &value);
	if (error || value == VSYSCALL_NONE)
		return error;
	error = object_load(guest, walk->members->span, gate.v, &walk->vma);
	return error ? error : append(guest, walk, "[vsyscall]");
}

static struct error *walk_all(struct guest *guest, struct walk *walk)
{
	struct error *error = walk_vmas(guest, walk);

	if (!error)
		error = append_gate(guest, walk);
	return walk_note(&walk->list->incomplete, error_wrap(error, "mappings of a process"));
}

static struct error *start(struct guest *guest, uint64_t address, struct walk *walk)
{
	struct object task;
	struct error *error = process_layout_get(guest, &walk->layout);

	if (!error)
		error = get_members(guest, &walk->members);
	if (!error)
		error = task_read(guest, walk->layout, address, &task);
	if (error)
		return error;
	if (!task_mm(walk->layout, &task))
		return error_create(ERROR_NOT_FOUND, "the task has no memory of its own");
	walk->max = image_ram_size(guest->memory.image) / (types_size(guest->types, "vm_area_struct") + 1) + 1;
	walk->text_left = TEXT_MAX;
	guest_effort_begin(guest);
	return object_load(guest, walk->layout->mm.span, task_mm(walk->layout, &task), &walk->mm);
}

struct error *guest_task_maps(struct guest *guest, uint64_t task, struct guest_map_list *ret)
{
	_cleanup_(guest_map_list_deinit) struct guest_map_list list = {0};
	_cleanup_(free_ptr) struct walk *walk = calloc(1, sizeof(*walk));
	struct error *error;

	if (!walk)
		return error_no_memory();
	walk->list = &list;
	error = start(guest, task, walk);
	if (!error)
		error = walk_all(guest, walk);
	free(walk->file_path);
	if (error)
		return error;
	*ret = list;
	list = (struct guest_map_list){0};
	return NULL;
}

void guest_map_list_deinit(struct guest_map_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].path);
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_map_list){0};
}
