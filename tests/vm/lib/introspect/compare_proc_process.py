# SPDX-License-Identifier: Apache-2.0
"""The files of each process in /proc: proc-dump against the guest's own texts."""
import re

from .compare_tasks import is_swapped

# Of a process that ran between the look and the suspend, these move; of all others each byte must be the same.
# What the difference of a moving file may consist of: fields of stat by number (from 1), lines of the others by name.
MOVING_STAT = {3, 10, 12, 14, 15, 23, 24, 35, 39, 42, 43}
MOVING_LINES = {
    "status": {"State", "VmPeak", "VmSize", "VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem", "VmData", "VmPTE",
               "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches", "Name"},
    "io": {"rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes"},
}
# Numbers that only ever count on.
COUNTING = {"schedstat"}
# Where a task is in the kernel: a task that ran since is elsewhere.
PLACES = {"wchan", "stack", "syscall"}
# What a task's memory looks like; that of the collector grows while it collects.
SIZES = {"statm", "maps", "smaps", "smaps_rollup", "oom_score", "timerslack_ns"}
# A page may have got one more or one less process that maps it: at most so many lines of a process, by name.
SHARES = {"Pss", "Pss_Dirty", "Pss_File", "Pss_Shmem", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty"}
SHARES_MAX = 6
# Kernels from 6.2 on keep part of the counters per CPU, and not all versions add them up for this score.
SCORE_STEPS = 1
# Not told, each for its reason.
UNTOLD = {
    "sched": "its lines depend on the scheduler of each kernel version",
    "timers": "timers of processes are not read",
    "arch_status": "the time since AVX-512 was used is not read",
    "cpu_resctrl_groups": "groups of resource control are not read",
    "numa_maps": "policies of NUMA are not read",
    "ksm_stat": "counters of merged pages are not read",
    "attr/current": "labels of security modules are not read",
}
# What lies in a page that a process was made to swap: then there is no such file.
ARGUMENTS = {"cmdline", "environ"}
# Lines of fdinfo that are not told: of bpf programs. A timer's rest goes on running.
UNTOLD_FD = {"prog_type", "prog_jited", "prog_tag", "memlock", "prog_id", "run_time_ns", "run_cnt",
             "recursion_misses", "verified_insns"}
MOVING_FD = {"pos", "it_value", "ticks", "eventfd-count", "tfd"}


def named_lines(text):
    return [(line.split(":", 1)[0], line) for line in text.decode("utf-8", "surrogateescape").splitlines()]


def fields(text):
    """Fields of stat; the name in parentheses is the second."""
    head, tail = text.rsplit(b")", 1)
    pid, comm = head.split(b" (", 1)
    return [pid, comm, *tail.split()]


def stat_moved(found, wanted):
    found, wanted = fields(found), fields(wanted)
    # A worker is called after what it does.
    if found[1].startswith(b"kworker/") and wanted[1].startswith(b"kworker/"):
        found[1] = wanted[1]
    return {i + 1 for i, (a, b) in enumerate(zip(found, wanted)) if a != b} <= MOVING_STAT


def lines_moved(found, wanted, allowed):
    found, wanted = named_lines(found), named_lines(wanted)
    return [n for n, _ in found] == [n for n, _ in wanted] and \
        {a[0] for a, b in zip(found, wanted) if a != b} <= allowed


def counted_on(found, wanted):
    found, wanted = found.split(), wanted.split()
    return len(found) == len(wanted) and all(int(a) >= int(b) for a, b in zip(found, wanted))


def fd_same(found, wanted, collector):
    kept = [line for name, line in named_lines(wanted) if name not in UNTOLD_FD]
    found = [line for _, line in named_lines(found)]
    if found == kept:
        return True
    names = [line.split(":", 1)[0] for line in found]
    different = {a for a, b, c in zip(names, found, kept) if b != c}
    return len(found) == len(kept) and different <= (MOVING_FD if collector else MOVING_FD - {"pos"})


class Tasks:
    """
    Who ran between the look and the suspend: its time on a CPU has gone on, and nothing that was counted back. And who
    was woken and waits for a CPU: it slept, and runs.
    """

    def __init__(self, truth, files):
        self.collector = str(truth.word("collector"))
        self.moved = set()
        for path, wanted in truth.files.items():
            found = re.fullmatch(rb"/proc/(\d+)/(?:task/(\d+)/)?schedstat", path)
            text = files.get(path.decode("utf-8", "surrogateescape"))
            if found and text is not None and text != wanted and counted_on(text, wanted):
                self.moved |= {found[1].decode(), (found[2] or found[1]).decode()}
            woken = re.fullmatch(rb"/proc/(\d+)/task/(\d+)/status", path)
            if woken and text is not None and b"\nState:\tR" in text and b"\nState:\tR" not in wanted:
                self.moved |= {woken[1].decode(), woken[2].decode()}


def shared_anew(found, wanted):
    different = sum(a != b for a, b in zip(named_lines(found), named_lines(wanted)))
    return different <= SHARES_MAX and lines_moved(found, wanted, SHARES)


def same(tasks, task, name, found, wanted):
    """Whether the text is the guest's, or differs as it must for a task that ran on."""
    if found == wanted:
        return True
    if name.startswith("fdinfo/"):
        return fd_same(found, wanted, task == tasks.collector)
    if name == "oom_score" and abs(int(found) - int(wanted)) <= SCORE_STEPS:
        return True
    if name in ("smaps", "smaps_rollup") and shared_anew(found, wanted):
        return True
    if name in SIZES:
        return task == tasks.collector
    # A worker is called after what it does.
    if name == "comm" and wanted.startswith(b"kworker/") and found.startswith(b"kworker/"):
        return True
    if task not in tasks.moved:
        return False
    if name == "stat":
        return stat_moved(found, wanted)
    if name in MOVING_LINES:
        return lines_moved(found, wanted, MOVING_LINES[name])
    return name in PLACES or (name in COUNTING and counted_on(found, wanted))


def compare_proc_process(checks, truth, files, missing):
    tasks = Tasks(truth, files)
    wrong, numbers = {}, {}
    for path, wanted in truth.files.items():
        path = path.decode("utf-8", "surrogateescape")
        found = re.fullmatch(r"/proc/(\d+)/(?:task/(\d+)/)?(.+)", path)
        if not found or found[3] in UNTOLD or found[3].startswith("net/"):
            continue
        task, name = found[2] or found[1], found[3]
        kind = re.sub(r"^fdinfo/\d+$", "fdinfo", name)
        # The collector opens the directories that it reads; they are closed again when the guest is suspended.
        if kind == "fdinfo" and task == tasks.collector and path not in files:
            continue
        if kind in ARGUMENTS and is_swapped(truth, int(found[1])) and path not in files:
            continue
        numbers[kind] = numbers.get(kind, 0) + 1
        if path not in files:
            wrong.setdefault(kind, []).append(f"{path} is missing: {missing.get(path)!r}")
        elif not same(tasks, task, name, files[path], wanted):
            wrong.setdefault(kind, []).append(f"{path}: {difference(files[path], wanted)}")
    for kind, n in sorted(numbers.items()):
        checks.check(f"/proc/PID/{kind} ({n})", "; ".join(wrong.get(kind, [])[:3]))


def difference(found, wanted):
    found, wanted = found.splitlines(), wanted.splitlines()
    for i in range(max(len(found), len(wanted))):
        a, b = (lines[i] if i < len(lines) else None for lines in (found, wanted))
        if a != b:
            return f"line {i + 1}: found {a!r}, the guest said {b!r}"[:400]
    return "the last line's end"
