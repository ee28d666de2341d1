/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's service manager, asked on its own socket, /run/systemd/private: no program is started for it, which on a
 * slow CPU is most of what `systemctl` takes. Where that socket is not to be had, or does not answer as it should,
 * systemctl is called after all. Either way a question, and a request to stop or start, may be put twice.
 */
#ifndef APPLY_SYSTEMD_H
#define APPLY_SYSTEMD_H

#include "apply/dbus.h"
#include "apply/transaction.h"

struct systemd {
	struct dbus bus; /* not connected: systemctl is called */
};

/* What systemd calls ActiveState: active, or on its way to or from it. */
bool active_is_running(const char *active);

void systemd_open(struct systemd *ret);
void systemd_close(struct systemd *manager);

/* Which of the units run. Those that are not loaded do not, and are not loaded for it. */
struct error *systemd_ask_running(struct systemd *manager, const char *const *units, size_t n, bool *ret) _must_check_;
/* Fills in the states of the units that are named in them. What systemd does not know has the load state not-found. */
struct error *systemd_ask_states(struct systemd *manager, struct unit_states *states) _must_check_;
/* Whether there is a job to stop or restart some unit. */
struct error *systemd_ask_stopping(struct systemd *manager, bool *ret) _must_check_;
/* Until they have stopped. ERROR_FAILED: one did not, and what systemd said. */
struct error *systemd_stop(struct systemd *manager, const char *const *units, size_t n) _must_check_;
/* Has them started; waits for none of them. */
struct error *systemd_start(struct systemd *manager, const char *const *units, size_t n) _must_check_;

#endif
