# SPDX-License-Identifier: Apache-2.0
"""The small guest: one that applies an update to a disk whose writes are all logged, and one that recovers disks."""
import errno
import json
import pathlib
import re
import shutil
import subprocess
import tempfile

from introspect.kernels import boot_file, kernel
from introspect.machine import Machine, initramfs

from . import log
from .fixture import MARK_SECTOR

GUEST = pathlib.Path(__file__).resolve().parents[2] / "guest"
MODULES = ["virtio_pci", "virtio_blk", "ext4", "xfs", "crc32c_generic"]
# QEMU's machine has room for some 28 disks.
DISKS_AT_ONCE = 20
BOOT_TIMEOUT_S, DISK_TIMEOUT_S, RECORD_TIMEOUT_S = 120, 60, 300
LOG_BYTES = 4 << 30
# More than a guest needs for an update without the help of `powerloss break`; QEMU's word of them has 128 KiB at most.
BREAK_AFTER = {"read": 1800, "write": 600}


class Guests:
    """Makes the initramfs once, and boots guests with it."""

    def __init__(self, work):
        self.work = work
        self.root = kernel("bookworm", "cloud")
        program = work / "powerloss"
        subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-static", "-o", program, GUEST / "powerloss.c"], check=True)
        self.image = initramfs(self.root, work, (GUEST / "powerloss-init").read_text(), MODULES,
                               {"bin/powerloss": program, "faults": GUEST / "powerloss-faults"})
        self.release = boot_file(self.root).name.removeprefix("vmlinuz-")

    def run(self, words, disks, timeout_s):
        """Boots with these words for its init and these disks (QEMU's arguments); what it said."""
        directory = pathlib.Path(tempfile.mkdtemp(dir=self.work))
        arguments = ["-M", "pc", "-m", "256", "-kernel", str(boot_file(self.root)), "-initrd", str(self.image), "-append",
                     f"console=ttyS0 panic=-1 no_timer_check quiet {words}", *disks]
        try:
            with Machine(directory, arguments) as machine:
                machine.wait(lambda: "@ done" in machine.said(), timeout_s)
                # A marked way out: what QEMU has in hand is written, nothing of the guest's.
                machine.command("quit")
                machine.process.wait(30)
                return machine.said()
        finally:
            shutil.rmtree(directory)

    def record(self, fixture, words, target):
        """Applies the fixture's update on a copy of its disk; `target` is the log of all writes. What the guest said."""
        disk = target.with_suffix(".disk")
        shutil.copy(fixture.disk, disk)
        with open(target, "wb") as out:
            out.truncate(LOG_BYTES)
        try:
            return self.run(
                f"do=record fs={fixture.file_system} id={fixture.facts()['id']} marks={MARK_SECTOR * log.SECTOR} "
                f"payload=vdb {words}",
                ["-blockdev", f"driver=file,node-name=log,filename={target}",
                 "-blockdev", f"driver=file,node-name=disk,filename={disk}",
                 "-blockdev", "driver=blklogwrites,node-name=logged,file=disk,log=log,log-sector-size=512",
                 "-device", "virtio-blk-pci,drive=logged",
                 "-drive", f"file={fixture.payload},format=raw,if=none,id=payload,readonly=on",
                 "-device", "virtio-blk-pci,drive=payload"], RECORD_TIMEOUT_S)
        finally:
            disk.unlink()

    def recover(self, file_system, images, words=""):
        """A guest boots after the power loss on each of the images; what it said of each."""
        return [Recovery(name, said) for name, said in self.on_each("recover", file_system, images, words)]

    def on_each(self, do, file_system, images, words="", payload=None, broken=()):
        """[(name, all that the guest said)]; `broken`: {image: "read" or "write"}, which fails from some request on."""
        names = [f"vd{chr(ord('a') + i)}" for i in range(len(images))]
        disks = []
        for name, image in zip(names, images):
            disks += broken_disk(name, image, broken[image]) if image in broken else sound_disk(name, image)
        if payload:
            words += f" payload=vd{chr(ord('a') + len(images))}"
            disks += sound_disk("payload", payload, ",readonly=on")
        said = self.run(f"do={do} fs={file_system} disks={','.join(names)} marks={MARK_SECTOR * log.SECTOR} {words}".rstrip(), disks,
                        BOOT_TIMEOUT_S + DISK_TIMEOUT_S * len(images))
        return [(name, said) for name in names]


def sound_disk(name, image, more=""):
    return ["-drive", f"file={image},format=raw,if=none,id={name},cache=unsafe{more}", "-device", f"virtio-blk-pci,drive={name}"]


def broken_disk(name, image, kind):
    """One whose requests of the kind fail with EIO when there were BREAK_AFTER of them (`powerloss break` in the guest)."""
    event = f"{kind}_aio"
    rules = {"driver": "blkdebug", "image": {"driver": "file", "filename": str(image)},
             "set-state": [{"event": event, "state": i, "new_state": i + 1} for i in range(1, BREAK_AFTER[kind])],
             "inject-error": [{"event": event, "state": BREAK_AFTER[kind], "iotype": kind, "errno": errno.EIO, "once": False}]}
    # The raw driver is what counts for blkdebug below it.
    node = {"driver": "raw", "node-name": name, "file": rules}
    return ["-blockdev", json.dumps(node), "-device", f"virtio-blk-pci,drive={name},werror=report,rerror=report"]


class Recovery:
    """What the guest said of one disk."""

    def __init__(self, name, said):
        start, stop = said.find(f"@ {name} begins"), said.find(f"@ {name} left")
        self.said = said[start:stop] if start >= 0 else ""
        self.left = stop >= 0
        self.unmountable = f"@ {name} unmountable" in said
        self.fsck = False  # had to look at it before the kernel mounted it
        self.status = self.number("recover", name)
        self.again = self.number("again", name)

    def number(self, what, name):
        found = re.search(rf"^@ {name} {what} (\d+)", self.said, re.M)
        return int(found[1]) if found else None

    def problem(self):
        """What is wrong with the recovery itself; "" if nothing."""
        if not self.left:
            return f"the guest could not mount, recover and unmount the disk: {self.said[-300:]!r}"
        # applied; undone; there was nothing to do
        if self.status not in (0, 4, 6):
            return f"helper recover ended with {self.status}: {self.said[-600:]!r}"
        if self.again != 6:
            return f"helper recover, run again, ended with {self.again}"
        return ""
