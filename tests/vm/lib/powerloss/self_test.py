# SPDX-License-Identifier: Apache-2.0
"""That the log is read as QEMU writes it, and that a tree which is neither the old nor the new one is seen."""
import io
import os
import pathlib
import struct
import subprocess
import tarfile
import tempfile

from . import layer, log, points, tree


def write_log(path, requests):
    """`requests`: (sector, data, flags), or (sector, number of sectors, DISCARD)."""
    with open(path, "wb") as out:
        out.write(struct.pack("<QQQI", log.MAGIC, log.VERSION, 0, log.SECTOR).ljust(log.SECTOR, b"\0"))
        for sector, data, flags in requests:
            n = data if flags & log.DISCARD else len(data) // log.SECTOR
            out.write(struct.pack("<4Q", sector, n, flags, 0).ljust(log.SECTOR, b"\0"))
            if not flags & log.DISCARD:
                out.write(data)
        out.truncate(out.tell() + (1 << 20))


def block(letter, n=1):
    return letter * (n * log.SECTOR)


REQUESTS = [(0, block(b"a"), 0), (1, block(b"b"), 0), (0, b"", log.FLUSH), (0, block(b"c"), 0), (2, block(b"d", 4), log.FUA),
            (3, 2, log.DISCARD), (9, (log.MARK + b"checked").ljust(log.SECTOR, b"\0"), 0)]


def logs(check, work):
    write_log(work / "log", REQUESTS)
    with open(work / "base", "wb") as out:
        out.write(block(b"-", 10))
    entries = log.read(work / "log")

    def disk(point, variant):
        log.rebuild(work / "base", work / "log", log.surviving(entries, point, variant, "seed"), work / "disk")
        data = (work / "disk").read_bytes()
        return "".join(chr(data[i * log.SECTOR]) for i in range(7))

    check("all requests are read", len(entries), len(REQUESTS))
    check("a mark is found", log.marks(work / "log", entries, 9), [(6, "checked")])
    check("before the first", disk(0, log.WITH), "-------")
    check("with what no flush made durable", disk(2, log.WITH), "ab-----")
    check("without it", disk(2, log.WITHOUT), "-------")
    check("a flush makes it durable", disk(3, log.WITHOUT), "ab-----")
    check("the order is the log's", disk(4, log.WITH), "cb-----")
    check("a write that asked for it is durable", disk(5, log.WITHOUT), "abdddd-")
    check("a discard needs not do anything", disk(6, log.WITH), "cbdddd-")
    seen = set()
    for seed in range(64):
        kept = log.surviving(entries, 2, log.SOME, seed)
        seen.add(tuple(entry.sector for entry, _ in kept))
    check("any of them may be lost", seen, {(), (0,), (1,), (0, 1)})
    (work / "log").write_bytes(b"x" * 2048)
    try:
        log.read(work / "log")
        check("something else is no log", False, True)
    except log.BadLog:
        check("something else is no log", True, True)


def phases(check):
    marks = [(10, "started"), (20, "checked"), (30, "staged"), (40, "switched"), (50, "restarted"), (60, "verified"), (62, "end")]
    check("phases follow one another", points.bounds(marks), {"check": (11, 20), "stage": (21, 30), "switch": (31, 40),
                                                              "act": (41, 50), "verify": (51, 62)})
    check("many points are spread", points.spread(11, 37, 14), list(range(11, 38, 2)))
    check("a few are not at the ends", points.spread(11, 31, 2), [16, 26])
    check("no point comes twice", points.spread(11, 12, 40), [11, 12])
    check("what a phase has not is taken from the others", len(points.choose(marks, {"check": 20, "act": 2})), 20)
    check("none comes twice then", len(set(points.choose(marks, {"check": 20, "act": 2}))), 20)
    try:
        points.bounds(marks[:3])
        check("a log that ends too early is refused", False, True)
    except points.NoPhase:
        check("a log that ends too early is refused", True, True)


def populate(root):
    (root / "bin").mkdir(parents=True)
    for name in ("one", "two", "three"):
        (root / "bin" / name).write_text(name)
        os.utime(root / "bin" / name, (1, 1))
    os.symlink("one", root / "bin/link")
    os.utime(root / "bin/link", (1, 1), follow_symlinks=False)
    os.utime(root / "bin", (1, 1))


