/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file system's show_options adds to a line of /proc/PID/mounts, told as tables: which member, when it is
 * shown, and how. Private to guest/mount_options*.c.
 *
 * To add a file system: a table of rules in the order of its show_options, and a line in mount_tables.c.
 */
#ifndef GUEST_MOUNT_OPTIONS_H
#define GUEST_MOUNT_OPTIONS_H

#include <stdio.h>

#include "guest/vfs.h"

enum option_when {
	ALWAYS,
	UNLESS, /* unless the member is .value (as wide as the member) */
	IF,     /* if it has a bit of .value or of the enumeration's .constant */
	IF_NOT, /* if it has none of these bits */
	CALL,   /* .show decides, given the member's value, or 0 for a rule without a member */
};

enum option_form {
	WORD, /* nothing behind the text */
	DECIMAL,
	SIGNED,   /* 32 bits */
	OCTAL,    /* "%o" */
	OCTAL3,   /* "%03o" */
	OCTAL4,   /* "%04o" */
	STRING,   /* the member points to it; NULL: the option is not shown */
	IN_PLACE, /* the member is an array of characters; "": the option is not shown */
};

/* What a rule's function gets. */
struct option_context {
	struct guest *guest;
	const struct vfs_layout *layout;
	const struct types *types; /* of the file system's module */
	const struct vfs_super *super;
	struct gva info; /* the table's structure */
	FILE *out;
};

struct option_rule {
	const char *member; /* path in the table's structure; a kernel without it does not show the option */
	enum option_when when;
	const char *text; /* with the comma and "=" */
	enum option_form form;
	uint64_t value;
	const char *constant; /* an enumeration's, in place of value; a kernel without it does not show the option */
	struct error *(*show)(const struct option_context *context, uint64_t value);
};

/* Where the structure of a table begins. */
enum option_start {
	AT_INFO,    /* super_block.s_fs_info */
	AT_POINTER, /* what the member `hop` of .hop_structure at s_fs_info points to */
	AT_SYMBOL,  /* a variable of the kernel */
	AT_SUPER,   /* the super_block itself */
};

struct option_table {
	const char *fstype;
	const char *module; /* whose types these are; NULL: the kernel's own */
	const char *structure;
	enum option_start start;
	const char *hop_structure, *hop;
	const char *symbol;
	const struct option_rule *rules;
	size_t n_rules;
};

extern const struct option_table option_tables[];
extern const size_t option_tables_n;
/* The one for tmpfs, which devtmpfs and rootfs share. */
extern const struct option_table option_table_tmpfs;
extern const struct option_table option_table_ramfs;

/* Rules that are functions, in files of their own; they get the file system's s_fs_info or super_block. */
struct error *option_show_cgroup1(const struct option_context *context, uint64_t value) _must_check_;
struct error *option_show_ext4(const struct option_context *context, uint64_t value) _must_check_;
struct error *option_show_fat(const struct option_context *context, uint64_t value) _must_check_;
struct error *option_show_overlay(const struct option_context *context, uint64_t value) _must_check_;

/* Like types_find(), also for the modules of kernels before 5.11, which have no types: see module_members.c. */
struct member option_member(const struct option_context *context, const char *structure, const char *path);
/* The member's value at `object`; 0 if there is no such member. */
struct error *option_value(const struct option_context *context, const char *structure, const char *path,
			   struct gva object, uint64_t *ret) _must_check_;

#endif
