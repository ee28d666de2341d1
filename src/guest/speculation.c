/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc/PID/status tells of speculative execution (arch_prctl_spec_ctrl_get() in arch/x86/kernel/cpu/bugs.c). */
#include "guest/details.h"

/* Bits of task_struct.atomic_flags (PFA_*): the same in all kernels. */
#define PFA_STORE_DISABLE          (UINT64_C(1) << 3)
#define PFA_STORE_FORCE_DISABLE    (UINT64_C(1) << 4)
#define PFA_INDIRECT_DISABLE       (UINT64_C(1) << 5)
#define PFA_INDIRECT_FORCE_DISABLE (UINT64_C(1) << 6)
#define PFA_STORE_NOEXEC           (UINT64_C(1) << 7)

/* Bits of the bugs that a processor can have (arch/x86/include/asm/cpufeatures.h). */
#define BUG_SPECTRE_V2             16u
#define BUG_STORE_BYPASS           17u

/* Modes, in an order of our own: enumerations of the kernel have other numbers since 6.17. */
enum store_mode {
	STORE_NONE,
	STORE_DISABLE,
	STORE_BY_TASK, /* what a task or its seccomp filter asks for */
};
enum indirect_mode {
	INDIRECT_NONE,
	INDIRECT_STRICT,
	INDIRECT_BY_TASK,
};

/* Which of the names is the value's; `n`: none. */
static size_t find_constant(struct guest *guest, const char *enumeration, const char *const *names, size_t n,
			    uint32_t value)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t constant;

		if (types_enum(guest->types, enumeration, names[i], &constant) && constant == value)
			return i;
	}
	return n;
}

static struct error *load_store(struct guest *guest, struct detail_speculation *ret)
{
	static const char *const names[] = {"SPEC_STORE_BYPASS_NONE", "SPEC_STORE_BYPASS_DISABLE",
					    "SPEC_STORE_BYPASS_PRCTL", "SPEC_STORE_BYPASS_SECCOMP"};
	static const enum store_mode modes[] = {STORE_NONE, STORE_DISABLE, STORE_BY_TASK, STORE_BY_TASK};
	struct gva symbol;
	uint32_t value;
	size_t found;
	struct error *error;

	if (!symbols_find(guest->symbols, "ssb_mode", &symbol))
		return NULL;
	error = memory_read_u32(&guest->memory, symbol, &value);
	if (error)
		return error;
	found = find_constant(guest, "ssb_mitigation", names, ARRAY_SIZE(names), value);
	ret->has_store = found < ARRAY_SIZE(names);
	if (ret->has_store)
		ret->store_mode = modes[found];
	return NULL;
}

static struct error *load_indirect(struct guest *guest, const char *name, uint32_t *ret, bool *ret_known)
{
	static const char *const names[] = {"SPECTRE_V2_USER_NONE", "SPECTRE_V2_USER_STRICT",
					    "SPECTRE_V2_USER_STRICT_PREFERRED", "SPECTRE_V2_USER_PRCTL",
					    "SPECTRE_V2_USER_SECCOMP"};
	static const enum indirect_mode modes[] = {INDIRECT_NONE, INDIRECT_STRICT, INDIRECT_STRICT, INDIRECT_BY_TASK,
						   INDIRECT_BY_TASK};
	struct gva symbol;
	uint32_t value;
	size_t found;
	struct error *error;

	*ret_known = false;
	if (!symbols_find(guest->symbols, name, &symbol))
		return NULL;
	error = memory_read_u32(&guest->memory, symbol, &value);
	if (error)
		return error;
	found = find_constant(guest, "spectre_v2_user_mitigation", names, ARRAY_SIZE(names), value);
	*ret_known = found < ARRAY_SIZE(names);
	if (*ret_known)
		*ret = modes[found];
	return NULL;
}

