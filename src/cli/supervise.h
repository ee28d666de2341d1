/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A verb that mounts and runs things works in a process of its own, so that whatever ends it,
 * somebody is left to tidy up: mounts and programs go with the process, files do not.
 */
#ifndef CLI_SUPERVISE_H
#define CLI_SUPERVISE_H

#include "cli/verb.h"

/*
 * Runs `work` in a child and yields its exit status. SIGINT, SIGTERM and SIGHUP end the child;
 * then, and when it dies in any other way, what it left in the VM's state directory is removed, and the terminal is
 * as it was before. A signal more than a second later ends the tidying, too.
 */
int supervise(const struct verb *verb, const struct invocation *invocation,
	      int (*work)(const struct verb *, const struct invocation *));

/* From now on SIGINT, SIGTERM and SIGHUP end this process with `verb->when_stopped` as its last words. */
void supervise_last_words(const struct verb *verb);

#endif
