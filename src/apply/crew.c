/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/crew.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "apply/fault.h"

/* musl gives 128 KiB by itself; no function that members call has more than a few paths on the stack. */
#define STACK_SIZE (256 * 1024)

struct crew {
	struct error *(*work)(void *member, uint32_t piece);
	uint32_t n_pieces;
	_Atomic uint32_t next;
	_Atomic(struct error *) error; /* the first */
};

struct member {
	struct crew *crew;
	void *state; /* borrowed */
	pthread_t thread;
};

size_t crew_size(void)
{
	size_t n = fault_threads();
	cpu_set_t set;

	if (!n)
		n = sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : (size_t)CPU_COUNT(&set);
	if (n > CREW_MAX)
		n = CREW_MAX;
	return n ? n : 1;
}

static void *do_pieces(void *data)
{
	struct member *member = data;
	struct crew *crew = member->crew;

	while (!atomic_load(&crew->error)) {
		uint32_t piece = atomic_fetch_add(&crew->next, 1);
		struct error *error, *none = NULL;

		if (piece >= crew->n_pieces)
			break;
		error = crew->work(member->state, piece);
		if (error && !atomic_compare_exchange_strong(&crew->error, &none, error))
			error_destroy(error);
	}
	return NULL;
}

/* How many of them run now. */
static size_t start(struct member *members, size_t n)
{
	pthread_attr_t attributes;
	size_t started = 0;

	if (pthread_attr_init(&attributes) != 0)
		return 0;
	if (pthread_attr_setstacksize(&attributes, STACK_SIZE) == 0)
		while (started < n &&
		       pthread_create(&members[started].thread, &attributes, do_pieces, &members[started]) == 0)
			started++;
	pthread_attr_destroy(&attributes);
	return started;
}

struct error *crew_run(void *const *members, size_t n_members, uint32_t n_pieces,
		       struct error *(*work)(void *member, uint32_t piece))
{
	struct crew crew = {.work = work, .n_pieces = n_pieces};
	struct member first = {.crew = &crew, .state = members[0]}, others[CREW_MAX - 1];
	size_t n_others = n_members - 1, started;

	/* A member without a piece would be made for nothing. */
	if (n_others >= n_pieces)
		n_others = n_pieces ? n_pieces - 1 : 0;
	if (n_others > CREW_MAX - 1)
		n_others = CREW_MAX - 1;
	for (size_t i = 0; i < n_others; i++)
		others[i] = (struct member){.crew = &crew, .state = members[i + 1]};
	started = start(others, n_others);
	do_pieces(&first);
	for (size_t i = 0; i < started; i++)
		pthread_join(others[i].thread, NULL);
	return atomic_load(&crew.error);
}
