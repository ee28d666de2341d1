# SPDX-License-Identifier: Apache-2.0
"""doc/reliability.md, of the results that are kept."""
import json

from . import points, tree

HEAD = """# What a power loss leaves, and other faults

`tests/vm/powerloss` records one apply: a small guest (Debian's kernel, a few hundred files of Debian with their dpkg database,
an update of 14 packages made by this project's own code: new versions, a new package with every kind of entry, a removed one)
applies it to a disk whose writes and flushes QEMU logs (`blklogwrites`). The helper's events are in that log as well, so that
each request belongs to a phase. At points spread over the phases the disk is made anew as it could stand on the platter:

- *with*: every request up to the point has reached it;
- *without*: none of those after the last flush has;
- *some*: a part of those has, drawn by a seed, in any order; some of them with lost sectors.

Another guest boots, mounts the disk, runs `helper recover`, and runs it once more, which must find nothing to do. Then the
whole tree is compared with the one before the update and the one after it: content, type, mode, owner, extended attributes,
names of one inode, times; of a tree that was put back also the inode numbers. `dpkg --audit` in that tree, `e2fsck -fn` or
`xfs_repair -n` must find nothing; after going back no stage and no journal may be left. Kept aside are the helper's own
directories, and the neighbour's.

*Busy*: another process calls fsync all the time, as databases do, so that what the helper did so far becomes durable in the
middle of every phase. *Quiet*: only the helper flushes. *Without a journal*: the helper's test build leaves it out, and
the file system is mounted with `dirsync`, so that each rename is durable by itself (else a quick switch is one transaction of
the file system's own, as good as all or nothing); mixed trees prove that the test would see them.

    tests/vm/powerloss --short      # 20 points, as ./check does
    tests/vm/powerloss --all        # all; goes on where it was stopped
    tests/vm/powerloss --full       # QEMU killed under a full guest, once in each phase
    tests/vm/powerloss --report     # this page, of the results that are kept

A request that was under way while a flush was logged before it counts as flushed; file systems wait for a write before they
flush for it. What a disk does that lies about its flushes nobody can mend.

*A full guest*: the Debian guest of `./demo` sleeps with a full upgrade; `resume` wakes it, and QEMU gets SIGKILL in a phase of
the first update, at the moment of the helper's report that the table says. (A process that was left in the guest copies the
helper's report to the serial console.) A copy of its disk boots by itself, and what its recovery at boot leaves is compared: for
each path of the bundle's layer type, mode, owner, time, extended attributes and content, or the very inode that was there.
`resume`, run again, boots the guest behind the gate and must end with exit status 0 and the gate open, with all of both bundles
there and nothing left behind. `dpkg --audit` and `e2fsck -fn` (after a mount has replayed the journal) must be silent both times.

## Other faults

`tests/vm/faults.test` applies the same update while: the helper is killed as it stages and as it acts; its channel is cut; the
stream of its payload is cut; other processes want more memory than the guest's 256 MiB, so that the kernel kills some all the
time; the disk is full, or another process fills it as the helper stages and after the commit; the file system is read-only, or
becomes so as the helper stages; every write of the disk fails with EIO (QEMU's `blkdebug`) from some moment in stage, in switch,
or after the commit; every read does. The helper is held with SIGSTOP until the fault is there, which the guest confirms. Each
time apply must end with the status and the reason that belong to it; after the next boot's recovery all of the update or none of
it must be there (all, if its commit had been reported; none, if no path had been touched), and applying again must finish.
`tests/vm/kill.test` kills `ouassister` on the host, QEMU, and the helper of a whole guest, and runs `resume` again.

This page is generated.
"""


