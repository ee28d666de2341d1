# SPDX-License-Identifier: Apache-2.0
"""Files: all of /run, open files, the page cache."""
import os
import stat

from .checks import field


class Said:
    """What stat said of a file: see collect's put_stat()."""

    def __init__(self, line):
        mode, uid, gid, size, links, inode, device, node, mtime, _ = line.split()
        self.mode, self.uid, self.gid = int(mode, 8), int(uid), int(gid)
        self.size, self.links, self.inode = int(size), int(links), int(inode)
        self.device = device
        self.node = tuple(map(int, node.split(b":")))
        self.mtime = tuple(map(int, mtime.split(b".")))


def below(truth, place):
    return {path: Said(line) for path, line in truth.stats.items() if path == place or path.startswith(place + b"/")}


def compare_run(checks, truth, facts):
    wanted = below(truth, b"/run")
    found = {field(entry, "path"): entry for entry in facts["run"]}
    checks.equal("each name of /run once", len(found), len(facts["run"]))
    checks.same_items("names in /run", dict.fromkeys(found), dict.fromkeys(wanted))
    both = [path for path in wanted if path in found]
    for name in ("mode", "uid", "gid", "links", "size", "inode"):
        # A directory's size is counted in another way by each file system.
        checks.same_items(f"{name} in /run", {path: found[path][name] for path in both},
                          {path: getattr(wanted[path], name) for path in both})
    checks.same_items("times in /run", {path: (found[path]["mtime_s"], found[path]["mtime_ns"]) for path in both},
                      {path: wanted[path].mtime for path in both})
    nodes = [path for path in both if stat.S_ISCHR(wanted[path].mode) or stat.S_ISBLK(wanted[path].mode)]
    checks.same_items("device numbers in /run", {path: (found[path]["major"], found[path]["minor"]) for path in nodes},
                      {path: wanted[path].node for path in nodes})
    links = [path for path in both if stat.S_ISLNK(wanted[path].mode)]
    checks.same_items("links in /run", {path: field(found[path], "link") for path in links},
                      {path: truth.links[path] for path in links})
    files = [path for path in both if stat.S_ISREG(wanted[path].mode)]
    checks.same_items("contents in /run", {path: digest(field(found[path], "content")) for path in files},
                      {path: digest(truth.files[path]) for path in files})


def digest(content):
    """Short enough to be shown."""
    return content if len(content) < 60 else (len(content), hash(content))


def compare_cat(checks, truth, program):
    wrong = []
    paths = [path for path, said in below(truth, b"/run").items() if stat.S_ISREG(said.mode) and b"/many/" not in path]
    paths += [path for path in truth.files if path.startswith((b"/mnt/data/", b"/bin/"))]
    for path in paths:
        status, content, errors = program.cat(path)
        if status != 0 or content != truth.files[path]:
            wrong.append(f"{path!r}: status {status}, {len(content)} bytes {errors.decode(errors='replace')[-200:]}")
    checks.check(f"cat of {len(paths)} files", "; ".join(wrong[:5]))
    status, content, _ = program.cat("/run/no-such-file")
    checks.check("cat of nothing fails", "" if status not in (0, 2) and not content else f"status {status}")


def compare_swapped(checks, truth, program):
    """A file that is in swap but for its beginning: named as such."""
    if b"/dev/" not in truth.file("/proc/swaps"):
        return
    status, content, errors = program.cat(b"/tmp/swapped")
    checks.check("cat of a file in swap", "" if status == 1 and b"swap" in errors and len(content) < 1 << 20 else
                 f"status {status}, {len(content)} bytes, {errors.decode(errors='replace')}")


def open_files(truth, pid):
    """{fd: (path, flags, close on exec, position, inode or None)} as /proc/PID/fd and fdinfo have them."""
    result = {}
    prefix = b"/proc/%d/fd/" % pid
    for path, target in truth.links.items():
        if not path.startswith(prefix):
            continue
        fd = int(path.removeprefix(prefix))
        info = dict(line.split(b":\t", 1) for line in truth.file(f"/proc/{pid}/fdinfo/{fd}").splitlines() if b":\t" in line)
        flags = int(info[b"flags"], 8)
        result[fd] = (target, flags & ~os.O_CLOEXEC, bool(flags & os.O_CLOEXEC), int(info[b"pos"]),
                      # From 5.14 on.
                      int(info[b"ino"]) if b"ino" in info else None)
    return result


def compare_open_files(checks, truth, pid, entry):
    wanted = open_files(truth, pid)
    found = {fd["fd"]: (field(fd, "path"), fd["flags"] & ~os.O_CLOEXEC, fd["close_on_exec"], fd["position"],
                        fd["inode"] if fd["fd"] in wanted and wanted[fd["fd"]][4] is not None else None)
             for fd in entry.get("fds", [])}
    return found, wanted
