/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back to what was, from whatever point was reached. For each entry the inode numbers say
 * whether it was switched; an entry that was not, or is back already, is left alone. So this can
 * be cut at any point and run again.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "apply/attributes.h"
#include "apply/events.h"
#include "apply/fault.h"
#include "apply/logs.h"
#include "apply/order.h"
#include "apply/place.h"
#include "apply/transaction.h"

#define WAIT_NS   10000000
#define WAITS_MAX 100

/* Somebody replaced the path after the switch. What they put there is theirs. */
static void leave(struct transaction *t, const char *path)
{
	t->n_changed_since++;
	event_note(t->report_fd, path, "changed by somebody else since the update, left as it is");
}

static struct error *undo_delete(struct transaction *t, const struct place *p, const struct node *path,
				 const struct node *slot)
{
	if (!slot->exists)
		return NULL;
	if (path->exists) {
		leave(t, p->path);
		return NULL;
	}
	return place_put(p);
}

static struct error *undo_new(struct transaction *t, uint32_t i, const struct place *p, const struct node *path,
			      const struct node *slot)
{
	uint64_t staged = t->slots[i].staged;
	const struct change *change = entry_change(t, i);

	/* Not switched, or back already. */
	if (slot->exists && slot->inode == staged)
		return NULL;
	if (!slot->exists && (!path->exists || path->inode != staged))
		return NULL;
	if (!slot->exists && t->slots[i].old)
		return error_create(ERROR_FAILED, "%s: what it was is no longer kept", p->path);
	if (!slot->exists)
		return place_take(p);
	if (!path->exists)
		return place_put(p);
	if (path->inode == staged)
		return place_exchange(p, change->before.exists && S_ISDIR(change->before.attributes.mode));
	leave(t, p->path);
	return NULL;
}

/*
 * Who moves a directory about while we go back may put it into its place again: what is missing for a moment must not
 * stay half undone. In all we wait for a second; whoever removed it for good is not waited for again and again.
 */
static bool wait_a_moment(struct transaction *t)
{
	static const struct timespec pause = {.tv_nsec = WAIT_NS};

	if (t->n_waits == WAITS_MAX)
		return false;
	t->n_waits++;
	nanosleep(&pause, NULL);
	tree_forget_parent(&t->tree);
	return true;
}

/* The directory that would hold it is not there. If the entry was not switched, it never came. */
static struct error *undo_nowhere(struct transaction *t, uint32_t i, struct error *error)
{
	const struct change *change = entry_change(t, i);
	char name[SLOT_NAME_SIZE];
	struct error *worse;
	struct node slot;

	slot_name(i, name);
	worse = node_read(slot_stage(t, i), name, change->path, &slot);
	if (!worse && (change->kind == CHANGE_DELETE ? slot.exists : slot.inode != t->slots[i].staged))
		return error;
	error_destroy(error);
	return worse;
}

static struct error *try_entry(struct transaction *t, uint32_t i)
{
	const struct change *change = entry_change(t, i);
	struct node path, slot;
	struct error *error;
	struct place p;

	error = place_find(t, i, &p);
	if (error && error->code == ERROR_NOT_FOUND)
		return undo_nowhere(t, i, error);
	if (!error)
		error = place_settle(&p, t->slots[i].staged);
	if (!error)
		error = node_read(p.directory, p.name, p.path, &path);
	if (!error)
		error = node_read(p.stage, p.slot, p.path, &slot);
	if (error)
		return error;
	if (change->kind == CHANGE_DELETE)
		error = undo_delete(t, &p, &path, &slot);
	else
		error = undo_new(t, i, &p, &path, &slot);
	/* Also where the exchange itself was undone by a run that was cut. */
	if (!error)
		log_carry_back(t, i, &p);
	if (change->kind == CHANGE_DIRECTORY || S_ISDIR(path.mode) || S_ISDIR(slot.mode))
		tree_forget_parent(&t->tree);
	return error;
}

static bool may_pass(const struct error *error)
{
	return error->code == ERROR_NOT_FOUND || error->code == ERROR_CONFLICT;
}

static struct error *undo_entry(struct transaction *t, uint32_t i)
{
	struct error *error;

	fault_point();
	while ((error = try_entry(t, i)) && may_pass(error) && wait_a_moment(t))
		error_destroy(error);
	if (!error || error->code != ERROR_NOT_FOUND)
		return error;
	error_destroy(error);
	leave(t, entry_change(t, i)->path);
	return NULL;
}

/* Attributes, and the times of directories, which the moves below them have changed. */
static struct error *try_attributes(struct transaction *t, uint32_t i)
{
	const struct change *change = entry_change(t, i);
	struct change_attributes to = change->before.attributes;
	struct error *error;
	struct node node;
	const char *name;
	int directory;

	error = tree_node(&t->tree, change->path, &node);
	if (error)
		return error;
	if (!node.exists || node.inode != t->slots[i].old)
		return error_create(ERROR_NOT_FOUND, "%s: what it was is not there", change->path);
	error = tree_parent(&t->tree, change->path, &directory, &name);
	if (error)
		return error;
	to.mtime_s = t->slots[i].mtime_s;
	to.mtime_ns = t->slots[i].mtime_ns;
	log_keep_time(change, &node, &change->attributes, &to);
	if (change->kind != CHANGE_ATTRIBUTES)
		return attributes_set_time(directory, name, to.mtime_s, to.mtime_ns, change->path);
	return attributes_set(directory, name, t->slots[i].old, &to, &change->attributes, true, change->path);
}

static struct error *undo_attributes(struct transaction *t, uint32_t i)
{
	struct error *error;

	fault_point();
	while ((error = try_attributes(t, i)) &&
	       (stage_makes_room(slot_stage(t, i), error->errnum) || (may_pass(error) && wait_a_moment(t))))
		error_destroy(error);
	if (!error || error->code != ERROR_NOT_FOUND)
		return error;
	error_destroy(error);
	leave(t, entry_change(t, i)->path);
	return NULL;
}

static bool has_attributes_to_undo(const struct transaction *t, uint32_t i)
{
	const struct change *change = entry_change(t, i);

	if (!t->slots[i].old || !change->before.exists)
		return false;
	return change->kind == CHANGE_ATTRIBUTES || S_ISDIR(change->before.attributes.mode);
}

static struct error *undo_all(struct transaction *t)
{
	uint32_t n = t->payload.header.n_entries;
	struct error *error = NULL;

	for (unsigned pass = PASS_END; pass-- > PASS_MOST && !error;)
		for (uint32_t i = n; i-- > 0 && !error;)
			if (order_pass(entry_change(t, i)) == pass)
				error = undo_entry(t, i);
	for (uint32_t i = n; i-- > 0 && !error;)
		if (has_attributes_to_undo(t, i))
			error = undo_attributes(t, i);
	return error;
}

struct error *transaction_undo(struct transaction *t)
{
	struct error *error;

	tree_forget_parent(&t->tree);
	error = tree_open_stages(&t->tree);
	for (size_t i = 0; i < t->tree.n_file_systems && !error; i++)
		if (t->tree.file_systems[i].stage_fd < 0)
			error = error_create(ERROR_FAILED, "/%s: the staging directory is gone, the old files with it",
					     t->tree.file_systems[i].mount);
	if (error)
		return error;
	t->freezer.n_loaders = order_loaders(t, t->freezer.loaders, FREEZER_LOADERS_MAX);
	freezer_freeze(&t->freezer, &t->tree, t->report_fd);
	error = undo_all(t);
	freezer_thaw(&t->freezer, t->report_fd);
	return error ? error : tree_sync(&t->tree);
}
