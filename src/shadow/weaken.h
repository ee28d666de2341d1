/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private: the names of single defences. In the program each of them stands, whatever happens: DEFENCE() is true when
 * it is compiled. The escape suite (tests/unit/shadow/escape) compiles this room a second time, where single ones
 * can be left out, to show that each attempt of it is one that would succeed without.
 */
#ifndef SHADOW_WEAKEN_H
#define SHADOW_WEAKEN_H

#ifdef SHADOW_WEAKEN

#include <stdbool.h>
#include <stddef.h>

/* Whether the defence of this name, or the refusal of the system call of this name or number, stands. */
bool weaken_stands(const char *name);
bool weaken_call_stands(int call);
/* Every name that was left out, system calls among them. */
extern const char *weaken_names[];
extern size_t weaken_n;

#define DEFENCE(name)      weaken_stands(name)
#define DEFENCE_CALL(call) weaken_call_stands(call)
#define WEAKENED_CALLS     weaken_names, weaken_n

#else

#define DEFENCE(name)      true
#define DEFENCE_CALL(call) true
#define WEAKENED_CALLS     NULL, 0

#endif

#endif
