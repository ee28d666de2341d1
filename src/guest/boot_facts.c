/* SPDX-License-Identifier: Apache-2.0 */
/* What was so since the boot: the kernel's banner, its command line, when that was. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "guest/internal.h"

#define BANNER_MAX       1024u
#define COMMAND_LINE_MAX 65536u /* COMMAND_LINE_SIZE is 2048; a boot configuration can add to it */
#define NS_PER_S         1000000000

struct error *guest_boot(struct guest *guest, struct guest_boot *ret)
{
	struct guest_clock clock;
	struct error *error = guest_clock(guest, &clock);
	int64_t since_ns;

	if (!error)
		error = guest_symbol_u64(guest, "total_forks", &ret->forks);
	if (error)
		return error_wrap(error, "the guest's boot");
	since_ns = clock.realtime_ns - (int64_t)clock.boottime_ns;
	ret->time_s = since_ns / NS_PER_S - (since_ns % NS_PER_S < 0);
	return NULL;
}

/*
 * Puts the names in place of the three %s of the kernel's format, "%s version %s (…) (…) %s". Whatever else the guest
 * has there is text.
 */
static char *fill_in(const char *format, const struct guest_uts *uts)
{
	const char *const words[] = {uts->sysname, uts->release, uts->version};
	char *text = strdup("");

	for (size_t i = 0; text; i++) {
		const char *hole = i < ARRAY_SIZE(words) ? strstr(format, "%s") : NULL;
		char *longer = string_format("%s%.*s%s", text, hole ? (int)(hole - format) : (int)BANNER_MAX, format,
					     hole ? words[i] : "");

		free(text);
		text = longer;
		if (!hole)
			break;
		format = hole + strlen("%s");
	}
	return text;
}

struct error *guest_banner(struct guest *guest, char **ret)
{
	char format[BANNER_MAX];
	struct guest_uts uts;
	struct gva symbol;
	struct error *error = symbols_get(guest->symbols, "linux_proc_banner", &symbol);

	if (!error)
		error = memory_read_string(&guest->memory, symbol, format, sizeof(format));
	if (!error)
		error = guest_uts(guest, &uts);
	if (error)
		return error_wrap(error, "the guest's version");
	*ret = fill_in(format, &uts);
	return *ret ? NULL : error_no_memory();
}

struct error *guest_command_line(struct guest *guest, char **ret)
{
	_cleanup_(free_ptr) char *line = malloc(COMMAND_LINE_MAX);
	uint64_t pointer;
	struct error *error = line ? guest_symbol_u64(guest, "saved_command_line", &pointer) : error_no_memory();

	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){pointer}, line, COMMAND_LINE_MAX);
	if (error)
		return error_wrap(error, "the guest's command line");
	*ret = take_ptr(line);
	return NULL;
}
