# SPDX-License-Identifier: Apache-2.0
"""What guest-dump says of tasks beyond the verbs: ids, namespaces, directories, open files, groups, mounts' details."""
import re
import subprocess
import time

from .checks import field
from .compare_files import open_files
from .compare_mounts import mounts
from .compare_tasks import is_swapped, stat_fields
from .truth import unescape

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
TICK_NS = 10_000_000


def ids(status, name):
    return [int(word) for word in re.search(rb"^" + name + rb":\s+(.*)$", status, re.M)[1].split()]


def place_of(task):
    return f"/proc/{task['tgid']}" if task["pid"] == task["tgid"] else f"/proc/{task['tgid']}/task/{task['pid']}"


def numbers(task):
    keys = ("uid", "euid", "suid", "fsuid", "gid", "egid", "sgid", "fsgid", "pgid", "sid", "tty", "nice", "n_threads")
    return [task[key] for key in keys]


def numbers_said(truth, task):
    status = truth.file(place_of(task) + "/status")
    _, fields = stat_fields(truth.tasks[task["tgid"]][task["pid"]])
    return [*ids(status, b"Uid"), *ids(status, b"Gid"), int(fields[2]), int(fields[3]), int(fields[4]), int(fields[16]),
            int(fields[17])]


def sizes_said(truth, task):
    """Virtual size in bytes, resident in pages."""
    _, fields = stat_fields(truth.tasks[task["tgid"]][task["pid"]])
    return int(fields[20]), int(fields[21])


def compare_numbers(checks, truth, tasks):
    known = [task for task in tasks if (place_of(task) + "/status").encode() in truth.files]
    checks.same_items("ids of each task", {task["pid"]: numbers(task) for task in known},
                      {task["pid"]: numbers_said(truth, task) for task in known})
    processes = [task for task in known if task["pid"] == task["tgid"] and task["pid"] != truth.word("collector")]
    checks.same_items("virtual size of each process", {task["pid"]: task["virtual_size"] for task in processes},
                      {task["pid"]: sizes_said(truth, task)[0] for task in processes})
    wrong = {task["pid"]: (task["resident_size"], sizes_said(truth, task)[1] * 4096) for task in processes
             # /proc does not add up each CPU's share of the counter: up to 64 pages for each.
             if abs(task["resident_size"] - sizes_said(truth, task)[1] * 4096) > 4096 * 256}
    checks.check("resident size of each process", str(wrong) if wrong else "")


def compare_places(checks, truth, tasks):
    # What began after the first look has only its line of the last one.
    leaders = [task for task in tasks if task["pid"] == task["tgid"] and (place_of(task) + "/status").encode() in truth.files]
    for name in ("cwd", "root"):
        checks.same_items(f"{name} of each process",
                          {task["pid"]: field(task, name) for task in leaders if name in task},
                          {task["pid"]: truth.links[f"/proc/{task['pid']}/{name}".encode()] for task in leaders
                           if f"/proc/{task['pid']}/{name}".encode() in truth.links})
    said = {}
    for task in leaders:
        for name in NAMESPACES:
            link = truth.links.get(f"/proc/{task['pid']}/ns/{name}".encode())
            if link:
                said[task["pid"], name] = int(re.search(rb"\[(\d+)\]", link)[1])
    found = {(task["pid"], name): task["ns"][name] for task in leaders for name in NAMESPACES
             if task.get("ns", {}).get(name)}
    checks.same_items("namespaces of each process", {key: found[key] for key in found if key in said}, said)
    checks.same_items("environment of each process",
                      {task["pid"]: field(task, "environ") for task in leaders if task.get("environ")},
                      {task["pid"]: truth.files[f"/proc/{task['pid']}/environ".encode()] for task in leaders
                       if not is_swapped(truth, task["pid"]) and truth.files.get(f"/proc/{task['pid']}/environ".encode())})


def groups_said(content):
    """/proc/PID/cgroup: {(hierarchy, controllers, path)}."""
    return sorted((int(number), controllers, path) for number, controllers, path in
                  (line.split(b":", 2) for line in content.splitlines()))


