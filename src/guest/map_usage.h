/* SPDX-License-Identifier: Apache-2.0 */
/* How much of each mapping of a process is in memory, as /proc/PID/smaps tells. Included by guest/guest.h. */
#ifndef GUEST_MAP_USAGE_H
#define GUEST_MAP_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/process.h"

struct guest;

#define GUEST_SHARE_SHIFT 12u /* shares of pages are in 1/4096 of a byte (PSS_SHIFT) */

/* Bytes, but for shares: those of a page that n processes map are 1/n of it, in 1/2^GUEST_SHARE_SHIFT. */
struct guest_usage {
	uint64_t resident, referenced, anonymous, merged, lazy_free;
	uint64_t shared_clean, shared_dirty, private_clean, private_dirty;
	uint64_t anonymous_huge, shared_memory_huge, file_huge; /* transparent huge pages */
	uint64_t shared_hugetlb, private_hugetlb;
	uint64_t swapped; /* private pages, and what of shared memory (tmpfs, memfd) is in swap */
	uint64_t share, share_dirty, share_anonymous, share_file, share_memory, share_locked, share_swapped;
};

struct guest_map_usage {
	uint64_t page_size; /* bytes */
	bool huge_pages;    /* transparent ones may be used */
	struct guest_usage usage;
};

/* What lines smaps has in this kernel. */
struct guest_usage_format {
	bool has_share_dirty;                              /* Pss_Dirty (6.0 and later) */
	bool has_merged;                                   /* KSM (6.7 and later) */
	bool wide;                                         /* THPeligible (6.6 and later) */
	bool has_keys;                                     /* ProtectionKey: the processor has memory protection keys */
	bool has_deny_write, has_shadow_stack, has_sealed; /* words of VmFlags */
};

/*
 * Of the mappings of guest_task_maps(): `ret` has room for as many. What cannot be read ends the walk; the
 * error is returned, and what was counted until then is there.
 */
struct error *guest_map_usage(struct guest *guest, uint64_t task, const struct guest_map_list *maps,
			      struct guest_map_usage *ret) _must_check_;
struct error *guest_usage_format(struct guest *guest, struct guest_usage_format *ret) _must_check_;

#endif
