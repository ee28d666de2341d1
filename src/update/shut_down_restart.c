/* SPDX-License-Identifier: Apache-2.0 */
/* Through the channel: what booted with the old files is restarted, and the helper looks again. */
#include <glib.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "base/log.h"
#include "update/restart.h"
#include "update/shut_down.h"

#define BOOT_WAIT_S        "120"
#define BOOT_TIMEOUT_MS    (150 * 1000ull)
#define ASK_TIMEOUT_MS     (60 * 1000ull)
#define CHANNEL_TIMEOUT_MS (180 * 1000ull) /* its own service may be among those that are restarted */
#define RESTART_WAIT_MS    (180 * 1000ull)
#define LOOK_TIMEOUT_MS    (60 * 1000ull)
#define UNITS_MAX          512u

#define SHELL_PATH         "PATH=/usr/sbin:/usr/bin:/sbin:/bin; "

void shut_down_settle(struct vm *vm)
{
	static const char script[] = SHELL_PATH "[ -d /run/systemd/system ] || exit 0\n"
						"exec timeout " BOOT_WAIT_S " systemctl is-system-running --wait";
	static const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	struct channel_result result = {0};
	struct error *error = vm_channel_run(vm, argv, -1, BOOT_TIMEOUT_MS, &result);

	if (error)
		log_debug("asked the guest whether it has booted: %s", error->message);
	else
		log_debug("the guest's boot: %.*s", (int)strcspn(result.output, "\n"), result.output);
	error_destroy(error);
	channel_result_deinit(&result);
}

static bool has_word(const GPtrArray *words, const char *word)
{
	for (guint i = 0; i < words->len; i++)
		if (!strcmp(words->pdata[i], word))
			return true;
	return false;
}

/* The services to be restarted, borrowed from the report; *ret_init: pid 1 is to execute itself anew. */
static void collect(const json_t *stale, const json_t *held, enum restart_mode mode, GPtrArray *units, bool *ret_init)
{
	json_t *process;
	size_t i;

	json_array_foreach(stale, i, process)
	{
		const char *unit = json_string_value(json_object_get(process, "unit"));
		size_t n = unit ? strlen(unit) : 0;

		if (json_integer_value(json_object_get(process, "pid")) == 1) {
			*ret_init = true;
			continue;
		}
		if (n < 9 || strcmp(unit + n - 8, ".service") != 0 || !restart_is_unit(unit) || has_word(units, unit))
			continue;
		if (units->len < UNITS_MAX && (mode == RESTART_ALL || !restart_held_find(held, unit)))
			g_ptr_array_add(units, (char *)unit);
	}
}

/* Runs a shell script with `first` (NULL: none) and the units as its arguments. */
static struct error *run_on_units(struct vm *vm, const char *script, const char *first, const GPtrArray *units,
				  struct channel_result *ret)
{
	GPtrArray *argv = g_ptr_array_new();
	struct error *error;

	g_ptr_array_add(argv, (char *)"/bin/sh");
	g_ptr_array_add(argv, (char *)"-c");
	g_ptr_array_add(argv, (char *)script);
	g_ptr_array_add(argv, (char *)"sh");
	if (first)
		g_ptr_array_add(argv, (char *)first);
	for (guint i = 0; i < units->len; i++)
		g_ptr_array_add(argv, units->pdata[i]);
	g_ptr_array_add(argv, NULL);
	error = vm_channel_run(vm, (const char *const *)argv->pdata, -1, ASK_TIMEOUT_MS, ret);
	g_ptr_array_free(argv, TRUE);
	return error;
}

/* Queued, not waited for: the channel's own service may be one of them, and then loses the program: look_again(). */
static struct error *queue(struct vm *vm, const GPtrArray *units, bool init)
{
	static const char script[] = SHELL_PATH "[ -d /run/systemd/system ] || { echo no systemd >&2; exit 1; }\n"
						"systemctl daemon-reload\n"
						"[ \"$1\" = no ] || systemctl daemon-reexec\n"
						"shift; [ $# = 0 ] || exec systemctl --no-block try-restart -- \"$@\"";
	struct channel_result result = {0};
	struct error *error = run_on_units(vm, script, init ? "yes" : "no", units, &result);