def compare_groups(checks, truth, tasks):
    leaders = [task for task in tasks if task["pid"] == task["tgid"] and f"/proc/{task['pid']}/cgroup".encode() in truth.files]
    checks.same_items("control groups of each process",
                      {task["pid"]: sorted((group["hierarchy"], field(group, "controllers"), field(group, "path"))
                                           for group in task.get("cgroups", [])) for task in leaders},
                      {task["pid"]: groups_said(truth.file(f"/proc/{task['pid']}/cgroup")) for task in leaders})


def compare_open_files(checks, truth, tasks):
    found, said = {}, {}
    for task in tasks:
        # The collector reads, the guest's log writes to a file.
        if task["pid"] != task["tgid"] or task["pid"] == truth.word("collector"):
            continue
        pid = task["pid"]
        for fd, what in open_files(truth, pid).items():
            said[pid, fd] = what
        for fd in task.get("fds", []):
            key = pid, fd["fd"]
            inode = fd["inode"] if key in said and said[key][4] is not None else None
            found[key] = (field(fd, "path"), fd["flags"] & ~0o2000000, fd["close_on_exec"], fd["position"], inode)
    checks.same_items("open files", found, said)


def mountinfo(content):
    """(id, parent, major:minor, root, target, fstype, source, peer group, master, unbindable) of each line."""
    lines = []
    for line in content.splitlines():
        words = line.split(b" ")
        dash = words.index(b"-", 6)
        tags = dict((tag.split(b":") + [b"1"])[:2] for tag in words[6:dash])
        lines.append((int(words[0]), int(words[1]), words[2].decode(), unescape(words[3]), unescape(words[4]),
                      unescape(words[dash + 1]), unescape(words[dash + 2]), int(tags.get(b"shared", 0)),
                      int(tags.get(b"master", 0)), b"unbindable" in tags))
    return lines


def compare_mountinfo(checks, truth, tasks):
    for task in tasks:
        content = truth.files.get(f"/proc/{task['pid']}/mountinfo".encode())
        if task["pid"] != task["tgid"] or not content:
            continue
        # One for all that see the same.
        if task["pid"] != 1 and content == truth.files[b"/proc/1/mountinfo"]:
            continue
        found = [(mount["id"], mount["parent"], f"{mount['major']}:{mount['minor']}", field(mount, "root"), field(mount, "target"),
                  field(mount, "fstype"), field(mount, "source"), mount["peer_group"], mount["master"], mount["unbindable"])
                 for mount in task.get("mounts", [])]
        checks.same_list(f"details of the mounts of {task['pid']}", found, mountinfo(content))


def compare_file_systems(checks, truth, facts, disk):
    """`disk`: the image of vda with an ext4 file system; None: unknown."""
    types = {entry["type"] for entry in facts["file_systems"]}
    checks.check("types of mounted file systems", ", ".join({kind.decode() for _, _, kind, _ in
                                                             mounts(truth.file("/proc/1/mounts"))} - types))
    if not disk:
        return
    header = subprocess.run(["dumpe2fs", "-h", str(disk)], check=True, capture_output=True, text=True).stdout
    ext4 = [entry for entry in facts["file_systems"] if entry["type"] == "ext4"]
    checks.equal("one ext4 file system on vda", [entry["id"] for entry in ext4], ["vda"])
    for entry in ext4:
        checks.equal("ext4 uuid", entry["uuid"], re.search(r"UUID:\s+(\S+)", header)[1])
        checks.equal("ext4 mount count", entry.get("ext4_mount_count"), int(re.search(r"Mount count:\s+(\d+)", header)[1]))
        said = re.search(r"Last mount time:\s+(.*)", header)[1]
        told = time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(entry.get("ext4_mount_time_s", 0)))
        checks.equal("ext4 mount time", told.split(), said.split())


def compare_task_facts(checks, truth, facts):
    tasks = facts["tasks"]
    checks.equal("the walk over tasks is complete", facts.get("tasks_incomplete"), None)
    compare_numbers(checks, truth, tasks)
    compare_places(checks, truth, tasks)
    compare_groups(checks, truth, tasks)
    compare_open_files(checks, truth, tasks)
    compare_mountinfo(checks, truth, tasks)
