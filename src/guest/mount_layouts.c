/* SPDX-License-Identifier: Apache-2.0 */
/* Members that the tables of mount options need, and the length of the kernel's ticks. */
#include <string.h>

#include "guest/mount_options.h"

/*
 * Kernels before 5.11 keep no types of modules. For these alone, told by the absence of the list of modules' types,
 * the layouts that 5.10 has are taken from its source: structures without a lock before the members, so that a
 * configuration does not move them.
 */
struct known_member {
	const char *structure, *path;
	uint32_t offset, size;
};
static const struct known_member known_members[] = {
	{"ovl_fs", "config.lowerdir", 64, 8},      {"ovl_fs", "config.upperdir", 72, 8},
	{"ovl_fs", "config.workdir", 80, 8},       {"ovl_fs", "config.default_permissions", 88, 1},
	{"ovl_fs", "config.redirect_mode", 96, 8}, {"ovl_fs", "config.index", 104, 1},
	{"ovl_fs", "config.nfs_export", 105, 1},   {"ovl_fs", "config.xino", 108, 4},
	{"ovl_fs", "config.metacopy", 112, 1},     {"ovl_fs", "config.ovl_volatile", 113, 1},
};

struct member option_member(const struct option_context *context, const char *structure, const char *path)
{
	struct member member = types_find(context->types, structure, path);
	struct gva list;

	if (member.present || types_size(context->types, structure) != 0 ||
	    symbols_find(context->guest->symbols, "btf_modules", &list))
		return member;
	for (size_t i = 0; i < ARRAY_SIZE(known_members); i++) {
		const struct known_member *known = &known_members[i];

		if (strcmp(known->structure, structure) == 0 && strcmp(known->path, path) == 0)
			return (struct member){.present = true, .offset = known->offset, .size = known->size};
	}
	return member;
}

struct error *option_value(const struct option_context *context, const char *structure, const char *path,
			   struct gva object, uint64_t *ret)
{
	struct member member = option_member(context, structure, path);

	*ret = 0;
	return member.present ? guest_read_member(context->guest, object, &member, ret) : NULL;
}

/* The counter starts at -300 seconds, in 32 bits (INITIAL_JIFFIES), and CONFIG_HZ is one of four numbers. */
struct error *option_hz(struct guest *guest, unsigned *ret)
{
	static const unsigned choices[] = {100, 250, 300, 1000};
	struct guest_clock clock;
	uint64_t jiffies;
	double best = -1;
	struct error *error = guest_symbol_u64(guest, "jiffies_64", &jiffies);

	if (!error)
		error = guest_clock(guest, &clock);
	if (error)
		return error_wrap(error, "the guest's ticks a second");
	for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
		double ticks = (double)(int64_t)(jiffies - (uint32_t)(-300 * (int)choices[i]));
		double wrong = ticks / choices[i] - (double)clock.monotonic_ns / 1e9;

		wrong = wrong < 0 ? -wrong : wrong;
		if (best < 0 || wrong < best) {
			best = wrong;
			*ret = choices[i];
		}
	}
	return NULL;
}
