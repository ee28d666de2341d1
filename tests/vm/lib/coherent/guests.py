# SPDX-License-Identifier: Apache-2.0
"""Guests that write: woken, cut and woken again, with memory that the host can look into and write to."""
import dataclasses
import mmap
import pathlib
import shlex
import shutil
import struct
import subprocess
import time

from introspect import debian
from introspect.kernels import boot_file, kernel, run
from introspect.machine import Machine, initramfs

TESTS = pathlib.Path(__file__).resolve().parents[2]
SOURCE = TESTS.parents[1] / "src"
NAME = "guest"
MAGIC = b"writer's page: told to stop here"
SLOT_SIZE = 4 + 2 * 240
SLOTS_AT = 48
STOP_AT = 32
WAKE_TIMEOUT_S = 120
SCAN_TIMEOUT_S = 400
BULK_SIZE = 64 << 20
# Loaded in a small guest where they are modules.
MODULES = ["virtio_pci", "virtio_blk", "ext4", "crc32c_generic", "crc32c_intel"]
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read -r module; do insmod "$module"; done </modules.order
for word in $(cat /proc/cmdline); do
	case $word in options=*) options=${word#options=} ;; esac
done
mkdir /mnt; mount -t ext4 -o "$options" /dev/vda /mnt || echo "mount failed"
exec /bin/writer load /mnt/load /mnt /dev/vdb
"""


@dataclasses.dataclass
class Small:
    """A kernel of `suite` on an ext4 made with `make` and mounted with `options`."""
    name: str
    suite: str
    make: tuple = ()
    options: str = "rw"
    cpus: int = 1


def build_writer(target):
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-D_GNU_SOURCE", "-static", f"-I{SOURCE}", "-o", str(target),
                    str(TESTS / "guest/writer.c"), str(SOURCE / "base/sha256_portable.c")], check=True)


class Guest:
    """One that is cut again and again. Its disk is `disk` of format `disk_format`, its memory the file `ram`."""

    memory_mib = 512

    def __init__(self, work):
        self.work = work
        self.machine = None
        build_writer(work / "writer")

    def command(self):
        raise NotImplementedError

    def start(self, *more):
        memory = (f"memory-backend-file,id=pc.ram,share=on,mem-path={self.work / 'ram'},size={self.memory_mib}M,"
                  "x-use-canonical-path-for-ramblock-id=off")
        command = [*self.command(), "-object", memory, "-machine", "memory-backend=pc.ram", *more]
        for name in (f"{NAME}.qmp", f"{NAME}.qga", "ram"):
            (self.work / name).unlink(missing_ok=True)
        self.machine = Machine.of_command(self.work, f"{NAME}.qmp", f"{NAME}.console", command)

    def load_saved(self, saved):
        """The guest as it was saved; it does not run yet."""
        self.start("-incoming", f"exec:cat {saved}", "-S")
        self.machine.wait(lambda: self.machine.command("query-status")["status"] != "inmigrate", WAKE_TIMEOUT_S)

    def cut(self, memory, disk):
        """Saves it, and a copy of its disk; ends it."""
        self.machine.command("stop")
        self.machine.save(memory)
        self.machine.close()
        self.machine = None
        shutil.copy(self.disk, disk)

    def find_page(self, memory):
        for at in range(0, len(memory), 4096):
            if memory[at:at + len(MAGIC)] == MAGIC and memory[at + 36:at + 40] != bytes(4):
                return at
        raise RuntimeError("the writer's page is not in the guest's memory")

    def tell(self, stop):
        """Sets the word that the workers look at. The paths that they are changing at this moment."""
        with open(self.work / "ram", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            at = self.find_page(memory)
            memory[at + STOP_AT:at + STOP_AT + 4] = struct.pack("<I", stop)
            busy = []
            for slot in range(struct.unpack_from("<I", memory, at + 36)[0]):
                place = at + SLOTS_AT + slot * SLOT_SIZE
                if struct.unpack_from("<I", memory, place)[0]:
                    for path in (memory[place + 4:place + 244], memory[place + 244:place + 484]):
                        busy.append(path.split(b"\0")[0].decode())
            return [path for path in busy if path]

    def calls(self):
        """How many changes the workers have made."""
        with open(self.work / "ram", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
            return struct.unpack_from("<Q", memory, self.find_page(memory) + 40)[0]

    def close(self):
        if self.machine:
            self.machine.close()


class Debian(Guest):
    """The suspended Debian 12 of the other tests, woken; its root is what is written to."""
    prefix = ""
    disk_format = "qcow2"

    def __init__(self, work):
        super().__init__(work)
        debian.shell('vm_copy "$1" "$2" "$3" user', debian.suspended_guest(), work, NAME)
        self.disk = work / f"{NAME}.qcow2"
        self.agent = debian.Agent(work)

    def command(self):
        return shlex.split(debian.shell('vm_command "$1" "$1.qcow2" user "$2" 0', NAME, self.memory_mib))

    def begin(self):
        self.load_saved(f"{NAME}.mig")
        self.machine.command("cont")
        debian.shell('vm_wait "$1" "$2" 120', self.work, NAME)
        self.agent.put(self.work / "writer", "/usr/local/bin/writer")
        self.agent.run("date -s @$(date +%s); chmod 755 /usr/local/bin/writer; "
                       "setsid /usr/local/bin/writer load /srv/load / /run/tree >/run/said 2>&1 </dev/null &")

    def tree(self):
        """What the guest reads, once it has been told to stop."""
        end = time.monotonic() + SCAN_TIMEOUT_S
        while time.monotonic() < end:
            time.sleep(2)
            try:
                if "scanned" in self.agent.run("cat /run/said; : >/run/said"):
                    return self.agent.run("cat /run/tree")
            except RuntimeError:
                pass  # The agent stands still, too.
        raise RuntimeError("the guest did not read its files in time")


class Initramfs(Guest):
    """A kernel with nothing but the writer, and an ext4 on a disk of its own."""
    memory_mib = 256
    prefix = "/mnt"
    disk_format = "raw"

    def __init__(self, work, case):
        super().__init__(work)
        self.case = case
        self.disk = work / "disk.img"
        root = kernel(case.suite, "cloud")
        shutil.copy(boot_file(root), work / "kernel")
        initramfs(root, work, INIT, MODULES, {"bin/writer": work / "writer"})
        for name, size in (("disk.img", 1 << 30), ("bulk", BULK_SIZE)):
            with open(work / name, "wb") as out:
                out.truncate(size)
        # What makes it a system for the host.
        etc = work / "tree/etc"
        etc.mkdir(parents=True)
        (etc / "fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
        (etc / "os-release").write_text("ID=small\n")
        run("mke2fs", "-q", "-t", "ext4", "-d", str(work / "tree"), *case.make, str(self.disk))

    def command(self):
        drives = []
        for name in ("disk.img", "bulk"):
            drives += ["-drive", f"file={self.work / name},format=raw,if=virtio"]
        # Without cmpxchg16b and in one thread: see introspect/small.py and machine.py.
        return ["qemu-system-x86_64", "-accel", "tcg,thread=single", "-cpu", "qemu64,-cx16", "-M", "pc", "-nodefaults",
                "-display", "none", "-no-reboot", "-serial", f"file:{NAME}.console", "-qmp",
                f"unix:{NAME}.qmp,server=on,wait=off", "-m", str(self.memory_mib), "-smp", str(self.case.cpus),
                "-kernel", "kernel", "-initrd", "initramfs.img", "-append",
                f"console=ttyS0 panic=-1 no_timer_check options={self.case.options}", *drives]

    def begin(self):
        self.start()
        end = time.monotonic() + WAKE_TIMEOUT_S
        while time.monotonic() < end:
            time.sleep(2)
            try:
                if self.calls() > 0:
                    return
            except RuntimeError:
                pass
        raise RuntimeError("the guest does not write:\n" + self.machine.said()[-1500:])

    def tree(self):
        self.machine.wait_said("writer: scanned", SCAN_TIMEOUT_S)
        # What comes through the page cache of the guest's bulk disk is there when the file is closed... by a later sync.
        text = (self.work / "bulk").read_bytes()
        return text[:text.index(b"\nend\n") + 5].decode()
