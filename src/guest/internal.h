/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of guest/ share. Private to guest/.
 *
 *   kernel (open.c)        where the kernel is, by its page tables (locate.c), the note that it
 *                          leaves for crash dumps (kernel.c), or a search of everything (search.c)
 *   memory (memory.c)      guest-virtual reads through the kernel's page tables
 *   symbols (kallsyms.c)   name → address; kallsyms_find.c finds the tables
 *   types (types.c)        structure member → offset and size
 *   facts (the rest)       walks over the kernel's objects:
 *                          containers.h  lists, trees, xarrays
 *                          object.h      structures read whole
 *                          task.h        processes, threads, what they map and have open
 *                          paths.h       places in the tree of mounts, and their paths
 *                          vfs.h         mounts, inodes, file systems, directories; mount_options.h
 *                          page_cache.h  contents of files
 *                          network.h, sysctl.h
 */
#ifndef GUEST_INTERNAL_H
#define GUEST_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"
#include "base/error.h"
#include "guest/guest.h"

#define PAGE_SIZE   4096u
/* __START_KERNEL_map: where the kernel's image is linked. Its physical address is va - this + phys_base. */
#define KERNEL_BASE UINT64_C(0xffffffff80000000)

/* ---- Reading ---- */

/* Entries for pages of 4 KiB and of 2 MiB; powers of two. Small, so that one a process costs nothing. */
#define TLB_SMALL   256u
#define TLB_LARGE   64u

struct tlb_entry {
	uint64_t page;     /* virtual page number + 1; 0: empty */
	uint64_t physical; /* of the page's first byte */
};

/* An address space of the guest: its top page table and how to walk it. */
struct memory {
	struct image *image;  /* borrowed */
	struct gpa top;       /* the page table of the highest level */
	bool linear;          /* no page tables: */
	uint64_t linear_base; /* the address of guest-physical 0 */
	bool five_levels;
	uint64_t sme_mask; /* bits of an entry that mean "encrypted", not address */
	struct tlb_entry small[TLB_SMALL];
	struct tlb_entry large[TLB_LARGE];
};

/* Starts anew with these page tables. */
void memory_init(struct memory *memory, struct image *image, struct gpa top, bool five_levels, uint64_t sme_mask);

/* The same without page tables: guest-physical memory as it is, from `base` on. */
void memory_init_linear(struct memory *memory, struct image *image, uint64_t base);

/* An address without a mapping is ERROR_FORMAT with that address, a page that is swapped out ERROR_NOT_FOUND. */
struct error *memory_translate(struct memory *memory, struct gva address, struct gpa *ret) _must_check_;
struct error *memory_read(struct memory *memory, struct gva address, void *buffer, size_t size) _must_check_;
struct error *memory_read_u64(struct memory *memory, struct gva address, uint64_t *ret) _must_check_;
struct error *memory_read_u32(struct memory *memory, struct gva address, uint32_t *ret) _must_check_;
/* At most size - 1 bytes up to a NUL; always terminated, cut if longer. Stops at an unmapped page only if it must. */
struct error *memory_read_string(struct memory *memory, struct gva address, char *buffer, size_t size) _must_check_;

/* Reads at most `size` bytes, about half as many each time that something is missing; 0: the page at `address` is. */
size_t memory_read_some(struct memory *memory, struct gva address, void *buffer, size_t size);

/*
 * The first place at or above *from and below `end` with these bytes; moves *from there. What is
 * not mapped is passed over. False: there is none.
 */
bool memory_find(struct memory *memory, struct gva *from, struct gva end, const void *bytes, size_t size);

/* ---- Finding the kernel (kernel.c) ---- */

#define NOTE_SIZE_MAX 4096u /* VMCOREINFO_BYTES */

/* What VMCOREINFO says. Addresses are guest-virtual; 0: not there. */
struct kernel_note {
	char release[65];  /* "": not known */
	int64_t phys_base; /* the image's physical address minus its link address */
	bool has_phys_base;
	bool five_levels;
	uint64_t sme_mask;
	uint64_t init_top_pgt;
	uint64_t stext; /* start of the kernel's text */
	uint64_t kallsyms_names, kallsyms_num_syms, kallsyms_token_table, kallsyms_token_index;
	uint64_t kallsyms_offsets, kallsyms_relative_base, kallsyms_addresses;
};

