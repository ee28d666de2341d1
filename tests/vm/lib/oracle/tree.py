# SPDX-License-Identifier: Apache-2.0
"""Two trees of files, compared path by path: type, mode, owner, content, target, device, attributes, hard links, time."""
import hashlib
import os
import stat

from .canon import canon, canon_path

HINT_FILE_MAX, HINT_LINES = 1 << 20, 4


class Node:
    """One path of a tree."""

    def __init__(self, full, path):
        self.full, self.path = full, path
        self.stat = os.lstat(full)

    @property
    def regular(self):
        return stat.S_ISREG(self.stat.st_mode)

    def digest(self):
        """Of the content, or of what it means where `canon` knows the format."""
        meaning = canon(self.path, self.full)
        if meaning is not None:
            return meaning
        with open(self.full, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() + f" {self.stat.st_size} bytes"

    def xattrs(self):
        return {name: os.getxattr(self.full, name, follow_symlinks=False).hex()
                for name in os.listxattr(self.full, follow_symlinks=False)}


def walk(root):
    """{path: Node} of everything below root on its file system, "/" for root itself."""
    nodes, pending = {"/": Node(root, "/")}, [(os.fspath(root), "")]
    while pending:
        directory, prefix = pending.pop()
        for entry in os.scandir(directory):
            path = canon_path(f"{prefix}/{entry.name}")
            nodes[path] = Node(entry.path, path)
            if entry.is_dir(follow_symlinks=False):
                pending.append((entry.path, path))
    return nodes


def link_groups(nodes):
    """{path: all paths of the same inode}, of files with more than one name."""
    groups = {}
    for path, node in nodes.items():
        if node.regular and node.stat.st_nlink > 1:
            groups.setdefault(node.stat.st_ino, []).append(path)
    return {path: sorted(paths) for paths in groups.values() for path in paths}


def untouched(a, b):
    """Neither copy has written this inode since both were one: the kernel sets the change time, nobody else can."""
    names = ("st_ino", "st_ctime_ns", "st_mtime_ns", "st_size", "st_mode", "st_uid", "st_gid")
    return all(getattr(a.stat, name) == getattr(b.stat, name) for name in names)


def describe(node):
    value = node.stat
    return f"{stat.filemode(value.st_mode)} {value.st_uid}:{value.st_gid} {value.st_size} bytes"


def lines_only_in(one, other):
    """What a person would look for first: the first lines of a text that the other has nowhere. "": none, or no text."""
    if max(one.stat.st_size, other.stat.st_size) > HINT_FILE_MAX:
        return ""
    texts = []
    for node in (one, other):
        with open(node.full, "rb") as file:
            texts.append(file.read())
    if any(b"\0" in text for text in texts):
        return ""
    lines = [text.decode(errors="backslashreplace").splitlines() for text in texts]
    known = set(lines[1])
    return " | ".join([line.strip() for line in lines[0] if line not in known][:HINT_LINES])


def contents(a, b):
    """The two values of the aspect "content", if they differ."""
    one, other = a.digest(), b.digest()
    if one != other:
        yield "content", *(f"{hint}: {digest}" if (hint := lines_only_in(*pair)) else digest
                           for digest, pair in ((one, (a, b)), (other, (b, a))))


def differing(a, b, suspended_ns):
    """(aspect, value in a, value in b) of a path that is in both."""
    if stat.S_IFMT(a.stat.st_mode) != stat.S_IFMT(b.stat.st_mode):
        yield "type", describe(a), describe(b)
        return
    if a.stat.st_mode != b.stat.st_mode:
        yield "mode", oct(a.stat.st_mode), oct(b.stat.st_mode)
    if (a.stat.st_uid, a.stat.st_gid) != (b.stat.st_uid, b.stat.st_gid):
        yield "owner", f"{a.stat.st_uid}:{a.stat.st_gid}", f"{b.stat.st_uid}:{b.stat.st_gid}"
    if stat.S_ISLNK(a.stat.st_mode) and os.readlink(a.full) != os.readlink(b.full):
        yield "target", os.readlink(a.full), os.readlink(b.full)
    if stat.S_ISCHR(a.stat.st_mode) or stat.S_ISBLK(a.stat.st_mode):
        if a.stat.st_rdev != b.stat.st_rdev:
            yield "device", str(a.stat.st_rdev), str(b.stat.st_rdev)
    if a.regular:
        yield from contents(a, b)
    if (one := a.xattrs()) != (other := b.xattrs()):
        yield "xattrs", str(one), str(other)
    # A time of before the suspend came with a package or was there: then it must be the same. Later ones are of the
    # moment in which either copy did it.
    times = a.stat.st_mtime_ns, b.stat.st_mtime_ns
    if times[0] != times[1] and min(times) < suspended_ns:
        yield "time", str(times[0]), str(times[1])


def compare(offline, conventional, suspended_ns, take):
    """Calls take(path, aspect, offline, conventional) for each difference; how many paths were compared."""
    a, b = walk(offline), walk(conventional)
    for path in sorted(a.keys() | b.keys()):
        if path not in b:
            take(path, "exists", describe(a[path]), "absent")
        elif path not in a:
            take(path, "exists", "absent", describe(b[path]))
        elif not untouched(a[path], b[path]):
            for difference in differing(a[path], b[path], suspended_ns):
                take(path, *difference)
    groups_a, groups_b = link_groups(a), link_groups(b)
    for path in sorted(a.keys() & b.keys()):
        if groups_a.get(path) != groups_b.get(path):
            take(path, "links", str(groups_a.get(path)), str(groups_b.get(path)))
    return len(a.keys() | b.keys())
