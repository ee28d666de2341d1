# SPDX-License-Identifier: Apache-2.0
"""The files of /proc that are of the whole system: proc-dump against the guest's own texts."""
import re

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
    # Percent. The microseconds after it are of their own: the collector makes the others wait.
    "pressure/io": {"": 1},
    "pressure/memory": {"": 1},
    "pressure/cpu": {"": 1},
    # Which tasks ran at that moment, and one step of the averages, in hundredths.
    "loadavg": {"": 20},
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
            return limit if name == "loadavg" else limit * 100
    return 0


def line_differs(name, found, said):
    if name == "loadavg":  # who runs is another one at each moment, the measuring one among them
        found, said = (re.sub(r" \d+/", " -/", line) for line in (found, said))
    found_words, found_numbers = numbers_apart(found)
    said_words, said_numbers = numbers_apart(said)
    if name.startswith("pressure/") and 0 <= found_numbers[-1] - said_numbers[-1] <= WAITED_US * 100:
        found_numbers[-1] = said_numbers[-1]
    if found_words != said_words:
        return True
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