/* Reads "KEY=VALUE" lines. ERROR_FORMAT where what is needed to go on is missing. */
struct error *kernel_note_parse(const char *text, size_t size, struct kernel_note *ret) _must_check_;

/* The next page at or above *from that holds a note; moves *from behind it. False: there is none. */
bool kernel_next_note(struct image *image, struct gpa *from, struct kernel_note *ret);

/* The first note that is well-formed but of a kernel for another processor. False: there is none. */
bool kernel_find_foreign(struct image *image, struct kernel_note *ret);

/* ---- Finding the kernel (locate.c, search.c) ---- */

/* A kernel's image as page tables map it; guest-virtual. */
struct kernel_image {
	struct gpa top; /* page tables that lead there: maybe not the kernel's own, and nowhere else */
	bool five_levels;
	uint64_t sme_mask;
	struct gva start, end;
	struct gva read_only, read_only_end; /* the part that can only be read; may be empty */
};

/* False: these page tables map nothing like a kernel. */
bool kernel_image_of(struct image *image, struct gpa top, bool five_levels, uint64_t sme_mask,
		     struct kernel_image *ret);

/* The next kernel that a page below TRAMPOLINE_END at or above *from leads to; moves *from behind it. */
#define TRAMPOLINE_END (UINT64_C(1) << 20)
bool kernel_next_trampoline(struct image *image, struct gpa *from, struct kernel_image *ret);

/* Whether guest->types are this kernel's (fit.c); for those from a file much more is looked at. */
struct error *fit_check(struct guest *guest) _must_check_;
struct error *fit_check_file(struct guest *guest) _must_check_;

/* Why nothing is found: always an error, ERROR_UNSUPPORTED. */
struct error *kernel_missing(struct image *image) _must_check_;

/* ---- Symbols (kallsyms.c) ---- */

/* A place where addresses may be: numbers of 4 bytes, one a symbol, with or without a base. */
struct kallsyms_place {
	struct gva values;
	struct gva relative_base; /* of the base that they are relative to; 0: they have none (7.0 and later) */
	bool addresses;           /* whole addresses of 8 bytes instead (no CONFIG_KALLSYMS_BASE_RELATIVE) */
};
#define KALLSYMS_PLACES_MAX 5u

struct symbols;

/* Where the tables are. */
struct kallsyms_tables {
	struct gva names, num_syms, token_table, token_index;
	struct kallsyms_place places[KALLSYMS_PLACES_MAX]; /* tried in this order */
	size_t n_places;
	uint64_t stext; /* what the symbol _stext must come out as; 0: not known */
	/* Decides on an encoding by where it puts the kernel's banner; NULL: the banner must be there. */
	bool (*accept)(void *data, const struct symbols *symbols, struct gva banner);
	void *accept_data;
};

#define SYMBOLS_MAX 2000000u

/* Decodes the tables, trying each way to encode addresses until _stext and linux_banner come out right. */
struct error *symbols_load(struct memory *memory, const struct kallsyms_tables *tables, struct symbols **ret)
	_must_check_;
/* The first symbol of that name; false: there is none. */
bool symbols_find(const struct symbols *symbols, const char *name, struct gva *ret);
/* The same; a missing symbol is ERROR_UNSUPPORTED that names it. */
struct error *symbols_get(const struct symbols *symbols, const char *name, struct gva *ret) _must_check_;
/* The lowest address above this one that a symbol has: where what lies here ends; UINT64_MAX: none. Looks at all. */
uint64_t symbols_next(const struct symbols *symbols, uint64_t address);
size_t symbols_count(const struct symbols *symbols);
/* Number `i` of them, i < symbols_count(). */
struct symbol {
	uint64_t address;
	char type; /* as nm has it: 'T', 'd', … */
	char name[512];
};
void symbols_at(const struct symbols *symbols, size_t i, struct symbol *ret);
/*
 * What the kernel itself calls an address: the first of the symbols at the highest address that is not above it.
 * *ret_end: where the next one begins; 0: there is none. False: no symbol is that low.
 */
