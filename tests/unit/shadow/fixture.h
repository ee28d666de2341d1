/* SPDX-License-Identifier: Apache-2.0 */
/* A small root of busybox and probe.c, and what is asked of a shadow over it. */
#ifndef TESTS_UNIT_SHADOW_FIXTURE_H
#define TESTS_UNIT_SHADOW_FIXTURE_H

#include "tests/unit/test.h"

#include "image/image.h"
#include "shadow/shadow.h"

/* What a test of a shadow works with; all zero where it does not run as root. */
struct fixture {
	char dir[32];              /* a new directory, with all that the paths below name */
	char *root, *layers, *run; /* layers and run are there, root after make_root() */
	char *disk_path;           /* of a disk that the test makes and opens */
	struct disk *disk;
	struct change_list changes;
	struct image *image;
	struct guest *guest;
	struct guest_uts uts;
	struct guest_clock clock;
	struct shadow *shadow;
};

/* For main: mounts of the tests must not reach the rest of the machine, nor outlive the program. False: it failed. */
bool fixture_private_mounts(void);

/* For a cmocka setup; `template` is that of mkdtemp(3). */
int fixture_create(const char *template, void **state);

/* Closes and removes what there is. */
int fixture_teardown(void **state);

void fixture_open_guest(struct fixture *f, const char *image_path);

/* A shadow of the guest over `root`, with its names and clocks. */
void fixture_create_shadow(struct fixture *f);

/* The environment of what runs in it. */
extern const char *const shadow_env[];

/* Runs a shell script (set -e) on the host; its failure fails the test. */
void shell(const char *format, ...) _printf_(1, 2);

/* Makes the directory `path`, a guest's root with some files in /data that are not quite ordinary. */
void make_root(const char *path);

/* Runs `argv` and returns its output, trimmed, in a static buffer. */
const char *output_of(struct shadow *shadow, const char *const *argv, bool network, int *ret_status);

/* The exit status of a shell script in the shadow. */
int status_of(struct shadow *shadow, const char *script);

/* The script ends well and prints this. */
void assert_says(struct shadow *shadow, const char *script, const char *expected);

/* How many of the host's files that match hold this text. */
unsigned count_files(const char *pattern, const char *text);

/* The host's processes with `mark` in their command line. */
unsigned count_processes(const char *mark);

#endif
