/* SPDX-License-Identifier: Apache-2.0 */
/* Who has keys (security/keys/key.c, proc.c). */
#include <stdlib.h>

#include "base/array.h"
#include "guest/containers.h"
#include "guest/ipc.h"

#define USERS_MAX 65536u

struct key_walk {
	struct guest_key_user_list *list;
	struct member node, usage, keys, instantiated, uid, counted_keys, counted_bytes;
	uint32_t max_keys, max_bytes, root_max_keys, root_max_bytes;
};

static struct error *load_layout(struct guest *guest, struct key_walk *ret)
{
	const struct member_need needs[] = {
		{"key_user", "node", &ret->node},
		{"key_user", "usage", &ret->usage},
		{"key_user", "nkeys", &ret->keys},
		{"key_user", "nikeys", &ret->instantiated},
		{"key_user", "uid", &ret->uid},
		{"key_user", "qnkeys", &ret->counted_keys},
		{"key_user", "qnbytes", &ret->counted_bytes},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = guest_symbol_u32(guest, "key_quota_maxkeys", &ret->max_keys);
	if (!error)
		error = guest_symbol_u32(guest, "key_quota_maxbytes", &ret->max_bytes);
	if (!error)
		error = guest_symbol_u32(guest, "key_quota_root_maxkeys", &ret->root_max_keys);
	return error ? error : guest_symbol_u32(guest, "key_quota_root_maxbytes", &ret->root_max_bytes);
}

static struct error *visit(struct guest *guest, struct gva user, void *context)
{
	struct key_walk *walk = context;
	uint64_t usage, keys, instantiated, uid, counted_keys, counted_bytes;
	const struct member_read reads[] = {
		{&walk->usage, &usage},
		{&walk->keys, &keys},
		{&walk->instantiated, &instantiated},
		{&walk->uid, &uid},
		{&walk->counted_keys, &counted_keys},
		{&walk->counted_bytes, &counted_bytes},
	};
	struct error *error = guest_read_members(guest, user, reads, ARRAY_SIZE(reads));

	if (!error && walk->list->n >= USERS_MAX)
		error = error_format(NULL, user.v, "more than %u users of keys", USERS_MAX);
	if (!error)
		error = array_room(&walk->list->items, walk->list->n, sizeof(*walk->list->items));
	if (error)
		return error;
	walk->list->items[walk->list->n++] = (struct guest_key_user){
		.uid = (uint32_t)uid,
		.usage = (int32_t)(uint32_t)usage,
		.keys = (int32_t)(uint32_t)keys,
		.instantiated = (int32_t)(uint32_t)instantiated,
		.counted_keys = (int32_t)(uint32_t)counted_keys,
		.counted_bytes = (int32_t)(uint32_t)counted_bytes,
		.max_keys = (uint32_t)uid ? walk->max_keys : walk->root_max_keys,
		.max_bytes = (uint32_t)uid ? walk->max_bytes : walk->root_max_bytes,
	};
	return NULL;
}

struct error *guest_key_users(struct guest *guest, struct guest_key_user_list *ret)
{
	struct guest_key_user_list list = {0};
	struct key_walk walk = {.list = &list};
	struct gva tree;
	struct error *error = symbols_get(guest->symbols, "key_user_tree", &tree);

	if (!error)
		error = load_layout(guest, &walk);
	if (!error)
		error = walk_note(&list.incomplete, rb_walk(guest, tree, walk.node.offset, visit, &walk));
	if (error) {
		guest_key_user_list_deinit(&list);
		return error_wrap(error, "users of the guest's keys");
	}
	list.incomplete = error_wrap(list.incomplete, "users of the guest's keys");
	*ret = list;
	return NULL;
}

void guest_key_user_list_deinit(struct guest_key_user_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_key_user_list){0};
}
