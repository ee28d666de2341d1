# SPDX-License-Identifier: Apache-2.0
"""What a bundle's layer says of each path, and whether a disk has all of it or none of it.

The layer is a tar archive with whiteouts (doc/bundle-format.md), read without any code of the program under test.
"""
import hashlib
import os
import stat
import subprocess
import tarfile

from . import tree

WHITEOUT, XATTR = ".wh.", "SCHILY.xattr."
TYPES = {tarfile.REGTYPE: stat.S_IFREG, tarfile.GNUTYPE_SPARSE: stat.S_IFREG, tarfile.DIRTYPE: stat.S_IFDIR,
         tarfile.SYMTYPE: stat.S_IFLNK, tarfile.FIFOTYPE: stat.S_IFIFO, tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK}
# Named in a message.
SHOWN = 6


def nanoseconds(text):
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9] or 0)


def fact(member, archive):
    """As tree.node() has it, as far as an archive can say it."""
    kind = TYPES[member.type]
    facts = {"mode": kind | stat.S_IMODE(member.mode), "owner": [member.uid, member.gid],
             "xattrs": {name[len(XATTR):]: value.encode("utf-8", "surrogateescape").hex()
                        for name, value in member.pax_headers.items() if name.startswith(XATTR)}}
    if kind == stat.S_IFREG:
        facts |= {"content": hashlib.file_digest(archive.extractfile(member), "sha256").hexdigest(), "size": member.size}
    elif kind == stat.S_IFLNK:
        facts["content"] = member.linkname
    if kind != stat.S_IFDIR:
        facts["time"] = nanoseconds(member.pax_headers.get("mtime", str(int(member.mtime))))
    return facts


def read(bundle):
    """{path: facts; None: it is gone; a string: another name of that path}"""
    wanted = {}
    with subprocess.Popen(["zstd", "-qdc", bundle], stdout=subprocess.PIPE) as unpacked:
        with tarfile.open(fileobj=unpacked.stdout, mode="r|") as archive:
            for member in archive:
                name = "/" + member.name.removeprefix("./").strip("/")
                place, base = os.path.split(name)
                if base.startswith(WHITEOUT):
                    wanted[os.path.join(place, base[len(WHITEOUT):])] = None
                elif member.islnk():
                    wanted[name] = "/" + member.linkname.removeprefix("./").strip("/")
                elif name != "/":
                    wanted[name] = fact(member, archive)
        unpacked.stdout.read()
    if unpacked.returncode:
        raise RuntimeError(f"{bundle} cannot be unpacked")
    return wanted


def found_at(root, name):
    """The node of a path below `root`, None where nothing is. A directory's time is of what else is made in it."""
    path = os.path.join(root, name.lstrip("/"))
    if not os.path.lexists(path):
        return None
    node = tree.node(path, name)
    if stat.S_ISDIR(node["facts"]["mode"]):
        node["facts"].pop("time", None)
    return node


class Layer:
    """`wanted`: {path: what is there when it is applied}, `before`: {path: node of the tree below root, or None}."""

    def __init__(self, bundle, root):
        self.wanted = read(bundle) if bundle.exists() else {}
        self.before = {name: found_at(root, name) for name in self.wanted}

    def then(self, later):
        """Both, one after the other."""
        both = object.__new__(Layer)
        both.wanted, both.before = self.wanted | later.wanted, later.before | self.before
        return both

    def is_new(self, name, node, root):
        wanted = self.wanted[name]
        if wanted is None or node is None:
            return wanted is node
        if isinstance(wanted, str):
            other = found_at(root, wanted)
            return other is not None and other["inode"] == node["inode"]
        return all(node["facts"].get(key) == value for key, value in wanted.items())

    def judge(self, root):
        """(ALL, NONE or MIXED, the paths that are not as they should be)."""
        nodes = {name: found_at(root, name) for name in self.wanted}
        not_new = sorted(name for name, node in nodes.items() if not self.is_new(name, node, root))
        not_old = sorted(name for name, node in nodes.items() if node != self.before[name])
        if not not_old:
            return tree.NONE, []
        if not not_new:
            return tree.ALL, []
        fewer, kind = (not_old, "before") if len(not_old) < len(not_new) else (not_new, "of the update")
        return tree.MIXED, [f"{len(fewer)} of {len(nodes)} paths are not as {kind}: {' '.join(map(repr, fewer[:SHOWN]))}"]
