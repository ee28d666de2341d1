/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is on the host to be reached, changed or used up: files, a process, a socket, a key, a device, and what is told
 * of them to the attempts by the environment.
 */
#ifndef TESTS_ESCAPE_CANARY_H
#define TESTS_ESCAPE_CANARY_H

#include <stdint.h>
#include <sys/types.h>

struct canary {
	char dir[64]; /* 0755, of the whole suite; the secret is in DIR/host */
	char *disk;   /* image of the guest's disk */
	char **env;   /* NULL-terminated */
	pid_t victim, server;
	int loop;
	long clock_shift; /* seconds that put the host's clock into the middle of ten */
	long huge_pages;  /* of the host, before; -1: cannot be told */
};

void canary_create(struct canary *ret);
void canary_destroy(struct canary *canary);

/* Everything of it that must not change, as a text; owned. */
char *canary_text(const struct canary *canary);

#endif
