/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest helper's command line; report.h is its manual.
 */
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "apply/readahead.h"
#include "apply/report.h"
#include "apply/worker.h"
#include "base/io.h"

#define EXIT_USAGE 2
#define KEEP_MAX_S (100ll * 366 * 86400)

static int usage(const char *why)
{
	fprintf(stderr,
		"helper: %s\n"
		"usage: helper apply --payload PATH|- --sha256 HEX [--clock NS] [--keep SECONDS|none] [--no-actions] "
		"[--verify full|stat] [--freeze MS] [--root DIR]\n"
		"       helper recover|status|rollback|look|expire|forget [--early] [--keep SECONDS|none] "
		"[--no-actions] [--freeze MS] [--root DIR]\n",
		why);
	return EXIT_USAGE;
}

static bool parse_clock(const char *text, struct apply_options *options)
{
	char *rest;

	errno = 0;
	options->clock_ns = strtoll(text, &rest, 10);
	options->clock_taken_ns = clock_boottime_ns();
	return *text && !*rest && !errno && options->clock_ns > 0;
}

static bool parse_freeze(const char *text, struct apply_options *options)
{
	unsigned long ms;
	char *rest;

	errno = 0;
	ms = strtoul(text, &rest, 10);
	options->freeze_ms = ms;
	return *text >= '0' && *text <= '9' && !*rest && !errno && ms <= HELPER_FREEZE_MS_MAX;
}

static bool parse_verify(const char *text, struct apply_options *options)
{
	options->verify_stat = !strcmp(text, "stat");
	return options->verify_stat || !strcmp(text, "full");
}

static bool parse_keep(const char *text, struct apply_options *options)
{
	char *rest;

	errno = 0;
	options->keep_s = strcmp(text, "none") ? strtoll(text, &rest, 10) : 0;
	return !strcmp(text, "none") ||
	       (*text && !*rest && !errno && options->keep_s > 0 && options->keep_s < KEEP_MAX_S);
}

/* NULL, or what is wrong. */
static const char *parse(int argc, char **argv, struct apply_options *options, bool *has_id)
{
	static const struct option longs[] = {
		{"payload", required_argument, NULL, 'p'},
		{"sha256", required_argument, NULL, 's'},
		{"clock", required_argument, NULL, 'c'},
		{"no-actions", no_argument, NULL, 'n'},
		{"root", required_argument, NULL, 'r'},
		{"strict", no_argument, NULL, 'S'},
		{"early", no_argument, NULL, 'e'},
		{"freeze", required_argument, NULL, 'f'},
		{"keep", required_argument, NULL, 'k'},
		{"verify", required_argument, NULL, 'v'},
		{"late", no_argument, NULL, 'l'},
		{"background", no_argument, NULL, 'b'},
		{"followed", no_argument, NULL, 'F'},
		{"read-ahead", required_argument, NULL, 'a'},
		{},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (c) {
		case 'p':
			options->payload = optarg;
			break;
		case 's':
			*has_id = sha256_from_hex(optarg, options->id);
			if (!*has_id)
				return "--sha256 wants 64 hexadecimal digits";
			break;
		case 'c':
			if (!parse_clock(optarg, options))
				return "--clock wants nanoseconds since the epoch";
			break;
		case 'f':
			if (!parse_freeze(optarg, options))
				return "--freeze wants milliseconds, at most 60000, 0 for never";
			break;
		case 'n':
			options->no_actions = true;
			break;
		case 'S':
			options->strict = true;
			break;
		case 'k':
			if (!parse_keep(optarg, options))
				return "--keep wants seconds or none";
			break;
		case 'v':
			if (!parse_verify(optarg, options))
				return "--verify wants full or stat";
			break;
		case 'e':
			options->early = true;
			break;
		case 'l':
			options->late = true;
			break;
		case 'b':
			options->background = true;
			break;
		case 'F':
			options->followed = true;
			break;
		case 'a':
			if (options->n_read_ahead == HELPER_READ_AHEAD_MAX || !readahead_is_valid(optarg))
				return "--read-ahead wants START+SIZE,...:DIRECTORY, at most 8 times";
			options->read_ahead[options->n_read_ahead++] = optarg;
			break;
		case 'r':
			options->root = optarg;
			break;
		default:
			return "unknown option";
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct apply_options options = {.root = "/", .keep_s = -1, .freeze_ms = HELPER_FREEZE_MS};
	bool has_id = false;
	const char *wrong, *verb;

	wrong = parse(argc, argv, &options, &has_id);
	if (wrong)
		return usage(wrong);
	if (optind + 1 != argc)
		return usage("one verb is wanted");
	verb = argv[optind];
	if (geteuid() != 0)
		return usage("only root can update a guest");
	if (!strcmp(verb, "apply")) {
		if (!options.payload || !has_id)
			return usage("apply wants --payload and --sha256");
		return worker_run(WORKER_APPLY, &options);
	}
	if (!strcmp(verb, "recover"))
		return worker_run(WORKER_RECOVER, &options);
	if (!strcmp(verb, "rollback"))
		return worker_run(WORKER_ROLLBACK, &options);
	if (!strcmp(verb, "status"))
		return worker_status(&options);
	if (!strcmp(verb, "look"))
		return worker_look(&options);
	if (!strcmp(verb, "forget"))
		return worker_forget(&options);
	if (!strcmp(verb, "expire"))
		return worker_expire(&options);
	return usage("unknown verb");
}
