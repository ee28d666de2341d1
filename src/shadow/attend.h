/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the shadow room: a run whose programs are looked after, for nobody sits at their terminal. Twice a second
 * the processes of the run are looked at, from outside: which are scripts of packages, how long each has run by our
 * own clock, and whether one waits for input that will not come.
 *
 * What the processes say of themselves (environment, words) tells only whose script it is; what is killed is below the
 * warden.
 */
#ifndef SHADOW_ATTEND_H
#define SHADOW_ATTEND_H

#include "shadow/internal.h"

struct attend;

/* `options` is borrowed. *ret_input: what the program gets as its standard input, the caller's. */
struct error *attend_create(const struct shadow_attendant *options, struct attend **ret, int *ret_input) _must_check_;

/* Our side of the terminal that /dev/tty leads to, which is taken. */
void attend_terminal(struct attend *attend, int master);

/* To be called often; does nothing before it is time. Processes below `warden` are meant. */
struct error *attend_look(struct attend *attend, uint32_t warden) _must_check_;

/* How often it wants to be called. */
#define ATTEND_MS 500

void attend_destroy(struct attend *attend);

#endif
