# SPDX-License-Identifier: Apache-2.0
"""What runs in a guest, out of the text of `collect`, and the comparison of two of them.

Facts have names like "unit:cron.service" and one aspect, "state"; files of /run, /tmp and /dev/shm are paths with the
aspects exists, type, mode, owner and target.
"""
import collections
import re

from .canon import canon_path, canon_socket

DELETED = " (deleted)"


def sections(text):
    found, name = {}, None
    for line in text.splitlines():
        if line.startswith("== "):
            name = line[3:]
            found[name] = []
        elif name and line.strip():
            found[name].append(line)
    if "done" not in found:
        raise ValueError("what the guest says of itself has no end")
    return found


def main_processes(lines):
    """{pid: unit} of `systemctl show -p Id -p MainPID`, in whichever order the two come."""
    found, unit, pid = {}, None, None
    for line in lines:
        key, _, value = line.partition("=")
        unit, pid = (value if key == "Id" else unit), (value if key == "MainPID" else pid)
        if unit and pid:
            found[pid], unit, pid = unit, None, None
    return found


def unit_of(cgroup):
    """The unit that a process belongs to, by its control group's path."""
    names = [part for part in cgroup.split("/") if part.endswith((".service", ".scope", ".slice"))]
    return names[-1] if names else "-"


class Facts:
    """One guest's."""

    def __init__(self, text):
        said = sections(text)
        self.units_of = {line.split("/")[2]: unit_of(line.split(":", 2)[-1]) for line in said["cgroups"]}
        self.values = {"system:state": " ".join(said["system"]), "dpkg:audit": " ".join(said["audit"]),
                       "jobs:waiting": " ".join(said["jobs"])}
        self.add("unit", said["units"], lambda words: " ".join(words[1:4]))
        self.add("failed", said["failed"], lambda words: "failed")
        self.add("unit-file", said["unit-files"], lambda words: " ".join(words[1:]))
        self.add("module", said["modules"], lambda words: "loaded")
        self.values.update({f"socket:{canon_socket(line)}": "open" for line in said["sockets"]})
        self.programs(said["programs"])
        self.main = self.main_programs(said["main"])
        self.stale = self.stale_files(said["maps"])
        files = (line.split("|", 1) for line in said["memory-files"] if "|" in line)
        self.files = {canon_path(path): rest for path, rest in files}

    def add(self, kind, lines, value):
        for line in lines:
            words = line.lstrip("●*× ").split()
            if words:
                self.values[f"{kind}:{words[0]}"] = value(words)

    def programs(self, lines):
        """Which programs run in each unit; how many of each may differ from moment to moment."""
        self.executables, running = {}, collections.defaultdict(set)
        for line in lines:
            process, _, file = line.partition(" ")
            pid = process.split("/")[2]
            self.executables[pid] = file
            # The collector itself, and the agent's children.
            if self.units_of.get(pid) != "qemu-guest-agent.service" or "qemu-ga" in file:
                running[self.units_of.get(pid, "-")].add(file.removesuffix(DELETED))
        self.values.update({f"programs:{unit}": " ".join(sorted(files)) for unit, files in running.items()})

    def main_programs(self, lines):
        return {unit: (pid, self.executables.get(pid, "gone")) for pid, unit in main_processes(lines).items() if pid != "0"}

    def stale_files(self, lines):
        """{pid: replaced files that the process maps or runs}."""
        found = collections.defaultdict(set)
        for line in lines:
            if match := re.match(r"/proc/(\d+)/maps:\S+ \S+ \S+ \S+ \d+ +(.*)", line):
                found[match[1]].add(match[2].removesuffix(DELETED))
        for pid, file in self.executables.items():
            if file.endswith(DELETED):
                found[pid].add(file.removesuffix(DELETED))
        return {pid: sorted(files) for pid, files in found.items()}

    def stale_units(self):
        found = collections.defaultdict(set)
        for pid, files in self.stale.items():
            found[self.units_of.get(pid, "-")].update(files)
        return {unit: sorted(files) for unit, files in sorted(found.items())}


FILE_ASPECTS = ("type", "mode", "owner", "target")


def compare_files(offline, conventional, take):
    for path in sorted(offline.keys() | conventional.keys()):
        one, other = offline.get(path), conventional.get(path)
        if one is None or other is None:
            take(path, "exists", one or "absent", other or "absent")
        else:
            for aspect, a, b in zip(FILE_ASPECTS, one.split("|"), other.split("|")):
                if a != b:
                    take(path, aspect, a, b)


def compare(offline, conventional, reported, take):
    """Calls take(name, "state", offline, conventional) for each difference; `reported`: pids that the program has named."""
    for name in sorted(offline.values.keys() | conventional.values.keys()):
        one, other = offline.values.get(name, "absent"), conventional.values.get(name, "absent")
        if one != other:
            take(name, "state", one, other)
    compare_files(offline.files, conventional.files, take)
    # The other copy restarts what the packages restart, and is no measure: old code runs nowhere unsaid.
    for pid, files in sorted(offline.stale.items()):
        if pid not in reported:
            take(f"stale:{offline.units_of.get(pid, '-')}", "state", f"process {pid}: {' '.join(files)}", "not reported")
    for unit, (pid, file) in sorted(offline.main.items()):
        if pid not in reported and file.endswith(DELETED):
            take(f"main:{unit}", "state", file, "not reported")
