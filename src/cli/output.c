/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/progress.h"
#include "cli/escape.h"

static bool is_verbose;
static bool lines_are_kept;
static bool is_quiet;

static void put_text(FILE *stream, const char *text)
{
	escape_print(stream, text, strlen(text), ESCAPE_TEXT);
}

void output_text(const char *text)
{
	put_text(stdout, text);
}

void output_lines(const char *text, const char *indent)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		char *line = strndup(text, n);

		printf("%s", indent);
		output_text(line ? line : "");
		printf("\n");
		free(line);
		text += n + (text[n] == '\n');
	}
}

void output_member(const char *label, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!value || json_is_null(value))
		return;
	printf("%-16s ", label);
	if (json_is_string(value))
		output_text(json_string_value(value));
	else if (json_is_integer(value))
		printf("%lld", (long long)json_integer_value(value));
	else if (json_is_real(value))
		printf("%.1f", json_real_value(value));
	else if (json_is_boolean(value))
		printf("%s", json_is_true(value) ? "yes" : "no");
	printf("\n");
}

void output_time(const char *label, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	time_t when = json_integer_value(value);
	char text[64];
	struct tm local;

	if (json_is_integer(value) && localtime_r(&when, &local) && strftime(text, sizeof(text), "%F %T %Z", &local))
		printf("%-16s %s\n", label, text);
}

void output_packages(const json_t *packages)
{
	size_t i;
	json_t *package;

	json_array_foreach(packages, i, package)
	{
		const char *old = json_string_value(json_object_get(package, "old"));
		const char *new = json_string_value(json_object_get(package, "new"));

		printf("  ");
		output_text(json_string_value(json_object_get(package, "name")));
		printf("  ");
		output_text(old ? old : "(new)");
		printf(" → ");
		output_text(new ? new : "(removed)");
		printf("\n");
	}
}

const char *output_size(uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	static char buffer[32];
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(buffer, sizeof(buffer), unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buffer;
}

/* --- progress --- */

static char current_text[128];

static void bar_step(void *data, const char *step, const char *text)
{
	snprintf(current_text, sizeof(current_text), "%s", text);
	fprintf(stderr, "\r\033[K%s …", text);
}

static void bar_update(void *data, uint64_t done, uint64_t total)
{
	if (total)
		fprintf(stderr, "\r\033[K%s … %3u %%", current_text, (unsigned)(100.0 * (double)done / (double)total));
}

static void bar_end(void *data)
{
	fprintf(stderr, "\r\033[K");
}

static void lines_step(void *data, const char *step, const char *text)
{
	fprintf(stderr, "%s\n", text);
}

static void ignore_update(void *data, uint64_t done, uint64_t total)
{
}

static void ignore_end(void *data)
{
}

static void json_line(json_t *line)
{
	if (!line)
		return;
	json_dumpf(line, stderr, JSON_COMPACT);
	fputc('\n', stderr);
	json_decref(line);
}

static void json_step(void *data, const char *step, const char *text)
{
	json_line(json_pack("{s:s, s:s, s:s}", "progress", "step", "step", step, "text", text));
}

static void json_update(void *data, uint64_t done, uint64_t total)
{
	json_line(json_pack("{s:s, s:I, s:I}", "progress", "update", "done", (json_int_t)done, "total",
			    (json_int_t)total));
}

static void json_end(void *data)
{
	json_line(json_pack("{s:s}", "progress", "end"));
}

static const struct {
	const char *mode;
	struct progress_ops ops;
} modes[] = {
	{"bar", {bar_step, bar_update, bar_end}},
	{"lines", {lines_step, ignore_update, ignore_end}},
	{"json", {json_step, json_update, json_end}},
};

/* Lines stay lines, but each of them is escaped. */
static void put_lines(FILE *stream, const char *indent, const char *text)
{
	for (;;) {
		size_t length = strcspn(text, "\n");
		char *line = strndup(text, length);

		fputs(indent, stream);
		if (line)
			put_text(stream, line);
		free(line);
		fputc('\n', stream);
		if (!text[length])
			break;
		text += length + 1;
	}
}

static void print_log(void *data, enum log_level level, const char *text)
{
	if (!is_verbose && (level == LOG_DEBUG || (is_quiet && level != LOG_WARNING)))
		return;
	progress_end();
	if (level == LOG_WARNING)
		fprintf(stderr, "warning: ");
	put_lines(stderr, "", text);
}

struct error *output_setup(const char *mode, bool verbose)
{
	is_verbose = verbose;
	log_set(print_log, NULL);
	if (!mode || !strcmp(mode, "auto"))
		mode = isatty(STDERR_FILENO) ? "bar" : "none";
	if (!strcmp(mode, "none"))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (!strcmp(modes[i].mode, mode)) {
			progress_set(&modes[i].ops, NULL);
			return NULL;
		}
	return error_create(ERROR_USAGE, "--progress: \"%s\" is none of auto, bar, lines, json, none", mode);
}

void output_begin(void)
{
	progress_end();
	signal(SIGPIPE, SIG_IGN);
}

void output_warnings_only(void)
{
	is_quiet = true;
}

void output_keep_lines(void)
{
	lines_are_kept = true;
}

static void put_error_text(const char *indent, const char *text)
{
	if (lines_are_kept) {
		put_lines(stderr, indent, text);
		return;
	}
	fputs(indent, stderr);
	put_text(stderr, text);
	fputc('\n', stderr);
}

void output_error(const struct error *error)
{
	progress_end();
	fprintf(stderr, "ouassister: ");
	put_error_text("", error->message);
	if (error->remedy)
		put_error_text("  ", error->remedy);
}
