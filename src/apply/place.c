/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/place.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "apply/fault.h"
#include "apply/tree.h"

struct error *place_find(struct transaction *t, uint32_t entry, struct place *ret)
{
	struct place place = {.path = entry_change(t, entry)->path, .stage = slot_stage(t, entry)};
	struct error *error;

	error = tree_parent(&t->tree, place.path, &place.directory, &place.name);
	if (error)
		return error;
	slot_name(entry, place.slot);
	snprintf(place.aside, sizeof(place.aside), "%s.old", place.slot);
	*ret = place;
	return NULL;
}

/* musl 1.2.3 has no renameat2(), kernels before 3.15 neither. */
static int rename_once(int from, const char *from_name, int to, const char *to_name, unsigned flags)
{
	int r = (int)syscall(SYS_renameat2, from, from_name, to, to_name, flags);

	return r < 0 && errno == ENOSYS && !flags ? renameat(from, from_name, to, to_name) : r;
}

/* A directory that must grow to take a name finds no block on a full disk: those put aside for it are there then. */
static int rename_with(const struct place *p, int from, const char *from_name, int to, const char *to_name,
		       unsigned flags)
{
	int r, errnum;

	do {
		r = rename_once(from, from_name, to, to_name, flags);
		errnum = r < 0 ? errno : 0;
	} while (errnum && stage_makes_room(p->stage, errnum));
	errno = errnum;
	return r;
}

static int link_aside(const struct place *p)
{
	int r, errnum;

	do {
		r = linkat(p->directory, p->name, p->stage, p->aside, 0);
		errnum = r < 0 ? errno : 0;
	} while (errnum && stage_makes_room(p->stage, errnum));
	errno = errnum;
	return r;
}

static bool unsupported(int errnum)
{
	return errnum == EINVAL || errnum == ENOSYS;
}

static struct error *move(const struct place *p, int from, const char *from_name, int to, const char *to_name)
{
	struct node node;
	struct error *error;

	if (rename_with(p, from, from_name, to, to_name, RENAME_NOREPLACE) == 0)
		return NULL;
	if (errno == EEXIST)
		return conflict(p->path, "something came into being in its place");
	if (!unsupported(errno))
		return error_system(errno, p->path, "cannot move");
	error = node_read(to, to_name, p->path, &node);
	if (error)
		return error;
	if (node.exists)
		return conflict(p->path, "something came into being in its place");
	if (rename_with(p, from, from_name, to, to_name, 0) < 0)
		return error_system(errno, p->path, "cannot move");
	return NULL;
}

struct error *place_put(const struct place *p)
{
	return move(p, p->stage, p->slot, p->directory, p->name);
}

struct error *place_take(const struct place *p)
{
	return move(p, p->directory, p->name, p->stage, p->slot);
}

/*
 * The old inode gets a second name aside, the new one replaces it, and the name aside becomes
 * the slot. Directories have no second names: there the path is absent for a moment.
 */
static struct error *exchange_by_steps(const struct place *p, bool moves_directory)
{
	struct error *error = NULL;

	if (moves_directory || link_aside(p) < 0)
		error = move(p, p->directory, p->name, p->stage, p->aside);
	if (error)
		return error;
	fault_point();
	if (rename_with(p, p->stage, p->slot, p->directory, p->name, 0) < 0)
		return error_system(errno, p->path, "cannot replace");
	fault_point();
	if (rename_with(p, p->stage, p->aside, p->stage, p->slot, 0) < 0)
		return error_system(errno, p->path, "cannot keep the old");
	return NULL;
}

struct error *place_exchange(const struct place *p, bool moves_directory)
{
	if (!fault_no_exchange()) {
		if (rename_with(p, p->stage, p->slot, p->directory, p->name, RENAME_EXCHANGE) == 0)
			return NULL;
		if (errno == ENOENT)
			return conflict(p->path, "it vanished since it was checked");
		if (!unsupported(errno))
			return error_system(errno, p->path, "cannot exchange");
	}
	return exchange_by_steps(p, moves_directory);
}

static struct error *rename_in_stage(const struct place *p, const char *from, int to, const char *to_name)
{
	if (rename_with(p, p->stage, from, to, to_name, 0) < 0)
		return error_system(errno, p->path, "cannot restore");
	return NULL;
}

static struct error *drop_aside(const struct place *p)
{
	if (unlinkat(p->stage, p->aside, 0) < 0)
		return error_system(errno, p->path, "cannot remove a second name of");
	return NULL;
}

/* The new inode is aside: going back was cut. */
static struct error *settle_back(const struct place *p, bool path_exists, bool slot_exists)
{
	struct error *error = NULL;

	if (path_exists && slot_exists)
		return drop_aside(p);
	if (!path_exists && slot_exists)
		error = rename_in_stage(p, p->slot, p->directory, p->name);
	return error ? error : rename_in_stage(p, p->aside, p->stage, p->slot);
}

struct error *place_settle(const struct place *p, uint64_t staged)
{
	struct node aside, path, slot;
	struct error *error;

	error = node_read(p->stage, p->aside, p->path, &aside);
	if (error || !aside.exists)
		return error;
	error = node_read(p->directory, p->name, p->path, &path);
	if (!error)
		error = node_read(p->stage, p->slot, p->path, &slot);
	if (error)
		return error;
	if (aside.inode == staged)
		return settle_back(p, path.exists, slot.exists);
	if (!path.exists)
		return rename_in_stage(p, p->aside, p->directory, p->name);
	if (path.inode == aside.inode)
		return drop_aside(p);
	if (!slot.exists)
		return rename_in_stage(p, p->aside, p->stage, p->slot);
	return conflict(p->path, "it is neither what it was nor what the update made of it");
}