bool symbols_lookup(const struct symbols *symbols, uint64_t address, struct symbol *ret, uint64_t *ret_end);
void symbols_destroy(struct symbols *symbols);
DEFINE_CLEANUP(struct symbols *, symbols_destroy)

/* A search for the tables by their content (kallsyms_find.c). */
struct kallsyms_search {
	struct memory *memory; /* borrowed */
	struct gva from, end;  /* what is still to be searched */
	unsigned n_digits, n_tokens;
};

/*
 * The next tables whose token table is in the range; moves on behind it. What is not mapped is
 * passed over. False: there are none, or too many things that only look like them.
 */
bool kallsyms_next(struct kallsyms_search *search, struct kallsyms_tables *ret);

/* A search of all memory for symbol tables that lead to a kernel (search.c). */
struct kernel_search {
	struct image *image;    /* borrowed */
	struct memory physical; /* all of it, linear */
	struct kallsyms_search tables;
	struct gpa next; /* from where on nothing was searched */
};
void kernel_search_init(struct kernel_search *search, struct image *image);
/* False: there is none. */
bool kernel_search_next(struct kernel_search *search, struct kernel_image *ret);

/* ---- Types (types.c) ---- */

/* A member of a structure. */
struct member {
	bool present;
	uint32_t offset;     /* bytes; of a bit field: of the first byte that holds some of it */
	uint32_t size;       /* bytes; of a bit field: those that hold it all; of an array: all of it */
	uint32_t count;      /* elements of an array, each of size / count bytes; 0: not an array */
	uint8_t bits, shift; /* of a bit field: its width and its lowest bit in the bytes; 0 bits: not one */
};

struct types;

/* Parses a BTF blob (copied). `base`: the types that a module's refer to, or NULL; it must outlive the result. */
struct error *types_create(const void *blob, size_t size, const struct types *base, struct types **ret) _must_check_;
/* The same out of a file of the user's: a BTF blob, or an ELF file with one in its section .BTF. */
struct error *types_load_file(const char *path, struct types **ret) _must_check_;
/* Bytes of the blob. */
uint32_t types_blob_size(const struct types *types);
void types_destroy(struct types *types);
DEFINE_CLEANUP(struct types *, types_destroy)

/*
 * The member at `path` ("name.len") of structure or union `type`. Members of anonymous structures
 * count as the outer one's; of an array that a path goes through the first element is meant, of
 * "mem[3].base" the fourth. Not there, or of no fixed size: present is false.
 */
struct member types_find(const struct types *types, const char *type, const char *path);
/* Bytes of the structure; 0: no such type. */
uint32_t types_size(const struct types *types, const char *type);
/*
 * The value of `constant` in the enumeration `name`; NULL: in any, also in those without a name.
 * A value of 32 bits is not sign-extended. False: there is none.
 */
bool types_enum(const struct types *types, const char *name, const char *constant, uint64_t *ret);
/* The same; a missing constant is ERROR_UNSUPPORTED that names it. */
struct error *types_get_enum(const struct types *types, const char *name, const char *constant, uint64_t *ret)
	_must_check_;

/* One line of a table that says which members a walk needs. */
struct member_need {
	const char *type, *path;
	struct member *ret;
	bool optional;
};

/* Looks all of them up; a missing one that is not optional is ERROR_UNSUPPORTED that names it. */
struct error *types_need(const struct types *types, const struct member_need *needs, size_t n) _must_check_;

/* ---- The guest ---- */

#define GUEST_MODULES_MAX 64u

struct guest {
	struct memory memory;
	struct symbols *symbols;
	struct types *types; /* of the kernel image */
	bool foreign_types;  /* from a file, in which types have other numbers: modules' own do not go with them */
	/* Types of modules that were asked for; types NULL: that module has none. */
	struct module_types {
		char name[64];
		struct types *types;
	} modules[GUEST_MODULES_MAX];
	size_t n_modules;
	struct process_layout *processes;     /* made when first needed (task.h) */
	struct vfs_layout *vfs;               /* made when first needed (vfs.h) */
	struct page_cache_layout *page_cache; /* the same (page_cache.h) */
	struct path_layout *paths;            /* made when first needed (paths.h) */
	struct vma_layout *vmas;              /* made when first needed (maps.c) */
	struct space_layout *spaces;          /* made when first needed (namespaces.c) */
	struct fd_layout *fds;                /* made when first needed (fd_info.c) */
	struct lock_layout *locks;            /* the same (fds.h) */
	struct acl_layout *acls;              /* made when first needed (acls.c) */
	struct stack_layout *stacks;          /* made when first needed (unwind.c) */
	struct detail_layout *details;        /* made when first needed (details.h) */
	struct sysfs_layout *sysfs;           /* made when first needed (sysfs.h) */
	uint64_t effort;                      /* steps since guest_effort_begin() */
	bool effort_shared;                   /* guest_share_effort() */
};