/*
 * The words of boot_cpu_data.x86_capability that tell of bugs come last: one, or two since 6.7. How many, is told by
 * the table of their names, which the names of features follow.
 */
static struct error *load_bugs(struct guest *guest, uint32_t *ret)
{
	struct member words = types_find(guest->types, "cpuinfo_x86", "x86_capability");
	struct gva data, bugs, features;
	uint64_t n_bugs;

	if (!words.present || words.count == 0 || !symbols_find(guest->symbols, "boot_cpu_data", &data) ||
	    !symbols_find(guest->symbols, "x86_bug_flags", &bugs) ||
	    !symbols_find(guest->symbols, "x86_cap_flags", &features))
		return error_create(ERROR_UNSUPPORTED, "the guest's kernel does not tell of its processor's bugs");
	n_bugs = (features.v - bugs.v) / 8 / 32;
	if (features.v < bugs.v || n_bugs < 1 || n_bugs > 4 || n_bugs >= words.count)
		return error_create(ERROR_UNSUPPORTED,
				    "the guest's kernel has an unknown table of its processor's bugs");
	return memory_read_u32(&guest->memory,
			       (struct gva){data.v + words.offset + (words.count - n_bugs) * sizeof(uint32_t)}, ret);
}

struct error *speculation_load(struct guest *guest, struct detail_speculation *ret)
{
	uint32_t bugs = 0;
	bool ibpb = false, stibp = false;
	struct error *error = load_bugs(guest, &bugs);

	if (error && error->code == ERROR_UNSUPPORTED) {
		error_destroy(error);
		return NULL;
	}
	if (!error)
		error = load_store(guest, ret);
	if (!error)
		error = load_indirect(guest, "spectre_v2_user_ibpb", &ret->ibpb_mode, &ibpb);
	if (!error)
		error = load_indirect(guest, "spectre_v2_user_stibp", &ret->stibp_mode, &stibp);
	ret->has_indirect = ibpb && stibp;
	ret->store_bug = bugs >> BUG_STORE_BYPASS & 1;
	ret->indirect_bug = bugs >> BUG_SPECTRE_V2 & 1;
	return error;
}

static const char *store_word(const struct detail_speculation *speculation, uint64_t flags)
{
	if (!speculation->has_store)
		return NULL;
	if (speculation->store_mode == STORE_NONE)
		return speculation->store_bug ? "vulnerable" : "not vulnerable";
	if (speculation->store_mode == STORE_DISABLE)
		return "globally mitigated";
	if (flags & PFA_STORE_FORCE_DISABLE)
		return "thread force mitigated";
	if (flags & PFA_STORE_NOEXEC)
		return "vulnerable"; /* it is not, but the kernel has no word for this state */
	return flags & PFA_STORE_DISABLE ? "thread mitigated" : "thread vulnerable";
}

static const char *indirect_word(const struct detail_speculation *speculation, uint64_t flags)
{
	uint32_t ibpb = speculation->ibpb_mode, stibp = speculation->stibp_mode;

	if (!speculation->has_indirect)
		return NULL;
	if (!speculation->indirect_bug)
		return "not affected";
	if (ibpb == INDIRECT_NONE && stibp == INDIRECT_NONE)
		return "always enabled";
	if (ibpb != INDIRECT_BY_TASK && stibp != INDIRECT_BY_TASK)
		return "always disabled";
	if (flags & PFA_INDIRECT_FORCE_DISABLE)
		return "conditional force disabled";
	return flags & PFA_INDIRECT_DISABLE ? "conditional disabled" : "conditional enabled";
}

struct guest_task_speculation speculation_words(const struct detail_layout *layout, uint64_t atomic_flags)
{
	const struct detail_speculation *speculation = &layout->speculation;

	return (struct guest_task_speculation){
		.store_bypass = store_word(speculation, atomic_flags),
		.indirect_branch = layout->shows_indirect_branch ? indirect_word(speculation, atomic_flags) : NULL,
	};
}
