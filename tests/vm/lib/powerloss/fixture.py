# SPDX-License-Identifier: Apache-2.0
"""A disk with a small Debian, an update of it made by the project's own code, and both trees as values."""
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import threading
import time

from oracle.shell import Failed, run, shell

from . import tree

HERE = pathlib.Path(__file__).resolve().parent
UNMOUNT_TIMEOUT_S = 10
# The file system ends where the guest's marks begin. No XFS is smaller than 300 MiB.
FILE_SYSTEM_MIB, DISK_MIB = 304, 305
MARK_SECTOR = FILE_SYSTEM_MIB << 11
FILE_SYSTEMS = {
    # 256-byte inodes hold nanoseconds whatever mke2fs.conf says about small file systems. No lazy initialisation: its
    # kernel thread would write at any time.
    "ext4": ("mke2fs", "-q", "-t", "ext4", "-I", "256", "-E", "lazy_itable_init=0,lazy_journal_init=0"),
    "xfs": ("mkfs.xfs", "-q", "-d", f"size={FILE_SYSTEM_MIB}m"),
}
# Each takes a moment, so that the phase has points, and each wants its trace on the disk.
COMMANDS = ["sleep 0.3; echo acted >>/var/log/neighbour/acted; sync"] * 3


def unmount(target):
    """Between its fork and its exec another thread's child has our files open, too: that is over in a moment."""
    end = time.monotonic() + UNMOUNT_TIMEOUT_S
    while True:
        try:
            return run("umount", target)
        except Failed:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def mounted(image, target, options="ro"):
    """The image's file system at `target`."""
    target.mkdir(exist_ok=True)
    run("mount", "-o", f"loop,{options}", image, target)
    try:
        yield target
    finally:
        unmount(target)


@contextlib.contextmanager
def overlaid(lower, layers, target):
    """What the shadow does: the merged view of `lower` and layers/upper."""
    for name in ("upper", "work"):
        (layers / name).mkdir(parents=True)
    shutil.copystat(lower, layers / "upper")
    target.mkdir(exist_ok=True)
    run("mount", "-t", "overlay", "overlay", "-o",
        f"lowerdir={lower},upperdir={layers / 'upper'},workdir={layers / 'work'},redirect_dir=on,index=on,xino=off", target)
    try:
        yield target
    finally:
        unmount(target)


def make_disk(file_system, source, target):
    """A disk of that file system with the tree `source` in it."""
    with open(target, "wb") as out:
        out.truncate(DISK_MIB << 20)
    words = FILE_SYSTEMS[file_system]
    run(*words, target, *([f"{FILE_SYSTEM_MIB}m"] if file_system == "ext4" else []))
    mount = target.with_suffix(".mount")
    with mounted(target, mount, "rw"):
        run("cp", "-a", f"{source}/.", mount)
    mount.rmdir()


@dataclasses.dataclass
class Fixture:
    """All that a series of power losses begins with, in a directory of its own."""
    directory: pathlib.Path
    file_system: str

    @property
    def disk(self):
        return self.directory / "base.img"

    @property
    def payload(self):
        return self.directory / "payload"

    def facts(self):
        return json.loads((self.directory / "facts.json").read_text())

    def trees(self):
        """(before, after)"""
        return tuple(json.loads((self.directory / f"{name}.json").read_text()) for name in ("before", "after"))


class Source:
    """The tree and the packages that all fixtures of a run share."""

    def __init__(self, work, bundle_tool):
        self.work, self.bundle_tool, self.lock = work, bundle_tool, threading.Lock()
        self.tree, self.packages = work / "tree", work / "packages"
        cached = pathlib.Path(shell("guest", """
            release=$(guest_sources bookworm | head -n 1 | cut -d' ' -f2)
            [ -n "$release" ] || guest_die "the host's apt knows no Debian archive"
            version=$(guest_index_version "${release%/}" bookworm)
            directory=$guest_cache/powerloss-$(guest_hash "$(cat "$1")" "$version")
            guest_fill "$directory" "$1"
            echo "$directory" """, HERE / "make-tree").strip())
        self.tree.mkdir()
        run("tar", "-C", self.tree, "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf", cached / "tree.tar")
        self.packages.mkdir()
        run(HERE / "make-packages", self.tree, self.packages)
        self.install(self.tree, self.packages / "before")
        (self.tree / "var/log/neighbour").mkdir()

    def install(self, root, packages, *more):
        """By the tree's own dpkg."""
        place = root / "run/packages"
        shutil.copytree(packages, place)
        try:
            run("chroot", root, "sh", "-ec", "dpkg --force-unsafe-io -i /run/packages/*.deb; " + "; ".join(more))
        finally:
            shutil.rmtree(place)
        # Of the moment of the installation, which a snapshot before and after must not differ in.
        (root / "var/log/dpkg.log").unlink(missing_ok=True)

    @contextlib.contextmanager
    def with_helper(self, helper):
        """The tree has the program where the host puts it."""
        own = self.tree / "var/lib/ouassister"
        own.mkdir(mode=0o700)
        shutil.copy(helper, own / "helper")
        try:
            yield
        finally:
            shutil.rmtree(own)

    def fixture(self, file_system, helper, directory):
        """A Fixture for the helper program, in `directory`, which must be new."""
        directory.mkdir(parents=True)
        fixture = Fixture(directory, file_system)
        with self.lock, self.with_helper(helper):
            make_disk(file_system, self.tree, fixture.disk)
        lower, layers, merged = directory / "lower", directory / "layers", directory / "merged"
        with mounted(fixture.disk, lower):
            before = tree.snapshot(lower)
            with overlaid(lower, layers, merged):
                self.install(merged, self.packages / "update", "dpkg --purge oua-old")
                after = tree.snapshot(merged)
                bundle = directory / "bundle"
                run(self.bundle_tool, "write", bundle, "trusted.overlay.", lower, layers / "upper")
        identity = run(self.bundle_tool, "payload", bundle, fixture.payload, *COMMANDS).strip()
        entries = run(self.bundle_tool, "list", bundle).count("\n")
        for name, value in (("before", before), ("after", after),
                            ("facts", {"id": identity, "entries": entries, "bytes": os.path.getsize(fixture.payload)})):
            (directory / f"{name}.json").write_text(json.dumps(value))
        shutil.rmtree(layers)
        lower.rmdir()
        merged.rmdir()
        return fixture
