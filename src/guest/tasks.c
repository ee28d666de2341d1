/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over processes, the circular list of thread group leaders that begins at init_task, and their threads. */
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/task.h"

#define PID_LIMIT    (UINT64_C(1) << 22) /* PID_MAX_LIMIT */

/* Cgroups of many tasks are the same few: those met before, by address of their css_set. */
#define CGROUPS_KEPT 256u

/* What the threads of one process share. */
struct mm_facts {
	uint64_t mm; /* of which mm_struct; 0: none yet */
	uint64_t virtual_size, resident_size;
	struct guest_bytes cmdline;
	char *exe;
};

struct walk {
	const struct process_layout *layout;
	enum guest_task_which which;
	struct guest_task_list *list;
	size_t budget;                  /* bytes of text that may still be kept */
	uint64_t threads;               /* met in the lists of processes */
	struct object task, signal, mm; /* the ones at hand; here since they are too large for the stack of many */
	struct mm_facts shared;
	struct {
		uint64_t css_set;
		char *path;
	} cgroups[CGROUPS_KEPT];
};

struct error *task_read(struct guest *guest, const struct process_layout *layout, uint64_t address, struct object *ret)
{
	struct error *error = object_load(guest, layout->task.span, address, ret);
	uint64_t pid, tgid;

	if (error)
		return error_wrap(error, "a task");
	pid = object_get(ret, &layout->task.pid);
	tgid = object_get(ret, &layout->task.tgid);
	if (pid > PID_LIMIT || tgid > PID_LIMIT)
		return error_format(NULL, address, "0x%llx is no task: its id is %llu", (unsigned long long)address,
				    (unsigned long long)pid);
	return NULL;
}

uint64_t task_mm(const struct process_layout *layout, const struct object *task)
{
	return object_get(task, &layout->task.flags) & PF_KTHREAD ? 0 : object_get(task, &layout->task.mm);
}

/* Copies bytes that several tasks share, and a NUL behind them; NULL stays NULL. */
static struct error *copy_bytes(struct walk *walk, const void *data, size_t size, char **ret)
{
	char *copy;

	if (!data)
		return NULL;
	if (size >= walk->budget)
		return walk_note(&walk->list->incomplete,
				 error_format(NULL, ERROR_NO_ADDRESS, "command lines and paths of more than %u MiB",
					      TEXT_MAX >> 20));
	copy = malloc(size + 1);
	if (!copy)
		return error_no_memory();
	memcpy(copy, data, size);
	copy[size] = '\0';
	walk->budget -= size + 1;
	*ret = copy;
	return NULL;
}

static struct error *copy_text(struct walk *walk, const char *text, char **ret)
{
	return copy_bytes(walk, text, text ? strlen(text) : 0, ret);
}

/* Every thread is of one process: more than there can be in all means that lists are shared. */
static struct error *count_thread(struct walk *walk, uint64_t address)
{
	if (walk->threads++ > walk->layout->tasks_max)
		return error_format(NULL, address, "more threads than fit into the guest's memory");
	return NULL;
}

/* ---- Memory of the process ---- */

static void mm_facts_clear(struct mm_facts *facts)
{
	free(facts->cmdline.data);
	free(facts->exe);
	*facts = (struct mm_facts){0};
}

static uint64_t resident_pages(const struct object *mm, const struct mm_members *m)
{
	uint64_t pages = 0;

	/* A counter can be below zero for a moment: get_mm_counter() shows that as zero. */
	for (size_t i = 0; i < ARRAY_SIZE(m->rss); i++) {
		int64_t count = (int64_t)object_get(mm, &m->rss[i]);

		pages += count > 0 ? (uint64_t)count : 0;
	}
	return pages;
}

static struct error *load_mm_facts(struct guest *guest, struct walk *walk, uint64_t address)
{
	const struct mm_members *m = &walk->layout->mm;
	struct mm_facts *facts = &walk->shared;
	struct error *error;
	uint64_t exe;

	mm_facts_clear(facts);
	facts->mm = address;
	error = object_load(guest, m->span, address, &walk->mm);
	if (error)
		return walk_note(&walk->list->incomplete, error_wrap(error, "memory of a process"));
	facts->virtual_size = object_get(&walk->mm, &m->total_vm) * PAGE_SIZE;
	facts->resident_size = resident_pages(&walk->mm, m) * PAGE_SIZE;
	exe = object_get(&walk->mm, &m->exe_file);
	if (exe)
		error = walk_note(&walk->list->incomplete,
				  file_path(guest, walk->layout->path, (struct gva){exe}, &facts->exe));
	if (!error)
		error = walk_note(&walk->list->incomplete,
				  command_line(guest, walk->layout, &walk->mm, walk->budget, &facts->cmdline));
	return error;
}

