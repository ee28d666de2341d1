/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "shadow/init_image.h"
#include "shadow/internal.h"
#include "shadow/limits.h"
#include "shadow/need.h"
#include "shadow/runtime.h"
#include "shadow/store.h"
#include "shadow/usage.h"

/* The kernel gives no greater numbers (PID_MAX_LIMIT). */
#define PID_LIMIT (1u << 22)

/* A copy of init that nobody can change, not even through /proc/1/exe. */
static struct error *make_init(int *ret)
{
	_cleanup_(close_fd) int fd =
		memfd_create("init", (DEFENCE("descriptors") ? MFD_CLOEXEC : 0) | MFD_ALLOW_SEALING);
	struct error *error;

	if (fd < 0)
		return error_system(errno, NULL, "cannot create a memory file");
	error = io_write(fd, shadow_init_image, (size_t)(shadow_init_image_end - shadow_init_image), "init");
	if (error)
		return error;
	if (fchmod(fd, 0555) < 0 ||
	    (DEFENCE("seals") && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0))
		return error_system(errno, NULL, "cannot seal init");
	*ret = take_fd(fd);
	return NULL;
}

/* The guest's clocks go on from where they stood when it was suspended. */
static void set_clock_offsets(struct shadow *shadow, const struct guest_clock *clock)
{
	if (!clock)
		return;
	shadow->has_clock = true;
	shadow->monotonic_offset_ns = (int64_t)clock->monotonic_ns - (int64_t)clock_monotonic_ns();
	shadow->boottime_offset_ns = (int64_t)clock->boottime_ns - (int64_t)clock_boottime_ns();
}

static struct error *init_directories(struct shadow *shadow, const struct shadow_options *options)
{
	_cleanup_(free_ptr) char *stage = string_format("%s/stage", options->run_dir);

	shadow->run_dir = strdup(options->run_dir);
	shadow->layers_dir = strdup(options->layers_dir);
	shadow->root = string_format("%s/root", options->run_dir);
	if (!stage || !shadow->run_dir || !shadow->layers_dir || !shadow->root)
		return error_no_memory();
	if (mkdir(stage, 0700) < 0 && errno != EEXIST)
		return error_system(errno, stage, "cannot create the directory");
	return NULL;
}

/* What no control group counts is bounded for each process and user only, which is said. */
static struct error *limit_resources(struct shadow *shadow, const struct shadow_limits *wanted)
{
	struct error *error = limits_resolve(wanted, &shadow->limits);
	struct shadow_limits counted = shadow->limits;

	/* Those that hold the guest's process numbers (pids.c) are no programs of the shadow, but they count. */
	counted.processes += pids_held_max(&shadow->threads, shadow->highest_pid);
	if (!error)
		error = cgroup_create(&counted, &shadow->cgroup);
	if (error)
		return error;
	if (!shadow->cgroup.pids)
		log_info("no control group for processes can be made: the limit counts for the guest's users together "
			 "only in kernels from 5.14 on");
	if (!shadow->cgroup.memory)
		log_warning("no control group for memory can be made: the memory of the shadow's programs is limited "
			    "only for each of them");
	return NULL;
}

static struct error *make_store(struct shadow *shadow)
{
	struct error *error = store_mount(shadow->layers_dir, shadow->limits.disk_bytes, &shadow->store_size);
	struct statvfs fs;

	if (error)
		return error;
	shadow->has_store = true;
	if (statvfs(shadow->layers_dir, &fs) < 0)
		return error_system(errno, shadow->layers_dir, "cannot ask for the free space of");
	shadow->store_used_bytes = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
	return NULL;
}

/* Without them only programs that look for the disk below the root (grub) fail, and say so. */
static void open_devices(struct shadow *shadow, const char *image, const char *disk_name)
{
	struct error *error = NULL;

	if (!image)
		log_info("the shadow has no disk: nothing below the file systems is known");
	else
		error = devices_open(image, disk_name ? disk_name : "vda", &shadow->devices);
	if (error)
		log_warning("the shadow goes without its disk, boot loaders may fail in it: %s", error->message);
	error_destroy(error);
}

/* What the guest runs; a walk that was cut short leaves what it found. */
static struct error *load_threads(struct shadow *shadow)
{
	struct guest_task_list *threads = &shadow->threads;
	struct error *error;

	if (!shadow->guest)
		return NULL;
	error = guest_tasks(shadow->guest, GUEST_THREADS, threads);
	if (error)
		return error;
	if (threads->incomplete)
		log_warning("the shadow may lack some of the guest's processes: %s", threads->incomplete->message);
	for (size_t i = 0; i < threads->n; i++)
		if (threads->items[i].pid > shadow->highest_pid && threads->items[i].pid < PID_LIMIT)
			shadow->highest_pid = threads->items[i].pid;
	return NULL;
}

