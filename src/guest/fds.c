/* SPDX-License-Identifier: Apache-2.0 */
/* Open files of a process: its descriptor table. */
#include <stdlib.h>
#include <string.h>

#include "guest/task.h"

#define FDS_MAX  (UINT64_C(1) << 20) /* what fs.nr_open allows unless somebody raises it */
#define BATCH    512u                /* descriptors read at once */
#define FD_STEPS 2u  /* what a descriptor costs, in steps up a path: a full table is within a walk's effort */
#define BAD_MAX  64u /* pointers that lead to no file: more mean that this is no table */

struct table {
	const struct process_layout *layout;
	uint64_t size;          /* descriptors, used and unused */
	uint64_t files;         /* address of the array of pointers */
	uint64_t close_on_exec; /* address of the bit map */
	size_t text_left;       /* bytes of paths that may still be kept */
	unsigned bad;
	struct guest_fd_list *list;
};

static struct error *load_table(struct guest *guest, uint64_t files, struct table *ret)
{
	const struct descriptor_members *m = &ret->layout->descriptors;
	uint64_t table = 0;
	const struct member_read reads[] = {
		{&m->size, &ret->size}, {&m->pointers, &ret->files}, {&m->close_on_exec, &ret->close_on_exec}};
	struct error *error = guest_read_member(guest, (struct gva){files}, &m->table, &table);

	return error ? error : guest_read_members(guest, (struct gva){table}, reads, ARRAY_SIZE(reads));
}

static struct error *read_file(struct guest *guest, struct table *table, struct guest_fd *fd)
{
	const struct path_layout *path = table->layout->path;
	struct file_facts facts;
	struct error *error = file_read(guest, path, fd->file, &facts);

	if (error)
		return error_wrap(error, "file descriptor %u", fd->fd);
	fd->flags = facts.flags;
	fd->position = facts.position;
	fd->inode = facts.number;
	error = place_path(guest, path, &facts.place, &fd->path);
	if (!error && fd->path && strlen(fd->path) > table->text_left) {
		free(take_ptr(fd->path));
		error = error_format(NULL, fd->file, "paths of more than %u MiB", TEXT_MAX >> 20);
	}
	if (!error && fd->path)
		table->text_left -= strlen(fd->path);
	return error_wrap(error, "file descriptor %u", fd->fd);
}

static struct error *append(struct guest *guest, struct table *table, uint32_t number, uint64_t file, bool cloexec)
{
	struct guest_fd_list *list = table->list;
	struct guest_fd *fd;
	struct error *error = guest_effort(guest, FD_STEPS, file);

	if (!error)
		error = array_room(&list->items, list->n, sizeof(*list->items));
	if (error)
		return error;
	fd = &list->items[list->n++];
	*fd = (struct guest_fd){.fd = number, .file = file, .close_on_exec = cloexec};
	error = read_file(guest, table, fd);
	return error && table->bad++ > BAD_MAX ? error : walk_note(&table->list->incomplete, error);
}

/* `n` descriptors from number `first` on, which is a multiple of BATCH. */
static struct error *read_batch(struct guest *guest, struct table *table, uint64_t first, size_t n)
{
	uint64_t files[BATCH], cloexec[BATCH / 64] = {0};
	struct error *error = guest_effort(guest, BATCH / 64, table->files + first * 8);

	if (!error)
		error = memory_read(&guest->memory, (struct gva){table->files + first * 8}, files, n * 8);

	/* The bit map is a multiple of a word. */
	if (!error)
		error = memory_read(&guest->memory, (struct gva){table->close_on_exec + first / 8}, cloexec,
				    (n + 63) / 64 * 8);
	for (size_t i = 0; !error && i < n; i++)
		if (files[i])
			error = append(guest, table, (uint32_t)(first + i), files[i], cloexec[i / 64] >> i % 64 & 1);
	return error;
}

struct error *guest_task_fds(struct guest *guest, uint64_t address, struct guest_fd_list *ret)
{
	_cleanup_(guest_fd_list_deinit) struct guest_fd_list list = {0};
	struct table table = {.list = &list, .text_left = TEXT_MAX};
	struct object task;
	uint64_t files;
	struct error *error = process_layout_get(guest, &table.layout);

	if (!error)
		error = task_read(guest, table.layout, address, &task);
	if (error)
		return error;
	files = object_get(&task, &table.layout->task.files);
	if (!files)
		return error_create(ERROR_NOT_FOUND, "the task is ending and has no open files any more");
	error = load_table(guest, files, &table);
	if (error)
		return error_wrap(error, "open files of a task");
	guest_effort_begin(guest);
	for (uint64_t first = 0; !error && first < table.size && first < FDS_MAX; first += BATCH)
		error = read_batch(guest, &table, first, table.size - first < BATCH ? table.size - first : BATCH);
	if (!error && table.size > FDS_MAX)
		error = error_format(NULL, files, "a table of %llu file descriptors", (unsigned long long)table.size);
	error = walk_note(&list.incomplete, error_wrap(error, "open files of a task"));
	if (error)
		return error;
	*ret = list;
	list = (struct guest_fd_list){0};
	return NULL;
}

void guest_fd_list_deinit(struct guest_fd_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].path);
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_fd_list){0};
}
