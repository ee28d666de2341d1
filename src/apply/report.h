/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the guest helper is called and what it says. The host side (update/) reads this; the
 * helper (apply/) writes it. This header is the whole contract between them.
 *
 * The helper is one static program, put at HELPER_PATH in the guest:
 *
 *   helper apply --payload PATH|- --sha256 HEX [--clock NS] [--no-actions]
 *     Applies the payload whose SHA-256 over its header (80 bytes, which holds the index's hash)
 *     is HEX. Works in a process of its own that survives its channel: called again with the same
 *     HEX it waits for, or repeats, that result. --clock sets the guest's CLOCK_REALTIME (ns
 *     since the epoch) once the package manager's locks are held.
 *   helper recover        finishes or undoes what a power loss cut; says what it found
 *   helper status         repeats the last report
 *   helper rollback       undoes the last applied payload, if it is still kept
 *   helper forget         removes everything the helper left in the guest, itself included
 *
 * On standard output: JSON lines, one object each, ASCII (bytes of paths outside printable ASCII
 * are written \u00XX, one a byte). Members of every line: "event" and "t_ns", the guest's
 * CLOCK_BOOTTIME. Events, in order:
 *   {"event":"started","id":HEX}
 *   {"event":"checked"}                      pre-images hold, space is there, locks are taken
 *   {"event":"staged","files":N,"bytes":N}
 *   {"event":"switched","entries":N}         from here on the update is in the file system
 *   {"event":"action","argv":[…],"status":N,"output":"…"}   one a recorded action
 *   {"event":"restarted","failed":N}
 *   {"event":"verified","files":N}
 *   {"event":"rolled-back"}                  only after a failure between switched and verified
 *   {"event":"end","result":R,"path":"…","message":"…","uptime_end_ns":N}
 * R is one of the words below; it decides the exit status.
 */
#ifndef APPLY_REPORT_H
#define APPLY_REPORT_H

#define HELPER_DIRECTORY          "/var/lib/ouassister"
#define HELPER_PATH               HELPER_DIRECTORY "/helper"

#define HELPER_RESULT_APPLIED     "applied"     /* exit 0 */
#define HELPER_RESULT_CONFLICT    "conflict"    /* exit 4: a pre-image does not hold; nothing was changed */
#define HELPER_RESULT_NO_SPACE    "no-space"    /* exit 1: nothing was changed */
#define HELPER_RESULT_ROLLED_BACK "rolled-back" /* exit 4: failed or did not verify, and is undone */
#define HELPER_RESULT_FAILED      "failed"      /* exit 1: failed, nothing was changed (or "message" says what) */
#define HELPER_RESULT_NOTHING     "nothing"     /* exit 6: recover, rollback: there was nothing to do */

#endif
