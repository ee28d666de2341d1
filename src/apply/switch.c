/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the first rename to the last: exchanges slots and paths, then sets the attributes of what
 * stays where it is. Everything it does, undo.c finds out by inode number.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "apply/attributes.h"
#include "apply/fault.h"
#include "apply/logs.h"
#include "apply/order.h"
#include "apply/place.h"
#include "apply/transaction.h"

static struct error *check_empty(const struct place *p)
{
	int fd = openat(p->directory, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_(closedir_ptr) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!stream) {
		close_fd(&fd);
		return error_system(errno, p->path, "cannot read the directory");
	}
	while ((errno = 0, entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			return conflict(p->path, "%s came into being in this directory since it was checked",
					entry->d_name);
	return errno ? error_system(errno, p->path, "cannot read the directory") : NULL;
}

/*
 * What came to lie in the slot must be what was checked: looked at after the move, so that
 * nothing can slip in between. If it is not, undo moves it back.
 */
static struct error *check_taken(const struct transaction *t, uint32_t i, const struct place *p)
{
	const struct slot *slot = &t->slots[i];
	struct error *error;
	struct node node;

	error = node_read(p->stage, p->slot, p->path, &node);
	if (error)
		return error;
	if (!slot->old)
		return NULL;
	if (slot->log_end)
		return log_check_taken(t, i, &node);
	if (node.inode != slot->old)
		return conflict(p->path, "it was replaced since it was checked");
	if (!S_ISDIR(node.mode) && (node.mtime_s != slot->mtime_s || node.mtime_ns != slot->mtime_ns))
		return conflict(p->path, "it was modified since it was checked");
	return NULL;
}

static bool touches_directory(const struct change *change)
{
	return change->kind == CHANGE_DIRECTORY || (change->before.exists && S_ISDIR(change->before.attributes.mode));
}

static struct error *switch_entry(struct transaction *t, uint32_t i)
{
	const struct change *change = entry_change(t, i);
	bool was_directory = change->before.exists && S_ISDIR(change->before.attributes.mode);
	struct error *error;
	struct place p;

	error = place_find(t, i, &p);
	if (!error && was_directory && t->slots[i].old)
		error = check_empty(&p);
	if (error)
		return error;
	fault_point();
	if (change->kind == CHANGE_DELETE)
		error = place_take(&p);
	else if (t->slots[i].old)
		error = place_exchange(&p, change->kind == CHANGE_DIRECTORY);
	else
		error = place_put(&p);
	if (!error && t->slots[i].old)
		error = check_taken(t, i, &p);
	if (touches_directory(change))
		tree_forget_parent(&t->tree);
	return error;
}

/* What was put into a new directory has changed its time. */
static struct error *set_new_directory_time(struct transaction *t, uint32_t i)
{
	const struct change *change = entry_change(t, i);
	struct error *error;
	const char *name;
	int directory;

	error = tree_parent(&t->tree, change->path, &directory, &name);
	if (error)
		return error;
	return attributes_set_time(directory, name, change->attributes.mtime_s, change->attributes.mtime_ns,
				   change->path);
}

/* What is at the path of a change of attributes: an inode that was checked, or that an earlier entry has put there. */
static uint64_t inode_of(const struct transaction *t, uint32_t i)
{
	while (entry_change(t, i)->kind == CHANGE_ATTRIBUTES && !t->slots[i].old)
		i = t->link_sources[i];
	return t->slots[i].staged ? t->slots[i].staged : t->slots[i].old;
}

static struct error *set_attributes(struct transaction *t, uint32_t i)
{
	const struct change *change = entry_change(t, i);
	/* A pre-image exists only if the path is not new. */
	bool known = t->slots[i].old && change->before.exists;
	struct change_attributes to = change->attributes;
	struct error *error;
	struct node node;
	const char *name;
	int directory;

	fault_point();
	error = tree_parent(&t->tree, change->path, &directory, &name);
	if (!error && log_may_grow(change)) {
		error = node_read(directory, name, change->path, &node);
		if (!error)
			log_keep_time(change, &node, &change->before.attributes, &to);
	}
	if (error)
		return error;
	do
		error = attributes_set(directory, name, inode_of(t, i), &to, known ? &change->before.attributes : NULL,
				       !known, change->path);
	while (stage_made_room(slot_stage(t, i), &error));
	return error;
}

static struct error *switch_all(struct transaction *t)
{
	uint32_t n = t->payload.header.n_entries;
	struct error *error = NULL;

	for (enum pass pass = PASS_MOST; pass < PASS_END; pass++)
		for (uint32_t i = 0; i < n && !error; i++)
			if (order_pass(entry_change(t, i)) == pass)
				error = switch_entry(t, i);
	for (uint32_t i = n; i-- > 0 && !error;)
		if (entry_change(t, i)->kind == CHANGE_DIRECTORY)
			error = set_new_directory_time(t, i);
	for (uint32_t i = 0; i < n && !error; i++)
		if (entry_change(t, i)->kind == CHANGE_ATTRIBUTES)
			error = set_attributes(t, i);
	return error ? error : logs_carry(t);
}

struct error *transaction_switch(struct transaction *t, uint32_t *ret_entries)
{
	struct error *error;

	t->freezer.n_loaders = order_loaders(t, t->freezer.loaders, FREEZER_LOADERS_MAX);
	freezer_freeze(&t->freezer, &t->tree, t->report_fd);
	error = switch_all(t);
	/* How long the disk takes is nothing that processes have to wait for. */
	freezer_thaw(&t->freezer, t->report_fd);
	if (!error)
		error = tree_sync(&t->tree);
	if (error)
		return error;
	*ret_entries = t->payload.header.n_entries;
	return NULL;
}