/*
 * Defines `linkage struct error *name(struct guest *, const struct type **)`: looks the members up by load(guest,
 * struct type *) when they are first asked for; the guest keeps them in `slot`, and frees them.
 */
#define DEFINE_LAYOUT_GET(linkage, name, type, slot, load)                                                             \
	linkage struct error *name(struct guest *guest, const struct type **ret)                                       \
	{                                                                                                              \
		_cleanup_(free_ptr) struct type *layout = NULL;                                                        \
		struct error *error;                                                                                   \
                                                                                                                       \
		if (!guest->slot) {                                                                                    \
			layout = calloc(1, sizeof(*layout));                                                           \
			if (!layout)                                                                                   \
				return error_no_memory();                                                              \
			error = load(guest, layout);                                                                   \
			if (error)                                                                                     \
				return error;                                                                          \
			guest->slot = take_ptr(layout);                                                                \
		}                                                                                                      \
		*ret = guest->slot;                                                                                    \
		return NULL;                                                                                           \
	}

/* Reads a member of at most 8 bytes, or a bit field, as an unsigned number. The member must be present. */
struct error *guest_read_member(struct guest *guest, struct gva object, const struct member *member, uint64_t *ret)
	_must_check_;

/* One line of a table of members to read. */
struct member_read {
	const struct member *member;
	uint64_t *ret;
};
struct error *guest_read_members(struct guest *guest, struct gva object, const struct member_read *reads, size_t n)
	_must_check_;

/*
 * Types to look up what the module `name` ("nf_conntrack") defines: its own and the kernel's, or
 * the kernel's alone where it is built in, absent or without type information. Borrowed from the
 * guest, which keeps them.
 */
struct error *guest_module_types(struct guest *guest, const char *name, const struct types **ret) _must_check_;
/*
 * Like types_find() in these types, also for some modules of kernels before 5.11, which keep no types of modules
 * (module_members.c). Such a member must be checked by something that is known of the structure.
 */
struct member module_member(const struct guest *guest, const struct types *types, const char *structure,
			    const char *path);

/*
 * The address space of a process (a struct mm_struct), for memory_read(). Cheap: about 5 KiB.
 * Pages that are swapped out are ERROR_NOT_FOUND.
 */
struct error *guest_user_memory(struct guest *guest, struct gva mm, struct memory *ret) _must_check_;

/* ---- Variables (variables.c) ---- */

/* The value of a variable of the kernel; one that it does not have is ERROR_UNSUPPORTED. */
struct error *guest_symbol_u64(struct guest *guest, const char *name, uint64_t *ret) _must_check_;
struct error *guest_symbol_u32(struct guest *guest, const char *name, uint32_t *ret) _must_check_;

/* Where CPU `cpu` has its copy of the per-CPU variable whose symbol is at `variable`. */
struct error *guest_percpu(struct guest *guest, struct gva variable, uint32_t cpu, struct gva *ret) _must_check_;

/* The guest's processors, by number. */
#define CPUS_MAX GUEST_CPUS_MAX
struct cpu_sets {
	uint32_t possible, present, online;   /* how many */
	uint64_t possible_set[CPUS_MAX / 64]; /* bit n: CPU n; gaps occur */
	uint64_t online_set[CPUS_MAX / 64];
};
struct error *cpu_sets_load(struct guest *guest, struct cpu_sets *ret) _must_check_;
/* The first CPU of a set at or above `from`; CPUS_MAX: none. */
uint32_t cpu_sets_next(const uint64_t set[CPUS_MAX / 64], uint32_t from);
/* Goes through the CPUs of a set, by number. */
#define for_each_cpu(cpu, set)                                                                                         \
	for (uint32_t cpu = cpu_sets_next(set, 0); (cpu) < CPUS_MAX; (cpu) = cpu_sets_next(set, (cpu) + 1))