static struct error *memory_fields(struct guest *guest, struct walk *walk, struct guest_task *item)
{
	uint64_t address = task_mm(walk->layout, &walk->task);
	const struct mm_facts *facts = &walk->shared;
	struct error *error = NULL;

	if (!address)
		return NULL;
	if (facts->mm != address)
		error = load_mm_facts(guest, walk, address);
	if (error)
		return error;
	item->virtual_size = facts->virtual_size;
	item->resident_size = facts->resident_size;
	error = copy_bytes(walk, facts->cmdline.data, facts->cmdline.size, &item->cmdline.data);
	if (item->cmdline.data)
		item->cmdline.size = facts->cmdline.size;
	return error ? error : copy_text(walk, facts->exe, &item->exe);
}

/* ---- What a task refers to ---- */

static struct error *cgroup_field(struct guest *guest, struct walk *walk, struct guest_task *item)
{
	uint64_t css_set = object_get(&walk->task, &walk->layout->task.css_set);
	bool exiting = object_get(&walk->task, &walk->layout->task.flags) & PF_EXITING;
	/* Allocated in units of 64 bytes and more. */
	size_t slot = css_set / 64 % CGROUPS_KEPT;
	char *path = NULL;
	struct error *error;

	if (exiting)
		return walk_note(&walk->list->incomplete,
				 cgroup_path(guest, &walk->layout->cgroup, (struct gva){css_set}, true, &item->cgroup));
	if (walk->cgroups[slot].css_set == css_set && css_set)
		return copy_text(walk, walk->cgroups[slot].path, &item->cgroup);
	error = cgroup_path(guest, &walk->layout->cgroup, (struct gva){css_set}, false, &path);
	if (error)
		return walk_note(&walk->list->incomplete, error);
	free(walk->cgroups[slot].path);
	walk->cgroups[slot].css_set = css_set;
	walk->cgroups[slot].path = path;
	return copy_text(walk, path, &item->cgroup);
}

static struct error *parent_field(struct guest *guest, struct walk *walk, struct guest_task *item)
{
	uint64_t parent = object_get(&walk->task, &walk->layout->task.parent), tgid = 0;
	struct error *error = NULL;

	if (parent)
		error = guest_read_member(guest, (struct gva){parent}, &walk->layout->task.tgid, &tgid);
	item->ppid = (uint32_t)tgid;
	return walk_note(&walk->list->incomplete, error_wrap(error, "parent of process %u", item->pid));
}

/* Sums up the CPU times of a process's threads, those that are there. */
struct sum {
	struct walk *walk;
	struct cpu_times times;
	struct object thread;
};

static struct error *add_thread(struct guest *guest, struct gva address, void *context)
{
	struct sum *sum = context;
	const struct process_layout *layout = sum->walk->layout;
	struct error *error = count_thread(sum->walk, address.v);
	struct cpu_times times;

	if (!error)
		error = task_read(guest, layout, address.v, &sum->thread);
	if (error)
		return error;
	times = times_get(&sum->thread, &layout->task.times);
	sum->times.user += times.user;
	sum->times.system += times.system;
	sum->times.runtime += times.runtime;
	return NULL;
}

/* Of a process: of all its threads and those that have ended. */
static struct error *process_times(struct guest *guest, struct walk *walk, struct guest_task *item)
{
	const struct process_layout *layout = walk->layout;
	const struct object *signal = &walk->signal;
	struct cpu_times own = times_get(&walk->task, &layout->task.times);
	_cleanup_(free_ptr) struct sum *sum = calloc(1, sizeof(*sum));
	struct error *error = NULL;

	if (!sum)
		return error_no_memory();
	sum->walk = walk;
	sum->times = times_get(signal, &layout->signal.times);
	if (item->n_threads > 1) {
		error = list_walk(guest, object_place(signal, &layout->signal.thread_head),
				  layout->task.thread_node.offset, add_thread, sum);
	} else {
		sum->times.user += own.user;
		sum->times.system += own.system;
		sum->times.runtime += own.runtime;
	}
	times_adjust(signal, &layout->signal.times, &sum->times, item);
	return walk_note(&walk->list->incomplete, error_wrap(error, "CPU times of process %u", item->pid));
}

static struct error *group_fields(struct guest *guest, struct walk *walk, struct guest_task *item)
{
	const struct process_layout *layout = walk->layout;
	struct cpu_times own = times_get(&walk->task, &layout->task.times);
	struct error *error;

	error = walk_note(&walk->list->incomplete, task_group_fields(guest, layout, &walk->signal, item));
	if (error)
		return error;
	if (item->pid == item->tgid)
		return process_times(guest, walk, item);
	times_adjust(&walk->task, &layout->task.times, &own, item);
	return NULL;
}

