/* SPDX-License-Identifier: Apache-2.0 */
/* The files of processes in /proc, of two real kernels: their formats, and that one file agrees with the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "image/image.h"
#include "shadow/proc/process.h"

struct kernel {
	struct image *image;
	struct guest *guest;
	struct guest_task_list tasks;
	struct proc_facts facts;
};

static int open_kernel(const char *path, void **state)
{
	struct kernel *kernel = calloc(1, sizeof(*kernel));

	assert_non_null(kernel);
	assert_null(image_open(path, NULL, &kernel->image));
	assert_null(guest_open(kernel->image, NULL, &kernel->guest));
	assert_null(guest_tasks(kernel->guest, GUEST_THREADS, &kernel->tasks));
	kernel->facts.guest = kernel->guest;
	kernel->facts.tasks = &kernel->tasks;
	*state = kernel;
	return 0;
}

static int open_old(void **state)
{
	return open_kernel(DATA "/kernel-5.10.core.zst", state);
}

static int open_new(void **state)
{
	return open_kernel(DATA "/kernel-7.2.core.zst", state);
}

static int close_kernel(void **state)
{
	struct kernel *kernel = *state;

	guest_task_list_deinit(&kernel->tasks);
	guest_close(kernel->guest);
	image_close(kernel->image);
	free(kernel);
	return 0;
}

/* NULL: the file does not exist. */
static char *read_file(const struct kernel *kernel, const struct guest_task *task, const char *name, bool thread)
{
	const struct proc_task_file *file = proc_task_files;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct error *error;

	while (file->name && strcmp(file->name, name) != 0)
		file++;
	assert_non_null(file->name);
	assert_non_null(out);
	error = thread && file->write_thread ? file->write_thread(&kernel->facts, task, out)
					     : file->write(&kernel->facts, task, out);
	fclose(out);
	if (!error)
		return text;
	free(text);
	error_destroy(error);
	return NULL;
}

static const struct guest_task *init_of(const struct kernel *kernel)
{
	const struct guest_task *task = proc_find_task(&kernel->facts, 1);

	assert_non_null(task);
	return task;
}

static size_t count(const char *text, char c)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == c;
	return n;
}

/* The number behind the line's name in status and its like. */
static unsigned long long line_number(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	assert_non_null(line);
	return strtoull(line + strlen(name), NULL, 0);
}

static void stat_has_all_fields(void **state)
{
	const struct kernel *kernel = *state;

	for (size_t i = 0; i < kernel->tasks.n; i++) {
		const struct guest_task *task = &kernel->tasks.items[i];

		for (int thread = 0; thread < 2; thread++) {
			_cleanup_(free_ptr) char *text = read_file(kernel, task, "stat", thread);
			const char *tail;

			assert_non_null(text);
			assert_int_equal(strtoul(text, NULL, 10), task->pid);
			tail = strrchr(text, ')');
			assert_non_null(tail);
			/* Behind the name: 50 of the 52 fields, each after a blank. */
			assert_int_equal(count(tail, ' '), 50);
			assert_int_equal(tail[2], task->state);
		}
	}
}

static void threads_are_told_apart(void **state)
{
	const struct kernel *kernel = *state;
	bool differs = false;

	for (size_t i = 0; i < kernel->tasks.n; i++) {
		const struct guest_task *task = &kernel->tasks.items[i];
		_cleanup_(free_ptr) char *process = read_file(kernel, task, "stat", false);
		_cleanup_(free_ptr) char *thread = read_file(kernel, task, "stat", true);

		assert_non_null(process);
		assert_non_null(thread);
		if (task->n_threads > 1 && task->pid == task->tgid)
			differs |= strcmp(process, thread) != 0;
		if (task->pid != task->tgid)
			assert_string_equal(process, thread);
	}
	assert_true(differs);
}

static void sizes_agree(void **state)
{
	const struct kernel *kernel = *state;
	const struct guest_task *task = init_of(kernel);
	_cleanup_(free_ptr) char *status = read_file(kernel, task, "status", false);
	_cleanup_(free_ptr) char *statm = read_file(kernel, task, "statm", false);
	_cleanup_(free_ptr) char *rollup = read_file(kernel, task, "smaps_rollup", false);
	char *rest = statm;
	unsigned long long total, resident;

	assert_non_null(status);
	assert_non_null(rollup);
	assert_non_null(statm);
	total = strtoull(rest, &rest, 10);
	resident = strtoull(rest, &rest, 10);
	assert_true(total > 0 && resident > 0);
	assert_int_equal(line_number(status, "\nVmSize:\t"), total * 4);
	assert_int_equal(line_number(status, "\nVmRSS:\t"), resident * 4);
	/* Counted by page tables what the kernel counted as they were filled. */
	assert_in_range(line_number(rollup, "\nRss:"), resident * 4 - resident / 4, resident * 4 + resident / 4);
}

