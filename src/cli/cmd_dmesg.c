/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/print.h"
#include "cli/source.h"
#include "cli/verb.h"

static const struct option_spec options[] = {
	{"ctime", 'T', NULL, "dates, in the time zone of the reader, instead of seconds since boot"},
	{"level", 'l', "LIST", "only these: emerg,alert,crit,err,warn,notice,info,debug; \"err+\": and above"},
	{"decode", 'x', NULL, "facility and level in words before each line"},
	{"all", 0, NULL, "also what was cleared in the guest (dmesg --clear)"},
	{0},
};

static struct error *take_view(const struct invocation *invocation, struct dmesg_view *ret)
{
	const char *levels = invocation_option(invocation, "level");
	struct dmesg_view view = {
		.levels = DMESG_ALL_LEVELS,
		.all = invocation_option(invocation, "all") != NULL,
		.wall_clock = invocation_option(invocation, "ctime") != NULL,
		.decode = invocation_option(invocation, "decode") != NULL,
	};

	if (levels && !dmesg_parse_levels(levels, &view.levels))
		return error_remedy(error_create(ERROR_USAGE, "--level: \"%s\" is no list of levels", levels),
				    "ouassister dmesg --help");
	*ret = view;
	return NULL;
}

static struct error *show(const struct invocation *invocation)
{
	_cleanup_(source_close) struct source source = {0};
	_cleanup_(guest_log_deinit) struct guest_log log = {0};
	struct dmesg_view view;
	struct error *error = take_view(invocation, &view);

	if (!error)
		error = source_open(invocation, &source);
	if (!error && view.wall_clock)
		error = guest_clock(source.guest, &view.clock);
	if (!error)
		error = guest_kernel_log(source.guest, &log);
	if (error)
		return error;
	(invocation->json ? print_dmesg_json : print_dmesg)(stdout, &log, &view);
	return source_conclude(&source, log.incomplete);
}

const struct verb verb_dmesg = {
	.name = "dmesg",
	.arguments = "VM",
	.summary = "print the kernel's log",
	.reads_memory = true,
	.options = options,
	.show = show,
};
