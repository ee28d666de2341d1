/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a VM's update stands, persisted before it is acted on.
 *
 *   none → suspended → bundled → loaded → running → applied → (open-late →) open
 *                                            ↓ (any failure from loaded on)
 *                                  rolled-back or failed, the gate stays closed
 *
 *   none        nothing is known; a VM suspended by hand is in it, too
 *   suspended   `suspend` saved the memory and noted what the disk looked like
 *   bundled     an update waits
 *   loaded      a process holds the memory, the gate is closed, the image is about to be spent
 *   running     the image is spent; the guest runs, or ran, behind the closed gate
 *   applied     the guest holds the update and verified it
 *   open-late   the gate was opened; the second of two chained updates is on its way
 *   open        the gate was opened; the update is over
 *   rolled-back the guest is as it was before; the gate is closed
 *   failed      the gate is closed and "error" says why
 *
 * "emulated" of the design is not persisted: the layers of an emulation that was cut are
 * worthless without the process that watched over them, so it begins anew.
 */
#ifndef UPDATE_STATE_H
#define UPDATE_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum update_state {
	STATE_NONE,
	STATE_SUSPENDED,
	STATE_BUNDLED,
	STATE_LOADED,
	STATE_RUNNING,
	STATE_APPLIED,
	STATE_OPEN_LATE,
	STATE_OPEN,
	STATE_ROLLED_BACK,
	STATE_FAILED,
	STATE_MAX,
};

/* What the user may ask for. */
enum update_operation {
	OPERATION_SUSPEND = 1 << 0,
	OPERATION_UPDATE = 1 << 1,
	OPERATION_RESUME = 1 << 2,
	OPERATION_ROLLBACK = 1 << 3,
};

struct state {
	enum update_state state;
	int64_t since_s;     /* seconds since the epoch */
	char *vm_file;       /* absolute path of the VM file */
	char *error;         /* of STATE_FAILED and STATE_ROLLED_BACK */
	bool loading;        /* a process was, or is being, started and has never run a guest instruction of ours */
	json_t *fingerprint; /* of memory and disk, as `suspend` or `update` saw them; NULL: none */
	json_t *spent;       /* which memory was used up (guest boot id and uptime); NULL: none */
	char *restart; /* --restart of the `resume` that made the payload: all others of it make the same; NULL: none */
	int64_t resumed_ns; /* CLOCK_REALTIME of the first instruction; 0: not yet */
	json_t *report;     /* the last `resume`'s report; NULL: none */
};

const char *state_name(enum update_state state);

/*
 * ERROR_BUSY saying what to do instead, unless the operation is allowed in that state; ERROR_NOTHING for a rollback of
 * a VM that sleeps. `vm`: its name.
 */
struct error *state_allows(enum update_state state, enum update_operation operation, const char *vm) _must_check_;

/* Reads DIRECTORY/state.json; absent: STATE_NONE. One of another version, or damaged, is ERROR_FORMAT. */
struct error *state_load(const char *directory, struct state *ret) _must_check_;

/* Sets the state and writes it, durably, before returning. */
struct error *state_enter(struct state *state, const char *directory, enum update_state next) _must_check_;

/* Writes it as it is. */
struct error *state_save(const struct state *state, const char *directory) _must_check_;

void state_deinit(struct state *state);

#endif
