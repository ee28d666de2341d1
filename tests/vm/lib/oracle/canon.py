# SPDX-License-Identifier: Apache-2.0
"""What some files mean, where the bytes carry times or an order that mean nothing."""
import gzip
import hashlib
import lzma
import pathlib
import re
import subprocess

NEWC, NEWC_END, NEWC_HEADER = b"070701", b"TRAILER!!!", 110
UNPACKERS = {b"\x1f\x8b": gzip.decompress, b"\xfd7zXZ": lzma.decompress,
             b"\x28\xb5\x2f\xfd": lambda data: subprocess.run(["zstd", "-qdc"], input=data, stdout=subprocess.PIPE,
                                                              check=True).stdout}


def aligned(number):
    return (number + 3) & ~3


def members(data):
    """(name, mode, owner, device, content) of all cpio archives in an initramfs, one behind the other."""
    at = 0
    while at < len(data):
        if data[at] == 0:
            at += 1
            continue
        if data[at:at + 6] != NEWC:
            unpack = next((unpack for magic, unpack in UNPACKERS.items() if data[at:].startswith(magic)), None)
            if unpack is None:
                raise ValueError(f"neither cpio nor a known compression at byte {at}")
            yield from members(unpack(data[at:]))
            return
        fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        _, mode, uid, gid, _, _, size, _, _, major, minor, name_size, _ = fields
        start = at + NEWC_HEADER
        name = data[start:start + name_size - 1]
        start = at + aligned(NEWC_HEADER + name_size)
        if name != NEWC_END:
            yield name, mode, (uid, gid), (major, minor), data[start:start + size]
        at = start + aligned(size)


def initramfs(data):
    """Its files by name; not their order, times and inode numbers, which each run makes anew."""
    lines = sorted(f"{name!r} {mode:o} {owner} {device} {hashlib.sha256(content).hexdigest()}"
                   for name, mode, owner, device, content in members(data))
    return "initramfs " + hashlib.sha256("\n".join(lines).encode()).hexdigest() + f" {len(lines)} members"


def stanzas(data):
    """Paragraphs, in any order."""
    lines = sorted(data.strip().split(b"\n\n"))
    return "paragraphs " + hashlib.sha256(b"\n\n".join(lines)).hexdigest() + f" {len(lines)}"


# Of the header page (dbinc/db_page.h, struct _dbmeta33): sequence numbers, magic numbers of hash and btree, and the number
# that each new file draws from its device, its inode, the time and the process.
BERKELEY_MAGICS, BERKELEY_MAGIC_AT, BERKELEY_ID = (0x061561, 0x053162), 12, slice(52, 72)


def berkeley_db(data):
    """A Berkeley DB file without its identity."""
    if int.from_bytes(data[BERKELEY_MAGIC_AT:BERKELEY_MAGIC_AT + 4], "little") not in BERKELEY_MAGICS:
        raise ValueError("no Berkeley DB file")
    data = data[:BERKELEY_ID.start] + bytes(20) + data[BERKELEY_ID.stop:]
    return "Berkeley DB " + hashlib.sha256(data).hexdigest() + f" {len(data)} bytes"


MEANINGS = ((re.compile(r"/boot/initrd\.img-[^/]*"), initramfs),
            (re.compile(r"/etc/.*\.db"), berkeley_db),
            (re.compile(r"/var/cache/debconf/[a-z]+\.dat(-old)?"), stanzas),
            (re.compile(r"/var/lib/dpkg/(status|available)(-old)?"), stanzas))


def canon(path, full):
    """A text that is the same for files that mean the same; None: the bytes count."""
    for pattern, meaning in MEANINGS:
        if pattern.fullmatch(path):
            try:
                return meaning(pathlib.Path(full).read_bytes())
            except (ValueError, EOFError, OSError, lzma.LZMAError, subprocess.CalledProcessError):
                return None
    return None


RANDOM_NAME = re.compile(r"(/systemd-private-[0-9a-f]{32}-[^/]+-)[A-Za-z0-9]{6}(?=/|$)")


def canon_path(path):
    """The path without what systemd draws at random for the private /tmp of each start of a unit."""
    return RANDOM_NAME.sub(r"\1RANDOM", path)
