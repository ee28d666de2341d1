/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the shadow room: the user's terminal while a program with a pseudo terminal of the shadow's own runs. What
 * is typed goes through as it is, Ctrl-C and Ctrl-Z too; the program's terminal does the rest.
 */
#ifndef SHADOW_TERMINAL_H
#define SHADOW_TERMINAL_H

#include <signal.h>
#include <stdbool.h>
#include <termios.h>

#include "base/error.h"

struct terminal {
	int user;              /* borrowed; -1: none, the program's terminal has no model */
	bool is_input;         /* the user types there: it is raw meanwhile */
	bool raw;              /* to be restored */
	struct termios before; /* of `user` */
	int program;           /* master of the program's terminal, owned; -1: it has not come yet */
	int signals;           /* signalfd: the window changed, we were continued; -1: none */
	sigset_t mask;         /* of this thread before */
};

#define TERMINAL_NONE                                                                                                  \
	(struct terminal)                                                                                              \
	{                                                                                                              \
		.user = -1, .program = -1, .signals = -1                                                               \
	}

/* Finds the user's terminal behind the two descriptors, if there is one, and watches its window. */
struct error *terminal_open(int input, int output, struct terminal *ret) _must_check_;

/* The program's terminal has come, which is taken: it gets modes and size of the user's, and that becomes raw. */
struct error *terminal_start(struct terminal *terminal, int program) _must_check_;

/* `signals` is readable. */
void terminal_follow(struct terminal *terminal);

/* The user's terminal is as it was. */
void terminal_close(struct terminal *terminal);

#endif
