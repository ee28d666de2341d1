# SPDX-License-Identifier: Apache-2.0
"""Processes, threads, services, mappings: what the verbs say against what /proc said."""
import re

from .checks import field, number

TICKS_A_SECOND = 100
PF_KTHREAD = 0x200000
# The last look at the processes takes some milliseconds, and timers go on.
RAN_MAX = 3


def stat_fields(line):
    """/proc/PID/stat: (name, [field 3, field 4, …])."""
    found = re.fullmatch(rb"\d+ \((.*)\) (.*)\n?", line, re.S)
    return found[1], found[2].split()


def unit_cgroup(content):
    """The path in the hierarchy that systemd manages: version 2, else version 1's named one."""
    paths = {}
    for line in content.splitlines():
        hierarchy, controllers, path = line.split(b":", 2)
        paths[b"" if hierarchy == b"0" else controllers] = path
    return paths.get(b"name=systemd", paths.get(b""))


def arguments(content):
    return content.removesuffix(b"\0").split(b"\0") if content else []


def is_swapped(truth, tgid):
    return truth.words.get(b"swapped") == b"%d" % tgid


class Task:
    """What the guest said of one task. Its files are those of /proc/PID, or of /proc/PID/task/TID."""

    def __init__(self, truth, tgid, pid, threads):
        self.tgid, self.pid = tgid, pid
        place = f"/proc/{tgid}/task/{pid}" if threads else f"/proc/{tgid}"
        name, fields = stat_fields(truth.tasks[tgid][pid])
        self.comm = truth.file(place + "/comm").removesuffix(b"\n") if (place + "/comm").encode() in truth.files else name
        # A worker's name tells what it does at the moment: that of the last look counts.
        if self.comm.startswith(b"kworker/"):
            self.comm = name
        self.kernel_thread = bool(int(fields[6]) & PF_KTHREAD)
        self.state, self.ppid, self.start_ticks = fields[0], int(fields[1]), int(fields[19])
        status = truth.files.get((place + "/status").encode(), b"")
        self.known = bool(status)
        ids = {key: [int(word) for word in values.split()] for key, values in
               re.findall(rb"^(Uid|Gid):\s+(.*)$", status, re.M)}
        self.uid, self.euid, self.gid = (*ids[b"Uid"][:2], ids[b"Gid"][0]) if ids else (0, 0, 0)
        # The arguments of one went to swap after the guest told them.
        self.cmdline = None if is_swapped(truth, tgid) else arguments(truth.files.get((place + "/cmdline").encode(), b""))
        self.cgroup = unit_cgroup(truth.files.get((place + "/cgroup").encode(), b"0::/\n"))
        self.exe = truth.links.get((place + "/exe").encode())


def tasks(truth, threads):
    return {pid: Task(truth, tgid, pid, threads) for tgid, members in truth.tasks.items() for pid in members
            if threads or pid == tgid}


def ticks(seconds):
    """Whole ticks, as /proc counts them: cut off, not rounded."""
    return int(seconds * TICKS_A_SECOND)


def ran_since(task, entry):
    """A thread of the kernel that was woken between the last look and the stop: it is ready, or a worker tells of other work."""
    comm, state = field(entry, "comm"), field(entry, "state")
    other_work = comm.startswith(b"kworker/") and comm != task.comm and comm.split(b"-")[0].split(b"+")[0] == \
        task.comm.split(b"-")[0].split(b"+")[0]
    return task.kernel_thread and (other_work or (task.state != state and b"R" in (task.state, state)))