static void shares_are_parts(void **state)
{
	const struct kernel *kernel = *state;
	_cleanup_(free_ptr) char *rollup = read_file(kernel, init_of(kernel), "smaps_rollup", false);
	unsigned long long parts;

	assert_non_null(rollup);
	parts = line_number(rollup, "\nShared_Clean:") + line_number(rollup, "\nShared_Dirty:") +
		line_number(rollup, "\nPrivate_Clean:") + line_number(rollup, "\nPrivate_Dirty:");
	assert_int_equal(parts, line_number(rollup, "\nRss:"));
	assert_true(line_number(rollup, "\nPss:") <= parts);
}

static void kernel_threads_have_no_memory(void **state)
{
	const struct kernel *kernel = *state;
	const struct guest_task *task = proc_find_task(&kernel->facts, 2);
	_cleanup_(free_ptr) char *status = read_file(kernel, task, "status", false);
	_cleanup_(free_ptr) char *statm = read_file(kernel, task, "statm", false);
	_cleanup_(free_ptr) char *maps = read_file(kernel, task, "maps", false);
	char *exe = NULL;
	struct error *error;

	assert_string_equal(statm, "0 0 0 0 0 0 0\n");
	assert_string_equal(maps, "");
	assert_null(strstr(status, "VmRSS"));
	assert_non_null(strstr(status, "Name:\tkthreadd\n"));
	assert_null(read_file(kernel, task, "smaps_rollup", false));
	for (const struct proc_task_link *link = proc_task_links; link->name; link++) {
		if (strcmp(link->name, "exe") != 0)
			continue;
		error = link->read(&kernel->facts, task, &exe);
		assert_non_null(error);
		assert_int_equal(error->code, ERROR_NOT_FOUND);
		error_destroy(error);
	}
}

static void mounts_agree(void **state)
{
	const struct kernel *kernel = *state;
	_cleanup_(free_ptr) char *mounts = read_file(kernel, init_of(kernel), "mounts", false);
	_cleanup_(free_ptr) char *info = read_file(kernel, init_of(kernel), "mountinfo", false);
	_cleanup_(free_ptr) char *stats = read_file(kernel, init_of(kernel), "mountstats", false);

	assert_int_equal(count(mounts, '\n'), count(info, '\n'));
	assert_int_equal(count(mounts, '\n'), count(stats, '\n'));
	/* The guest of the test has a mount of that name. */
	assert_non_null(strstr(mounts, "/mnt/odd\\040\\134\\040dir "));
	assert_non_null(strstr(info, "odd\\011name"));
	assert_non_null(strstr(info, " - tmpfs "));
}

static void one_sleeper_waits(void **state)
{
	const struct kernel *kernel = *state;
	_cleanup_(free_ptr) char *wchan = read_file(kernel, init_of(kernel), "wchan", false);
	_cleanup_(free_ptr) char *stack = read_file(kernel, init_of(kernel), "stack", false);
	_cleanup_(free_ptr) char *call = read_file(kernel, init_of(kernel), "syscall", false);

	assert_non_null(stack);
	/* init waits for its children: wait4(2). */
	assert_non_null(strstr(stack, "[<0>] do_wait+0x"));
	assert_non_null(strstr(stack, "entry_SYSCALL_64_after_hwframe+0x"));
	assert_int_equal(strtol(call, NULL, 10), 61);
	/* Kernels before 5.16 looked for frame pointers that they had not. */
	assert_true(strcmp(wchan, "do_wait") == 0 || strcmp(wchan, "0") == 0);
}

/* Addresses that are of no task: an error or a text, never more. */
static void no_task(void **state)
{
	const struct kernel *kernel = *state;
	const uint64_t addresses[] = {0, 1, UINT64_MAX - 8, UINT64_C(0xffff888000000000), init_of(kernel)->address + 8};

	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		struct guest_task task = *init_of(kernel);

		task.address = addresses[i];
		for (const struct proc_task_file *file = proc_task_files; file->name; file++)
			free(read_file(kernel, &task, file->name, file->thread_only));
	}
}

static void escapes(void **state)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	proc_write_escaped(out, "a b\tc\\d#\n\xff", " \t\n\\#");
	fclose(out);
	assert_string_equal(text, "a\\040b\\011c\\134d\\043\\012\xff");
}

#define BOTH(function)                                                                                                 \
	cmocka_unit_test_setup_teardown(function, open_old, close_kernel),                                             \
		cmocka_unit_test_setup_teardown(function, open_new, close_kernel)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(stat_has_all_fields),
		BOTH(threads_are_told_apart),
		BOTH(sizes_agree),
		BOTH(shares_are_parts),
		BOTH(kernel_threads_have_no_memory),
		BOTH(mounts_agree),
		BOTH(one_sleeper_waits),
		BOTH(no_task),
		cmocka_unit_test(escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
