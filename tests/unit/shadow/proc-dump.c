/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For developers and tests: proc-dump [--time] [--records] IMAGE [PATH]...  prints what the files of the guest's /proc
 * hold (PATH is below /proc: "version", "net/tcp", "1/stat", "1/task/1/status", "1/fdinfo/3"; of a link its target).
 * Without a path: lists what exists.
 *
 * --time: on standard error, how long each took.
 * --records: in the form of tests/vm/guest/collect.c, errors too; without a path of all files of all tasks.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "guest/guest.h"
#include "image/image.h"
#include "shadow/proc/proc.h"

static const struct proc_file *const tables[] = {proc_system_files, proc_device_files, proc_net_files};

static bool show_time, as_records;

static struct error *no_file(const char *path)
{
	return error_create(ERROR_NOT_FOUND, "there is no /proc/%s", path);
}

/* --- of the whole system --- */

static struct proc_sysctls *sysctls; /* of the guest, read when first asked for */

/* `name` is below sys/. */
static struct error *dump_sysctl(const struct proc_facts *facts, const char *name, FILE *out)
{
	struct error *error = sysctls ? NULL : proc_sysctls_create(facts, &sysctls);
	const struct proc_sysctl *found = error ? NULL : proc_sysctls_find(sysctls, name);

	if (found)
		proc_sysctl_write(found, out);
	return error || found ? error : no_file(name);
}

static struct error *dump_global(const struct proc_facts *facts, const char *path, FILE *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		for (const struct proc_file *file = tables[i]; file->path; file++)
			if (!strcmp(file->path, path))
				return file->write(facts, out);
	if (strncmp(path, "sys/", 4) == 0)
		return dump_sysctl(facts, path + 4, out);
	return no_file(path);
}

static void list_global(const struct proc_facts *facts)
{
	_cleanup_(fclose_ptr) FILE *null = fopen("/dev/null", "we");

	for (size_t i = 0; null && i < ARRAY_SIZE(tables); i++) {
		for (const struct proc_file *file = tables[i]; file->path; file++) {
			_cleanup_(error_destroy_ptr) struct error *error = file->write(facts, null);

			if (error)
				printf("%-32s -    %s\n", file->path, error->message);
			else
				printf("%-32s %04o%s\n", file->path, file->mode, file->live ? " live" : "");
		}
	}
	for (const struct proc_task_file *file = proc_task_files; file->name; file++)
		printf("PID/%-28s %04o%s\n", file->name, file->mode, file->process_only ? " process only" : "");
	for (const struct proc_task_link *link = proc_task_links; link->name; link++)
		printf("PID/%-28s link\n", link->name);
}

/* --- of a task --- */

static struct error *dump_fdinfo(const struct proc_facts *facts, const struct guest_task *task, const char *number,
				 FILE *out)
{
	_cleanup_(guest_fd_list_deinit) struct guest_fd_list fds = {0};
	struct error *error = guest_task_fds(facts->guest, task->address, &fds);

	for (size_t i = 0; !error && i < fds.n; i++)
		if (fds.items[i].fd == strtoul(number, NULL, 10))
			return proc_write_fdinfo(facts, task, &fds.items[i], out);
	return error ? error : no_file(number);
}

static struct error *dump_link(const struct proc_facts *facts, const struct guest_task *task,
			       const struct proc_task_link *link, FILE *out)
{
	_cleanup_(free_ptr) char *target = NULL;
	struct error *error = link->read(facts, task, &target);

	if (!error)
		fputs(target, out);
	return error;
}

static bool is_file(const struct proc_task_file *file, bool thread)
{
	return thread ? !file->process_only : !file->thread_only;
}

static struct error *write_task_file(const struct proc_facts *facts, const struct guest_task *task, bool thread,
				     const struct proc_task_file *file, FILE *out)
{
	if (thread && file->write_thread)
		return file->write_thread(facts, task, out);
	return file->write(facts, task, out);
}

static struct error *dump_task(const struct proc_facts *facts, const struct guest_task *task, bool thread,
			       const char *name, FILE *out)
{
	for (const struct proc_task_file *file = proc_task_files; file->name; file++)
		if (!strcmp(file->name, name) && is_file(file, thread))
			return write_task_file(facts, task, thread, file, out);
	for (const struct proc_task_link *link = proc_task_links; link->name; link++)
		if (!strcmp(link->name, name))
			return dump_link(facts, task, link, out);
	if (!strncmp(name, "fdinfo/", strlen("fdinfo/")))
		return dump_fdinfo(facts, task, name + strlen("fdinfo/"), out);
	return no_file(name);
}

/* The number at *path and the slash behind it; false: no such. */
static bool take_number(const char **path, uint32_t *ret)
{
	size_t n = strspn(*path, "0123456789");

	if (!n || (*path)[n] != '/')
		return false;
	*ret = (uint32_t)strtoul(*path, NULL, 10);
	*path += n + 1;
	return true;
}

static struct error *dump_path(const struct proc_facts *facts, const char *path, FILE *out)
{
	const struct guest_task *task;
	const char *name = path;
	uint32_t pid, tid;
	bool thread = false;

	if (!take_number(&name, &pid))
		return dump_global(facts, path, out);
	task = proc_find_task(facts, pid);
	if (!strncmp(name, "task/", strlen("task/"))) {
		name += strlen("task/");
		thread = true;
		task = take_number(&name, &tid) ? proc_find_task(facts, tid) : NULL;
		if (task && task->tgid != pid)
			task = NULL;
	}
	return task ? dump_task(facts, task, thread, name, out) : no_file(path);
}