/* The struct percpu_counter at `counter`, with what each CPU has not yet added; never below zero. */
struct error *guest_percpu_counter(struct guest *guest, struct gva counter, uint64_t *ret) _must_check_;

/* Ticks a second of the kernel (HZ), in which it counts jiffies: 100 to 1000. */
struct error *guest_tick_rate(struct guest *guest, uint32_t *ret) _must_check_;

/* ---- Pages (pages.c) ---- */

/* What turns a struct page into memory. Addresses are guest-virtual. */
struct page_layout {
	uint64_t vmemmap;    /* of the struct page of frame 0 */
	uint32_t page_size;  /* sizeof(struct page) */
	struct member flags; /* page.flags; a word even where it is a structure (7.0 and later) */
	uint64_t head_bit;   /* PG_head, as a bit of flags */
	struct member order; /* of the second page of a folio: its order in the low 8 bits */
	uint32_t order_page; /* bytes from the folio to that second page */
};
struct error *page_layout_load(struct guest *guest, struct page_layout *ret) _must_check_;
/* The memory that a struct page stands for; a pointer that is not one is ERROR_FORMAT. */
struct error *page_physical(const struct page_layout *layout, struct gva page, struct gpa *ret) _must_check_;
/* A folio has 2^order pages; 0 for a page that is not compound. */
struct error *page_order(struct guest *guest, const struct page_layout *layout, struct gva folio, unsigned *ret)
	_must_check_;

/* ---- Bounds of walks (guest.c) ---- */

/*
 * Notices when a walk over a list goes in circles (Brent): one remembered place, replaced at
 * growing distances. Also caps the walk.
 */
struct loop_guard {
	uint64_t remembered, distance, power, steps;
};
#define WALK_MAX (UINT64_C(1) << 22) /* more than PID_MAX_LIMIT, mounts or super blocks of any guest */

/* Notes one more place; false: the walk must stop. */
bool loop_guard_step(struct loop_guard *guard, uint64_t place);

/*
 * What a walk does with an error that does not end it: the first one is kept in *incomplete, further ones are dropped,
 * and NULL comes back. ERROR_NO_MEMORY, which does end it, comes back as it is. Consumes `error`, which may be NULL.
 */
struct error *walk_note(struct error **incomplete, struct error *error) _must_check_;

/*
 * Bounds what the paths and tables of one walk cost together: each may be long, and a hostile guest has a
 * long one for everything. Four million steps take some seconds.
 */
#define EFFORT_MAX (UINT64_C(1) << 22)
/* A walk begins: unless walks share their effort (guest_share_effort()), no step was made yet. */
void guest_effort_begin(struct guest *guest);
/* `steps` more, at `place`; ERROR_FORMAT: those were too many, and any further ones are. */
struct error *guest_effort(struct guest *guest, uint64_t steps, uint64_t place) _must_check_;
bool guest_effort_spent(const struct guest *guest);

/* ---- Paths of control groups (cgroup_path.c) ---- */

struct cgroup_layout {
	struct member css_set_dfl, css_set_links, link_next, link_cgroup, cgroup_node, cgroup_root, root_name;
	struct member cgroup_flags, node_name, node_parent;
	uint64_t css_online; /* the bit of cgroup_flags that a removed cgroup lacks; 0: not known */
};
struct error *cgroup_layout_load(struct guest *guest, struct cgroup_layout *ret) _must_check_;
/* The path of the cgroup with this kernfs_node in its hierarchy; malloc'd. */
struct error *cgroup_node_path(struct guest *guest, const struct cgroup_layout *layout, uint64_t node, char **ret)
	_must_check_;
/*
 * The path in the hierarchy that systemd manages, for the css_set at `css_set`, as /proc/PID/cgroup
 * shows it; malloc'd. `exiting`: of a task that is ending, which is shown otherwise.
 */
struct error *cgroup_path(struct guest *guest, const struct cgroup_layout *layout, struct gva css_set, bool exiting,
			  char **ret) _must_check_;

#endif
