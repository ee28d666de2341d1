/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <time.h>

#include "cli/escape.h"
#include "cli/json_out.h"
#include "cli/print.h"

void terminal_name(uint32_t tty, char *buffer, size_t size)
{
	static const struct {
		uint32_t major, first, last; /* minors */
		const char *name;            /* the minor minus `base` follows it */
		uint32_t base;
	} names[] = {
		{4, 0, 63, "tty", 0},        {4, 64, 255, "ttyS", 64}, {136, 0, 0xfffff, "pts/", 0},
		{204, 64, 79, "ttyAMA", 64}, {229, 0, 255, "hvc", 0},  {188, 0, 255, "ttyUSB", 0},
		{166, 0, 255, "ttyACM", 0},
	};
	/* As /proc/PID/stat has it: eight low bits of the minor, the major, the rest of the minor. */
	uint32_t major = tty >> 8 & 0xfff, minor = (tty & 0xff) | (tty >> 12 & 0xfff00);

	if (tty == 0) {
		snprintf(buffer, size, "?");
		return;
	}
	if (major == 5 && minor == 1) {
		snprintf(buffer, size, "console");
		return;
	}
	if (major > 136 && major <= 143) { /* before 2.6 each held 256 of them */
		minor += (major - 136) * 256;
		major = 136;
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].major == major && minor >= names[i].first && minor <= names[i].last) {
			snprintf(buffer, size, "%s%u", names[i].name, minor - names[i].base);
			return;
		}
	snprintf(buffer, size, "%u:%u", major, minor);
}

/* The user's name, cut as ps cuts it, or the number. */
static void put_user(FILE *stream, const struct users *users, uint32_t uid)
{
	const char *name = users_find(users, uid);
	char text[16];
	bool plain = name && *name;

	for (const char *c = name; plain && *c; c++)
		plain = *c > ' ' && *c < 0x7f;
	if (!plain)
		snprintf(text, sizeof(text), "%u", uid);
	else if (strlen(name) > 8)
		snprintf(text, sizeof(text), "%.7s+", name);
	else
		snprintf(text, sizeof(text), "%s", name);
	fprintf(stream, "%-8s ", text);
}

/* Share of a CPU over the task's life, in percent, as ps's column C. */
static unsigned cpu_share(const struct guest_task *task, const struct guest_clock *clock)
{
	uint64_t life_s = clock->boottime_ns > task->start_ns ? (clock->boottime_ns - task->start_ns) / 1000000000 : 0;
	uint64_t cpu_s = task->user_ns / 1000000000 + task->system_ns / 1000000000;
	uint64_t share = life_s ? cpu_s * 100 / life_s : 0;

	return share > 99 ? 99 : (unsigned)share;
}

static bool local_time(int64_t ns, struct tm *ret)
{
	time_t seconds = (time_t)(ns / 1000000000);

	return localtime_r(&seconds, ret) != NULL;
}

/* The hour if it was on the day of the suspend, else the day, else the year. */
static void put_start(FILE *stream, const struct guest_task *task, const struct guest_clock *clock)
{
	int64_t boot_ns = (int64_t)((uint64_t)clock->realtime_ns - clock->boottime_ns);
	struct tm start, now;
	char text[16] = "-";

	if (local_time((int64_t)((uint64_t)boot_ns + task->start_ns), &start) && local_time(clock->realtime_ns, &now)) {
		bool year = start.tm_year != now.tm_year, day = start.tm_yday != now.tm_yday;

		strftime(text, sizeof(text), year ? "%Y" : day ? "%b%d" : "%H:%M", &start);
	}
	fprintf(stream, "%5s ", text);
}

