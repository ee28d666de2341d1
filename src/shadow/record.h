/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the shadow room: what the guest's programs asked of the running system is written down as actions, each
 * with the script and the package it came from.
 */
#ifndef SHADOW_RECORD_H
#define SHADOW_RECORD_H

#include "shadow/internal.h"

/*
 * Appends `action`, which is taken, with its order, phase and origin: that of the process with this number on the
 * host, which waits for our answer; 0: not known. Fails if there are too many, or if it can be no action.
 */
struct error *record_action(struct shadow *shadow, uint32_t host_pid, struct action action) _must_check_;

/* The package and the script it came from, into an action that has none; record_action() does not look again then. */
void record_origin(uint32_t host_pid, struct action *action);

/* The same of this very process, without its ancestors; false: it is no package's. Configuration scripts, too. */
bool record_own_origin(uint32_t host_pid, struct action *action);

/*
 * What runs below `init` as a daemon would, each as the command it was started with; where a program has changed its
 * words, its file alone.
 */
struct error *record_left(struct shadow *shadow, uint32_t init) _must_check_;

/* The very words of the process, as a command: of a program that asks and ends. */
struct error *record_caller(struct shadow *shadow, uint32_t host_pid) _must_check_;

/* The same for a program's words, which are copied; `guest_pid`: the process of the guest they are about, 0: none. */
struct error *record_command(struct shadow *shadow, uint32_t host_pid, const char *const *argv, uint32_t guest_pid)
	_must_check_;

/*
 * Reads one message of the manager or the server of /proc from `fd`, writes it down, and tells the sender so. The
 * asker is a process below `warden`. *ret_ended: nothing will come any more.
 */
struct error *record_receive(struct shadow *shadow, int fd, uint32_t warden, bool *ret_ended) _must_check_;

/* In the sender's process: returns once it is written down. Negative errno. */
int record_send(int fd, const struct manager_record *record);

#endif