static struct error *make_names(struct shadow *shadow)
{
	void *names = mmap(NULL, sizeof(*shadow->names), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (names == MAP_FAILED)
		return error_no_memory();
	shadow->names = names;
	return NULL;
}

void shadow_name(const char shared[65], char ret[65])
{
	memcpy(ret, shared, 64);
	ret[64] = '\0';
}

struct error *shadow_create_from(const struct shadow_tree *trees, size_t n_trees, const char *image,
				 const struct shadow_options *options, struct shadow **ret)
{
	_cleanup_(shadow_destroy_ptr) struct shadow *shadow = calloc(1, sizeof(*shadow));
	struct error *error;

	if (!shadow)
		return error_no_memory();
	shadow->user_ns = shadow->init_fd = shadow->devices.loop_fd = -1;
	shadow->guest = options->guest;
	shadow->processes = options->processes;
	if (options->uts) {
		shadow->has_uts = true;
		shadow->uts = *options->uts;
	}
	set_clock_offsets(shadow, options->clock);
	error = make_names(shadow);
	if (!error)
		error = needs_init(shadow, options);
	if (!error)
		error = init_directories(shadow, options);
	if (!error)
		error = load_threads(shadow);
	if (!error)
		error = make_init(&shadow->init_fd);
	if (!error)
		error = limit_resources(shadow, &options->limits);
	if (!error)
		error = userns_create(0, SHADOW_ID_BASE, SHADOW_ID_COUNT, &shadow->limits, &shadow->user_ns);
	if (!error && !options->plain_layers && DEFENCE("store"))
		error = make_store(shadow);
	if (!error) {
		open_devices(shadow, image, options->disk_name);
		error = layers_mount(shadow, trees, n_trees);
	}
	if (!error)
		error = mounts_learn(shadow, options->mounts);
	if (!error)
		error = mounts_make(shadow);
	if (!error)
		error = usage_begin(shadow);
	if (!error)
		error = sys_make(shadow);
	if (!error)
		error = dev_make(shadow);
	if (!error)
		error = runtime_begin(shadow);
	if (error)
		return error_wrap(error, "cannot create the VM Shadow");
	*ret = take_ptr(shadow);
	return NULL;
}

static struct error *shift_trees(struct disk *disk, struct shadow_tree *trees, size_t n)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < n; i++) {
		int fd = -1;

		error = disk_mount_shifted(disk, i, SHADOW_ID_BASE, SHADOW_ID_COUNT, &fd);
		if (fd > 0)
			trees[i].shifted = fd;
	}
	return error;
}

struct error *shadow_create(const struct shadow_options *options, struct shadow **ret)
{
	_cleanup_(free_ptr) struct shadow_tree *trees = NULL;
	const struct disk_mount *mounts;
	struct error *error;
	size_t n;

	mounts = disk_mounts(options->disk, &n);
	trees = calloc(n, sizeof(*trees));
	if (!trees)
		return error_no_memory();
	for (size_t i = 0; i < n; i++)
		trees[i] = (struct shadow_tree){.target = mounts[i].target,
						.lower = mounts[i].path,
						.uuid = mounts[i].uuid,
						.start = mounts[i].start,
						.root = mounts[i].root,
						.major = mounts[i].major,
						.minor = mounts[i].minor};
	error = shift_trees(options->disk, trees, n);
	if (!error)
		error = shadow_create_from(trees, n, disk_image(options->disk), options, ret);
	for (size_t i = 0; i < n; i++)
		if (trees[i].shifted)
			close(trees[i].shifted);
	return error;
}

const struct change_layer *shadow_layers(const struct shadow *shadow, size_t *ret_n)
{
	*ret_n = shadow->n_layers;
	return shadow->views;
}

uint64_t shadow_disk_max(const struct shadow *shadow)
{
	return shadow->limits.disk_bytes;
}

struct error *shadow_settle(const struct shadow *shadow)
{
	return store_check(shadow->layers[0].upper_raw_fd);
}

const struct action_list *shadow_actions(const struct shadow *shadow)
{
	return &shadow->actions;
}

void shadow_tidy_up(void)
{
	/* Everything else goes with the processes. */
	cgroup_tidy_up();
}

void shadow_destroy(struct shadow *shadow)
{
	_cleanup_(free_ptr) char *stage = NULL;

	if (!shadow)
		return;
	if (shadow->root)
		layers_unmount(shadow);
	runtime_destroy(shadow->runtime);
	if (shadow->run_dir)
		mounts_destroy(shadow);
	usage_end(shadow);
	if (shadow->has_store)
		store_unmount(shadow->layers_dir);
	if (shadow->run_dir)
		sys_destroy(shadow);
	if (shadow->run_dir)
		dev_destroy(shadow);
	devices_close(&shadow->devices);
	cgroup_deinit(&shadow->cgroup);
	if (shadow->run_dir)
		stage = string_format("%s/stage", shadow->run_dir);
	if (stage)
		rmdir(stage);
	if (shadow->names)
		(void)munmap(shadow->names, sizeof(*shadow->names));
	close_fd(&shadow->user_ns);
	close_fd(&shadow->init_fd);
	guest_task_list_deinit(&shadow->threads);
	action_list_deinit(&shadow->actions);
	needs_deinit(shadow);
	free(shadow->run_dir);
	free(shadow->layers_dir);
	free(shadow->root);
	free(shadow);
}
