/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines and environments: they lie in the memory of the process, at its own page tables. A page that is swapped
 * out is not in the image; what needs it is then unknown.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/task.h"

/* Three quarters of the largest stack that exec(2) gives to arguments and environment together (_STK_LIM). */
#define ARGUMENTS_MAX (6u << 20)

struct range {
	uint64_t start, end;
};

/* Reads the range page by page, so that no more is allocated than is there. */
static struct error *read_range(struct memory *memory, const struct range *range, struct guest_bytes *ret)
{
	_cleanup_(free_ptr) char *data = NULL;
	size_t size = 0, room = 0, wanted = range->end - range->start;

	do {
		size_t n = PAGE_SIZE - (range->start + size) % PAGE_SIZE;
		struct error *error;

		if (n > wanted - size)
			n = wanted - size;
		if (size + n >= room) {
			char *larger;

			room = room ? room * 2 : 2 * PAGE_SIZE;
			larger = realloc(data, room);
			if (!larger)
				return error_no_memory();
			data = larger;
		}
		error = memory_read(memory, (struct gva){range->start + size}, data + size, n);
		if (error)
			return error;
		size += n;
	} while (size < wanted);
	data[size] = '\0'; /* for whoever looks at it in a debugger; not counted */
	ret->size = size;
	ret->data = take_ptr(data);
	return NULL;
}

/*
 * A process that overwrote its arguments (setproctitle) left no NUL at their end: then they go on to the first NUL,
 * over the environment if that follows, within one page (get_mm_proctitle()).
 */
static struct error *read_title(struct memory *memory, uint64_t start, struct guest_bytes *ret)
{
	char page[PAGE_SIZE];
	size_t size = 0;
	const char *end;

	while (size < sizeof(page)) {
		size_t n = PAGE_SIZE - (start + size) % PAGE_SIZE;
		struct error *error;

		if (n > sizeof(page) - size)
			n = sizeof(page) - size;
		error = memory_read(memory, (struct gva){start + size}, page + size, n);
		if (error && size == 0)
			return error;
		if (error) {
			error_destroy(error);
			break; /* behind the stack */
		}
		size += n;
	}
	end = memchr(page, '\0', size);
	ret->data = malloc(sizeof(page));
	if (!ret->data)
		return error_no_memory();
	ret->size = end ? (size_t)(end - page) + 1 : size;
	memcpy(ret->data, page, ret->size);
	return NULL;
}

/* An absent page means that the bytes are unknown, which is no failure. */
static struct error *unknown_if_absent(struct error *error)
{
	if (!error || error->code == ERROR_NO_MEMORY)
		return error;
	error_destroy(error);
	return NULL;
}

struct error *command_bytes(struct memory *memory, const struct process_layout *layout, const struct object *mm,
			    size_t max, struct guest_bytes *ret)
{
	const struct mm_members *m = &layout->mm;
	const struct range range = {object_get(mm, &m->arg_start), object_get(mm, &m->arg_end)};
	struct guest_bytes bytes = {0};
	uint8_t last;
	struct error *error;

	if (range.start >= range.end || !object_get(mm, &m->env_end)) {
		ret->data = calloc(1, 1);
		return ret->data ? NULL : error_no_memory();
	}
	if (range.end - range.start > ARGUMENTS_MAX || range.end - range.start > max)
		return error_format(NULL, range.start, "a command line of %llu bytes",
				    (unsigned long long)(range.end - range.start));
	error = memory_read(memory, (struct gva){range.end - 1}, &last, 1);
	if (!error && last)
		error = read_title(memory, range.start, &bytes);
	else if (!error)
		error = read_range(memory, &range, &bytes);
	if (error)
		return unknown_if_absent(error);
	*ret = bytes;
	return NULL;
}

struct error *command_line(struct guest *guest, const struct process_layout *layout, const struct object *mm,
			   size_t max, struct guest_bytes *ret)
{
	struct memory memory;
	struct error *error = guest_user_memory(guest, mm->address, &memory);

	return error ? error : command_bytes(&memory, layout, mm, max, ret);
}

struct error *guest_task_environ(struct guest *guest, uint64_t address, struct guest_bytes *ret)
{
	const struct process_layout *layout;
	struct object task, mm;
	struct memory memory;
	struct range range;
	struct error *error = process_layout_get(guest, &layout);

	if (!error)
		error = task_read(guest, layout, address, &task);
	if (error)
		return error;
	if (!task_mm(layout, &task))
		return error_create(ERROR_NOT_FOUND, "the task has no memory of its own, so no environment");
	error = object_load(guest, layout->mm.span, task_mm(layout, &task), &mm);
	if (error)
		return error;
	range.start = object_get(&mm, &layout->mm.env_start);
	range.end = object_get(&mm, &layout->mm.env_end);
	if (range.start >= range.end) {
		struct guest_bytes none = {.data = calloc(1, 1)};

		*ret = none;
		return none.data ? NULL : error_no_memory();
	}
	if (range.end - range.start > ARGUMENTS_MAX)
		return error_format(NULL, range.start, "an environment of %llu bytes",
				    (unsigned long long)(range.end - range.start));
	error = guest_user_memory(guest, mm.address, &memory);
	if (!error)
		error = read_range(&memory, &range, ret);
	return error_wrap(error, "environment of process %llu",
			  (unsigned long long)object_get(&task, &layout->task.tgid));
}
