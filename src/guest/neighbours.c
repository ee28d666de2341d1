/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbours of IPv4 (net/core/neighbour.c, net/ipv4/arp.c). */
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/network.h"

#define STATE_NOARP    0x40u /* NUD_NOARP */
#define SHIFT_MAX      20u   /* of the number of chains */
#define NEIGHBOURS_MAX (1u << 20)
#define BATCH          512u /* heads of chains read at once */
#define BAD_MAX        64u  /* chains that lead nowhere: more mean that this is no table */

struct neighbour_walk {
	struct guest_neighbour_list *list;
	struct gva net;
	struct member node, state, hardware, device; /* struct neighbour */
	uint32_t key;
	struct member name, type, size, space; /* struct net_device */
};

static struct error *load_layout(struct guest *guest, struct neighbour_walk *ret)
{
	const struct member_need needs[] = {
		{"neighbour", "nud_state", &ret->state},
		{"neighbour", "ha", &ret->hardware},
		{"neighbour", "dev", &ret->device},
		{"net_device", "name", &ret->name},
		{"net_device", "type", &ret->type},
		{"net_device", "addr_len", &ret->size},
		{"net_device", "nd_net.net", &ret->space, .optional = true},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	/* A pointer to the next one before 6.13 (d1e2d1a0bd9f). */
	ret->node = types_find(guest->types, "neighbour", "hash");
	if (!error && !ret->node.present)
		error = types_need(guest->types, &(struct member_need){"neighbour", "next", &ret->node}, 1);
	ret->key = types_size(guest->types, "neighbour"); /* an array of no size at its end */
	return error;
}

static struct error *visit_neighbour(struct guest *guest, struct gva place, void *context)
{
	struct neighbour_walk *walk = context;
	struct guest_neighbour neighbour = {0};
	uint64_t state, device, type, size, space = walk->net.v;
	const struct member_read own[] = {{&walk->state, &state}, {&walk->device, &device}};
	const struct member_read reads[] = {{&walk->type, &type}, {&walk->size, &size}};
	struct error *error = guest_read_members(guest, place, own, ARRAY_SIZE(own));

	if (!error && walk->space.present)
		error = guest_read_member(guest, (struct gva){device}, &walk->space, &space);
	if (error || space != walk->net.v || !(state & ~(uint64_t)STATE_NOARP))
		return error;
	error = guest_read_members(guest, (struct gva){device}, reads, ARRAY_SIZE(reads));
	if (!error && (size > sizeof(neighbour.hardware) || size > walk->hardware.size))
		error = error_format(NULL, device, "a neighbour of the guest has an address of %llu bytes",
				     (unsigned long long)size);
	if (!error)
		error = memory_read(&guest->memory, (struct gva){place.v + walk->hardware.offset}, neighbour.hardware,
				    size);
	if (!error)
		error = memory_read(&guest->memory, (struct gva){place.v + walk->key}, neighbour.address, 4);
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){device + walk->name.offset},
					   neighbour.interface, sizeof(neighbour.interface));
	if (!error && walk->list->n >= NEIGHBOURS_MAX)
		error = error_format(NULL, place.v, "the guest has more than %u neighbours", NEIGHBOURS_MAX);
	if (!error)
		error = array_room(&walk->list->items, walk->list->n, sizeof(*walk->list->items));
	if (error)
		return error;
	neighbour.type = (uint16_t)type;
	neighbour.state = (uint16_t)state;
	neighbour.hardware_size = (uint8_t)size;
	walk->list->items[walk->list->n++] = neighbour;
	return NULL;
}

/* The chains of the table of IPv4. */
static struct error *find_table(struct guest *guest, uint64_t *ret_chains, uint64_t *ret_n)
{
	struct member pointer, chains, shift;
	const struct member_need needs[] = {{"neigh_table", "nht", &pointer},
					    {"neigh_hash_table", "hash_buckets", &chains, .optional = true},
					    {"neigh_hash_table", "hash_shift", &shift}};
	struct gva table;
	uint64_t hash, bits;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error && !chains.present)
		error = types_need(guest->types, &(struct member_need){"neigh_hash_table", "hash_heads", &chains}, 1);
	if (!error)
		error = symbols_get(guest->symbols, "arp_tbl", &table);
	if (!error)
		error = guest_read_member(guest, table, &pointer, &hash);
	if (!error)
		error = guest_read_member(guest, (struct gva){hash}, &chains, ret_chains);
	if (!error)
		error = guest_read_member(guest, (struct gva){hash}, &shift, &bits);
	if (!error && bits > SHIFT_MAX)
		error = error_format(NULL, hash, "the guest's neighbours have 2^%llu chains", (unsigned long long)bits);
	if (!error)
		*ret_n = UINT64_C(1) << bits;
	return error;
}

/* What there is of `n` chains, BATCH at most; *bad counts those that cannot be followed. */
static struct error *walk_chains(struct guest *guest, uint64_t chains, size_t n, struct neighbour_walk *walk,
				 unsigned *bad)
{
	struct error **incomplete = &walk->list->incomplete;
	uint64_t heads[BATCH];
	struct error *error = memory_read(&guest->memory, (struct gva){chains}, heads, n * sizeof(*heads));

	if (error) {
		*bad = BAD_MAX + 1;
		return walk_note(incomplete, error);
	}
	for (size_t i = 0; !error && i < n && *bad <= BAD_MAX; i++) {
		if (!heads[i])
			continue;
		error = hlist_walk(guest, (struct gva){chains + i * sizeof(*heads)}, walk->node.offset, visit_neighbour,
				   walk);
		*bad += error != NULL;
		error = walk_note(incomplete, error);
	}
	return error;
}

struct error *guest_neighbours(struct guest *guest, uint64_t task, struct guest_neighbour_list *ret)
{
	struct guest_neighbour_list list = {0};
	struct neighbour_walk walk = {.list = &list};
	uint64_t chains = 0, n = 0;
	unsigned bad = 0;
	struct error *error = load_layout(guest, &walk);

	if (!error)
		error = network_namespace(guest, task, &walk.net);
	if (!error)
		error = find_table(guest, &chains, &n);
	for (uint64_t i = 0; !error && i < n && bad <= BAD_MAX; i += BATCH)
		error = walk_chains(guest, chains + i * sizeof(uint64_t), n - i < BATCH ? n - i : BATCH, &walk, &bad);
	if (error) {
		guest_neighbour_list_deinit(&list);
		return error_wrap(error, "the guest's neighbours");
	}
	list.incomplete = error_wrap(list.incomplete, "the guest's neighbours");
	*ret = list;
	return NULL;
}

void guest_neighbour_list_deinit(struct guest_neighbour_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_neighbour_list){0};
}
