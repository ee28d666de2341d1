/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: how far it is, and the tasks in the middle of a change of a file system. task_struct.journal_info is not
 * NULL while a handle is open.
 */
#include "guest/containers.h"
#include "guest/newer.h"
#include "guest/task.h"
#include "guest/vfs.h"

struct changes_walk {
	const struct process_layout *layout;
	struct member journal;
	uint64_t n, threads;
};

static struct error *visit_thread(struct guest *guest, struct gva task, void *context)
{
	struct changes_walk *walk = context;
	uint64_t handle;
	struct error *error = guest_read_member(guest, task, &walk->journal, &handle);

	if (!error && walk->threads++ > walk->layout->tasks_max)
		error = error_format(NULL, task.v, "more threads than fit into the guest's memory");
	if (!error)
		walk->n += handle != 0;
	return error;
}

static struct error *visit_process(struct guest *guest, struct gva task, void *context)
{
	struct changes_walk *walk = context;
	uint64_t signal;
	struct error *error = guest_read_member(guest, task, &walk->layout->task.signal, &signal);

	if (error)
		return error;
	return list_walk(guest, (struct gva){signal + walk->layout->signal.thread_head.offset},
			 walk->layout->task.thread_node.offset, visit_thread, walk);
}

struct error *guest_open_changes(struct guest *guest, uint64_t *ret)
{
	struct changes_walk walk = {0};
	struct gva init;
	struct error *error = process_layout_get(guest, &walk.layout);

	if (!error)
		error = types_need(guest->types, &(struct member_need){"task_struct", "journal_info", &walk.journal},
				   1);
	if (!error)
		error = symbols_get(guest->symbols, "init_task", &init);
	if (!error)
		error = list_walk(guest, (struct gva){init.v + walk.layout->task.tasks.offset},
				  walk.layout->task.tasks.offset, visit_process, &walk);
	if (!error)
		*ret = walk.n;
	return error_wrap(error, "changes of file systems in progress");
}

static struct error *find_journal(struct guest *guest, const struct guest_file_system *fs, uint64_t *ret)
{
	const struct types *types;
	const struct vfs_layout *vfs;
	struct member journal;
	uint64_t info;
	struct error *error = guest_module_types(guest, "ext4", &types);

	if (error)
		return error;
	journal = types_find(types, "ext4_sb_info", "s_journal");
	if (!journal.present)
		return NULL;
	error = vfs_layout_get(guest, &vfs);
	if (!error)
		error = guest_read_member(guest, (struct gva){fs->address}, &vfs->super_info, &info);
	return error ? error : guest_read_member(guest, (struct gva){info}, &journal, ret);
}

struct error *guest_journal(struct guest *guest, const struct guest_file_system *fs, struct guest_journal *ret)
{
	struct member head, first, last, committed;
	const struct types *types;
	struct guest_journal journal = {.known = true};
	uint64_t address = 0, number;
	const struct member_read reads[] = {
		{&head, &journal.head}, {&first, &journal.first}, {&last, &journal.end}, {&committed, &number}};
	struct error *error = find_journal(guest, fs, &address);

	if (!error)
		error = guest_module_types(guest, "jbd2", &types);
	if (error)
		return error_wrap(error, "the journal of %s", fs->id);
	head = types_find(types, "journal_s", "j_head");
	first = types_find(types, "journal_s", "j_first");
	last = types_find(types, "journal_s", "j_last");
	committed = types_find(types, "journal_s", "j_commit_sequence");
	if (!address || !head.present || !first.present || !last.present || !committed.present) {
		*ret = (struct guest_journal){0};
		return NULL;
	}
	error = guest_read_members(guest, (struct gva){address}, reads, ARRAY_SIZE(reads));
	if (error)
		return error_wrap(error, "the journal of %s", fs->id);
	journal.committed = (uint32_t)number;
	*ret = journal;
	return NULL;
}