def document(directory):
    series = [json.loads(path.read_text()) for path in sorted(directory.glob("*/results.json"))]
    if not series:
        return HEAD + "\nNothing was run.\n"
    with_journal = [results for results in series if "without" not in results["series"]]
    control = [results for results in series if "without" in results["series"]]
    dates = sorted({case["date"] for results in series for case in results["cases"].values()})
    lines = [HEAD, f"Run {' to '.join(sorted({dates[0], dates[-1]}))}; QEMU {series[0]['qemu']}; guest's kernel {series[0]['kernel']}; "
             f"the update: {series[0]['changes']} entries, {series[0]['bytes']:,} bytes; the helper's SHA-256 begins with "
             f"{' and '.join(sorted({results['helper'][:12] for results in with_journal}))}.", "", "## With the journal", "", *table(with_journal),
             "", "## Without it", "", *without_dirsync(control), *table(control), ""]
    lines += fsck_first(series)
    lines += ["## A full guest", "", *full_guest(of_full_guest(directory))]
    wrong = [f"- {results['series']}, {case['phase']}, request {case['point']}, {case['variant']}: {case['tree']}; "
             f"{'; '.join(case['problems'])}" for results in with_journal for case in results["cases"].values() if not right(case)]
    wrong += [f"- a full guest, {phase}: {'; '.join(point['problems'])}" for phase, point in of_full_guest(directory).get("points", {}).items()
              if point["problems"]]
    return "\n".join([*lines, "## What was not right", ""] + (wrong or ["Nothing."])) + "\n"


def fsck_first(series):
    """Disks that the guest's kernel did not mount by itself."""
    cases = [(results["series"], case) for results in series for case in results["cases"].values() if case.get("fsck")]
    if not cases:
        return []
    names = ", ".join(f"{name} request {case['point']} ({case['variant']}): {case['tree']}" for name, case in cases)
    return ["Where half of a commit block of 1 KiB was lost, this kernel does not mount ext4 (JBD2: journal transaction is corrupt; later ones "
            f"take it for the end of the journal). There `e2fsck -p` ran before, as it does in a boot: {names}.", ""]


def of_full_guest(directory):
    try:
        return json.loads((directory / "full.json").read_text())
    except FileNotFoundError:
        return {}


def full_guest(results):
    """The table of QEMU killed under a full guest."""
    if not results.get("points"):
        return ["It was not run.", ""]
    points_of = [results["points"][phase] for phase in points.PHASES if phase in results["points"]]
    rows = [f"| {p['phase']} | {p['after_s']} s after \"{p['event']}\" | {p['tree']} | {p['recovery']} | {'; '.join(p['problems']) or 'nothing'} |"
            for p in points_of]
    return [f"Run {max(p['date'] for p in points_of)}; QEMU {results['qemu']}; {results['packages']} packages, {results['paths']:,} paths in both "
            f"bundles, {results['of_first']:,} of them in the first, which is the one that is cut; the helper's SHA-256 begins with "
            f"{results['helper'][:12]}.", "", "| phase | killed | of the first, after the boot | its recovery said | not right |",
            "| --- " * 5 + "|", *rows, ""]


def without_dirsync(control):
    names = [results["series"] for results in control if "dirsync" not in results.get("words", "")]
    return [f"Run without `dirsync`: {', '.join(names)}.", ""] if names else []


def right(case):
    return case["tree"] != tree.MIXED and not case["problems"]


def table(series):
    lines = ["| series | phase | requests | points | disks | different | most unflushed | all of it | none of it | mixed | other faults |",
             "| --- " * 11 + "|"]
    for results in series:
        for phase in points.PHASES:
            cases = [case for case in results["cases"].values() if case["phase"] == phase]
            first, last = results["phases"][phase]
            if cases:
                lines.append(row(results["series"], phase, last - first + 1, cases))
        lines.append(row(results["series"], "all", results["entries"], list(results["cases"].values())))
    return lines


def row(name, phase, requests, cases):
    trees = [case["tree"] for case in cases]
    faults = sum(case["tree"] != tree.MIXED and bool(case["problems"]) for case in cases)
    cells = [name, phase, requests, len({case["point"] for case in cases}), len(cases), len({case["disk"] for case in cases}),
             max(case["unflushed"] for case in cases), *(trees.count(kind) for kind in (tree.ALL, tree.NONE, tree.MIXED)), faults]
    return "| " + " | ".join(map(str, cells)) + " |"