/* --- what is written --- */

static int report(struct error *error)
{
	int status = error_exit_status(error->code);

	fprintf(stderr, "proc-dump: %s%s%s\n", error->message, error->remedy ? "; " : "",
		error->remedy ? error->remedy : "");
	error_destroy(error);
	return status;
}

static void write_record(char kind, const char *path, const char *data, size_t size)
{
	printf("%c %zu %zu\n/proc/%s", kind, strlen("/proc/") + strlen(path), size, path);
	fwrite(data, 1, size, stdout);
}

/* Exit status. */
static int put_path(const struct proc_facts *facts, const char *path)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	uint64_t start = clock_monotonic_ns();
	struct error *error = out ? dump_path(facts, path, out) : error_no_memory();

	if (out)
		fclose(out);
	if (show_time)
		fprintf(stderr, "%s: %.1f ms\n", path, (double)(clock_monotonic_ns() - start) / 1e6);
	if (error && as_records) {
		write_record('E', path, error->message, strlen(error->message));
		error_destroy(error);
		return 0;
	}
	if (as_records)
		write_record('F', path, text, size);
	else
		fwrite(text, 1, size, stdout);
	return error ? report(error) : 0;
}

static void put_format(const struct proc_facts *facts, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put_format(const struct proc_facts *facts, const char *format, ...)
{
	char path[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	put_path(facts, path);
}

static void put_fdinfos(const struct proc_facts *facts, const struct guest_task *task)
{
	_cleanup_(guest_fd_list_deinit) struct guest_fd_list fds = {0};
	_cleanup_(error_destroy_ptr) struct error *error = guest_task_fds(facts->guest, task->address, &fds);

	for (size_t i = 0; i < fds.n; i++)
		put_format(facts, "%u/fdinfo/%u", task->pid, fds.items[i].fd);
}

static void put_task(const struct proc_facts *facts, const struct guest_task *task)
{
	for (const struct proc_task_file *file = proc_task_files; file->name; file++) {
		if (task->pid == task->tgid && is_file(file, false))
			put_format(facts, "%u/%s", task->pid, file->name);
		if (is_file(file, true))
			put_format(facts, "%u/task/%u/%s", task->tgid, task->pid, file->name);
	}
	if (task->pid != task->tgid)
		return;
	for (const struct proc_task_link *link = proc_task_links; link->name; link++)
		put_format(facts, "%u/%s", task->pid, link->name);
	put_fdinfos(facts, task);
}

static void put_sysctls(const struct proc_facts *facts)
{
	const struct proc_sysctl *all;
	size_t n = 0;

	/* The first one reads them. */
	put_path(facts, "sys/kernel/ostype");
	all = sysctls ? proc_sysctls_all(sysctls, &n) : NULL;
	for (size_t i = 0; i < n; i++)
		if (all[i].mode & 0444 && S_ISREG(all[i].mode))
			put_format(facts, "sys/%s", all[i].name);
}

static void put_all(const struct proc_facts *facts)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		for (const struct proc_file *file = tables[i]; file->path; file++)
			put_path(facts, file->path);
	put_sysctls(facts);
	for (size_t i = 0; i < facts->tasks->n; i++)
		put_task(facts, &facts->tasks->items[i]);
	printf("W 3 4\nendproc");
}

/* --- all of it --- */

static struct error *load_facts(struct guest *guest, struct guest_task_list *tasks, struct proc_facts *ret)
{
	struct error *error = guest_tasks(guest, GUEST_THREADS, tasks);

	ret->guest = guest;
	ret->tasks = tasks;
	if (!error)
		error = guest_uts(guest, &ret->uts);
	if (!error)
		error = guest_clock(guest, &ret->clock);
	if (!error)
		ret->boottime_offset_ns = (int64_t)ret->clock.boottime_ns - (int64_t)clock_boottime_ns();
	return error;
}

static int dump(const char *image_path, char **paths)
{
	_cleanup_(image_close_ptr) struct image *image = NULL;
	_cleanup_(guest_close_ptr) struct guest *guest = NULL;
	_cleanup_(guest_task_list_deinit) struct guest_task_list tasks = {0};
	struct proc_facts facts = {0};
	struct error *error = image_open(image_path, NULL, &image);
	int status = 0;

	if (!error)
		error = guest_open(image, NULL, &guest);
	if (!error)
		error = load_facts(guest, &tasks, &facts);
	if (error)
		return report(error);
	if (!*paths && as_records)
		put_all(&facts);
	else if (!*paths)
		list_global(&facts);
	for (; *paths; paths++) {
		int ended = put_path(&facts, *paths);

		status = ended ? ended : status;
	}
	if (sysctls)
		proc_sysctls_destroy(sysctls);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"time", no_argument, NULL, 't'}, {"records", no_argument, NULL, 'r'}, {0}};
	bool bad = false;
	int c;

	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		show_time |= c == 't';
		as_records |= c == 'r';
		bad |= c == '?';
	}
	if (bad || optind >= argc) {
		fprintf(stderr, "usage: proc-dump [--time] [--records] IMAGE [PATH]...\n");
		return 2;
	}
	return dump(argv[optind], argv + optind + 1);
}
