/* SPDX-License-Identifier: Apache-2.0 */
/* The walks behind what a shadow shows beside /proc: /sys, control groups, statfs; and the rest of /proc. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tests/unit/guest/walks.h"

typedef struct error *(*value_of)(struct guest *guest, const struct guest_kernfs *tree, uint32_t index, char **ret);

/* What memory does not tell is no failure of a walk. */
static struct error *forgive(struct error *error)
{
	if (error && (error->code == ERROR_NOT_FOUND || error->code == ERROR_UNSUPPORTED)) {
		error_destroy(error);
		return NULL;
	}
	return error;
}

/* Keeps the first one. */
static struct error *keep_first(struct error *error, struct error *another)
{
	if (!error)
		return another;
	error_destroy(another);
	return error;
}

static struct error *walk_tree(struct guest *guest, const struct guest_mount *mount, value_of value, size_t *ret_items)
{
	_cleanup_(guest_kernfs_deinit) struct guest_kernfs tree = {0};
	struct error *error = guest_kernfs(guest, mount->major, mount->minor, &tree);

	if (error)
		return error;
	error = take_ptr(tree.incomplete);
	*ret_items += tree.n;
	for (uint32_t i = 0; i < tree.n; i++) {
		char *text = NULL;

		if ((tree.items[i].mode & 0170000) == 0100000)
			error = keep_first(error, forgive(value(guest, &tree, i, &text)));
		free(text);
	}
	return error;
}

typedef struct error *(*mount_walk)(struct guest *guest, const struct guest_mount *mount, size_t *ret_items);

static struct error *for_mounts(struct guest *guest, mount_walk walk, size_t *ret_items)
{
	struct guest_mount_list mounts = {0};
	struct error *error = guest_mounts(guest, 0, &mounts);

	*ret_items = 0;
	if (error)
		return error;
	error = take_ptr(mounts.incomplete);
	for (size_t i = 0; i < mounts.n; i++)
		error = keep_first(error, walk(guest, &mounts.items[i], ret_items));
	guest_mount_list_deinit(&mounts);
	return error;
}

static struct error *sysfs_of_mount(struct guest *guest, const struct guest_mount *mount, size_t *ret_items)
{
	return strcmp(mount->fstype, "sysfs") ? NULL : walk_tree(guest, mount, guest_sysfs_value, ret_items);
}

struct error *walk_sysfs(struct guest *guest, size_t *ret_items)
{
	return for_mounts(guest, sysfs_of_mount, ret_items);
}

static struct error *groups_of_mount(struct guest *guest, const struct guest_mount *mount, size_t *ret_items)
{
	return strncmp(mount->fstype, "cgroup", 6) ? NULL : walk_tree(guest, mount, guest_cgroup_value, ret_items);
}

struct error *walk_cgroup_files(struct guest *guest, size_t *ret_items)
{
	return for_mounts(guest, groups_of_mount, ret_items);
}

static struct error *statfs_of_mount(struct guest *guest, const struct guest_mount *mount, size_t *ret_items)
{
	struct guest_statfs fs;

	++*ret_items;
	return forgive(guest_statfs(guest, mount->major, mount->minor, &fs));
}

struct error *walk_statfs(struct guest *guest, size_t *ret_items)
{
	return for_mounts(guest, statfs_of_mount, ret_items);
}

struct error *walk_ipc(struct guest *guest, size_t *ret_items)
{
	static const enum guest_ipc_kind kinds[] = {GUEST_SEMAPHORES, GUEST_MESSAGES, GUEST_SHARED_MEMORY};
	struct guest_key_user_list users = {0};
	struct error *error = guest_key_users(guest, &users);

	*ret_items = users.n;
	error = keep_first(error, take_ptr(users.incomplete));
	guest_key_user_list_deinit(&users);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct guest_ipc_list list = {0};

		error = keep_first(error, guest_ipc(guest, kinds[i], &list));
		*ret_items += list.n;
		error = keep_first(error, take_ptr(list.incomplete));
		guest_ipc_list_deinit(&list);
	}
	return error;
}

struct error *walk_groups(struct guest *guest, size_t *ret_items)
{
	static const enum guest_group_kind kinds[] = {GUEST_GROUPS_IP4, GUEST_GROUPS_IP6, GUEST_GROUPS_LINK};
	struct error *error = NULL;

	*ret_items = 0;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct guest_group_list list = {0};

		error = keep_first(error, guest_groups(guest, 0, kinds[i], &list));
		*ret_items += list.n;
		error = keep_first(error, take_ptr(list.incomplete));
		guest_group_list_deinit(&list);
	}
	return error;
}

struct error *walk_pressure(struct guest *guest, size_t *ret_items)
{
	static const enum guest_pressure_kind kinds[] = {GUEST_PRESSURE_IO, GUEST_PRESSURE_MEMORY, GUEST_PRESSURE_CPU};
	struct error *error = NULL;

	*ret_items = ARRAY_SIZE(kinds);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct guest_pressure pressure;

		error = keep_first(error, guest_pressure(guest, kinds[i], &pressure));
	}
	return error;
}