/* ---- The walk ---- */

static void task_deinit(struct guest_task *task)
{
	free(task->cmdline.data);
	free(task->exe);
	free(task->cgroup);
}

static struct error *reserve(struct walk *walk)
{
	if (walk->list->n > walk->layout->tasks_max)
		return error_format(NULL, ERROR_NO_ADDRESS, "more tasks than fit into the guest's memory");
	return array_room(&walk->list->items, walk->list->n, sizeof(*walk->list->items));
}

/* Makes an item of the task at hand, with what can be read of it. */
static struct error *append(struct guest *guest, struct walk *walk)
{
	struct guest_task *item;
	struct error *error = reserve(walk);

	if (error)
		return error;
	item = &walk->list->items[walk->list->n++];
	*item = (struct guest_task){0};
	task_plain_fields(walk->layout, &walk->task, item);
	error = walk_note(&walk->list->incomplete, task_credentials(guest, walk->layout, &walk->task, item));
	if (!error)
		error = parent_field(guest, walk, item);
	if (!error)
		error = walk_note(&walk->list->incomplete, task_comm(guest, walk->layout, &walk->task, item->comm));
	if (!error)
		error = group_fields(guest, walk, item);
	if (!error)
		error = cgroup_field(guest, walk, item);
	if (!error)
		error = memory_fields(guest, walk, item);
	return error;
}

static struct error *visit_thread(struct guest *guest, struct gva address, void *context)
{
	struct walk *walk = context;
	const struct task_members *m = &walk->layout->task;
	struct error *error = count_thread(walk, address.v);

	if (!error)
		error = task_read(guest, walk->layout, address.v, &walk->task);
	if (error)
		return error;
	if (object_get(&walk->task, &m->signal) != walk->signal.address.v)
		return error_format(NULL, address.v, "a thread in the list of another process");
	/* The process itself stands in its own list. */
	if (object_get(&walk->task, &m->pid) == object_get(&walk->task, &m->tgid))
		return NULL;
	return append(guest, walk);
}

static struct error *visit_process(struct guest *guest, struct gva address, void *context)
{
	struct walk *walk = context;
	const struct process_layout *layout = walk->layout;
	struct error *error = task_read(guest, layout, address.v, &walk->task);

	if (!error)
		error = object_load(guest, layout->signal.span, object_get(&walk->task, &layout->task.signal),
				    &walk->signal);
	if (error)
		return walk_note(&walk->list->incomplete, error);
	error = append(guest, walk);
	if (error || walk->which != GUEST_THREADS || object_get(&walk->signal, &layout->signal.n_threads) <= 1)
		return error;
	error = list_walk(guest, object_place(&walk->signal, &layout->signal.thread_head),
			  layout->task.thread_node.offset, visit_thread, walk);
	return walk_note(&walk->list->incomplete, error);
}

static int compare_pids(const void *a, const void *b)
{
	const struct guest_task *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static void walk_destroy(struct walk *walk)
{
	mm_facts_clear(&walk->shared);
	for (size_t i = 0; i < CGROUPS_KEPT; i++)
		free(walk->cgroups[i].path);
	free(walk);
}
DEFINE_CLEANUP(struct walk *, walk_destroy)

struct error *guest_tasks(struct guest *guest, enum guest_task_which which, struct guest_task_list *ret)
{
	_cleanup_(guest_task_list_deinit) struct guest_task_list list = {0};
	_cleanup_(walk_destroy_ptr) struct walk *walk = calloc(1, sizeof(*walk));
	struct gva init;
	struct error *error;

	if (!walk)
		return error_no_memory();
	walk->which = which;
	walk->list = &list;
	walk->budget = TEXT_MAX;
	guest_effort_begin(guest);
	error = process_layout_get(guest, &walk->layout);
	if (!error)
		error = symbols_get(guest->symbols, "init_task", &init);
	if (error)
		return error_wrap(error, "the guest's processes");
	error = list_walk(guest, (struct gva){init.v + walk->layout->task.tasks.offset},
			  walk->layout->task.tasks.offset, visit_process, walk);
	error = walk_note(&walk->list->incomplete, error);
	if (error)
		return error;
	if (list.n > 0)
		qsort(list.items, list.n, sizeof(*list.items), compare_pids);
	*ret = list;
	list = (struct guest_task_list){0};
	return NULL;
}

const struct guest_task *guest_task_list_find(const struct guest_task_list *list, uint32_t pid)
{
	const struct guest_task key = {.pid = pid};

	return list->n > 0 ? bsearch(&key, list->items, list->n, sizeof(*list->items), compare_pids) : NULL;
}

void guest_task_list_deinit(struct guest_task_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		task_deinit(&list->items[i]);
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_task_list){0};
}
