/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/sys: files and directories by name, with what a read of them gives. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/array.h"
#include "shadow/proc/proc.h"

#define DIRECTORY_MODE (S_IFDIR | 0555u)
#define UUID_TEXT_SIZE 37u /* with a newline */

struct proc_sysctls {
	struct guest_sysctl_list files; /* by name */
	struct proc_sysctl *items;      /* by name; their names are those of `files`, or of `directories` */
	size_t n;
	char **directories; /* owned */
	size_t n_directories;
};

static uint64_t value_size(const struct guest_sysctl *file)
{
	if (file->fresh)
		return UUID_TEXT_SIZE;
	return file->value && !file->nothing ? strlen(file->value) + 1 : 0;
}

static struct error *append(struct proc_sysctls *sysctls, const struct proc_sysctl *item)
{
	struct error *error = array_room(&sysctls->items, sysctls->n, sizeof(*sysctls->items));

	if (!error)
		sysctls->items[sysctls->n++] = *item;
	return error;
}

/* Every directory on the way to `name` that the last file's path did not have. */
static struct error *append_directories(struct proc_sysctls *sysctls, const char *name, const char *last)
{
	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		const size_t size = (size_t)(slash - name);
		struct error *error;
		char *directory;

		if (last && strncmp(name, last, size + 1) == 0)
			continue;
		error = array_room(&sysctls->directories, sysctls->n_directories, sizeof(*sysctls->directories));
		directory = error ? NULL : strndup(name, size);
		if (!error && !directory)
			error = error_no_memory();
		if (error)
			return error;
		sysctls->directories[sysctls->n_directories++] = directory;
		error = append(sysctls, &(struct proc_sysctl){.name = directory, .mode = DIRECTORY_MODE});
		if (error)
			return error;
	}
	return NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct proc_sysctl *)a)->name, ((const struct proc_sysctl *)b)->name);
}

/* A guest's tables may lie. */
static bool is_path(const char *name)
{
	for (;;) {
		const size_t size = strcspn(name, "/");

		if (size == 0 || strncmp(name, "..", size) == 0)
			return false;
		if (!name[size])
			return true;
		name += size + 1;
	}
}

static bool has(const struct proc_sysctls *sysctls, const char *name)
{
	for (size_t i = 0; i < sysctls->n; i++)
		if (strcmp(sysctls->items[i].name, name) == 0)
			return true;
	return false;
}

/* Empty directories are there to be mounted on (fs/binfmt_misc); they are told by what is. */
static struct error *append_mount_points(struct proc_sysctls *sysctls, struct guest *guest)
{
	static const char prefix[] = "/proc/sys/";
	_cleanup_(guest_mount_list_deinit) struct guest_mount_list mounts = {0};
	struct error *error = guest_mounts(guest, 0, &mounts);

	if (error) {
		error_destroy(error);
		return NULL;
	}
	for (size_t i = 0; !error && i < mounts.n; i++) {
		const char *name = mounts.items[i].target + sizeof(prefix) - 1;

		if (strncmp(mounts.items[i].target, prefix, sizeof(prefix) - 1) != 0 || !is_path(name) ||
		    has(sysctls, name))
			continue;
		error = array_room(&sysctls->directories, sysctls->n_directories, sizeof(*sysctls->directories));
		if (error)
			break;
		sysctls->directories[sysctls->n_directories] = strdup(name);
		if (!sysctls->directories[sysctls->n_directories])
			return error_no_memory();
		name = sysctls->directories[sysctls->n_directories++];
		error = append(sysctls, &(struct proc_sysctl){.name = name, .mode = DIRECTORY_MODE});
	}
	return error;
}

struct error *proc_sysctls_create(const struct proc_facts *facts, struct proc_sysctls **ret)
{
	_cleanup_(proc_sysctls_destroy_ptr) struct proc_sysctls *sysctls = calloc(1, sizeof(*sysctls));
	const char *last = NULL;
	struct error *error = sysctls ? guest_sysctls(facts->guest, &sysctls->files) : error_no_memory();

	for (size_t i = 0; !error && i < sysctls->files.n; i++) {
		const struct guest_sysctl *file = &sysctls->files.items[i];
		const struct proc_sysctl item = {
			.name = file->name, .mode = S_IFREG | file->mode, .size = value_size(file), .file = file};

		/* What could be read in the guest, but is not known, is not there. */
		if (!file->value && !file->fresh && file->mode & 0444)
			continue;
		if (!is_path(file->name) || (last && strcmp(last, file->name) == 0))
			continue;
		error = append_directories(sysctls, file->name, last);
		if (!error)
			error = append(sysctls, &item);
		last = file->name;
	}
	if (!error)
		error = append_mount_points(sysctls, facts->guest);
	if (error)
		return error;
	if (sysctls->n > 0)
		qsort(sysctls->items, sysctls->n, sizeof(*sysctls->items), by_name);
	*ret = take_ptr(sysctls);
	return NULL;
}

void proc_sysctls_destroy(struct proc_sysctls *sysctls)
{
	if (!sysctls)
		return;
	for (size_t i = 0; i < sysctls->n_directories; i++)
		free(sysctls->directories[i]);
	free(sysctls->directories);
	free(sysctls->items);
	guest_sysctl_list_deinit(&sysctls->files);
	free(sysctls);
}

const struct proc_sysctl *proc_sysctls_all(const struct proc_sysctls *sysctls, size_t *ret_n)
{
	*ret_n = sysctls->n;
	return sysctls->items;
}

const struct proc_sysctl *proc_sysctls_find(const struct proc_sysctls *sysctls, const char *name)
{
	const struct proc_sysctl key = {.name = name};

	return sysctls->n ? bsearch(&key, sysctls->items, sysctls->n, sizeof(key), by_name) : NULL;
}

/* Version 4 of RFC 4122, as the kernel makes them. */
static void write_uuid(FILE *out)
{
	uint8_t id[16];

	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return;
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
	for (unsigned i = 0; i < sizeof(id); i++)
		fprintf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
	fputc('\n', out);
}

void proc_sysctl_write(const struct proc_sysctl *sysctl, FILE *out)
{
	const struct guest_sysctl *file = sysctl->file;

	if (!file)
		return;
	if (file->fresh)
		write_uuid(out);
	else if (file->value && !file->nothing)
		fprintf(out, "%s\n", file->value);
}
