/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the guest helper is called and what it says. The host side (update/) reads this; the
 * helper (apply/) writes it. This header is the whole contract between them.
 *
 * The helper is one static program, put at HELPER_PATH in the guest:
 *
 *   helper apply --payload PATH|- --sha256 HEX [--clock NS] [--keep SECONDS|none] [--no-actions] [--strict]
 *                [--verify full|stat] [--background] [--followed] [--read-ahead START+SIZE,...:DIRECTORY]...
 *     Applies the payload whose SHA-256 over its header (80 bytes, which holds the index's hash)
 *     is HEX. Works in a process of its own that survives its channel: called again with the same
 *     HEX it waits for the one at work, or repeats "applied"; any other result has changed nothing,
 *     so that it is tried anew (`status` repeats it). With a payload of its own ("-") it is also tried anew when the
 *     one at work has failed meanwhile. --clock sets the guest's CLOCK_REALTIME (ns
 *     since the epoch) once the package manager's locks are held. --strict: goes back if an action fails.
 *     --background: idle I/O priority while it checks, stages and verifies; not while others may have to wait for it.
 *     --followed: a second update comes at once (--late); timers that are held stay so until it has ended, or, where
 *     none comes, for half a minute.
 *     --read-ahead: what the check will look at lies there in the file system of DIRECTORY, in KiB: it is asked for at
 *     once. A hint, that may be wrong.
 *     --keep: how long the old files are kept, from "applied" on; without it until `forget`. What is not kept stays
 *     until then, too, so that `look` has it.
 *     --verify: "full" (without it) reads every content back from the disk, "stat" compares attributes alone.
 *   helper recover        finishes or undoes what a power loss cut; says what it found
 *   helper recover --early  the same at boot, before services start, as the unit calls it that is there while an
 *                         update is unfinished: without any action. Deferred ones keep the update committed, and the
 *                         next apply of the same payload, or recover, does them
 *   helper status         repeats the last report
 *   helper rollback       undoes the last applied payload, if it is still kept
 *   helper look           who still uses old files: "stale" events, "looked", and the end; "nothing" without an update
 *   helper expire         forgets, if the keep time has passed and nobody is at work; exit 0 either way
 *   helper forget         removes everything the helper left in the guest, itself included; exit 0
 *                         without a line, or an "end" that says why not
 *
 * --freeze MS: how long the guest's processes may stand still while files are exchanged (2000; 0: they go on).
 * --late, with any verb: of a second update that is chained to the applied first one. It has a directory of its own
 * (HELPER_LATE) and stages of its own, so that each can be undone: first the second, then the first. `forget` without
 * it forgets both, and an `apply` of another payload without it as well.
 *
 * --root DIR (tests; a tree that is not the running system): works on that tree, HELPER_DIRECTORY
 * below it; no clock, no actions, no dpkg --audit, no change of cgroup or namespace.
 *
 * On standard output: JSON lines, one object each, ASCII (bytes of paths outside printable ASCII
 * are written \u00XX, one a byte). Members of every line: "event" and "t_ns", the guest's
 * CLOCK_BOOTTIME. A "note" may come anywhere: something was done without, or left alone, with
 * "path" (may be absent) and "message"; readers pass over events they do not know. Events, in order:
 *   {"event":"started","id":HEX}             of apply only
 *   {"event":"checked"}                      pre-images hold, space is there, locks are taken
 *   {"event":"staged","files":N,"bytes":N}
 *   {"event":"action","kind":"…","phase":"before"|"after","argv":[…],"package":"…","script":"…","status":N,
 *    "skipped":"…","output":"…","journal":"…"}
 *                                            one a recorded action, of those before the files here, of the others
 *                                            after "switched"; "skipped": why it makes no sense in this guest;
 *                                            "journal": of a unit that failed; both and the origin may be absent
 *   {"event":"switched","entries":N,"frozen_us":N}
 *                                            from here on the update is in the file system; "frozen_us": how long the
 *                                            guest's processes stood still for it, 0: they went on
 *   {"event":"restarted","failed":N}
 *   {"event":"deferred","failed":N}                  with the maintainer scripts that were put off: of all actions
 *   {"event":"stale","pid":N,"start_ticks":N,"name":"…","unit":"…","file":"…","files":N,"earlier":1}
 *                                            one a process that still maps a file that the update replaced or
 *                                            deleted ("earlier": code deleted before it), and how many such files;
 *                                            "start_ticks" as in /proc/PID/stat; "unit" may be absent
 *   {"event":"looked","processes":N,"stale":N}  at all processes; of the stale ones 512 are named
 *   {"event":"verified","files":N}
 *   {"event":"kept","until_s":N,"why":"…"}   with --keep: until when the old files are kept, in seconds since the
 * epoch; 0: not at all, and if that was not asked for, why
 *   {"event":"rolled-back"}                  only after a failure between switched and verified, and of
 *                                            recover and rollback; actions and restarted may come before it again
 *   {"event":"end","result":R,"path":"…","message":"…","uptime_end_ns":N}
 * R is one of the words below; it decides the exit status.
 */
#ifndef APPLY_REPORT_H
#define APPLY_REPORT_H

#define HELPER_DIRECTORY           "/var/lib/ouassister"
#define HELPER_PATH                HELPER_DIRECTORY "/helper"
/*
 * Where a helper may be put instead, and started with "apply": it goes to HELPER_PATH by itself. Exit 121 without a
 * line: it could not, and has done nothing else.
 */
#define HELPER_ARRIVAL             "/var/lib/ouassister-helper"
#define HELPER_EXIT_ARRIVAL        121
/* Below it: what --late keeps. */
#define HELPER_LATE                "late"

/*
 * What one deferred action may take: a maintainer script may convert a database. As much again where a dpkg that was
 * killed must be finished before it.
 */
#define HELPER_DEFERRED_TIMEOUT_MS (45 * 60 * 1000)

/* How long processes may stand still while files are exchanged, unless --freeze says otherwise; and at most. */
#define HELPER_FREEZE_MS           2000
#define HELPER_FREEZE_MS_MAX       60000
#define HELPER_READ_AHEAD_MAX      8 /* --read-ahead: file systems */

#define HELPER_RESULT_APPLIED      "applied"     /* exit 0 */
#define HELPER_RESULT_CONFLICT     "conflict"    /* exit 4: a pre-image does not hold; nothing was changed */
#define HELPER_RESULT_NO_SPACE     "no-space"    /* exit 1: nothing was changed */
#define HELPER_RESULT_ROLLED_BACK  "rolled-back" /* exit 4: undone: failed or did not verify, or as asked */
#define HELPER_RESULT_FAILED       "failed"      /* exit 1: failed, nothing was changed (or "message" says what) */
#define HELPER_RESULT_NOTHING      "nothing"     /* exit 6: recover, rollback: there was nothing to do */

#endif