	if (error && error->code == ERROR_NOT_FOUND) {
		log_debug("%s", error->message);
		error_destroy(take_ptr(error));
	}
	if (!error && result.status != 0)
		log_warning("restarting services in the guest: %.*s", (int)strcspn(result.errors, "\n"), result.errors);
	channel_result_deinit(&result);
	return error;
}

static bool same_process(const json_t *a, const json_t *b)
{
	return json_equal(json_object_get(a, "pid"), json_object_get(b, "pid")) &&
	       json_equal(json_object_get(a, "start_ticks"), json_object_get(b, "start_ticks"));
}

/* Whether a process that was to end is still among those that use old files. */
static bool goes_on(const json_t *before, const json_t *now, const GPtrArray *units)
{
	json_t *old, *process;
	size_t i, k;

	json_array_foreach(before, i, old)
	{
		const char *unit = json_string_value(json_object_get(old, "unit"));
		bool awaited = json_integer_value(json_object_get(old, "pid")) == 1 || (unit && has_word(units, unit));

		json_array_foreach(now, k, process) if (awaited && same_process(old, process)) return true;
	}
	return false;
}

/* Until the old processes are gone, or for RESTART_WAIT_MS; *ret is the last look. */
static struct error *look_again(struct vm *vm, const json_t *before, const GPtrArray *units, struct helper_report *ret)
{
	static const char *const words[] = {"look", NULL};
	uint64_t deadline_ns = clock_monotonic_ns() + RESTART_WAIT_MS * 1000000;
	struct helper_report report = {0};
	struct error *error;

	for (;;) {
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
		error = vm_channel_wait(vm, CHANNEL_TIMEOUT_MS);
		if (!error)
			error = helper_run(vm, words, -1, LOOK_TIMEOUT_MS, &report);
		if (clock_monotonic_ns() >= deadline_ns || (!error && !goes_on(before, report.stale, units)))
			break;
		error_destroy(error);
		helper_report_deinit(&report);
	}
	if (!error)
		*ret = report;
	return error;
}

/* One line a unit: its state. Those that failed are actions of the report. */
static struct error *report_failed(struct vm *vm, const GPtrArray *units, struct helper_report *report)
{
	static const char script[] = SHELL_PATH "for unit; do systemctl -q is-failed -- \"$unit\" || continue\n"
						"echo \"$unit\"; done";
	struct channel_result result = {0};
	struct error *error = run_on_units(vm, script, NULL, units, &result);

	for (guint i = 0; !error && i < units->len; i++) {
		const char *line = strstr(result.output, units->pdata[i]);
		bool failed =
			line && (line == result.output || line[-1] == '\n') && line[strlen(units->pdata[i])] == '\n';

		if (json_array_append_new(report->actions,
					  json_pack("{s:s, s:s, s:[s, s, s], s:i}", "kind", "systemd", "phase", "after",
						    "argv", "systemctl", "try-restart", (char *)units->pdata[i],
						    "status", (int)failed)) < 0)
			error = error_no_memory();
		report->failed_actions += failed;
	}
	channel_result_deinit(&result);
	return error;
}

static struct error *restart_units(struct vm *vm, const GPtrArray *units, bool init, struct helper_report *report)
{
	struct helper_report again = {0};
	struct error *error = queue(vm, units, init);

	if (!error)
		error = look_again(vm, report->stale, units, &again);
	if (!error)
		error = report_failed(vm, units, report);
	if (!error) {
		json_t *first = report->stale;

		/* The units' names are those of the first look. */
		report->stale = json_incref(again.stale);
		report->n_stale = again.n_stale;
		json_decref(first);
	}
	helper_report_deinit(&again);
	return error_wrap(error, "restarting what booted with old files");
}

struct error *shut_down_restart(struct vm *vm, const json_t *held, enum restart_mode mode, struct helper_report *report)
{
	GPtrArray *units = g_ptr_array_new();
	struct error *error = NULL;
	bool init = false;

	if (mode != RESTART_NONE)
		collect(report->stale, held, mode, units, &init);
	if (units->len || init)
		error = restart_units(vm, units, init, report);
	g_ptr_array_free(units, TRUE);
	return error;
}
