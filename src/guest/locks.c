/* SPDX-License-Identifier: Apache-2.0 */
/* Every lock on a file, as /proc/locks lists them: the list of each CPU, and who waits for what is in it. */
#include <stdlib.h>

#include "guest/containers.h"
#include "guest/fds.h"

#define LOCK_OPEN_FILE UINT64_C(1024) /* FL_OFDLCK */
#define WAITERS_DEPTH  8u             /* who waits for who waits … */

struct locks {
	const struct lock_layout *layout;
	const struct fd_layout *files;
	const struct path_layout *paths;
	unsigned level;
	uint32_t number;
	struct guest_lock_list list;
};

/* What all locks have in common is in a structure of its own since 6.9 (a69ce85ec9af). */
static struct error *load_layout(struct guest *guest, struct lock_layout *ret)
{
	bool core = types_find(guest->types, "file_lock", "c").present;
	const struct member_need needs[] = {
		{"file_lock", core ? "c.flc_list" : "fl_list", &ret->inode_link},
		{"file_lock", core ? "c.flc_link" : "fl_link", &ret->link},
		{"file_lock", core ? "c.flc_blocked_requests" : "fl_blocked_requests", &ret->blocked},
		{"file_lock", core ? "c.flc_blocked_member" : "fl_blocked_member", &ret->waiter},
		{"file_lock", core ? "c.flc_owner" : "fl_owner", &ret->owner},
		{"file_lock", core ? "c.flc_flags" : "fl_flags", &ret->flags},
		{"file_lock", core ? "c.flc_type" : "fl_type", &ret->type},
		{"file_lock", core ? "c.flc_pid" : "fl_pid", &ret->pid},
		{"file_lock", core ? "c.flc_file" : "fl_file", &ret->file},
		{"file_lock", "fl_start", &ret->start},
		{"file_lock", "fl_end", &ret->end},
	};

	return types_need(guest->types, needs, ARRAY_SIZE(needs));
}

DEFINE_LAYOUT_GET(, lock_layout_get, lock_layout, locks, load_layout)

struct error *lock_read(struct guest *guest, const struct lock_layout *layout, struct gva lock,
			struct guest_file_lock *ret, uint64_t *ret_file, uint64_t *ret_owner)
{
	uint64_t flags, type, pid, start, end;
	const struct member_read reads[] = {{&layout->flags, &flags},   {&layout->type, &type},
					    {&layout->pid, &pid},       {&layout->start, &start},
					    {&layout->end, &end},       {&layout->file, ret_file},
					    {&layout->owner, ret_owner}};
	struct error *error = guest_read_members(guest, lock, reads, ARRAY_SIZE(reads));

	if (error)
		return error;
	ret->flags = flags;
	ret->type = (uint8_t)type;
	ret->pid = flags & LOCK_OPEN_FILE ? -1 : (int32_t)(uint32_t)pid;
	ret->start = (int64_t)start;
	ret->end = (int64_t)end;
	return NULL;
}

static struct error *read_file(struct guest *guest, const struct locks *locks, uint64_t file,
			       struct guest_file_lock *ret)
{
	struct file_facts facts;
	struct error *error = file_read(guest, locks->paths, file, &facts);

	if (error)
		return error;
	ret->inode = facts.number;
	return fd_device(guest, locks->files, facts.inode, &ret->device);
}

static struct error *visit(struct guest *guest, struct gva lock, void *context)
{
	struct locks *locks = context;
	struct guest_lock_list *list = &locks->list;
	struct guest_file_lock one = {.waits = locks->level};
	uint64_t file, owner;
	struct error *error = lock_read(guest, locks->layout, lock, &one, &file, &owner);

	if (!error)
		error = read_file(guest, locks, file, &one);
	if (!error && list->n >= FD_ITEMS_MAX)
		error = error_format(NULL, lock.v, "more than %u locks", FD_ITEMS_MAX);
	if (!error)
		error = array_room(&list->items, list->n, sizeof(*list->items));
	if (error)
		return error;
	one.number = locks->level ? locks->number : ++locks->number;
	list->items[list->n++] = one;
	if (locks->level >= WAITERS_DEPTH)
		return NULL;
	locks->level++;
	error = list_walk(guest, (struct gva){lock.v + locks->layout->blocked.offset}, locks->layout->waiter.offset,
			  visit, locks);
	locks->level--;
	return error;
}

static struct error *walk_cpus(struct guest *guest, struct locks *locks, struct gva variable)
{
	struct member head;
	struct cpu_sets cpus;
	struct error *error =
		types_need(guest->types, &(struct member_need){"file_lock_list_struct", "hlist", &head}, 1);

	if (!error)
		error = cpu_sets_load(guest, &cpus);
	if (error)
		return error;
	for_each_cpu(cpu, cpus.possible_set) {
		struct gva base;

		error = guest_percpu(guest, variable, cpu, &base);
		if (!error)
			error = hlist_walk(guest, (struct gva){base.v + head.offset}, locks->layout->link.offset, visit,
					   locks);
		if (error)
			return error;
	}
	return NULL;
}

static struct error *load(struct guest *guest, struct locks *locks)
{
	struct error *error = lock_layout_get(guest, &locks->layout);

	if (!error)
		error = fd_layout_get(guest, &locks->files);
	return error ? error : path_layout_get(guest, &locks->paths);
}

struct error *guest_file_locks(struct guest *guest, struct guest_lock_list *ret)
{
	struct locks locks = {0};
	struct gva variable;
	struct error *error = symbols_get(guest->symbols, "file_lock_list", &variable);

	guest_effort_begin(guest);
	if (!error)
		error = load(guest, &locks);
	if (!error)
		error = walk_note(&locks.list.incomplete, walk_cpus(guest, &locks, variable));
	if (error) {
		guest_lock_list_deinit(&locks.list);
		return error_wrap(error, "the guest's file locks");
	}
	locks.list.incomplete = error_wrap(locks.list.incomplete, "the guest's file locks");
	*ret = locks.list;
	return NULL;
}

void guest_lock_list_deinit(struct guest_lock_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_lock_list){0};
}
