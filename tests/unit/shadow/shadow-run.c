/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For trying: shadow-run ROOT LAYERS [--net] [--allow HOST] [--hostname NAME] [--release RELEASE] [--timeout S]
 * [--also TARGET=DIRECTORY] [--memory FILE] -- COMMAND...  runs the command in a shadow over ROOT, a directory or the
 * image of a disk (raw, or NAME.qcow2), with what it writes in LAYERS, and prints on standard error what it asked of
 * the running system. With --memory, the guest whose memory is in FILE sleeps there.
 */
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/log.h"
#include "shadow/internal.h"

static void print_log(void *data, enum log_level level, const char *text)
{
	(void)data;
	(void)level;
	fprintf(stderr, "%s\n", text);
}

static int report(struct error *error)
{
	fprintf(stderr, "shadow-run: %s%s%s\n", error->message, error->remedy ? "; " : "",
		error->remedy ? error->remedy : "");
	error_destroy(error);
	return 125;
}

struct arguments {
	struct shadow_tree trees[8];
	size_t n_trees;
	const char *layers;
	struct guest_uts uts;
	const char *allow[9];
	struct shadow_network network;
	uint64_t timeout_s;
	const char *memory;
	const char *const *command;
};

/* The guest that sleeps in the memory image. */
struct sleeper {
	struct image *image;
	struct guest *guest;
	struct guest_uts uts;
	struct guest_clock clock;
	struct guest_task_list processes;
	struct guest_mount_list mounts;
};

static bool parse(int argc, char *argv[], struct arguments *ret)
{
	static const struct option options[] = {{"net", no_argument, NULL, 'n'},
						{"allow", required_argument, NULL, 'a'},
						{"hostname", required_argument, NULL, 'h'},
						{"release", required_argument, NULL, 'r'},
						{"timeout", required_argument, NULL, 't'},
						{"also", required_argument, NULL, 'm'},
						{"memory", required_argument, NULL, 'M'},
						{0}};
	size_t n_allow = 0;
	char *equals;
	int c;

	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			ret->network.enabled = true;
			break;
		case 'a':
			if (n_allow < 8)
				ret->allow[n_allow++] = optarg;
			break;
		case 'h':
			snprintf(ret->uts.nodename, sizeof(ret->uts.nodename), "%s", optarg);
			break;
		case 'r':
			snprintf(ret->uts.release, sizeof(ret->uts.release), "%s", optarg);
			break;
		case 't':
			ret->timeout_s = strtoull(optarg, NULL, 10);
			break;
		case 'M':
			ret->memory = optarg;
			break;
		case 'm':
			equals = strchr(optarg, '=');
			if (!equals || ret->n_trees == ARRAY_SIZE(ret->trees))
				return false;
			*equals = '\0';
			ret->trees[ret->n_trees++] = (struct shadow_tree){optarg, equals + 1};
			break;
		default:
			return false;
		}
	}
	ret->command = (const char *const *)argv + optind;
	return optind < argc;
}

/* *ret_disk is NULL if the root is a directory. */
static struct error *create(const struct arguments *arguments, struct shadow_options *options, struct disk **ret_disk,
			    struct shadow **ret)
{
	const char *path = arguments->trees[0].lower;
	const char *const *notes;
	size_t n = strlen(path);
	struct guest_file_system *systems = NULL;
	struct disk_memory memory = {.mounts = options->mounts};
	struct disk_options disk_options = {
		.path = path,
		.format = n > 6 && strcmp(path + n - 6, ".qcow2") == 0 ? "qcow2" : "raw",
		.work_dir = options->run_dir,
	};
	struct error *error;
	struct stat st;

	if (stat(disk_options.path, &st) < 0)
		return error_system(errno, disk_options.path, "cannot stat");
	if (S_ISDIR(st.st_mode))
		return shadow_create_from(arguments->trees, arguments->n_trees, NULL, options, ret);
	error = options->guest ? guest_file_systems(options->guest, &systems, &memory.n_systems) : NULL;
	memory.systems = systems;
	disk_options.memory = options->guest ? &memory : NULL;
	if (!error)
		error = disk_open(&disk_options, ret_disk);
	free(systems);
	if (error)
		return error;
	options->disk = *ret_disk;
	for (notes = disk_notes(*ret_disk, &n); n; n--)
		fprintf(stderr, "disk: %s\n", *notes++);
	return shadow_create(options, ret);
}

