# SPDX-License-Identifier: Apache-2.0
"""The files of /proc that are of the whole system: proc-dump against the guest's own texts."""
import re

from .compare_system import is_load

# To the byte.
EXACT = ("version", "cmdline", "cpuinfo", "modules", "filesystems", "execdomains", "cgroups", "kallsyms", "partitions",
         "devices", "misc", "dma", "consoles", "tty/drivers", "iomem", "ioports", "swaps", "fb", "sysvipc/shm", "sysvipc/sem", "sysvipc/msg", "key-users")

# Counters that go on between the guest's last look and the moment it stopped: {file: {words of a line: how far}}. All but
# the numbers is the same to the byte, and what matches no pattern is the same altogether.
TICKS = 200
PAGES = 4096
WAITED_US = 2000000
KIB = 4 * PAGES
MOVING = {
    # The time, and what a CPU was idle.
    "uptime": {"": 2},
    # By rules of their own: below.
    "pressure/io": {},
    "pressure/memory": {},
    "pressure/cpu": {},
    "loadavg": {},
    # The collector itself and the ticks of the clock.
    "stat": {"cpu": TICKS, "intr": 2000, "ctxt": 2000, "btime": 1, "softirq": 2000, "procs_running": 20},
    "softirqs": {"": 2000},
    # Ticks, and calls from one CPU to another; those of devices stand still but for the collector's disk.
    "interrupts": {"LOC": 2000, "RES": 200, "CAL": 200, "TLB": 200, "IWI": 200, "": 4},
    "diskstats": {"": 64},
    "buddyinfo": {"": 256},
    "meminfo": {"MemFree|MemAvailable|Active|Inactive|Cached|Buffers|AnonPages|Mapped|Shmem|Dirty|Writeback": KIB,
                "KReclaimable|Slab|SReclaimable|SUnreclaim|KernelStack|PageTables|Committed_AS|Percpu|VmallocUsed": KIB},
    # The limits of dirty pages are those of a task with real-time priority, which the collector has and no reader here.
    "vmstat": {"nr_dirty_(background_)?threshold": 1 << 40,
               "nr_.*|numa_.*|pg.*|thp_.*|workingset_.*|.*scan.*|unevictable_.*|drop_.*|compact_.*": PAGES},
}


def numbers_apart(line):
    """(the words between its numbers, without the blanks that align them; the numbers in hundredths)."""
    parts = re.split(r"((?<![\w.])\d+(?:\.\d\d)?(?![\w.]))", line)
    return [re.sub(r"\s+", " ", part) for part in parts[::2]], [round(float(part) * 100) for part in parts[1::2]]


def limit_of(name, line):
    """How far the numbers of a line may be from the guest's, in hundredths."""
    for words, limit in MOVING[name].items():
        if not words or re.match(rf"\s*(?:{words})(?![a-z])", line):
            return limit * 100
    return 0


# How many hundredths of an average over 10, 60 and 300 s are left after a step of 2 s, with the kernel's own factors.
LEFT = [factor / 2048 for factor in (1677, 1981, 2034)]


def stepped(averages, shares):
    """Averages of /proc/pressure (percent) after steps of 2 s in which tasks waited for such a share (percent) of the time."""
    for share in shares:
        averages = [share + (average - share) * left for average, left in zip(averages, LEFT)]
    return averages


def averages_agree(found, said):
    """Whether one series of at most two steps leads from what the guest said to what was found, all three averages alike.

    The collector makes others wait, so the share of a step is anything; but it is the same for all three. The series is
    looked for in percents: half of one, and the hundredth to which each text is rounded, is what they may be apart.
    """
    percents = range(101)
    series = [(), *((a,) for a in percents), *((a, b) for a in percents for b in percents)]
    slack = [0.02 + 0.5 * (1 - left) * 2 for left in LEFT]
    return any(all(abs(a - b) <= most for a, b, most in zip(found, stepped(said, shares), slack)) for shares in series)


def pressure_differs(found, said):
    """Both are a line's numbers in hundredths: three averages in percent, and the microseconds waited."""
    *found_averages, found_us = [number / 100 for number in found]
    *said_averages, said_us = [number / 100 for number in said]
    return not 0 <= found_us - said_us <= WAITED_US or not averages_agree(found_averages, said_averages)


def loadavg_differs(found, said):
    """Three averages, how many tasks run of how many, the last pid. Who runs is another one at each moment, the measuring one among them."""
    return (not is_load(*([float(word) for word in words[:3]] for words in (found, said)))
            or [found[3].split("/")[1], *found[4:]] != [said[3].split("/")[1], *said[4:]])


def line_differs(name, found, said):
    if name == "loadavg":
        return loadavg_differs(found.split(), said.split())
    found_words, found_numbers = numbers_apart(found)
    said_words, said_numbers = numbers_apart(said)
    if found_words != said_words:
        return True
    if name.startswith("pressure/"):
        return pressure_differs(found_numbers, said_numbers)
    return any(abs(a - b) > limit_of(name, said) for a, b in zip(found_numbers, said_numbers))


def compare_moving(checks, name, found, said):
    found, said = found.decode().splitlines(), said.decode().splitlines()
    wrong = [f"found {a!r}, the guest said {b!r}" for a, b in zip(found, said) if a != b and line_differs(name, a, b)]
    if len(found) != len(said):
        wrong.append(f"{len(found)} lines instead of {len(said)}")
    checks.check(f"/proc/{name} ({len(said)} lines)", "; ".join(text[:200] for text in wrong[:3]))


def compare_proc_system(checks, truth, files, missing):
    for name in (*EXACT, *MOVING):
        path = f"/proc/{name}"
        said, found = truth.files.get(path.encode()), files.get(path)
        if said is None or found is None:
            # What this kernel does not have, we have not; all that it has is there.
            checks.check(path, "" if said is found else "made up" if said is None else f"missing: {missing.get(path)}")
        elif name in MOVING:
            compare_moving(checks, name, found, said)
        else:
            at = next((i for i, (a, b) in enumerate(zip(found, said)) if a != b), min(len(found), len(said)))
            checks.check(f"{path} ({len(said)} bytes)", "" if found == said else
                         f"found {found[at - 20:at + 60]!r}, the guest said {said[at - 20:at + 60]!r}")
