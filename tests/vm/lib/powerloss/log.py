# SPDX-License-Identifier: Apache-2.0
"""The log of all writes to a disk, as QEMU's blklogwrites makes it, and the disks that a power loss may leave.

Format: Linux, Documentation/admin-guide/device-mapper/log-writes.rst, drivers/md/dm-log-writes.c; QEMU's
block/blklogwrites.c. A super block, then for each request one sector of header and, unless it is a discard, its data.
A flush is written down when the device gets it. A write that was under way then counts as flushed here, which is what
QEMU's order says; file systems wait for a write before they flush for it.
"""
import dataclasses
import os
import random
import struct
import subprocess

SECTOR = 512
MAGIC, VERSION = 0x6A736677736872, 1
FLUSH, FUA, DISCARD = 1, 2, 4
MARK = b"OUAMARK "
# How a disk is rebuilt: what was written since the last flush is there, is not, or is there in part.
WITH, WITHOUT, SOME = "with", "without", "some"
VARIANTS = (WITH, WITHOUT, SOME)
# One write in so many that survive is cut between two sectors, or has lost sectors in the middle.
TORN_OF = 4


class BadLog(Exception):
    pass


@dataclasses.dataclass
class Entry:
    """One request; `sector` and `sectors` of 512 bytes, `data` the offset of its bytes in the log."""
    sector: int
    sectors: int
    flags: int
    data: int


def read(path):
    """The entries, in their order."""
    entries = []
    with open(path, "rb") as log:
        size = os.fstat(log.fileno()).st_size
        magic, version, _, sector_size = struct.unpack("<QQQI", log.read(28))
        if (magic, version, sector_size) != (MAGIC, VERSION, SECTOR):
            raise BadLog(f"not a log of 512-byte sectors: {magic:#x} {version} {sector_size}")
        at = SECTOR
        # The super block counts the entries only up to the last flush: behind them the file is empty.
        while at + SECTOR <= size:
            log.seek(at)
            header = struct.unpack("<4Q", log.read(32))
            if not any(header):
                break
            sector, sectors, flags, _ = header
            entries.append(Entry(sector, sectors, flags, at + SECTOR))
            at += SECTOR
            if not flags & DISCARD:
                at += sectors * SECTOR
    return entries


def marks(path, entries, mark_sector):
    """[(index of the entry, name)] of the guest's marks."""
    found = []
    with open(path, "rb") as log:
        for index, entry in enumerate(entries):
            if entry.sector == mark_sector and entry.sectors:
                log.seek(entry.data)
                data = log.read(64)
                if data.startswith(MARK):
                    found.append((index, data[len(MARK):].split(b"\0")[0].decode()))
    return found


def last_flush(entries, point):
    """How many of the first entries a flush has made durable when `point` of them had reached the disk."""
    return max((index + 1 for index in range(point) if entries[index].flags & FLUSH), default=0)


def surviving(entries, point, variant, seed):
    """[(entry, its sectors that reached the platter, or None for all)] in the order of the log."""
    durable = last_flush(entries, point)
    chance = random.Random(f"{seed}/{point}")
    kept = [(entry, None) for entry in entries[:durable] if entry.sectors]
    for entry in entries[durable:point]:
        if not entry.sectors:
            continue
        if variant == WITH or entry.flags & FUA:
            kept.append((entry, None))
        elif variant == SOME and chance.random() < 0.5:
            kept.append((entry, torn(entry, chance)))
    return kept


def torn(entry, chance):
    """A sector is written or not; a request of several may be written in part."""
    if entry.sectors == 1 or entry.flags & DISCARD or chance.randrange(TORN_OF):
        return None
    return [sector for sector in range(entry.sectors) if chance.random() < 0.5]


def rebuild(base, log, kept, target):
    """The disk `target`: `base`, and what has survived of the log. Discarded sectors keep what they had."""
    subprocess.run(["cp", "--sparse=always", base, target], check=True)
    with open(log, "rb") as source, open(target, "r+b") as disk:
        for entry, sectors in kept:
            if entry.flags & DISCARD:
                continue
            source.seek(entry.data)
            data = source.read(entry.sectors * SECTOR)
            if sectors is None:
                disk.seek(entry.sector * SECTOR)
                disk.write(data)
                continue
            for sector in sectors:
                disk.seek((entry.sector + sector) * SECTOR)
                disk.write(data[sector * SECTOR:(sector + 1) * SECTOR])