static struct error *open_memory(const char *path, struct sleeper *sleeper, struct shadow_options *options)
{
	struct error *error = image_open(path, NULL, &sleeper->image);

	if (!error)
		error = guest_open(sleeper->image, NULL, &sleeper->guest);
	if (!error)
		error = guest_uts(sleeper->guest, &sleeper->uts);
	if (!error)
		error = guest_clock(sleeper->guest, &sleeper->clock);
	if (!error)
		error = guest_tasks(sleeper->guest, GUEST_PROCESSES, &sleeper->processes);
	if (!error)
		error = guest_mounts(sleeper->guest, 0, &sleeper->mounts);
	if (!error)
		error = guest_mounts_visible(&sleeper->mounts);
	options->mounts = &sleeper->mounts;
	options->guest = sleeper->guest;
	options->uts = &sleeper->uts;
	options->clock = &sleeper->clock;
	options->processes = &sleeper->processes;
	return error;
}

static void close_memory(struct sleeper *sleeper)
{
	guest_task_list_deinit(&sleeper->processes);
	guest_mount_list_deinit(&sleeper->mounts);
	guest_close(sleeper->guest);
	image_close(sleeper->image);
}

static int run(const struct arguments *arguments)
{
	static const char *const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
					  "HOME=/root",
					  "LC_ALL=C.UTF-8",
					  "DEBIAN_FRONTEND=noninteractive",
					  "TERM=dumb",
					  NULL};
	char run_dir[] = "/tmp/shadow-run.XXXXXX";
	struct guest_clock clock = {.monotonic_ns = 1234567890123, .boottime_ns = 1234567890123};
	struct shadow_options options = {.layers_dir = arguments->layers,
					 .plain_layers = true,
					 .run_dir = run_dir,
					 .uts = &arguments->uts,
					 .clock = &clock};
	struct shadow_run_options run_options = {.argv = arguments->command,
						 .env = env,
						 .network = &arguments->network,
						 .output_fd = 1,
						 .timeout_s = arguments->timeout_s};
	struct shadow *shadow = NULL;
	struct disk *disk = NULL;
	struct sleeper sleeper = {0};
	struct error *error;
	int status = 125;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 || !mkdtemp(run_dir))
		return report(error_system(errno, NULL, "cannot prepare"));
	error = io_mkdirs(arguments->layers, 0700);
	if (!error && arguments->memory)
		error = open_memory(arguments->memory, &sleeper, &options);
	if (!error)
		error = create(arguments, &options, &disk, &shadow);
	if (!error)
		error = shadow_run(shadow, &run_options, &status);
	for (size_t i = 0; shadow && i < shadow_actions(shadow)->n; i++) {
		const struct action *action = &shadow_actions(shadow)->items[i];

		char **words = NULL;

		error_destroy(action_words(action, &words));
		fprintf(stderr, "action:%s", action->phase == ACTION_BEFORE ? " before" : "");
		for (char **word = words; word && *word; word++)
			fprintf(stderr, " %s", *word);
		if (action->package)
			fprintf(stderr, " (%s%s%s)", action->package, action->script ? "." : "",
				action->script ? action->script : "");
		fprintf(stderr, "\n");
		action_words_free(words);
	}
	shadow_destroy(shadow);
	disk_close(disk);
	close_memory(&sleeper);
	rmdir(run_dir);
	return error ? report(error) : status;
}

int main(int argc, char *argv[])
{
	struct arguments arguments = {.uts = {"Linux", "shadow", "6.1.0-test", "#1 SMP test", "x86_64", "(none)"}};

	log_set(print_log, NULL);
	if (argc < 4) {
		fprintf(stderr, "usage: shadow-run ROOT LAYERS [OPTIONS] -- COMMAND...\n");
		return 2;
	}
	arguments.trees[arguments.n_trees++] = (struct shadow_tree){"/", argv[1]};
	arguments.layers = argv[2];
	arguments.network.allow_hosts = arguments.allow;
	if (!parse(argc - 2, argv + 2, &arguments))
		return 2;
	return run(&arguments);
}
