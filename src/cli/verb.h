/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: one table of verbs (main.c) that dispatches, prints help and feeds shell
 * completion. To add a verb: cmd_NAME.c with a struct verb, one line in the table, its section in
 * doc/ouassister.1.scd, its line in doc/json.md.
 *
 * One that reads memory sets reads_memory, opens it with source_open() and prints in print_NAME.c
 * (cli/print.h), which tests/unit/cli/test_print.c tries on made facts; tests/cli/memory.bats takes it up
 * by itself.
 */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "image/image.h"
#include "update/update.h"

#define OPTIONS_MAX 32  /* that a verb has, those of every verb among them */
#define GIVEN_MAX   256 /* in one call: some may be repeated */

/* An option of a verb, or of all verbs. */
struct option_spec {
	const char *name;     /* long name, without "--" */
	char letter;          /* short form, 0: none */
	const char *argument; /* placeholder of its argument, NULL: takes none */
	const char *help;     /* one line */
};

/* Of the verbs that open a sleeping guest's disk. */
#define DISK_OPTIONS                                                                                                   \
	{"disk", 0, "READER", "who reads its ext4: userspace (default), or kernel (OUASSISTER_DISK)"},                 \
	{                                                                                                              \
		"disk-alone", 0, NULL, "see the disk without what only the guest's memory holds of it"                 \
	}

/* The words of one call, after parsing. */
struct invocation {
	struct update_settings settings;
	bool json;
	bool verbose;
	const char *vm;             /* NULL if not given */
	const char *memory;         /* --memory: a memory image instead of a VM; NULL if not given */
	struct image_options image; /* --layout, --snapshot */
	struct guest_options guest; /* --btf */
	const char *const *rest;    /* what follows the VM, NULL-terminated; NULL if nothing does */
	struct {
		const struct option_spec *spec;
		const char *value; /* "" for options that take no argument */
	} given[GIVEN_MAX];
	size_t n_given;
};

/* The option's value, NULL if it was not given. */
const char *invocation_option(const struct invocation *invocation, const char *name);

/* A whole number from `min` to `max`; absent leaves *ret as it is. */
struct error *invocation_number(const struct invocation *invocation, const char *name, uint64_t min, uint64_t max,
				uint64_t *ret) _must_check_;

struct verb {
	const char *name;
	const char *arguments; /* for the usage line: "VM [-- CMD]" */
	const char *summary;   /* one line */
	bool vm_optional;
	bool reads_memory;        /* of a VM, or of a file by --memory: see memory_options */
	bool takes_rest;          /* words after the VM */
	bool supervised;          /* mounts and runs things: see cli/supervise.h */
	const char *when_stopped; /* of one that moves a VM: what is told when a signal ends it; NULL: nothing */
	const struct option_spec *options; /* ends with a NULL name; NULL: none */
	struct error *(*run)(const struct invocation *invocation, json_t **ret);
	/* Prints the document for people; never called with --json. */
	void (*print)(const json_t *document);
	/*
	 * Instead of both: writes to standard output as it goes, because there may be a lot. What it
	 * wrote stays when it fails. Failures to write need not be looked at.
	 */
	struct error *(*show)(const struct invocation *invocation);
	/*
	 * Instead of all three: runs a program, whose standard streams and exit status are ours. Every failure of
	 * ours is then EXIT_NOT_THE_PROGRAM, and nothing is printed but that.
	 */
	struct error *(*perform)(const struct invocation *invocation, int *ret_status);
};

/* As env, timeout and others end, who run a program; a time limit that ends it is timeout's own. */
#define EXIT_NOT_THE_PROGRAM 125
#define EXIT_TIMEOUT         124

extern const struct verb verb_cat, verb_diff_disk, verb_dmesg, verb_exec, verb_gate, verb_inspect, verb_ls, verb_maps,
	verb_modules, verb_mounts, verb_ps, verb_resume, verb_rollback, verb_services, verb_show, verb_sockets,
	verb_status, verb_suspend, verb_update;

#endif
