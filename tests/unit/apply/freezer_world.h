/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that count, in real cgroups of this machine below one of our own, and a look at them at a fault point of
 * the helper ($HELPER), which looks only there for what to freeze. $FREEZER says which version of cgroups: "unified" or
 * "one".
 */
#ifndef TEST_APPLY_FREEZER_WORLD_H
#define TEST_APPLY_FREEZER_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "builder.h"

/* Each has one process that counts. The helper is started in the one that is to be spared. */
enum place {
	BUSY,   /* version 1: in the root of the hierarchy, as all services of a guest are */
	INNER,  /* version 1: in a group of its own there, as a container is */
	BESIDE, /* beside the channel */
	CHANNEL,
	SESSION, /* version 1: in the root, too, but where the service manager has the channel */
	STOPPED, /* by somebody else */
	PLACES
};

struct world {
	bool is_version_one;
	char *top; /* our own cgroup's directory; NULL: this machine has no such hierarchy */
	volatile uint64_t *counters;
	pid_t pids[PLACES];
};

extern struct world world;

#define FREEZER_COUNTERS  FIXTURE_SPACE "/counters"
#define FREEZER_LIST_PATH FIXTURE_ROOT "/run/.ouassister-frozen"

/* A limit that no machine reaches, where it is not the limit that is tested. */
#define LONG_LIMIT        "20000"

int world_setup(void **state);
int world_teardown(void **state);
/* Skips where there is nothing to test with. */
void need_cgroups(void);
const char *place_name(enum place place);
void world_move(enum place place, pid_t pid);
/* Writes to a control file of a directory below the top. */
void world_control(const char *directory, const char *name, const char *text);

bool moves_within(enum place place, unsigned ms);
/* All that are not stopped by somebody else, and nothing of the helper's is left. */
void assert_all_run(void);
/* As the last report has it. */
long long frozen_us(void);

/* A tree with /run, and an update of two files. */
void world_prepare(struct builder *b);

/*
 * What this program, called by the helper at one of its points, has seen: the counters, and once more when all have
 * gone on, or, where they are frozen, when those that never stop have gone on far; however busy the machine is.
 */
struct sample {
	uint64_t first[PLACES], second[PLACES];
	uint64_t has_list, frozen;
};

/* What main() does first: *ret_status is its own where it was called to look. */
bool world_is_sampler(int argc, char **argv, int *ret_status);
/* The command for OUA_FAULT_RUN; static. `until_all_run`: although they were frozen. */
const char *sampler(bool until_all_run);
/* False if no sample was taken: the point is behind the last one. */
bool read_sample(struct sample *ret);
/* An apply that must succeed, looked at, at one point. */
bool take_sample(unsigned fault, const char *limit, const struct builder *b, struct sample *ret);
/* A rollback of what was applied just now, the same way. */
bool take_sample_back(unsigned fault, struct sample *ret);

#endif
