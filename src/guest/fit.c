/* SPDX-License-Identifier: Apache-2.0 */
/* Whether types are those of the kernel that was found: its own could be damaged, those of a file another kernel's. */
#include <string.h>

#include "guest/internal.h"

/* Caches of one kind of object can be merged into one of slightly larger objects. */
#define MERGED_MAX 128u

/* The first task, which every kernel names and links alike. */
static struct error *check_first_task(struct guest *guest)
{
	struct member comm, tasks;
	const struct member_need needs[] = {{"task_struct", "comm", &comm}, {"task_struct", "tasks", &tasks}};
	char name[16];
	uint64_t next = 0, back = 0;
	struct gva task;
	struct error *error = symbols_get(guest->symbols, "init_task", &task);

	if (!error)
		error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){task.v + comm.offset}, name, sizeof(name));
	if (error)
		return error;
	/* "swapper" alone without CONFIG_SMP. */
	if (strcmp(name, "swapper/0") != 0 && strcmp(name, "swapper") != 0)
		return error_format(NULL, task.v, "the kernel's first task is not swapper/0");
	error = memory_read_u64(&guest->memory, (struct gva){task.v + tasks.offset}, &next);
	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){next + sizeof(next)}, &back);
	if (!error && back != task.v + tasks.offset)
		error = error_format(NULL, task.v, "the kernel's list of tasks is no list");
	return error;
}

/* A cache of objects knows their size. */
static struct error *check_cache(struct guest *guest, const struct member *object_size, const char *variable,
				 const char *type)
{
	uint32_t wanted = types_size(guest->types, type);
	uint64_t cache, size;
	struct gva address;
	struct error *error;

	/* Caches are renamed now and then; each one that is there counts. */
	if (wanted == 0 || !symbols_find(guest->symbols, variable, &address))
		return NULL;
	error = memory_read_u64(&guest->memory, address, &cache);
	if (!error)
		error = guest_read_member(guest, (struct gva){cache}, object_size, &size);
	if (error || (size >= wanted && size < wanted + MERGED_MAX))
		return error;
	return error_format(NULL, address.v, "struct %s has %llu bytes in the guest and %u in the types", type,
			    (unsigned long long)size, wanted);
}

struct error *fit_check(struct guest *guest)
{
	return check_first_task(guest);
}

struct error *fit_check_file(struct guest *guest)
{
	static const struct {
		const char *variable, *type;
	} caches[] = {
		{"dentry_cache", "dentry"},
		{"filp_cachep", "file"},
		{"inode_cachep", "inode"},
		{"vm_area_cachep", "vm_area_struct"},
		{"fs_cachep", "fs_struct"},
		{"mnt_cache", "mount"},
		{"signal_cachep", "signal_struct"},
		{"bdev_cachep", "bdev_inode"},
		{"cred_jar", "cred"},
		{"sighand_cachep", "sighand_struct"},
		{"files_cachep", "files_struct"},
		{"proc_inode_cachep", "proc_inode"},

		{"net_cachep", "net"},
		{"kernfs_node_cache", "kernfs_node"},
	};
	struct member object_size = types_find(guest->types, "kmem_cache", "object_size");
	struct error *error = check_first_task(guest);

	for (size_t i = 0; !error && object_size.present && i < ARRAY_SIZE(caches); i++)
		error = check_cache(guest, &object_size, caches[i].variable, caches[i].type);
	return error;
}
