/* SPDX-License-Identifier: Apache-2.0 */
/* For the static programs that run in a shadow: as many processes as it lets them have. */
#ifndef TESTS_UNIT_SHADOW_SPAWN_H
#define TESTS_UNIT_SHADOW_SPAWN_H

#include <sys/wait.h>
#include <unistd.h>

/*
 * Has at most `max` processes at the same time, each as another user, so that no count of one user sees them all.
 * Returns how many there were, once all have ended; -1: not even a pipe can be had.
 */
static inline int spawn_users(int max)
{
	int n = 0, gate[2];
	char byte;

	if (pipe(gate) < 0)
		return -1;
	for (; n < max; n++) {
		pid_t pid = fork();

		if (pid < 0)
			break;
		if (pid > 0)
			continue;
		close(gate[1]);
		if (setresuid((uid_t)(1000 + n), (uid_t)(1000 + n), (uid_t)(1000 + n)) == 0)
			(void)!read(gate[0], &byte, 1);
		_exit(0);
	}
	close(gate[1]);
	while (wait(NULL) > 0)
		;
	return n;
}

#endif
