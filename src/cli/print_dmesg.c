/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <time.h>

#include "cli/escape.h"
#include "cli/json_out.h"
#include "cli/print.h"

static const char *const level_names[] = {"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"};

static const char *const facility_names[] = {
	"kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",    "news",
	"uucp",   "cron",   "authpriv", "ftp",    "res0",   "res1",   "res2",   "res3",
	"local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7",
};

static bool parse_level(const char *word, size_t length, unsigned *ret)
{
	bool above = length && word[length - 1] == '+';

	length -= above;
	for (unsigned i = 0; i < ARRAY_SIZE(level_names); i++)
		if (strlen(level_names[i]) == length && memcmp(level_names[i], word, length) == 0) {
			*ret |= above ? (2u << i) - 1 : 1u << i;
			return true;
		}
	return false;
}

bool dmesg_parse_levels(const char *text, unsigned *ret)
{
	unsigned levels = 0;

	for (;;) {
		size_t length = strcspn(text, ",");

		if (!parse_level(text, length, &levels))
			return false;
		text += length;
		if (*text == 0)
			break;
		text++;
	}
	*ret = levels;
	return true;
}

static bool is_shown(const struct guest_log *log, const struct guest_log_record *record, const struct dmesg_view *view)
{
	return (view->all || record->sequence >= log->cleared) && view->levels >> (record->level & 7) & 1;
}

/* "[   12.345678] ", or the date. */
static void format_time(const struct guest_log_record *record, const struct dmesg_view *view, char *text, size_t size)
{
	uint64_t boot_ns = (uint64_t)view->clock.realtime_ns - view->clock.boottime_ns;
	time_t when = (time_t)((int64_t)(boot_ns + record->time_ns) / 1000000000);
	struct tm local;

	if (view->wall_clock && localtime_r(&when, &local))
		strftime(text, size, "[%a %b %e %H:%M:%S %Y] ", &local);
	else
		snprintf(text, size, "[%5llu.%06u] ", (unsigned long long)(record->time_ns / 1000000000),
			 (unsigned)(record->time_ns / 1000 % 1000000));
}

static void put_record(FILE *stream, const struct guest_log_record *record, const struct dmesg_view *view)
{
	const char *at = record->text.data, *end = at + record->text.size;
	char prefix[80] = "";
	size_t n = 0;

	if (view->decode)
		n = (size_t)snprintf(prefix, sizeof(prefix), "%-6s:%-6s: ",
				     record->facility < ARRAY_SIZE(facility_names) ? facility_names[record->facility]
										   : "?",
				     level_names[record->level & 7]);
	format_time(record, view, prefix + n, sizeof(prefix) - n);
	fputs(prefix, stream);
	for (;;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		escape_print(stream, at, (size_t)((newline ? newline : end) - at), ESCAPE_TEXT);
		fputc('\n', stream);
		if (!newline)
			break;
		at = newline + 1;
		fprintf(stream, "%*s", (int)strlen(prefix), "");
	}
}

void print_dmesg(FILE *stream, const struct guest_log *log, const struct dmesg_view *view)
{
	for (size_t i = 0; i < log->n && !ferror(stream); i++)
		if (is_shown(log, &log->items[i], view))
			put_record(stream, &log->items[i], view);
}

/* "T123" a thread, "C0" a CPU, as /dev/kmsg has it. */
static void put_caller(struct json_out *out, uint32_t caller)
{
	char text[16];

	snprintf(text, sizeof(text), "%c%u", caller >> 31 ? 'C' : 'T', caller & 0x7fffffff);
	json_out_text(out, "caller", caller ? text : NULL);
}

static void put_record_json(struct json_out *out, const struct guest_log_record *record)
{
	json_out_entry_begin(out);
	json_out_u64(out, "sequence", record->sequence);
	json_out_seconds(out, "time_s", record->time_ns);
	json_out_u64(out, "level", record->level);
	json_out_u64(out, "facility", record->facility);
	put_caller(out, record->caller);
	json_out_bytes(out, "text", record->text.data, record->text.size);
	json_out_object_end(out);
}

void print_dmesg_json(FILE *stream, const struct guest_log *log, const struct dmesg_view *view)
{
	struct json_out out = json_out_begin(stream);

	json_out_list_begin(&out, "records");
	for (size_t i = 0; i < log->n && !ferror(stream); i++)
		if (is_shown(log, &log->items[i], view))
			put_record_json(&out, &log->items[i]);
	json_out_list_end(&out);
	json_out_end(&out, log->incomplete ? log->incomplete->message : NULL);
}
