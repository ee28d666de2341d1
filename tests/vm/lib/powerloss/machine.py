# SPDX-License-Identifier: Apache-2.0
"""The small guest: one that applies an update to a disk whose writes are all logged, and one that recovers disks."""
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


class Guests:
    """Makes the initramfs once, and boots guests with it."""

    def __init__(self, work):
        self.work = work
        self.root = kernel("bookworm", "cloud")
        program = work / "powerloss"
        subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-static", "-o", program, GUEST / "powerloss.c"], check=True)
        self.image = initramfs(self.root, work, (GUEST / "powerloss-init").read_text(), MODULES, {"bin/powerloss": program})
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
                f"do=record fs={fixture.file_system} id={fixture.facts()['id']} marks={MARK_SECTOR * log.SECTOR} {words}",
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
        names = [f"vd{chr(ord('a') + i)}" for i in range(len(images))]
        disks = []
        for name, image in zip(names, images):
            disks += ["-drive", f"file={image},format=raw,if=none,id={name},cache=unsafe", "-device", f"virtio-blk-pci,drive={name}"]
        said = self.run(f"do=recover fs={file_system} disks={','.join(names)} {words}".rstrip(), disks,
                        BOOT_TIMEOUT_S + DISK_TIMEOUT_S * len(images))
        return [Recovery(name, said) for name in names]


class Recovery:
    """What the guest said of one disk."""

    def __init__(self, name, said):
        start, stop = said.find(f"@ {name} begins"), said.find(f"@ {name} left")
        self.said = said[start:stop] if start >= 0 else ""
        self.left = stop >= 0
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
