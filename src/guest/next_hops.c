/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of `ip nexthop`, which routes of both families may name instead of a next hop of their own (5.3 and later).
 */
#include "guest/network.h"

struct error *next_hop_layout_load(const struct types *types, struct next_hop_layout *ret)
{
	const struct member_need needs[] = {
		{"nexthop", "nh_info", &ret->info, .optional = true},
		{"nexthop", "is_group", &ret->is_group, .optional = true},
		{"nh_grp_entry", "nh", &ret->entry, .optional = true},
		{"nh_info", "fib_nhc", &ret->common, .optional = true},
	};

	*ret = (struct next_hop_layout){0};
	/* An array at the end, of no size. */
	ret->group_first = types_size(types, "nh_group");
	return types_need(types, needs, ARRAY_SIZE(needs));
}

struct error *next_hop_of_object(struct guest *guest, const struct next_hop_layout *layout, uint64_t object,
				 uint64_t *ret)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t info, group;
		const struct member_read reads[] = {{&layout->info, &info}, {&layout->is_group, &group}};
		struct error *error = guest_read_members(guest, (struct gva){object}, reads, ARRAY_SIZE(reads));

		if (error)
			return error;
		if (!group) {
			*ret = info + layout->common.offset;
			return NULL;
		}
		error = memory_read_u64(&guest->memory, (struct gva){info + layout->group_first + layout->entry.offset},
					&object);
		if (error)
			return error;
	}
	return error_format(NULL, object, "a group of next hops has a group in it");
}