def trees(check, work):
    for name in ("before", "after", "found"):
        populate(work / name)
    (work / "after/bin/one").write_text("new")
    (work / "after/bin/two").chmod(0o600)
    os.unlink(work / "after/bin/three")
    before, after = tree.snapshot(work / "before"), tree.snapshot(work / "after")
    check("the old tree", tree.judge(before, before, after)[0], tree.NONE)
    check("the new tree", tree.judge(after, before, after)[0], tree.ALL)
    check("other inodes are not the old tree", tree.judge(tree.snapshot(work / "found"), before, after)[0], tree.MIXED)

    def altered(name, alter):
        path = work / "found/bin/one"
        alter(path)
        check(f"seen: {name}", tree.judge(tree.snapshot(work / "found"), {**before, **inodes_of(work / "found")}, after)[0], tree.MIXED)

    def inodes_of(root):
        return {path: {**node, "inode": os.lstat(f"{root}{path}").st_ino} for path, node in before.items()}

    check("the same, as it was", tree.judge(tree.snapshot(work / "found"), inodes_of(work / "found"), after)[0], tree.NONE)
    altered("content of the same length", lambda path: (path.write_text("eno"), os.utime(path, (1, 1))))
    altered("mode", lambda path: (path.write_text("one"), os.utime(path, (1, 1)), path.chmod(0o755)))
    altered("time", lambda path: (path.chmod(0o644), os.utime(path, (1, 2))))
    altered("extended attributes", lambda path: (os.utime(path, (1, 1)), os.setxattr(path, "user.x", b"y")))
    altered("another name", lambda path: (os.removexattr(path, "user.x"), os.link(path, work / "found/bin/other")))


def write_layer(target):
    """Of the update that trees() makes: new content, another mode, a file that goes; and a second name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, mode, text in (("bin", tarfile.DIRTYPE, 0o755, ""), ("bin/one", tarfile.REGTYPE, 0o644, "new"),
                                       ("bin/two", tarfile.REGTYPE, 0o600, "two"), ("bin/.wh.three", tarfile.REGTYPE, 0o644, ""),
                                       ("bin/again", tarfile.LNKTYPE, 0o644, "")):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.size = kind, mode, len(text)
            member.linkname = "bin/one" if kind == tarfile.LNKTYPE else ""
            member.pax_headers = {"mtime": "1.000000005"}
            archive.addfile(member, io.BytesIO(text.encode()))
    with open(target, "wb") as packed:
        subprocess.run(["zstd", "-qc"], input=out.getvalue(), stdout=packed, check=True)


def layers(check, work):
    root = work / "layered"
    populate(root)
    write_layer(work / "layer")
    whole = layer.Layer(work / "layer", root)
    check("layer: as before", whole.judge(root), (tree.NONE, []))
    (root / "bin/new").write_text("new")
    os.utime(root / "bin/new", ns=(5, 10**9 + 5))
    os.rename(root / "bin/new", root / "bin/one")
    check("layer: one file is new", whole.judge(root)[0], tree.MIXED)
    (root / "bin/two").chmod(0o600)
    os.utime(root / "bin/two", ns=(5, 10**9 + 5))
    os.unlink(root / "bin/three")
    check("layer: a name is missing", whole.judge(root)[0], tree.MIXED)
    os.link(root / "bin/one", root / "bin/again")
    check("layer: all of it", whole.judge(root), (tree.ALL, []))
    os.utime(root / "bin/two", ns=(5, 10**9 + 6))
    check("layer: another time", whole.judge(root)[0], tree.MIXED)
    os.utime(root / "bin/two", ns=(5, 10**9 + 5))
    (root / "bin/three").write_text("three")
    check("layer: what is to go is there", whole.judge(root)[0], tree.MIXED)


def main(say):
    failed = []

    def check(name, found, expected):
        if found != expected:
            failed.append(name)
        say(f"ok {name}" if found == expected else f"not ok {name}: found {found!r}, expected {expected!r}")

    with tempfile.TemporaryDirectory(prefix="oua-powerloss.", dir="/var/tmp") as work:
        logs(check, pathlib.Path(work))
        phases(check)
        trees(check, pathlib.Path(work))
        layers(check, pathlib.Path(work))
    return 1 if failed else 0
