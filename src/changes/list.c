/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain data of this room: nothing here needs more than base/error.h, because the guest
 * helper is linked with it as well.
 */
#include "changes/changes.h"

#include <stdlib.h>

#include "base/cleanup.h"

/*
 * Makes room for one more of `size` bytes. The capacity is not kept: it is the least power of
 * two that holds the items, so the array grows exactly when the number is zero or a power of two.
 */
static struct error *grow(void **items, size_t n, size_t size)
{
	void *larger;

	if (n & (n - 1))
		return NULL;
	larger = reallocarray(*items, n ? 2 * n : 1, size);
	if (!larger)
		return error_no_memory();
	*items = larger;
	return NULL;
}

void change_attributes_deinit(struct change_attributes *attributes)
{
	for (size_t i = 0; i < attributes->n_xattrs; i++) {
		free(attributes->xattrs[i].name);
		free(attributes->xattrs[i].value);
	}
	free(attributes->xattrs);
	attributes->xattrs = NULL;
	attributes->n_xattrs = 0;
}

void change_deinit(struct change *change)
{
	change_attributes_deinit(&change->attributes);
	change_attributes_deinit(&change->before.attributes);
	free(take_ptr(change->before.target));
	free(take_ptr(change->target));
	free(take_ptr(change->path));
}

struct error *change_list_append(struct change_list *list, struct change change)
{
	struct error *error = grow((void **)&list->items, list->n, sizeof(change));

	if (error) {
		change_deinit(&change);
		return error;
	}
	list->items[list->n++] = change;
	return NULL;
}

void change_list_deinit(struct change_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		change_deinit(&list->items[i]);
	free(list->items);
	*list = (struct change_list){};
}

struct error *action_list_append(struct action_list *list, struct action action)
{
	struct error *error = grow((void **)&list->items, list->n, sizeof(action));

	if (error) {
		action_deinit(&action);
		return error;
	}
	list->items[list->n++] = action;
	return NULL;
}

void action_list_deinit(struct action_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		action_deinit(&list->items[i]);
	free(list->items);
	*list = (struct action_list){};
}