def compare_ps(checks, truth, program, threads):
    options = ["--threads"] if threads else []
    document = program.verb("ps", *options)
    if document is None:
        return
    what = "thread" if threads else "process"
    checks.equal(f"ps {' '.join(options)} is version 1", document["version"], 1)
    found = {entry["pid"]: entry for entry in document["processes"]}
    wanted = tasks(truth, threads)
    checks.equal(f"each {what} once", len(document["processes"]), len(found))
    checks.same_items(f"every {what}", dict.fromkeys(found), dict.fromkeys(wanted))
    checks.equal(f"members of a {what}", sorted({key for entry in found.values() for key in entry if not key.endswith("_b64")}),
                 sorted(["pid", "tgid", "ppid", "uid", "euid", "gid", "comm", "cmdline", "state", "start_s", "cgroup", "exe"]))
    both = [pid for pid in wanted if pid in found]
    ran = [pid for pid in both if ran_since(wanted[pid], found[pid])]
    checks.check(f"threads of the kernel that ran after the last look: {len(ran)} of at most {RAN_MAX}",
                 "" if len(ran) <= RAN_MAX else str(ran))
    for pid in ran:
        wanted[pid].comm, wanted[pid].state = field(found[pid], "comm"), field(found[pid], "state")
    for name in ("tgid", "ppid", "uid", "euid", "gid"):
        checks.same_items(f"{name} of each {what}", {pid: found[pid][name] for pid in both},
                          {pid: getattr(wanted[pid], name) for pid in both})
    for name in ("comm", "state", "cgroup", "exe", "cmdline"):
        checks.same_items(f"{name} of each {what}", {pid: field(found[pid], name) for pid in both},
                          {pid: getattr(wanted[pid], name) for pid in both})
    checks.same_items(f"start_s of each {what}", {pid: ticks(found[pid]["start_s"]) for pid in both},
                      {pid: wanted[pid].start_ticks for pid in both})


def unit(cgroup):
    """systemd's rule: below all slices, the first name is the unit."""
    for name in (cgroup or b"").split(b"/"):
        if not name or name.endswith(b".slice"):
            continue
        # A leading _ escapes names that the kernel's own files have.
        name = name.removeprefix(b"_")
        return name if re.search(rb".\.(service|scope|socket|mount|swap)$", name) else None
    return None


def compare_services(checks, truth, program):
    document = program.verb("services")
    if document is None:
        return
    wanted = {}
    for pid, task in tasks(truth, False).items():
        name = unit(task.cgroup)
        if name:
            wanted.setdefault(name, []).append(pid)
    checks.equal("services is version 1", document["version"], 1)
    checks.same_items("services and their processes",
                      {field(entry, "unit"): sorted(entry["pids"]) for entry in document["services"]},
                      {name: sorted(pids) for name, pids in wanted.items()})


def compare_units(checks, units, program):
    """What systemd said of its units: all that run have processes."""
    document = program.verb("services")
    if document is not None:
        found = {field(entry, "unit").decode() for entry in document["services"]}
        # A unit whose processes all ended since (a login, a timer's job) is no longer there.
        checks.check(f"systemd's running units ({len(units)})", ", ".join(sorted(units - found)))


def maps(content):
    """/proc/PID/maps: (start, end, perms, offset, inode, path) of each line."""
    lines = []
    for line in content.split(b"\n")[:-1]:
        span, perms, offset, _, inode, *path = line.split(b" ", 5)
        start, end = span.split(b"-")
        name = path[0].lstrip(b" ").replace(b"\\012", b"\n") if path else b""
        lines.append((int(start, 16), int(end, 16), perms, int(offset, 16), int(inode), name))
    return lines


def compare_maps(checks, truth, program, pid, name):
    document = program.verb("maps", "--pid", str(pid))
    if document is None:
        return
    found = [(number(entry["start"]), number(entry["end"]), field(entry, "perms"), number(entry["offset"]), entry["inode"],
              field(entry, "path") or b"") for entry in document["maps"]]
    checks.equal(f"maps of {name} is version 1", document["version"], 1)
    checks.same_list(f"maps of {name}", found, maps(truth.file(f"/proc/{pid}/maps")))


def with_argument(truth, *words):
    """The processes with one of the words among their arguments."""
    return [pid for pid in truth.tasks for word in words
            if word.encode() in arguments(truth.files.get(b"/proc/%d/cmdline" % pid, b""))]


def compare_tasks(checks, truth, program):
    compare_ps(checks, truth, program, False)
    compare_ps(checks, truth, program, True)
    compare_services(checks, truth, program)
    collector = truth.word("collector")
    for pid in sorted(truth.tasks):
        # The collector's own mappings changed while it collected.
        if truth.files.get(b"/proc/%d/maps" % pid) and pid != collector:
            name = ascii(truth.file(f"/proc/{pid}/comm").removesuffix(b"\n"))[2:-1]
            compare_maps(checks, truth, program, pid, f"{pid} ({name})")
