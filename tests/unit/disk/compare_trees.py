#!/usr/bin/env python3
"""compare_trees.py A B [SHIFT]: says every difference between two trees; the ids of B are greater by SHIFT."""

import hashlib
import os
import stat
import struct
import sys

ACL_IDS = (0x02, 0x08)


def acl(value, shift):
    """The bytes of an ACL with its ids greater by shift."""
    entries = [value[i : i + 8] for i in range(4, len(value), 8)]
    out = value[:4]
    for entry in entries:
        tag, permissions, number = struct.unpack("<HHI", entry)
        out += struct.pack("<HHI", tag, permissions, number + shift if tag in ACL_IDS else number)
    return out


def capability(value, shift):
    """A file capability as one of the root with id shift."""
    if not shift:
        return value
    magic = struct.unpack("<I", value[:4])[0]
    return struct.pack("<I", magic & 0xFFFFFF | 0x03000000) + value[4:20] + struct.pack("<I", shift)


def attributes(path, shift):
    out = {}
    for name in os.listxattr(path, follow_symlinks=False):
        value = os.getxattr(path, name, follow_symlinks=False)
        if name.startswith("system.posix_acl"):
            value = acl(value, shift)
        elif name == "security.capability":
            value = capability(value, shift)
        out[name] = value
    return out


def layout(fd, size):
    """Where there is data, by blocks that no file system here undercuts."""
    out, at = [], 0
    while at < size:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        at = os.lseek(fd, data, os.SEEK_HOLE)
        out.append((data, at))
    return out


def content(path, st):
    if stat.S_ISLNK(st.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(st.st_mode):
        return None
    digest = hashlib.sha256()
    fd = os.open(path, os.O_RDONLY)
    ranges = layout(fd, st.st_size)
    for begin, end in ranges:
        while begin < end:
            block = os.pread(fd, min(end - begin, 1 << 20), begin)
            if not block:
                break
            digest.update(block)
            begin += len(block)
    os.close(fd)
    return ranges, digest.hexdigest()


def describe(path, shift):
    st = os.lstat(path)
    return {
        "inode": st.st_ino,
        "mode": oct(st.st_mode),
        "links": st.st_nlink,
        "owner": (st.st_uid + shift, st.st_gid + shift),
        "size": st.st_size,
        "blocks": st.st_blocks,
        "device": st.st_rdev,
        "times": (st.st_mtime_ns, st.st_ctime_ns),
        "attributes": attributes(path, shift),
        "names": sorted(os.listdir(path)) if stat.S_ISDIR(st.st_mode) else None,
        "content": content(path, st),
    }


def main():
    a, b = sys.argv[1:3]
    shift = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    paths, bad = 0, 0
    for directory, names, files in os.walk(a):
        for name in ["."] + names + files:
            path = os.path.relpath(os.path.join(directory, name), a)
            left = describe(os.path.join(a, path), shift)
            right = describe(os.path.join(b, path), 0)
            paths += 1
            for key, value in left.items():
                if value != right[key]:
                    bad += 1
                    print(f"{path}: {key}: {str(value)[:200]} here, {str(right[key])[:200]} there", file=sys.stderr)
    for field in ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_namemax"):
        left, right = (getattr(os.statvfs(tree), field) for tree in (a, b))
        if left != right:
            bad += 1
            print(f"statfs: {field}: {left} here, {right} there", file=sys.stderr)
    print(f"{paths} paths, {bad} differences", file=sys.stderr)
    sys.exit(bad != 0 or paths < 1000)


main()
