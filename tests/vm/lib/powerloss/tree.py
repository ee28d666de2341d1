# SPDX-License-Identifier: Apache-2.0
"""A whole tree as values, and whether another is the same: all of the update, none of it, or a mixture."""
import hashlib
import os
import stat

# The helper's own: journal, report, stage. The neighbour writes its file all the time. lost+found is the file system's.
ASIDE = ("/.ouassister", "/var/lib/ouassister", "/var/log/neighbour", "/lost+found")
# The helper, or the neighbour, makes names in these; no update carries the package manager's locks, nor /run.
TIMELESS = ("/", "/var/lib", "/var/log", "/run", "/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/triggers/Lock")
ALL, NONE, MIXED = "all", "none", "mixed"


def content(path, value):
    if stat.S_ISREG(value.st_mode):
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if stat.S_ISLNK(value.st_mode):
        return os.readlink(path)
    return str(value.st_rdev)


def xattrs(path):
    return {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in os.listxattr(path, follow_symlinks=False)
            if not name.startswith("trusted.overlay.")}


def node(path, name):
    """All of one path that an update may change; its inode beside it."""
    value = os.lstat(path)
    facts = {"mode": value.st_mode, "owner": [value.st_uid, value.st_gid], "content": content(path, value), "xattrs": xattrs(path)}
    if not stat.S_ISDIR(value.st_mode):
        facts |= {"links": value.st_nlink, "size": value.st_size}
    if name not in TIMELESS:
        facts["time"] = value.st_mtime_ns
    return {"facts": facts, "inode": value.st_ino}


def snapshot(root):
    """{path: node} of everything on root's file system, but what is kept aside."""
    nodes, pending = {"/": node(root, "/")}, [(os.fspath(root), "")]
    while pending:
        directory, prefix = pending.pop()
        for entry in os.scandir(directory):
            name = f"{prefix}/{entry.name}"
            if name in ASIDE:
                continue
            nodes[os.fsencode(name).decode("latin-1")] = node(entry.path, name)
            if entry.is_dir(follow_symlinks=False):
                pending.append((entry.path, name))
    return nodes


def differing(one, other, inodes=False):
    """The paths that are not the same, sorted."""
    def value(tree, path):
        found = tree.get(path)
        return found and (found if inodes else found["facts"])
    return sorted(path for path in one.keys() | other.keys() if value(one, path) != value(other, path))


def judge(found, before, after):
    """(ALL, NONE or MIXED, what is not as it should be)."""
    # What was undone are the very inodes that were there.
    from_before = differing(found, before, inodes=True)
    if not from_before:
        return NONE, []
    from_after = differing(found, after)
    if not from_after:
        return ALL, []
    fewer = min(from_before, from_after, key=len)
    kind = "the old tree" if fewer is from_before else "the new tree"
    return MIXED, [f"{len(fewer)} paths are not as in {kind}: {' '.join(map(repr, fewer[:6]))}"]
