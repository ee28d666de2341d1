/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: the circular list of thread group leaders that begins at init_task. */
#include <stdlib.h>
#include <string.h>

#include "guest/guest.h"
#include "guest/internal.h"

#define PF_KTHREAD UINT64_C(0x00200000)

struct task_layout {
	struct member tasks, pid, parent, cred, uid, start, flags, comm, mm, exe, css_set;
	struct cgroup_layout cgroup;
	struct path_layout path;
};

static struct error *load_layout(struct guest *guest, struct task_layout *ret)
{
	const struct member_need needs[] = {
		{"task_struct", "tasks", &ret->tasks},
		{"task_struct", "tgid", &ret->pid},
		{"task_struct", "real_parent", &ret->parent},
		{"task_struct", "cred", &ret->cred},
		{"cred", "uid", &ret->uid},
		{"task_struct", "start_boottime", &ret->start, .optional = true},
		{"task_struct", "flags", &ret->flags},
		{"task_struct", "comm", &ret->comm},
		{"task_struct", "mm", &ret->mm},
		{"mm_struct", "exe_file", &ret->exe},
		{"task_struct", "cgroups", &ret->css_set},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	/* Called real_start_time before 5.5. */
	if (!error && !ret->start.present)
		error = types_need(guest->types, &(struct member_need){"task_struct", "real_start_time", &ret->start},
				   1);
	if (!error)
		error = cgroup_layout_load(guest, &ret->cgroup);
	return error ? error : path_layout_load(guest, &ret->path);
}

/* A process's executable: none for kernel threads and for those that are ending. */
static struct error *read_exe(struct guest *guest, const struct task_layout *layout, uint64_t mm, char **ret)
{
	uint64_t file;
	struct error *error;

	if (!mm)
		return NULL;
	error = guest_read_member(guest, (struct gva){mm}, &layout->exe, &file);
	if (error || !file)
		return error;
	return file_path(guest, &layout->path, (struct gva){file}, ret);
}

static struct error *read_process(struct guest *guest, const struct task_layout *layout, struct gva task,
				  struct guest_process *process)
{
	uint64_t pid, parent, cred, uid, flags, mm, css_set, ppid;
	const struct member_read reads[] = {
		{&layout->pid, &pid},         {&layout->parent, &parent},
		{&layout->cred, &cred},       {&layout->start, &process->start_ns},
		{&layout->flags, &flags},     {&layout->mm, &mm},
		{&layout->css_set, &css_set},
	};
	struct error *error = guest_read_members(guest, task, reads, ARRAY_SIZE(reads));

	if (!error)
		error = guest_read_member(guest, (struct gva){parent}, &layout->pid, &ppid);
	if (!error)
		error = guest_read_member(guest, (struct gva){cred}, &layout->uid, &uid);
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){task.v + layout->comm.offset}, process->comm,
					   sizeof(process->comm));
	if (!error)
		error = cgroup_path(guest, &layout->cgroup, (struct gva){css_set}, &process->cgroup);
	if (error)
		return error;
	process->pid = (uint32_t)pid;
	process->ppid = (uint32_t)ppid;
	process->uid = (uint32_t)uid;
	process->kernel_thread = flags & PF_KTHREAD;
	/* A kernel thread can borrow the memory of a process. */
	return process->kernel_thread ? NULL : read_exe(guest, layout, mm, &process->exe);
}

static void process_deinit(struct guest_process *process)
{
	free(process->cgroup);
	free(process->exe);
}

static struct error *append(struct guest_process_list *list, const struct guest_process *process)
{
	struct guest_process *items;

	/* Grows by doubling: n is its own record of how much there is room for. */
	if ((list->n & (list->n - 1)) == 0) {
		items = reallocarray(list->items, list->n ? list->n * 2 : 1, sizeof(*items));
		if (!items)
			return error_no_memory();
		list->items = items;
	}
	list->items[list->n++] = *process;
	return NULL;
}

/*
 * Reads the task at `task` and finds the next one. A task that cannot be read is left out and the
 * list marked; a link that cannot be read is the error.
 */
static struct error *visit(struct guest *guest, const struct task_layout *layout, struct gva task,
			   struct guest_process_list *list, uint64_t *next)
{
	struct guest_process process = {0};
	struct error *error = read_process(guest, layout, task, &process);

	if (!error)
		error = append(list, &process);
	if (error)
		process_deinit(&process);
	if (error && error->code == ERROR_NO_MEMORY)
		return error;
	if (error) {
		error_destroy(error);
		list->incomplete = true;
	}
	return memory_read_u64(&guest->memory, (struct gva){task.v + layout->tasks.offset}, next);
}

struct error *guest_processes(struct guest *guest, struct guest_process_list *ret)
{
	struct guest_process_list list = {0};
	struct task_layout layout;
	struct loop_guard guard = {0};
	struct gva init;
	uint64_t next;
	struct error *error = load_layout(guest, &layout);

	if (!error)
		error = symbols_get(guest->symbols, "init_task", &init);
	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){init.v + layout.tasks.offset}, &next);
	if (error)
		return error_wrap(error, "the guest's processes");
	while (!error && next != init.v + layout.tasks.offset) {
		if (!loop_guard_step(&guard, next)) {
			list.incomplete = true;
			break;
		}
		error = visit(guest, &layout, (struct gva){next - layout.tasks.offset}, &list, &next);
	}
	if (error && error->code == ERROR_NO_MEMORY) {
		guest_process_list_deinit(&list);
		return error;
	}
	if (error) {
		error_destroy(error);
		list.incomplete = true;
	}
	*ret = list;
	return NULL;
}

void guest_process_list_deinit(struct guest_process_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		process_deinit(&list->items[i]);
	free(list->items);
	*list = (struct guest_process_list){0};
}