static void put_cpu_time(FILE *stream, const struct guest_task *task)
{
	uint64_t s = task->user_ns / 1000000000 + task->system_ns / 1000000000 +
		     (task->user_ns % 1000000000 + task->system_ns % 1000000000) / 1000000000;
	char text[40];

	if (s >= 86400)
		snprintf(text, sizeof(text), "%llu-%02u:%02u:%02u", (unsigned long long)(s / 86400),
			 (unsigned)(s / 3600 % 24), (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	else
		snprintf(text, sizeof(text), "%02u:%02u:%02u", (unsigned)(s / 3600), (unsigned)(s / 60 % 60),
			 (unsigned)(s % 60));
	fprintf(stream, "%8s ", text);
}

void print_command(FILE *stream, const struct guest_task *task)
{
	const char *at = task->cmdline.data;
	size_t size = at ? task->cmdline.size : 0;

	/* What setproctitle() leaves behind. */
	while (size && at[size - 1] == 0)
		size--;
	if (size == 0 || task->state == 'Z') {
		fputc('[', stream);
		escape_print(stream, task->comm, strlen(task->comm), ESCAPE_TEXT);
		fputs(task->state == 'Z' ? "] <defunct>" : "]", stream);
		return;
	}
	while (size) {
		size_t n = strnlen(at, size);

		escape_print(stream, at, n, ESCAPE_TEXT);
		at += n;
		size -= n;
		for (; size && *at == 0; at++, size--)
			fputc(' ', stream);
	}
}

void print_ps(FILE *stream, const struct guest_task_list *list, const struct ps_view *view)
{
	fputs(view->threads ? "UID          PID    PPID     LWP  C NLWP STIME TTY          TIME CMD\n"
			    : "UID          PID    PPID  C STIME TTY          TIME CMD\n",
	      stream);
	for (size_t i = 0; i < list->n && !ferror(stream); i++) {
		const struct guest_task *task = &list->items[i];
		char terminal[32];

		terminal_name(task->tty, terminal, sizeof(terminal));
		put_user(stream, &view->users, task->euid);
		fprintf(stream, "%7u %7u ", task->tgid, task->ppid);
		if (view->threads)
			fprintf(stream, "%7u ", task->pid);
		fprintf(stream, "%2u ", cpu_share(task, &view->clock));
		if (view->threads)
			fprintf(stream, "%4u ", task->n_threads);
		put_start(stream, task, &view->clock);
		fprintf(stream, "%-8s ", terminal);
		put_cpu_time(stream, task);
		print_command(stream, task);
		fputc('\n', stream);
	}
}

/* Calls json_out_string() for each argument; false: one of them is not UTF-8. */
static bool put_arguments(struct json_out *out, const struct guest_bytes *cmdline)
{
	const char *at = cmdline->data, *end = at + cmdline->size;
	bool clean = true;

	json_out_array_begin(out, "cmdline");
	while (at < end) {
		size_t n = strnlen(at, (size_t)(end - at));

		clean = json_out_string(out, NULL, at, n) && clean;
		at += n + 1;
	}
	json_out_array_end(out);
	return clean;
}

static void put_raw_arguments(struct json_out *out, const struct guest_bytes *cmdline)
{
	const char *at = cmdline->data, *end = at + cmdline->size;

	json_out_array_begin(out, "cmdline_b64");
	while (at < end) {
		size_t n = strnlen(at, (size_t)(end - at));

		json_out_base64(out, NULL, at, n);
		at += n + 1;
	}
	json_out_array_end(out);
}

static void put_cmdline(struct json_out *out, const struct guest_task *task)
{
	static const struct guest_bytes none = {.data = (char *)"", .size = 0};
	const struct guest_bytes *cmdline = &task->cmdline;

	/* Without memory of its own it has no arguments; with it they are not known. */
	if (!cmdline->data && task->dumpable) {
		json_out_null(out, "cmdline");
		return;
	}
	if (!cmdline->data)
		cmdline = &none;
	if (!put_arguments(out, cmdline))
		put_raw_arguments(out, cmdline);
}

static void put_task(struct json_out *out, const struct guest_task *task)
{
	json_out_entry_begin(out);
	json_out_u64(out, "pid", task->pid);
	json_out_u64(out, "tgid", task->tgid);
	json_out_u64(out, "ppid", task->ppid);
	json_out_u64(out, "uid", task->uid);
	json_out_u64(out, "euid", task->euid);
	json_out_u64(out, "gid", task->gid);
	json_out_text(out, "comm", task->comm);
	put_cmdline(out, task);
	json_out_bytes(out, "state", &task->state, 1);
	json_out_seconds(out, "start_s", task->start_ns);
	json_out_text(out, "cgroup", task->cgroup);
	json_out_text(out, "exe", task->exe);
	json_out_object_end(out);
}

void print_ps_json(FILE *stream, const struct guest_task_list *list)
{
	struct json_out out = json_out_begin(stream);

	json_out_list_begin(&out, "processes");
	for (size_t i = 0; i < list->n && !ferror(stream); i++)
		put_task(&out, &list->items[i]);
	json_out_list_end(&out);
	json_out_end(&out, list->incomplete ? list->incomplete->message : NULL);
}
